"""Sessions of the stack's roles, handed out on loopback as ECS does."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lakegate.local import role_credentials
from lakegate.local.laptop import STACK_NAME
from lakegate.local.processes import free_port
from lakegate.local.role_credentials import REUSE_WHILE_LEFT, RoleServer
from lakegate.local.roles import Role, role_environment, token_of
from resources.environment import Deployment

pytestmark = pytest.mark.aws
SECRET = "a secret of this laptop"


@pytest.fixture
def server(deployment: Deployment) -> Iterator[RoleServer]:
    with RoleServer(free_port(), STACK_NAME, SECRET) as made:
        threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield made
        made.shutdown()


def ask(server: RoleServer, path: str, token: str) -> tuple[int, dict[str, Any]]:
    url = f"http://127.0.0.1:{server.server_address[1]}{path}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Authorization": token})) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.mark.parametrize("role", Role)
def test_whoever_shows_a_roles_token_is_given_its_session(server: RoleServer, role: Role) -> None:
    status, given = ask(server, f"/role/{role.value}", token_of(SECRET, role))
    assert status == 200
    assert f"{role.value.capitalize()}Role" in given["RoleArn"]
    assert all(given[name] for name in ("AccessKeyId", "SecretAccessKey", "Token"))
    assert datetime.fromisoformat(given["Expiration"]) - datetime.now(UTC) > REUSE_WHILE_LEFT


@pytest.mark.parametrize(
    "token", ["", "wrong", token_of(SECRET, Role.OPERATOR), token_of("another laptop", Role.QUERY)]
)
def test_another_token_is_refused(server: RoleServer, token: str) -> None:
    status, said = ask(server, "/role/query", token)
    assert (status, said["code"]) == (401, "Unauthorized")


def test_there_are_no_other_roles(server: RoleServer) -> None:
    assert ask(server, "/role/administrator", token_of(SECRET, Role.OPERATOR))[0] == 404


def test_a_session_is_handed_out_again_until_its_second_half(
    server: RoleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, again = server.session(Role.RUN), server.session(Role.RUN)
    assert first == again
    monkeypatch.setattr(role_credentials, "REUSE_WHILE_LEFT", timedelta(hours=1))
    assert server.session(Role.RUN)["AccessKeyId"] != first["AccessKeyId"]


def test_without_a_stack_it_says_so(deployment: Deployment) -> None:
    with RoleServer(free_port(), "another-stack", SECRET) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        status, said = ask(server, "/role/run", token_of(SECRET, Role.RUN))
        server.shutdown()
    assert (status, said["code"]) == (503, "NoSession")


def test_a_process_under_a_role_has_no_keys_and_an_analyst_one_workgroup() -> None:
    before = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "LAKEGATE_OPERATOR_WORKGROUP": "lakegate-operators",
    }
    made = {role: role_environment(before, role, 4568, SECRET) for role in Role}
    for role, environment in made.items():
        assert environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] == f"http://127.0.0.1:4568/role/{role.value}"
        assert not {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} & set(environment)
        assert environment["AWS_REGION"] == "us-east-1"
        assert ("LAKEGATE_OPERATOR_WORKGROUP" in environment) == (role is not Role.QUERY)
    assert len({environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"] for environment in made.values()}) == len(Role)
