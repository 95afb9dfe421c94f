"""`lakegate web`: the pages have no login, so only this machine may reach them unless somebody vouches for a proxy."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakegate.cli.web import webserver_arguments
from lakegate.listening import PROXY_FLAG, is_loopback, require_loopback
from pipelines.errors import ConfigurationError
from tests.cli.command import lakegate

PUBLIC = [
    "0.0.0.0", "::", "0", "", "10.0.0.5", "192.168.1.4", "172.16.0.1", "169.254.1.1", "fe80::1%eth0", "2001:db8::1", "127.1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.5", "::ffff:0.0.0.0", "0x7f000001", "2130706433", "dagster.example.com", "localhost.", "LOCALHOST.example",
    "127.0.0.1.example.com", "127.0.0.1 ", "*",
]  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    path = tmp_path / "workspace.yaml"
    path.write_text("load_from: []\n")
    return path


@pytest.mark.parametrize("host", PUBLIC)
def test_an_address_that_others_can_reach_is_refused_and_the_sentence_says_what_to_do(
    host: str, workspace: Path
) -> None:
    answer = lakegate("web", "--host", host, "--workspace", workspace)
    assert answer.code == 2
    sentence = " ".join(answer.err.split())
    assert "has no login" in sentence
    assert "127.0.0.1" in sentence
    assert PROXY_FLAG in sentence


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_needs_no_flag(host: str) -> None:
    assert is_loopback(host)
    require_loopback("a server", host, behind_proxy=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5"])
def test_with_the_flag_any_address_is_taken_as_it_is(host: str, workspace: Path) -> None:
    require_loopback("a server", host, behind_proxy=True)
    assert webserver_arguments(host, 3000, workspace)[1:3] == ("-h", host)


@pytest.mark.parametrize("short", ["--behind", "--behind-proxy", "--yes", "--force"])
def test_the_flag_has_no_short_form(short: str, workspace: Path) -> None:
    assert lakegate("web", "--host", "0.0.0.0", "--workspace", workspace, short).code == 2


def test_a_workspace_that_is_not_there_is_named(tmp_path: Path) -> None:
    answer = lakegate("web", "--workspace", tmp_path / "none.yaml")
    assert answer.code == 2
    assert "none.yaml" in answer.err


def test_the_pages_without_buttons_are_dagsters_own(workspace: Path) -> None:
    assert "--read-only" in webserver_arguments("127.0.0.1", 3000, workspace, read_only=True)
    with pytest.raises(ConfigurationError, match="every address"):
        require_loopback("a server", "", behind_proxy=False)
