"""The values of the books: what goes into the ledger's operations and what comes out. Values only.

How they are laid out in the item store is `items.py`; what may become of them is `transitions.py`.
"""

from dataclasses import dataclass
from datetime import date, datetime

from pipelines.accounting.states import BatchState, FaultKind, Lane, Outcome, State, Trigger
from pipelines.intake.objects import ObjectVersion

__all__ = [
    "AlreadyDone",
    "Batch",
    "BatchRecord",
    "BatchStep",
    "BatchTimes",
    "Claim",
    "ClaimResult",
    "Facts",
    "Head",
    "HeldByOther",
    "HistoryRecord",
    "LedgerEntry",
    "MadeDue",
    "Member",
    "PlanResult",
    "Planned",
    "Reading",
    "Registered",
    "Removal",
    "RetryPolicy",
    "SettleReport",
    "Sighting",
    "SlotTaken",
    "UnknownBatch",
    "VersionRef",
    "order_of",
]


@dataclass(frozen=True, slots=True, order=True)
class VersionRef:
    """The ledger's name of an object version: the hash of (bucket, key), and S3's version id."""

    object_id: str
    version_id: str


def order_of(version: ObjectVersion) -> str:
    """Text that sorts as the versions of one key follow each other.

    The sequencer decides. A version found by listing has none: its time stands in at the place where S3's sequencers
    carry theirs (epoch seconds above 32 bits), which is right unless two versions of a key fall into one second.
    """
    if version.sequencer is not None:
        return f"{version.sequencer.sortable()}#{version.version_id}"
    return f"{int(version.landed_at.timestamp()) << 32:032x}#{version.version_id}"


@dataclass(frozen=True, slots=True)
class Sighting:
    """An object version that an event or a listing told of, routed: `dataset` is None when none claims it."""

    version: ObjectVersion
    dataset: str | None
    landing_day: date
    source: str = "event"

    @property
    def ref(self) -> VersionRef:
        """The version's name in the ledger."""
        return VersionRef(self.version.object_id, self.version.version_id)


@dataclass(frozen=True, slots=True)
class Removal:
    """An object, or one version of it, was deleted. `marker`: a delete marker hides the key; else one version is gone."""

    bucket: str
    key: str
    version_id: str | None
    order: str
    at: datetime
    marker: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What reading a file came to. `rows_accepted` are in the table while the version serves.

    `rules` are the first rules that it broke, for finding it by them, `line` and `column` where the first fault is;
    `verdicts` counts how often one was reached.
    """

    rows_read: int = 0
    rows_accepted: int = 0
    rows_rejected: int = 0
    read_complete: bool = True
    violations_total: int = 0
    contract: str | None = None
    report_key: str | None = None
    partitions: tuple[str, ...] = ()
    snapshot_id: int | None = None
    rules: tuple[str, ...] = ()
    line: int | None = None
    column: str | None = None
    verdicts: int = 1


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """All that is known of one object version.

    `revision` grows with each change and is what each change is conditional on. `object_removed` is what events told of the
    object; `restored` that it came back from an archive while a batch had it in hand. `facts` are those of the outcome;
    `rejudged` are those of a later verdict that could not take the version's rows away (see `transitions.py`).
    `given_up` are batches that were released while a worker had this version in hand: what they committed may be in the table. `attempts` counts
    how often it was put back unsettled; `fault_times`, how often in a row a `fault` of the same kind was why. `deferred` says why it
    waits for other hours, by the word of its dataset.
    """

    version: ObjectVersion
    order: str
    dataset: str | None
    landing_day: date
    state: State
    outcome: Outcome
    first_seen_at: datetime
    changed_at: datetime
    revision: int = 1
    serving: bool = False
    object_removed: bool = False
    restored: bool = False
    duplicates: int = 0
    attempts: int = 0
    fault: FaultKind | None = None
    fault_times: int = 0
    next_at: datetime | None = None
    batch_id: str | None = None
    epoch: int = 0
    error: str | None = None
    given_up: tuple[str, ...] = ()
    facts: Facts | None = None
    rejudged: Facts | None = None
    trigger: Trigger = Trigger.EVENT
    registered_by: str = ""
    deferred: str | None = None

    @property
    def ref(self) -> VersionRef:
        """The version's name in the ledger."""
        return VersionRef(self.version.object_id, self.version.version_id)

    @property
    def verdicts(self) -> int:
        """How often the version was read to a verdict."""
        last = self.rejudged or self.facts
        return last.verdicts if last else 0

    @property
    def waits_since(self) -> datetime | None:
        """When it landed, while it waits for its first verdict; None where people had it processed again, or wish it to wait."""
        came = self.trigger in (Trigger.EVENT, Trigger.SWEEP) and self.deferred is None
        return self.version.landed_at if came and not self.verdicts else None


@dataclass(frozen=True, slots=True)
class Head:
    """What serves a key. `rejections` says that versions may be in quarantine, `removals` that objects of it were removed.

    `removed_order` is of the latest delete marker that is in place.

    `revision` 0 means: not stored yet.
    """

    object_id: str
    serving_version: str | None = None
    serving_order: str | None = None
    removed_order: str | None = None
    rejections: bool = False
    removals: bool = False
    revision: int = 0
    latest_order: str | None = None
    """The highest version registered; worked out when a head is read by key, never stored."""

    @property
    def removed(self) -> bool:
        """Whether the key is hidden by a delete marker now."""
        return self.removed_order is not None and (self.latest_order or "") < self.removed_order


