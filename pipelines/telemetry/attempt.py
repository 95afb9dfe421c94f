"""The spans of one attempt at a batch: collected while it works, handed over at its end, so many at most however many files it has.

lakegate.batch        from the first event (or the planning) to the end of the attempt that ended the batch
  event, wait, plan   told by whoever plans (`planned.py`)
  queue               planned -> claimed
  attempt             one worker's, by its epoch
    claim
    read              one file: the slowest, and all that failed, up to a number
      reader          what the child process says of it
    quarantine, stage, commit, compare, settle
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pipelines.accounting.entries import Claim, LedgerEntry
from pipelines.errors import ClaimLostError, LakegateError
from pipelines.ports import Clock
from pipelines.printable import printable
from pipelines.reading.summary import ReadSummary
from pipelines.reports import BatchReport, FileEnding
from pipelines.telemetry.files import file_attributes, is_fresh
from pipelines.telemetry.logs import logged
from pipelines.telemetry.tracing import Attribute, Moment, Span, Tracer, root_of, span_of, trace_of, traceparent_of

__all__ = ["AttemptTrace", "batch_span", "told"]

_KEPT_OF_A_NAME = 30
_MOMENTS = 20
_ERROR_CHARACTERS = 300


def told(error: BaseException) -> str:
    """An error as a span says it: one printable line of at most 300 characters."""
    return f"{type(error).__name__}: {printable(str(error))}"[:_ERROR_CHARACTERS]


@dataclass(slots=True)
class _Open:
    """A stage under way: what is known of it goes into `attributes`."""

    attributes: dict[str, Attribute] = field(default_factory=dict[str, Attribute])
    moments: list[Moment] = field(default_factory=list[Moment])


@dataclass(slots=True)
class _Kept:
    """The spans of one name, each with those below it: all of them until they are too many, then those in trouble, and the longest."""

    spans: list[tuple[Span, ...]] = field(default_factory=list[tuple[Span, ...]])
    left_out: int = 0

    def add(self, *spans: Span) -> None:
        self.spans.append(spans)
        if len(self.spans) >= 2 * _KEPT_OF_A_NAME:
            self.cut()

    def cut(self) -> None:
        self.spans.sort(key=lambda s: (s[0].error is not None, s[0].end - s[0].start), reverse=True)
        self.left_out += len(self.spans[_KEPT_OF_A_NAME:])
        del self.spans[_KEPT_OF_A_NAME:]


class AttemptTrace:
    """Collects while one thread works; costs next to nothing where nobody collects this trace."""

    def __init__(self, tracer: Tracer, clock: Clock, claim: Claim, asked_at: datetime) -> None:
        """`asked_at` is when the worker asked for the claim that it has now."""
        self._tracer = tracer
        self._clock = clock
        self._claim = claim
        self.trace_id = claim.batch.trace_id or trace_of(claim.batch_id)
        self.is_wanted = tracer.wants(self.trace_id)
        self._id = span_of(self.trace_id, "attempt", claim.epoch)
        self._began = asked_at
        self._kept: dict[str, _Kept] = {}
        self._count = 0
        self._open = _Open()
        if self.is_wanted:
            self._add("claim", asked_at, clock(), {"lakegate.files": len(claim.members)})

    # ---- while it works

    @contextmanager
    def stage(self, name: str) -> Generator[dict[str, Attribute]]:
        """A span around what is done inside; more to say of it goes into the mapping given."""
        if not self.is_wanted:
            yield {}
            return
        before, self._open = self._open, _Open()
        began, error = self._clock(), None
        try:
            yield self._open.attributes
        except BaseException as raised:
            error = told(raised)
            raise
        finally:
            ended, self._open = self._open, before
            self._add(name, began, self._clock(), ended.attributes, tuple(ended.moments), error)

    def again(self, pause: Callable[[float], None]) -> Callable[[float], None]:
        """The pause before another try, noted as a moment of the stage under way."""

        def noted(seconds: float) -> None:
            if self.is_wanted and len(self._open.moments) < _MOMENTS:
                self._open.moments.append(Moment("tried again", self._clock()))
            pause(seconds)

        return noted

    def of_file(self, entry: LedgerEntry) -> str | None:
        """The place in the trace that the reading of this file is below (W3C `traceparent`); None where nobody collects it."""
        return traceparent_of(self.trace_id, self._file_id(entry)) if self.is_wanted else None

    def read(
        self,
        entry: LedgerEntry,
        began: datetime,
        verdict: str,
        summary: ReadSummary | None = None,
        error: str | None = None,
    ) -> None:
        """A file was read, until now, and came to this verdict; or it was not, for an error with this code."""
        if not self.is_wanted:
            return
        said = {**file_attributes(entry), "lakegate.verdict": verdict}
        moments: tuple[float, ...] = ()
        if summary is not None:
            # What is wrong with a file is its report's to say: here stands only how much.
            said |= {"lakegate.rows": summary.rows_read, "lakegate.violations": summary.violations_total}
            moments = summary.moments
            error = verdict if verdict == "rejected" else None
        id_ = self._file_id(entry)
        span = Span("read", self.trace_id, id_, self._id, began, self._clock(), said, error=error)
        self._keep("read").add(span, *self._of_reader(span, moments))

    def _of_reader(self, read: Span, moments: tuple[float, ...]) -> tuple[Span, ...]:
        """The child's own span. It reads untrusted files: its word counts only within the time it was listened to."""
        if len(moments) != 4:
            return ()
        begun, first, all_, done = (min(max(_moment(m), read.start), read.end) for m in moments)
        said = (Moment("first bytes", first), Moment("all bytes", all_))
        id_ = span_of(self.trace_id, "reader", read.span_id)
        return (Span("reader", self.trace_id, id_, read.span_id, begun, max(begun, done), moments=said),)

    def _file_id(self, entry: LedgerEntry) -> str:
        return span_of(self.trace_id, "read", self._claim.epoch, entry.ref.object_id, entry.ref.version_id)

    # ---- its end

    def around(self, attempt: Callable[[], BatchReport]) -> BatchReport:
        """Make the attempt, and hand its spans over at its end; each line logged by it names the batch. Raises what the attempt raises."""
        batch = self._claim.batch
        names = {"dataset": batch.dataset, "batch": batch.batch_id, "run_id": self._claim.owner}
        with logged(**names, trace_id=self.trace_id):
            return self._around(attempt) if self.is_wanted else attempt()

    def _around(self, attempt: Callable[[], BatchReport]) -> BatchReport:
        try:
            report = attempt()
        except LakegateError as error:
            # Whoever has the batch now tells of its end.
            self._hand_over(told(error), ends_batch=not isinstance(error, ClaimLostError))
            raise
        except BaseException as error:
            self._hand_over(told(error), ends_batch=False)
            raise
        self._hand_over(None, ends_batch=True, report=report)
        return report

    def _hand_over(self, error: str | None, *, ends_batch: bool, report: BatchReport | None = None) -> None:
        claim, now = self._claim, self._clock()
        root = root_of(self.trace_id)
        for kept in self._kept.values():
            kept.cut()
        said: dict[str, Attribute] = {
            "lakegate.run_id": claim.owner,
            "lakegate.epoch": claim.epoch,
            "lakegate.spans_left_out": sum(kept.left_out for kept in self._kept.values()),
        }
        spans = [
            Span("queue", self.trace_id, span_of(self.trace_id, "queue", claim.epoch), root, claim.batch.created_at, self._began),
            Span("attempt", self.trace_id, self._id, root, self._began, now, said, error=error),
            *(span for kept in self._kept.values() for spans in kept.spans for span in spans),
        ]  # fmt: skip
        if ends_batch:
            fresh = [e.version.landed_at for e in claim.members if is_fresh(e)]
            start = min([*fresh, claim.batch.created_at])
            spans.append(batch_span(claim, self.trace_id, start, now, error, report))
        self._tracer.record(spans)

    # ---- helpers

    def _add(
        self,
        name: str,
        began: datetime,
        ended: datetime,
        attributes: Mapping[str, Attribute],
        moments: tuple[Moment, ...] = (),
        error: str | None = None,
    ) -> None:
        self._count += 1
        id_ = span_of(self.trace_id, name, self._claim.epoch, self._count)
        span = Span(name, self.trace_id, id_, self._id, began, ended, attributes, moments, error=error)
        self._keep(name).add(span)

    def _keep(self, name: str) -> _Kept:
        return self._kept.setdefault(name, _Kept())


def batch_span(
    claim: Claim, trace_id: str, start: datetime, end: datetime, error: str | None, report: BatchReport | None
) -> Span:
    """A trace's first span: the batch, told by whoever ended it."""
    batch = claim.batch
    said: dict[str, Attribute] = {
        "lakegate.dataset": batch.dataset,
        "lakegate.landing_day": batch.landing_day.isoformat(),
        "lakegate.batch_id": batch.batch_id,
        "lakegate.run_id": claim.owner,
        "lakegate.trigger": batch.trigger.value,
        "lakegate.files": batch.member_count,
    }
    if report is not None:
        said["lakegate.rows_loaded"] = sum(file.rows_loaded for file in report.files)
        for ending in FileEnding:
            if count := sum(file.outcome is ending for file in report.files):
                said[f"lakegate.files.{ending.value}"] = count
        if report.committed is not None:
            said["lakegate.snapshot_id"] = str(report.committed.snapshot_id)
    links = tuple(trace_of(batch_id) for batch_id in batch.follows)
    return Span("lakegate.batch", trace_id, root_of(trace_id), None, start, end, said, links=links, error=error)


def _moment(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.max.replace(tzinfo=UTC)
