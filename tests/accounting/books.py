"""What the ledger's tests share: a clock that is turned by hand, sightings, and batches made in one line."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from pipelines.accounting.entries import Batch, Claim, Facts, LedgerEntry, Member, Planned, Sighting, VersionRef
from pipelines.accounting.ledger import Ledger
from pipelines.accounting.outcomes import FileCommitted, FileQuarantined
from pipelines.accounting.states import Trigger
from pipelines.intake.objects import ObjectVersion, Sequencer
from pipelines.ports import ItemStore

BUCKET = "landing-bucket"
DAY = date(2026, 3, 1)


@dataclass
class HandClock:
    """A clock that stands still until it is turned."""

    now: datetime = field(default_factory=lambda: datetime(2026, 3, 1, 12, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def turn(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def ledger_on(store: ItemStore, clock: HandClock | None = None) -> Ledger:
    return Ledger(store, clock or HandClock(), pause=lambda _: None)


def sighting(
    key: str = "landing/flights/a.csv",
    sequence: int | None = 1,
    *,
    day: date = DAY,
    dataset: str | None = "flights",
    version_id: str | None = None,
) -> Sighting:
    """Version `v<sequence>` of a key."""
    version = ObjectVersion(
        bucket=BUCKET,
        key=key,
        version_id=version_id or f"v{sequence}",
        sequencer=Sequencer(sequence) if sequence is not None else None,
        size_bytes=100,
        etag="e",
        landed_at=datetime(2026, 3, 1, 11, tzinfo=UTC),
    )
    return Sighting(version, dataset, day)


def batch_of(ledger: Ledger, entries: Iterable[LedgerEntry], *, dataset: str = "flights", day: date = DAY) -> Batch:
    batch_id = ledger.new_id()
    members = tuple(Member(e.ref, e.revision) for e in entries)
    return Batch(batch_id, dataset, day, f"run-{batch_id}", Trigger.EVENT, members)


def plan_due(ledger: Ledger, *, dataset: str = "flights", day: date = DAY) -> Batch:
    """Plan everything of one day that is due."""
    batch = batch_of(ledger, (e for e in ledger.due(dataset) if e.landing_day == day), dataset=dataset, day=day)
    outcome = ledger.plan(batch)
    assert outcome == Planned(batch.batch_id, len(batch.members)), outcome
    return batch


def claim_due(ledger: Ledger, owner: str = "run-1", *, dataset: str = "flights", day: date = DAY) -> Claim:
    claim = ledger.claim(plan_due(ledger, dataset=dataset, day=day).batch_id, owner)
    assert isinstance(claim, Claim), claim
    return claim


def good(ref: VersionRef, rows: int = 10) -> FileCommitted:
    return FileCommitted(ref, Facts(rows_read=rows, rows_accepted=rows, snapshot_id=7, contract="c" * 16), 12)


def bad(ref: VersionRef, rows: int = 3) -> FileQuarantined:
    return FileQuarantined(
        ref, Facts(rows_read=rows, read_complete=False, violations_total=1, report_key="q/r.json"), 5
    )


def do_good(ledger: Ledger, *sightings: Sighting) -> None:
    """Register versions and see them through to committed, in one batch."""
    ledger.register(sightings)
    claim = claim_due(ledger)
    ledger.settle(claim, [good(m.ref) for m in claim.members])
    ledger.finish(claim, 7)


def do_bad(ledger: Ledger, *sightings: Sighting) -> None:
    """Register versions and see them through to quarantine, in one batch."""
    ledger.register(sightings)
    claim = claim_due(ledger)
    ledger.settle(claim, [bad(m.ref) for m in claim.members])
    ledger.finish(claim)
