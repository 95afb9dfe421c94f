"""What whoever plans a batch adds to its trace: how its files came, and how long they waited; and the end of one that a worker left."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from pipelines.accounting.entries import Batch, BatchRecord, Claim, LedgerEntry
from pipelines.ports import Clock
from pipelines.printable import printable
from pipelines.telemetry.attempt import batch_span
from pipelines.telemetry.files import file_attributes, is_fresh
from pipelines.telemetry.tracing import Span, Tracer, root_of, span_of, trace_of

__all__ = ["tell_planned", "tell_taken_back"]

_FILES = 20


def tell_planned(tracer: Tracer, clock: Clock, batch: Batch, due: Iterable[LedgerEntry], began: datetime) -> None:
    """A batch was planned of some of the `due` files, by a look that began then. The files that landed first stand for all."""
    trace_id = trace_of(batch.batch_id)
    if not tracer.wants(trace_id):
        return
    now, root = clock(), root_of(trace_id)
    members = {member.ref for member in batch.members}
    mine = [entry for entry in due if entry.ref in members]
    spans = [Span("plan", trace_id, span_of(trace_id, "plan"), root, began, now, {"lakegate.files": len(mine)})]
    fresh = sorted((e for e in mine if is_fresh(e)), key=lambda e: (e.version.landed_at, e.ref))
    for entry in fresh[:_FILES]:
        # S3's clock and ours may differ: a span never ends before it begins.
        seen = max(entry.first_seen_at, entry.version.landed_at)
        said, ref = file_attributes(entry), (entry.ref.object_id, entry.ref.version_id)
        delay = {"lakegate.queue_delay_s": (seen - entry.version.landed_at).total_seconds()}
        spans.append(
            Span("event", trace_id, span_of(trace_id, "event", *ref), root, entry.version.landed_at, seen, said | delay)
        )
        spans.append(Span("wait", trace_id, span_of(trace_id, "wait", *ref), root, seen, max(seen, now), said))
    tracer.record(spans)


def tell_taken_back(tracer: Tracer, clock: Clock, released: Sequence[tuple[BatchRecord, str]]) -> None:
    """Batches were taken back from workers nobody hears of any more, each with the reason: their traces end here."""
    for batch, reason in released:
        trace_id = batch.trace_id or trace_of(batch.batch_id)
        if tracer.wants(trace_id):
            claim = Claim(batch, batch.epoch, batch.owner or "", batch.lease_until or batch.created_at, ())
            tracer.record([batch_span(claim, trace_id, batch.created_at, clock(), printable(reason), None)])
