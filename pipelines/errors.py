"""Every exception of Lakegate, in one tree. An exception means: stop. What callers branch on is a value, not one of these.

    LakegateError
    ├── TransientError            a fault of the moment: retried with back-off
    │   └── CommitConflictError   the table moved on too often while we re-planned
    └── PermanentError            retrying cannot help: a person has to act
        ├── ConfigurationError    a dataset file, an option or the environment is wrong
        ├── ObjectGoneError       the object version was removed between its event and our read
        ├── ObjectArchivedError   the object version lies in an archive and cannot be read before it is restored
        ├── ClaimLostError        another worker owns the batch now: this one must not write
        ├── TableMismatchError    the table in the catalog is not what the contract describes
        └── QueryFailedError      the query engine refused or failed a query

A message says what, where, and what to do.
"""

__all__ = [
    "ClaimLostError",
    "CommitConflictError",
    "ConfigurationError",
    "LakegateError",
    "ObjectArchivedError",
    "ObjectGoneError",
    "PermanentError",
    "QueryFailedError",
    "TableMismatchError",
    "TransientError",
]


class LakegateError(Exception):
    """The root: anything Lakegate raises on purpose."""


class TransientError(LakegateError):
    """A fault of the moment (throttling, a time-out, a cut connection): the same call may succeed later."""


class CommitConflictError(TransientError):
    """Other writers committed to the table each time we were about to; the batch is tried again later."""


class PermanentError(LakegateError):
    """Trying again cannot help."""


class ConfigurationError(PermanentError):
    """A dataset file, a command-line option or the environment is wrong."""


class ObjectGoneError(PermanentError):
    """The object version no longer exists."""


class ObjectArchivedError(PermanentError):
    """The object version lies in an archive (S3 Glacier): it can be read once it was restored."""


class ClaimLostError(PermanentError):
    """The lease ran out and another worker claimed the batch: this worker stops and writes nothing more."""


class TableMismatchError(PermanentError):
    """The table in the catalog cannot hold what the contract describes."""


class QueryFailedError(PermanentError):
    """The query engine refused the query or failed while running it; the message carries its reason."""
