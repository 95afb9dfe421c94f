"""Every exception of Lakegate, in one tree. An exception means: stop. What callers branch on is a value, not one of these.

    LakegateError
    ├── TransientError            a fault of the moment: retried with back-off
    │   ├── ThrottledError        a service asked us to slow down: retried later than the others
    │   ├── DiskFullError         no room is left on this machine's disk
    │   └── CommitConflictError   the table moved on too often while we re-planned
    └── PermanentError            retrying cannot help: a person has to act
        ├── ConfigurationError    a dataset file, an option or the environment is wrong
        ├── ObjectGoneError       the object version was removed between its event and our read
        ├── ObjectArchivedError   the object version lies in an archive and cannot be read before it is restored
        ├── ClaimLostError        another worker owns the batch now: this one must not write
        ├── NewerFormatError      a newer release wrote it: this one must neither read nor change it
        ├── TableMismatchError    the table in the catalog is not what the contract describes
        └── QueryFailedError      the query engine refused or failed a query

A message says what, where, and what to do; `code` says which kind of fault it is, by which a breaker counts: a service's own
code where it gave one, else a word of ours.
"""

__all__ = [
    "ClaimLostError",
    "CommitConflictError",
    "ConfigurationError",
    "DiskFullError",
    "LakegateError",
    "NewerFormatError",
    "ObjectArchivedError",
    "ObjectGoneError",
    "PermanentError",
    "QueryFailedError",
    "TableMismatchError",
    "ThrottledError",
    "TransientError",
]


class LakegateError(Exception):
    """The root: anything Lakegate raises on purpose."""

    kind = "Unexpected"

    def __init__(self, message: str = "", *, code: str | None = None) -> None:
        """`code` is the kind of fault in one word; by default that of the class."""
        super().__init__(message)
        self.code = code or self.kind


class TransientError(LakegateError):
    """A fault of the moment (throttling, a time-out, a cut connection): the same call may succeed later."""

    kind = "Unavailable"


class ThrottledError(TransientError):
    """A service is asked for more than it gives us: the same call may succeed after a longer while."""

    kind = "Throttled"


class DiskFullError(TransientError):
    """No room is left for temporary files: no file is to blame, and the same work succeeds when there is."""

    kind = "DiskFull"


class CommitConflictError(TransientError):
    """Other writers committed to the table each time we were about to; the batch is tried again later."""

    kind = "CommitConflict"


class PermanentError(LakegateError):
    """Trying again cannot help."""

    kind = "Permanent"


class ConfigurationError(PermanentError):
    """A dataset file, a command-line option or the environment is wrong."""

    kind = "Configuration"


class ObjectGoneError(PermanentError):
    """The object version no longer exists."""

    kind = "ObjectGone"


class ObjectArchivedError(PermanentError):
    """The object version lies in an archive (S3 Glacier): it can be read once it was restored."""


class ClaimLostError(PermanentError):
    """The lease ran out and another worker claimed the batch: this worker stops and writes nothing more."""

    kind = "ClaimLost"


class NewerFormatError(PermanentError):
    """A newer release of Lakegate wrote it: this process stops, and is upgraded."""

    kind = "NewerFormat"


class TableMismatchError(PermanentError):
    """The table in the catalog cannot hold what the contract describes."""

    kind = "TableMismatch"


class QueryFailedError(PermanentError):
    """The query engine refused the query or failed while running it; the message carries its reason."""

    kind = "QueryFailed"
