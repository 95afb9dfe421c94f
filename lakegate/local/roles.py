"""The template's roles, and the environment in which a process acts under one: as ECS hands credentials to a task's containers.

Such a process has no keys. The SDKs ask `AWS_CONTAINER_CREDENTIALS_FULL_URI` for a session's, show their token there, and ask again
before the session ends; `role_credentials.py` answers on a laptop.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from enum import StrEnum

SECRET_VARIABLE = "LAKEGATE_ROLE_SECRET"  # noqa: S105 - the name of a variable
KEY_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
CONTAINER_VARIABLES = (
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
)


class Role(StrEnum):
    """A role of the template; its resource there is called `<Name>Role`, its output `<Name>RoleArn`."""

    PRODUCER = "producer"
    SENSOR = "sensor"
    RUN = "run"
    QUERY = "query"
    OPERATOR = "operator"

    @property
    def output(self) -> str:
        """The stack's output that names the role's ARN."""
        return f"{self.value.capitalize()}RoleArn"


def token_of(secret: str, role: Role) -> str:
    """Return what a process shows to be given the role's credentials, and no other role's."""
    return hmac.new(secret.encode(), role.value.encode(), hashlib.sha256).hexdigest()


def role_environment(environment: Mapping[str, str], role: Role, port: int, secret: str) -> dict[str, str]:
    """Return the environment with its keys replaced by the address on 127.0.0.1:`port` where the role's sessions are had."""
    without_keys = {
        name: value for name, value in environment.items() if name not in (*KEY_VARIABLES, *CONTAINER_VARIABLES)
    }
    # An analyst knows of one workgroup: the one that is for analysts.
    if role is Role.QUERY:
        without_keys.pop("LAKEGATE_OPERATOR_WORKGROUP", None)
    return {
        **without_keys,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{port}/role/{role.value}",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": token_of(secret, role),
        # A person's own files would be asked before the container's address.
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_CONFIG_FILE": os.devnull,
    }
