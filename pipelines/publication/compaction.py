"""Which files of a table are worth putting together, and what it would gain. Pure: from the list of its files to a plan.

Only small files are rewritten, and only those that have settled; a partition with few of them is left as it is. What gains most comes
first. A run takes so many bytes and leaves the rest to the next: the plan is made anew from the table each time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pipelines.contracts.compaction import Compaction
from pipelines.ports import TableFile

__all__ = ["RUN_BYTES", "CompactionPlan", "PartitionGain", "files_after", "group_files", "plan_compaction"]

RUN_BYTES = 32 << 30
"""How many bytes one run puts together unless it is told otherwise."""
GROUP_BYTES = 4 << 30
"""How many bytes of one partition are put together in one transaction: they are sorted on local disk."""
_SMALL_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class PartitionGain:
    """One partition with small files: `files` of them with `size_bytes` and `rows`, of which `files_after` would become."""

    partition: str
    files: int
    files_after: int
    size_bytes: int
    rows: int

    @property
    def gain(self) -> int:
        """Files fewer."""
        return self.files - self.files_after


@dataclass(frozen=True, slots=True)
class CompactionPlan:
    """What there is in a table, and what one run puts together: `chosen`, largest gain first.

    `small_files` counts all files under half the target, settled or not; `young_files` those among them that are left for now.
    `waiting` are partitions worth it that this run has no room for.
    """

    files: int = 0
    size_bytes: int = 0
    rows: int = 0
    small_files: int = 0
    young_files: int = 0
    chosen: tuple[PartitionGain, ...] = ()
    waiting: int = 0

    @property
    def files_before(self) -> int:
        """Files that would be put together."""
        return sum(one.files for one in self.chosen)

    @property
    def files_after(self) -> int:
        """Files that would come of them."""
        return sum(one.files_after for one in self.chosen)

    @property
    def bytes_rewritten(self) -> int:
        """Bytes that would be read, and about as many written."""
        return sum(one.size_bytes for one in self.chosen)

    @property
    def average_bytes(self) -> int:
        """The size of a file, on average."""
        return self.size_bytes // self.files if self.files else 0

    def sentence(self) -> str:
        """What it would gain, in one sentence."""
        there = f"{_files(self.files)}, {_size(self.size_bytes)}, {_size(self.average_bytes)} each on average"
        if not self.chosen:
            young = f"; {_files(self.young_files)} came too recently" if self.young_files else ""
            return f"{there}: nothing to put together{young}"
        partitions = "1 partition" if len(self.chosen) == 1 else f"{len(self.chosen):,} partitions"
        rest = f"; {self.waiting:,} more are for the next run" if self.waiting else ""
        return (
            f"{there}: {self.files_before:,} small files of {partitions} would become {self.files_after:,} "
            f"({_size(self.bytes_rewritten)} read and written){rest}"
        )


@dataclass(slots=True)
class _Small:
    files: int = 0
    size_bytes: int = 0
    rows: int = 0


@dataclass(slots=True)
class _Counts:
    files: int = 0
    size_bytes: int = 0
    rows: int = 0
    small: int = 0
    young: int = 0
    partitions: dict[str, _Small] = field(default_factory=dict[str, _Small])


def plan_compaction(
    files: Iterable[TableFile],
    policy: Compaction,
    now: datetime,
    *,
    only: str | None = None,
    max_bytes: int = RUN_BYTES,
    group_bytes: int = GROUP_BYTES,
) -> CompactionPlan:
    """Plan for the files of one table; `only` names one partition. At least one partition is chosen, however large."""
    counts = _Counts()
    for file in files:
        counts.files += 1
        counts.size_bytes += file.size_bytes
        counts.rows += file.rows
        if not _is_small(file, policy):
            continue
        counts.small += 1
        if not _is_settled(file, policy, now):
            counts.young += 1
        elif only in (None, file.partition):
            # Of a partition beyond what one transaction takes, the first files: the next run finds the others.
            small = counts.partitions.setdefault(file.partition, _Small())
            if not small.files or small.size_bytes + file.size_bytes <= group_bytes:
                small.files += 1
                small.size_bytes += file.size_bytes
                small.rows += file.rows
    gains = [
        PartitionGain(name, small.files, files_after(small.size_bytes, policy), small.size_bytes, small.rows)
        for name, small in counts.partitions.items()
        if small.files >= policy.min_files
    ]
    chosen: list[PartitionGain] = []
    left = max_bytes
    for one in sorted(gains, key=lambda g: (-g.gain, g.partition)):
        if not chosen or one.size_bytes <= left:
            chosen.append(one)
            left -= one.size_bytes
    return CompactionPlan(
        files=counts.files,
        size_bytes=counts.size_bytes,
        rows=counts.rows,
        small_files=counts.small,
        young_files=counts.young,
        chosen=tuple(chosen),
        waiting=len(gains) - len(chosen),
    )


def group_files(
    files: Iterable[TableFile], plan: CompactionPlan, policy: Compaction, now: datetime, group_bytes: int = GROUP_BYTES
) -> Mapping[str, Sequence[TableFile]]:
    """The files of the chosen partitions that are put together, in the order of the plan; asked of the same state."""
    groups: dict[str, list[TableFile]] = {one.partition: [] for one in plan.chosen}
    sizes = dict.fromkeys(groups, 0)
    for file in files:
        group = groups.get(file.partition)
        if group is None or not _is_small(file, policy) or not _is_settled(file, policy, now):
            continue
        if not group or sizes[file.partition] + file.size_bytes <= group_bytes:
            group.append(file)
            sizes[file.partition] += file.size_bytes
    return groups


def files_after(size_bytes: int, policy: Compaction) -> int:
    """How many files of the target size so many bytes make; each has between two thirds of it and one and a half."""
    return max(1, round(size_bytes / policy.target_bytes))


def _is_small(file: TableFile, policy: Compaction) -> bool:
    return file.size_bytes < policy.target_bytes * _SMALL_SHARE


def _is_settled(file: TableFile, policy: Compaction, now: datetime) -> bool:
    return file.added_at is None or file.added_at <= now - policy.settled


def _files(number: int) -> str:
    return "1 file" if number == 1 else f"{number:,} files"


def _size(number: int) -> str:
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= scale:
            return f"{number / scale:,.1f} {unit}"
    return f"{number} bytes"
