"""From what the work came to, to measurements. Pure: each function reads values that exist already.

Files and rows are counted from what the ledger has just taken as settled by this process: what was settled before, or by another,
is not told again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, assert_never

from pipelines.accounting.entries import Claim, Facts, LedgerEntry, SettleReport
from pipelines.accounting.keys import NO_DATASET
from pipelines.accounting.outcomes import (
    FileArchived,
    FileCommitted,
    FileDeferred,
    FileEmpty,
    FileFailed,
    FileGone,
    FileOutcome,
    FileQuarantined,
    FileRemoved,
)
from pipelines.accounting.states import Outcome, Trigger
from pipelines.telemetry import metrics as m
from pipelines.telemetry.metrics import Kind, Record

if TYPE_CHECKING:
    from pipelines.accounting.proof import Proof
    from pipelines.intake.receiving import IntakeReport
    from pipelines.intake.sweep_report import SweepReport
    from pipelines.ports import QueueMessage
    from pipelines.reports import BatchReport

__all__ = ["of_batch", "of_intake", "of_messages", "of_proof", "of_settled", "of_states", "of_sweep"]

_WATCHED = (Outcome.PENDING, Outcome.QUARANTINED, Outcome.FAILED)
_UNCLAIMED = (Outcome.UNROUTED,)


def of_intake(report: "IntakeReport") -> Iterator[Record]:
    """What one round of receiving came to."""
    results = {
        "registered": report.new - report.unrouted,
        "unrouted": report.unrouted,
        "duplicate": report.duplicates,
        "removal": report.removed,
        "restored": report.restored,
        "test": report.test_events,
        "ignored": report.others + report.outside,
        "rejected": report.foreign + report.unintelligible - report.refused_before,
    }
    for result, number in results.items():
        if number:
            yield m.EVENTS_RECEIVED.of(number, result=result)


def of_messages(messages: Sequence["QueueMessage"], now: datetime) -> Iterator[Record]:
    """How long messages waited that are received for the first time. Clocks differ: never below 0."""
    for message in messages:
        if message.sent_at is not None and message.receive_count <= 1:
            yield m.QUEUE_LAG.of(max(0.0, (now - message.sent_at).total_seconds()))


def of_settled(claim: Claim, outcomes: Sequence[FileOutcome], report: SettleReport, at: datetime) -> Iterator[Record]:
    """What the ledger took of these outcomes, counters summed up. `at` is when rows became visible, or now."""
    dataset, entries, settled = claim.batch.dataset, {entry.ref: entry for entry in claim.members}, set(report.settled)
    sums: dict[tuple[str, ...], Record] = {}
    for outcome in outcomes:
        if outcome.ref in settled:
            for record in _settled(dataset, outcome, entries.get(outcome.ref), at):
                key = (record.metric.name, *record.labels.values())
                if record.metric.kind is not Kind.COUNTER:
                    yield record
                elif key in sums:
                    sums[key] = replace(record, value=sums[key].value + record.value)
                else:
                    sums[key] = record
    yield from sums.values()


def _settled(dataset: str, outcome: FileOutcome, entry: LedgerEntry | None, at: datetime) -> Iterator[Record]:
    yield m.FILES_SETTLED.of(1, dataset=dataset, outcome=_ending(outcome))
    yield from _judged(dataset, outcome, entry, at)


def _judged(dataset: str, outcome: FileOutcome, entry: LedgerEntry | None, at: datetime) -> Iterator[Record]:
    """Rows and bytes of a file that came to a verdict."""
    facts: Facts
    match outcome:
        case FileCommitted(facts=facts):
            if not outcome.left_out:
                yield m.ROWS_LOADED.of(facts.rows_accepted, dataset=dataset)
                if entry is not None and entry.trigger is Trigger.EVENT:
                    yield m.FILE_LAG.of(max(0.0, (at - entry.version.landed_at).total_seconds()), dataset=dataset)
        case FileQuarantined(facts=facts):
            reason = facts.rules[0] if facts.rules else "unknown"
            yield m.FILES_QUARANTINED.of(1, dataset=dataset, reason=reason)
        case FileEmpty(facts=facts):
            pass
        case _:
            return
    yield m.ROWS_READ.of(facts.rows_read, dataset=dataset)
    if facts.rows_rejected:
        yield m.ROWS_REJECTED.of(facts.rows_rejected, dataset=dataset)
    if entry is not None:
        yield m.BYTES_READ.of(entry.version.size_bytes, dataset=dataset)


def _ending(outcome: FileOutcome) -> str:
    """The outcome's name among the values of the label."""
    match outcome:
        case FileCommitted():
            return "superseded" if outcome.left_out else "loaded"
        case FileQuarantined():
            return "quarantined"
        case FileEmpty():
            return "empty"
        case FileFailed():
            return "retry"
        case FileDeferred():
            return "deferred"
        case FileGone():
            return "gone"
        case FileRemoved():
            return "removed"
        case FileArchived():
            return "archived"
        case _ as never:
            assert_never(never)


def of_batch(report: "BatchReport") -> Iterator[Record]:
    """What a finished batch took. A commit that was found, not made, wrote nothing."""
    yield m.BATCH_FILES.of(len(report.files))
    if report.committed is not None and report.bytes_out:
        yield m.BYTES_WRITTEN.of(report.bytes_out, dataset=report.dataset)
    for stage, seconds in report.seconds.items():
        if seconds:
            yield m.STAGE_DURATION.of(seconds, dataset=report.dataset, stage=stage.value)


def of_sweep(report: "SweepReport", *, whole: bool) -> Iterator[Record]:
    """What a sweep put right. One of the `whole` bucket tells of nothing, too: that nothing was missing is worth knowing."""
    for kind in m.LABELS["kind"].values:
        if (number := report.total(kind)) or whole:
            yield m.MISSING_EVENTS.of(number, kind=kind)


def of_proof(proof: "Proof") -> Iterator[Record]:
    """Whether the books add up."""
    yield m.BOOKS_DIFFERENCES.of(len(proof.problems))


def of_states(dataset: str | None, counts: Mapping[Outcome, int]) -> Iterator[Record]:
    """Where the files of a dataset stand (None: those that no dataset claims).

    That there is none is told only of what somebody waits to see gone: each series costs.
    """
    for outcome in Outcome:
        number = counts.get(outcome, 0)
        if number or outcome in (_WATCHED if dataset is not None else _UNCLAIMED):
            yield m.FILES.of(number, dataset=dataset or NO_DATASET, state=outcome.value)
