"""Whether whoever asks may: this server has no caller's secret, so it asks the enforcing AWS beside it (`ministack_iam.py`).

A request is passed on as it was signed, with the actions it comes to and what they touch. For the action on the workgroup that is done
before anything happens; for tables, files and results while the query runs, as Athena does it: on behalf of the caller.
Sources: Athena User Guide, "Control access to Amazon S3 from Athena", "Configure access to databases and tables in the AWS Glue
Data Catalog"; AWS re:Post, "How do I resolve the error Access Denied when I run a query in Athena".
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from lakegate.local.athena.failures import ExecutionFailedError
from pipelines.errors import TransientError

AUTHORIZE_PATH = "/_lakegate/authorize"
_TIMEOUT_S = 30
Check = tuple[str, str]
"""An action, and the ARN it is for; `{account}` and `{region}` in it are the caller's."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not, in AWS's words."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Caller:
    """A request as it was signed, and the AWS that knows the signer."""

    upstream: str
    headers: tuple[tuple[str, str], ...]
    body: str

    def refusal(self, checks: Sequence[Check]) -> Refusal | None:
        """Return why the caller may not do all of it; None when it may.

        Raises:
            TransientError: the AWS cannot be asked.
        """
        question = json.dumps({"headers": self.headers, "body": self.body, "checks": checks}).encode()
        request = urllib.request.Request(self.upstream.rstrip("/") + AUTHORIZE_PATH, data=question, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
                answer = json.load(response)
        except (urllib.error.URLError, OSError, ValueError) as error:
            raise TransientError(f"{self.upstream} did not say what the caller may: {error}") from error
        return Refusal(answer["code"], answer["message"]) if answer else None


_asking: ContextVar[Caller | None] = ContextVar("asking", default=None)


@contextmanager
def on_behalf_of(caller: Caller | None) -> Generator[None]:
    """What this thread does meanwhile is done for the caller; for None, by the laptop's administrator."""
    token = _asking.set(caller)
    try:
        yield
    finally:
        _asking.reset(token)


def workgroup_check(action: str, workgroup: str) -> Check:
    """Return the check of an Athena action on a workgroup."""
    return f"athena:{action}", f"arn:aws:athena:{{region}}:{{account}}:workgroup/{workgroup}"


def object_check(action: str, location: str) -> Check:
    """Return the check of an S3 action on an object, given as `s3://bucket/key`."""
    return action, f"arn:aws:s3:::{location.removeprefix('s3://')}"


def require_catalog(action: str, database: str, table: str | None = None) -> None:
    """Raise unless the caller may do this in Glue: to the catalog, the database and the table, for Glue asks for all three.

    Raises:
        ExecutionFailedError: it may not.
    """
    glue = "arn:aws:glue:{region}:{account}"
    resources = [
        f"{glue}:catalog",
        f"{glue}:database/{database}",
        *([f"{glue}:table/{database}/{table}"] if table else []),
    ]
    refused = _refusal([(action, resource) for resource in resources])
    if refused is not None:
        raise ExecutionFailedError(
            "Insufficient permissions to execute the query",
            f"{refused.message} (Service: AmazonDataCatalog; Status Code: 400; Error Code: AccessDeniedException)",
        )


def may_see(database: str) -> bool:
    """Whether the caller may list the tables of the database."""
    glue = "arn:aws:glue:{region}:{account}"
    return _refusal([("glue:GetTables", f"{glue}:catalog"), ("glue:GetTables", f"{glue}:database/{database}")]) is None


def require_list(location: str) -> None:
    """Raise unless the caller may list the bucket of a folder, given as `s3://bucket/prefix`.

    Raises:
        ExecutionFailedError: it may not.
    """
    _require_s3("s3:ListBucket", [location.removeprefix("s3://").partition("/")[0]])


def require_read(locations: Iterable[str]) -> None:
    """Raise unless the caller may read these objects.

    Raises:
        ExecutionFailedError: it may not read one of them.
    """
    _require_s3("s3:GetObject", locations)


def _require_s3(action: str, locations: Iterable[str]) -> None:
    refused = _refusal([object_check(action, location) for location in locations])
    if refused is not None:
        raise ExecutionFailedError(
            "PERMISSION_DENIED",
            f"Access Denied (Service: Amazon S3; Status Code: 403; Error Code: AccessDenied; {refused.message})",
        )


def require_write(location: str) -> None:
    """Raise unless the caller may write this object.

    Raises:
        ExecutionFailedError: it may not.
    """
    refused = _refusal([object_check("s3:PutObject", location)])
    if refused is not None:
        raise ExecutionFailedError(
            "PERMISSION_DENIED",
            f"Access denied when writing output to url: {location}. Please ensure you are allowed to access the S3 bucket. {refused.message}",
        )


def _refusal(checks: Sequence[Check]) -> Refusal | None:
    caller = _asking.get()
    return None if caller is None or not checks else caller.refusal(checks)
