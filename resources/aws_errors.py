"""Which fault of AWS is which error of ours: the one place that says what passes by itself and what needs a person.

A client has tried a request five times with back-off when an error arrives here (`environment.py`). What is transient goes on
from here: a write of the ledger is sent again as it was, a commit is looked up, and what still fails is a matter of the
ledger's back-off. The whole table is in docs/operating.md, "When AWS misbehaves".
"""

import re

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)

from pipelines.errors import LakegateError, PermanentError, ThrottledError, TransientError

__all__ = ["as_lakegate_error", "is_conflict", "is_throttled", "without_account_ids"]

_THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "LimitExceededException",
        "OverLimit",
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingError",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_CONFLICT = frozenset(
    {
        "ConcurrentModificationException",
        "ConditionalRequestConflict",
        "OperationAborted",
        "TransactionConflict",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)
_PASSING = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "InternalServiceException",
        "OperationTimeoutException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
    }
)
_DENIED = "Give the role this permission (the roles are in infra/lakegate.yaml; `lakegate setup` deploys them)"
_REMEDIES = {
    "AccessDenied": _DENIED,
    "AccessDeniedException": _DENIED,
    "AuthorizationError": _DENIED,
    "ExpiredToken": "Log in again, or let the process run under a role, which renews its credentials by itself",
    "ExpiredTokenException": "Log in again, or let the process run under a role, which renews its credentials by itself",
    "InvalidClientTokenId": "Check the credentials that the environment names",
    "KMS.DisabledException": "Enable the key in KMS again",
    "NoSuchBucket": "Check the bucket's name; `lakegate setup` makes the buckets",
    "QueueDoesNotExist": "Check LAKEGATE_QUEUE_URL; `lakegate setup` makes the queue",
    "RequestTimeTooSkewed": "Set this machine's clock",
    "ResourceNotFoundException": "Check the names that the environment gives; `lakegate setup` makes the ledger",
    "SignatureDoesNotMatch": "Check the credentials that the environment names",
    "UnrecognizedClientException": "Check the credentials that the environment names",
    "ValidationException": "The request itself is refused: this is a fault of Lakegate; report it with this message",
}


_ACCOUNT_IN_ARN = re.compile(r"(?<=:)\d{12}(?=:)")


def without_account_ids(text: str) -> str:
    """Return what AWS says with the account's number left out of each ARN in it: a message goes to logs, pages and alerts."""
    return _ACCOUNT_IN_ARN.sub("<account>", text)


def is_throttled(code: str) -> bool:
    """Whether a service says with this code that it is asked for too much."""
    return code in _THROTTLED


def is_conflict(code: str) -> bool:
    """Whether a service says with this code that another request on the same thing is under way."""
    return code in _CONFLICT


def as_lakegate_error(error: ClientError | BotoCoreError, doing: str) -> LakegateError:
    """Return the transient or permanent error that stands for an AWS SDK error; `doing` says what was tried on what.

    Throttling, conflicts, 5xx answers and broken connections are transient; everything else needs a person, and the message
    says what to do. Raise it `from error`.
    """
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", "Unknown"))
        message = without_account_ids(error.response.get("Error", {}).get("Message", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        text = f"{doing}: {code}: {message}"
        if code in _THROTTLED or status == 429:
            return ThrottledError(text)
        if code in _CONFLICT or code in _PASSING or status >= 500:
            return TransientError(text)
        remedy = _REMEDIES.get(code)
        return PermanentError(f"{text.rstrip('. ')}. {remedy}." if remedy else text, code=code)
    if isinstance(error, BotoConnectionError | HTTPClientError | IncompleteReadError):
        return TransientError(f"{doing}: {without_account_ids(str(error))}")
    return PermanentError(f"{doing}: {without_account_ids(str(error))}", code=type(error).__name__)
