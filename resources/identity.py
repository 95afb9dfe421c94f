"""Who gives a command, for the audit log: the principal that AWS knows, without its account; on a laptop, the system's user."""

import getpass

from botocore.exceptions import BotoCoreError, ClientError

from resources.environment import client

__all__ = ["caller", "principal_of"]


def caller() -> str:
    """`role/session`, or the name of an IAM user; `ann (of this machine)` where AWS knows only the account itself, or is not reached."""
    try:
        named = principal_of(client("sts").get_caller_identity()["Arn"])
    except (ClientError, BotoCoreError):
        named = None
    return named or f"{_system_user()} (of this machine)"


def principal_of(arn: str) -> str | None:
    """The principal that an ARN of STS or IAM names; None of an account's root: that is nobody in particular."""
    kind, _, name = arn.split(":", 5)[-1].partition("/")
    return name if kind in ("assumed-role", "user", "federated-user") and name else None


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        return "an operator"
