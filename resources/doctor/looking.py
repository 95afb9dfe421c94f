"""Whom the doctor asks, and what a refusal means: a permission that is missing is no fault of what is looked at."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from pipelines.wiring.diagnosis import Finding
from resources.environment import Deployment, as_lakegate_error, client

__all__ = ["Look", "Stopped", "ask", "code_of", "is_denied", "stoppable"]

_DENIED = frozenset(
    {"403", "AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation", "NotAuthorized"}
)


@dataclass(frozen=True, slots=True)
class Look:
    """The deployment that is looked at."""

    deployment: Deployment

    @property
    def account(self) -> str:
        """The account that everything should belong to."""
        return self.deployment.account_id or client("sts").get_caller_identity()["Account"]

    @property
    def stack(self) -> str:
        """The name the template gave to what belongs together: the queue is called `<stack>-events`."""
        return self.deployment.queue_url.rsplit("/", 1)[-1].removesuffix("-events")


class Stopped(Exception):  # noqa: N818 - never leaves these modules: a finding that ends a look
    """A look ends here, with this finding."""

    def __init__(self, finding: Finding) -> None:
        """Hold the finding."""
        super().__init__(finding.found)
        self.finding = finding


def stoppable(look: Callable[[Look], Finding]) -> Callable[[Look], Finding]:
    """Let a look end early by `ask`."""

    @wraps(look)
    def whole(at: Look) -> Finding:
        try:
            return look(at)
        except Stopped as stopped:
            return stopped.finding

    return whole


def ask(
    call: Callable[..., Any], permission: str, gone: Mapping[str, Finding] | None = None, **arguments: Any
) -> Mapping[str, Any]:
    """Ask AWS. An error code in `gone` ends the look with its finding; a refusal with what permission was missing.

    Raises:
        Stopped: as said.
        PermanentError, TransientError: any other answer.
    """
    try:
        return call(**arguments)
    except ClientError as error:
        code = code_of(error)
        if gone and code in gone:
            raise Stopped(gone[code]) from error
        if is_denied(error):
            raise Stopped(
                Finding.unknown(
                    "these credentials may not look",
                    f"run it as the operator, or give this role {permission} (infra/lakegate.yaml, OperatorPolicy)",
                )
            ) from error
        raise as_lakegate_error(error, f"asking for {permission}") from error
    except BotoCoreError as error:
        raise as_lakegate_error(error, f"asking for {permission}") from error


def code_of(error: ClientError) -> str:
    """AWS's code of an error."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_denied(error: ClientError) -> bool:
    """Whether a permission is missing."""
    return code_of(error) in _DENIED
