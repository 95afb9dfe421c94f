"""The guards that the promise rests on, and adapters without one of them: how it is shown that the simulator would notice.

A guard is taken out of the world, never out of the product: the product asks for it as ever, and the adapter does not keep to it.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from enum import StrEnum

from pipelines.contracts.model import Dataset
from pipelines.intake.objects import ObjectVersion
from pipelines.ports import (
    Absent,
    Change,
    Check,
    Committed,
    Condition,
    Delete,
    Equals,
    FilesGone,
    OneOf,
    Present,
    Put,
    Refused,
    Rewrite,
    TableSnapshot,
    Update,
    Written,
)
from resources.memory import MemoryItemStore, MemoryObjectStore
from resources.memory_tables import MemoryTables

__all__ = ["Guard", "GuardedItems", "GuardedObjects", "GuardedTables"]


class Guard(StrEnum):
    """What can be left out."""

    REGISTRATION = "registration"
    """A version is entered only if it is not there yet."""
    VERSIONED_READ = "versioned-read"
    """A file is read by its version id."""
    EPOCH = "epoch"
    """A worker's writes hold only as long as nobody else has claimed or released its batch."""
    COMPARE_AND_SET = "compare-and-set"
    """A table commit fails when the table has moved on."""
    LOOKUP = "lookup"
    """A commit whose outcome is unknown is looked up in the table."""
    SAME_FILES = "same-files"
    """Files put together take the place of small ones only while every one of those is still the table's."""


class GuardedItems(MemoryItemStore):
    """Items in memory; without the guards left out."""

    def __init__(self, without: Collection[Guard]) -> None:
        """Begins empty."""
        super().__init__()
        self._registration = Guard.REGISTRATION in without
        self._epoch = Guard.EPOCH in without

    def write(self, changes: Sequence[Change]) -> Written | Refused:
        """Make all changes or none, without the conditions left out."""
        if self._registration or self._epoch:
            changes = [replace(c, conditions=self._kept(c)) for c in changes]
        return super().write(changes)

    def _kept(self, change: Put | Update | Delete | Check) -> tuple[Condition, ...]:
        if self._registration and isinstance(change, Put) and change.key.sk.startswith("version#"):
            return tuple(c for c in change.conditions if not isinstance(c, Absent))
        if self._epoch and change.key.sk == "batch" and any(_is_epoch(c) for c in change.conditions):
            # The state goes with it: together they say "still mine".
            kept = tuple(c for c in change.conditions if not _is_epoch(c) and not isinstance(c, OneOf))
            return kept or (Present(),)
        return change.conditions


def _is_epoch(condition: Condition) -> bool:
    return isinstance(condition, Equals) and condition.attribute == "epoch"


class GuardedObjects(MemoryObjectStore):
    """Buckets in memory; without versioned reads, if that is left out."""

    def __init__(self, clock: Callable[[], datetime], without: Collection[Guard]) -> None:
        """Begins empty."""
        super().__init__(clock)
        self._versioned = Guard.VERSIONED_READ not in without
        self._latest: dict[str, ObjectVersion] = {}

    def put_version(self, version: ObjectVersion, content: bytes) -> None:
        """Land an object version."""
        super().put_version(version, content)
        self._latest[version.key] = version

    def read(self, version: ObjectVersion) -> Iterator[bytes]:
        """Stream the bytes of this version, or of whatever the key holds now."""
        return super().read(version if self._versioned else self._latest.get(version.key, version))


class GuardedTables(MemoryTables):
    """Tables in memory; without the guards left out."""

    def __init__(self, clock: Callable[[], datetime], without: Collection[Guard]) -> None:
        """Begins empty."""
        super().__init__(clock)
        self._compares = Guard.COMPARE_AND_SET not in without
        self._finds = Guard.LOOKUP not in without
        self._asks_for_files = Guard.SAME_FILES not in without

    def find_batch(self, dataset: Dataset, batch_id: str) -> Committed | None:
        """What the batch's commit did, as far as one may look."""
        return super().find_batch(dataset, batch_id) if self._finds else None

    def _refusal(self, change: Rewrite, there: Collection[str]) -> FilesGone | None:
        return super()._refusal(change, there) if self._asks_for_files else None

    def _is_at(self, state: TableSnapshot, base: TableSnapshot) -> bool:
        return super()._is_at(state, base) or not self._compares