@dataclass(frozen=True, slots=True)
class Member:
    """A version as a batch lists it: with the revision it had when it was planned."""

    ref: VersionRef
    revision: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Files of one dataset and landing day that are processed and published together.

    `oldest_at` is when the first of those landed that came by themselves and never had a verdict.
    """

    batch_id: str
    dataset: str
    landing_day: date
    run_key: str
    trigger: Trigger
    members: tuple[Member, ...]
    follows: tuple[str, ...] = ()
    """The last batches of some of its files: what happened to them there goes on here."""
    oldest_at: datetime | None = None
    lane: Lane | None = None
    """None where no sensor planned it."""
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """How far one file of a batch was at a moment: bytes of its object, and rows."""

    ref: VersionRef
    bytes_read: int
    size_bytes: int
    rows: int
    at: datetime


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """A batch as the ledger keeps it, without its list of members."""

    batch_id: str
    dataset: str
    landing_day: date
    run_key: str
    trigger: Trigger
    member_count: int
    state: BatchState
    created_at: datetime
    epoch: int = 0
    owner: str | None = None
    lease_until: datetime | None = None
    snapshot_id: int | None = None
    reason: str | None = None
    revision: int = 1
    trace_id: str | None = None
    """The id of its trace; None of one that an older release planned."""
    follows: tuple[str, ...] = ()
    oldest_at: datetime | None = None
    reading: Reading | None = None
    """How far its worker was with a large file when it last renewed the lease; None where nothing takes long."""
    lane: Lane | None = None
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class BatchStep:
    """A batch was claimed, or began to commit: shown on each of its members, written once."""

    at: datetime
    state: State
    run: str | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Registered:
    """What registering came to, in the order of the sightings: new versions, and those known before."""

    new: tuple[VersionRef, ...]
    duplicates: tuple[VersionRef, ...]


@dataclass(frozen=True, slots=True)
class Planned:
    """The batch is written down and holds its slot; `members` of its files are planned."""

    batch_id: str
    members: int


@dataclass(frozen=True, slots=True)
class SlotTaken:
    """Another batch of the same dataset and day lives: nothing was planned."""

    batch_id: str


PlanResult = Planned | SlotTaken


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to process a batch: until `lease_until`, and as long as nobody else has claimed it (`epoch`)."""

    batch: BatchRecord
    epoch: int
    owner: str
    lease_until: datetime
    members: tuple[LedgerEntry, ...]
    steps: tuple[BatchStep, ...] = ()
    """What the batch went through so far, claims that were lost among it."""

    @property
    def batch_id(self) -> str:
        """The batch's id."""
        return self.batch.batch_id


@dataclass(frozen=True, slots=True)
class AlreadyDone:
    """Nothing is left to do: the batch is done, or was released and its files are planned anew."""

    batch: BatchRecord


@dataclass(frozen=True, slots=True)
class HeldByOther:
    """Another worker's lease has not run out."""

    owner: str
    until: datetime


@dataclass(frozen=True, slots=True)
class UnknownBatch:
    """The ledger has no such batch."""

    batch_id: str


ClaimResult = Claim | AlreadyDone | HeldByOther | UnknownBatch


@dataclass(frozen=True, slots=True)
class SettleReport:
    """`settled` changed now; `skipped` were settled before, or are not this batch's any more."""

    settled: tuple[VersionRef, ...]
    skipped: tuple[VersionRef, ...]


@dataclass(frozen=True, slots=True)
class MadeDue:
    """`due` wait to be planned now (also those that did before); `held` belong to a live batch and are left to it."""

    due: tuple[VersionRef, ...]
    held: tuple[VersionRef, ...]
    left: tuple[VersionRef, ...] = ()
    """Superseded, removed or gone: nothing to do again."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and how long after, a fault of ours is tried again.

    Delays double from `first_delay_s` (`throttled_delay_s` where a service asked for patience) to `longest_delay_s`, less up
    to a quarter by a hash (spread without randomness). What the same kind of fault has stopped so often in a row is
    dead: `max_attempts` for what lasts and for deaths, `passing_attempts` for what passes by itself (nine hours by default).
    """

    max_attempts: int = 5
    first_delay_s: int = 15
    longest_delay_s: int = 1800
    passing_attempts: int = 24
    throttled_delay_s: int = 60

    def limit(self, kind: FaultKind) -> int:
        """How often in a row this kind of fault may stop a version."""
        passes = kind in (FaultKind.THROTTLED, FaultKind.PASSING)
        return self.passing_attempts if passes else self.max_attempts

    def delay_s(self, kind: FaultKind, times: int) -> int:
        """How long after the n-th fault in a row it is tried again, at most."""
        first = self.throttled_delay_s if kind is FaultKind.THROTTLED else self.first_delay_s
        return min(first * 2 ** (times - 1), self.longest_delay_s)


@dataclass(frozen=True, slots=True)
class BatchTimes:
    """What a batch had spent, in milliseconds, when files of it were settled: the same for each of them, not to be added up."""

    stage: int
    commit: int
    books: int


@dataclass(frozen=True, slots=True)
class HistoryRecord:
    """One change of state of one object version.

    `rows` are those read, `facts` all that the verdict said, `milliseconds` is how long the file itself was read. `steps` are what
    its batch went through since it was planned: kept with the batch, not with the record. `trace_id` is its batch's.
    """

    at: datetime
    version_id: str
    from_state: State | None
    to_state: State
    outcome: Outcome
    batch_id: str | None = None
    run: str | None = None
    reason: str = ""
    rows: int | None = None
    milliseconds: int | None = None
    facts: Facts | None = None
    batch_times: BatchTimes | None = None
    steps: tuple[BatchStep, ...] = ()
    trace_id: str | None = None
