"""What became of a file that a batch had in hand: what workers tell the ledger. Values only."""

from dataclasses import dataclass

from pipelines.accounting.entries import Facts, VersionRef
from pipelines.accounting.states import FaultKind

__all__ = [
    "FileArchived",
    "FileCommitted",
    "FileDeferred",
    "FileEmpty",
    "FileFailed",
    "FileGone",
    "FileOutcome",
    "FileQuarantined",
    "FileRemoved",
]


@dataclass(frozen=True, slots=True)
class FileCommitted:
    """Accepted, and published with its batch (or found in the table already).

    `left_out`: its rows are not in the table, because a higher version's are, or because its object was removed meanwhile.
    """

    ref: VersionRef
    facts: Facts
    milliseconds: int = 0
    left_out: bool = False
    note: str = ""
    """What the history says of it beside its numbers."""


@dataclass(frozen=True, slots=True)
class FileQuarantined:
    """Rejected; object and report are in quarantine."""

    ref: VersionRef
    facts: Facts
    milliseconds: int = 0


@dataclass(frozen=True, slots=True)
class FileEmpty:
    """No row in it, and the dataset keeps what it has."""

    ref: VersionRef
    facts: Facts
    milliseconds: int = 0


@dataclass(frozen=True, slots=True)
class FileFailed:
    """A fault of ours: tried again later, dead after too many attempts. `spared`: it counts towards no end."""

    ref: VersionRef
    error: str
    milliseconds: int = 0
    kind: FaultKind = FaultKind.LASTING
    spared: bool = False


@dataclass(frozen=True, slots=True)
class FileDeferred:
    """Left for the next batch, through no fault of anybody: due again at once, with all its attempts."""

    ref: VersionRef
    reason: str
    milliseconds: int = 0


@dataclass(frozen=True, slots=True)
class FileGone:
    """The version was deleted before it could be read."""

    ref: VersionRef
    milliseconds: int = 0


@dataclass(frozen=True, slots=True)
class FileRemoved:
    """Its object was removed, and its dataset retracts: no row of it is in the table. `gone`: found so when it was read."""

    ref: VersionRef
    gone: bool = False
    milliseconds: int = 0


@dataclass(frozen=True, slots=True)
class FileArchived:
    """The version lies in an archive and waits for a restore."""

    ref: VersionRef
    milliseconds: int = 0


FileOutcome = (
    FileCommitted | FileQuarantined | FileEmpty | FileFailed | FileDeferred | FileGone | FileRemoved | FileArchived
)
