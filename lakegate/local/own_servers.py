"""The servers of our own beside ministack: how the laptop's Athena and the roles' credentials are started, and when they are healthy."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from lakegate.local.processes import Command, answers
from lakegate.local.roles import SECRET_VARIABLE

ATHENA, ROLES = "athena", "roles"
_REPOSITORY = Path(__file__).resolve().parents[2]


def athena_command(port: int, environment: Mapping[str, str], *, enforce_iam: bool = False) -> Command:
    """Return the command that serves our Athena on 127.0.0.1:`port`, over the AWS that the environment names.

    With `enforce_iam` it asks that AWS what each caller may.
    """
    own = {name: value for name, value in environment.items() if name != "AWS_ENDPOINT_URL_ATHENA"}
    arguments = (sys.executable, "-m", "lakegate.local.athena.server", "--port", str(port))
    return Command(ATHENA, (*arguments, *(("--enforce-iam",) if enforce_iam else ())), own, _REPOSITORY)


def roles_command(port: int, stack_name: str, environment: Mapping[str, str], secret: str) -> Command:
    """Return the command that hands out the sessions of the stack's roles on 127.0.0.1:`port`."""
    arguments = (sys.executable, "-m", "lakegate.local.role_credentials", "--port", str(port), "--stack", stack_name)
    return Command(ROLES, arguments, {**environment, SECRET_VARIABLE: secret}, _REPOSITORY)


def own_server_is_healthy(port: int) -> bool:
    """Whether one of the two answers on the port."""
    return answers(f"http://127.0.0.1:{port}/_lakegate/health")
