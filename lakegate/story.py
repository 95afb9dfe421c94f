"""The story of a file, in sentences a tired person understands: what the ledger knows of each version of its key."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lakegate.status import how_far
from pipelines.accounting.entries import Head, HistoryRecord, LedgerEntry, Reading
from pipelines.accounting.states import Outcome, State
from pipelines.errors import ObjectGoneError
from pipelines.gate import Gate
from pipelines.links import Links
from pipelines.printable import printable
from pipelines.publication.quarantine import QuarantineReport, load_report, quarantine_id, report_lines

__all__ = ["FileStory", "VersionStory", "sentence", "story_of"]

_FAULTS_SHOWN = 3
_STATES: Mapping[State, str] = {
    State.SEEN: "due again",
    State.PLANNED: "planned",
    State.CLAIMED: "claimed",
    State.COMMITTING: "its batch is being published",
    State.RETRY_WAIT: "failed, and waits to be tried again",
    State.ARCHIVED: "lies in an archive and waits for a restore",
    State.COMMITTED: "committed",
    State.QUARANTINED: "rejected, object and report are in quarantine",
    State.EMPTY: "empty, no row in it",
    State.UNROUTED: "claimed by no dataset",
    State.DEAD: "given up, its attempts are used up",
    State.GONE: "gone",
}
_OUTCOMES: Mapping[Outcome, str] = {
    Outcome.PENDING: "pending",
    Outcome.LOADED: "loaded",
    Outcome.SUPERSEDED: "superseded by a higher version",
    Outcome.REMOVED: "removed",
    Outcome.QUARANTINED: "quarantined",
    Outcome.EMPTY: "empty",
    Outcome.UNROUTED: "claimed by no dataset",
    Outcome.FAILED: "failed",
}


@dataclass(frozen=True, slots=True)
class VersionStory:
    """One version: what the ledger has of it, its history, and its quarantine report if there is one."""

    entry: LedgerEntry
    history: tuple[HistoryRecord, ...]
    report: QuarantineReport | None
    links: Links = field(default_factory=Links)
    reading: Reading | None = None
    """How far it is, while a run reads it and it takes long."""

    def lines(self) -> Iterator[str]:
        """What is so now, then each step, then where its rows are and what was wrong. Printable text."""
        entry = self.entry
        version = entry.version
        yield f"version {version.version_id}: {self._standing()}"
        yield f"  landed {version.landed_at:%Y-%m-%d %H:%M:%S} UTC, {version.size_bytes:,} bytes{self._told_again()}"
        for record in self.history:
            yield f"  {record.at:%Y-%m-%d %H:%M:%S}.{record.at.microsecond // 1000:03d}  {sentence(record)}"
        yield from (f"  {line}" for line in self._traces())
        yield from (f"  {line}" for line in self._where_rows_are())
        yield from (f"  {line}" for line in self._faults())
        yield from (f"  {line}" for line in self._next())

    @property
    def _trace_id(self) -> str | None:
        """The trace of the batch that the version was in last."""
        return next((r.trace_id for r in reversed(self.history) if r.trace_id), None)

    def _traces(self) -> Iterator[str]:
        ids = list(dict.fromkeys(record.trace_id for record in self.history if record.trace_id))
        if (latest := self._trace_id) is not None:
            more = f" (and {len(ids) - 1:,} before it: --json names them)" if len(ids) > 1 else ""
            yield f"its trace: {self.links.trace(latest) or latest}{more}"

    def _standing(self) -> str:
        words = [_OUTCOMES[self.entry.outcome]]
        if self.entry.serving:
            words.append("serving: its rows are what the key has in the table")
        if self.entry.object_removed:
            words.append("its object was removed from the bucket")
        return ", ".join(words)

    def _told_again(self) -> str:
        times = self.entry.duplicates
        return f"; told of {times:,} more {'time' if times == 1 else 'times'}" if times else ""

    def _where_rows_are(self) -> Iterator[str]:
        entry, facts = self.entry, self.entry.facts
        if not entry.serving or facts is None:
            return
        where = f"where its rows are: {facts.rows_accepted:,} in the table {entry.dataset}"
        if facts.partitions:
            more = f" and {len(facts.partitions) - 5:,} more" if len(facts.partitions) > 5 else ""
            where += f", partitions {', '.join(facts.partitions[:5])}{more}"
        if facts.snapshot_id is not None:
            where += f", published by snapshot {facts.snapshot_id}"
        yield where
        if facts.rows_rejected:
            yield f"  {facts.rows_rejected:,} rejected rows in the table {entry.dataset}__rejected"

    def _faults(self) -> Iterator[str]:
        if self.report is None:
            facts = self.entry.facts
            if facts and facts.report_key:
                yield "what was wrong: its report is no longer in the quarantine bucket, its retention has removed it"
            return
        total = self.report.violations_total
        yield f"what was wrong ({total:,} {'fault' if total == 1 else 'faults'}; all: lakegate quarantine show {self.report.id}):"
        shown = self.report.model_copy(update={"violations": self.report.violations[:_FAULTS_SHOWN]})
        # The last line says what to do about a file that is in quarantine still: `_next` does.
        for line in report_lines(shown)[:-1]:
            if "more are not listed" not in line:
                yield f"  {line}"

    def _next(self) -> Iterator[str]:
        entry = self.entry
        match entry.state:
            case State.RETRY_WAIT:
                at = f" at {entry.next_at:%H:%M:%S} UTC" if entry.next_at else ""
                tries = "1 attempt" if entry.attempts == 1 else f"{entry.attempts:,} attempts"
                yield f"what is next: tried again{at}, after {tries}; the last error: {entry.error}"
            case State.DEAD:
                yield f"what is next: nothing by itself; the error of its last attempt: {entry.error}"
            case State.SEEN if entry.deferred is not None:
                yield f"what is next: {entry.deferred} (work.defer); to have it now, run the job process_files with its key"
            case State.SEEN:
                yield "what is next: the next tick of the landing sensor plans it"
            case State.PLANNED | State.CLAIMED | State.COMMITTING:
                if self.reading is not None:
                    yield f"what is now: {how_far(self.reading)}"
                yield f"what is next: its batch {entry.batch_id} finishes it"
            case State.UNROUTED:
                yield "what is next: a dataset whose landing.key fits takes it; nothing is lost meanwhile"
            case State.ARCHIVED:
                yield "what is next: restore the object in S3; its event makes it due"
            case State.COMMITTED | State.QUARANTINED | State.EMPTY | State.GONE:
                if entry.outcome is Outcome.QUARANTINED:
                    yield "what is next: send the corrected file again under the same key"

    def document(self) -> dict[str, Any]:
        """The same for programs."""
        entry, facts, report = self.entry, self.entry.facts, self.report
        return {
            "version_id": entry.version.version_id,
            "size_bytes": entry.version.size_bytes,
            "landed_at": entry.version.landed_at.isoformat(),
            "dataset": entry.dataset,
            "landing_day": entry.landing_day.isoformat(),
            "state": entry.state,
            "outcome": entry.outcome,
            "serving": entry.serving,
            "object_removed": entry.object_removed,
            "duplicates": entry.duplicates,
            "attempts": entry.attempts,
            "error": entry.error,
            "batch": entry.batch_id,
            "trace_id": self._trace_id,
            "trace_url": self.links.trace(self._trace_id) if self._trace_id else None,
            "rows_read": facts.rows_read if facts else None,
            "rows_accepted": facts.rows_accepted if facts else None,
            "rows_rejected": facts.rows_rejected if facts else None,
            "violations_total": facts.violations_total if facts else None,
            "contract": facts.contract if facts else None,
            "partitions": list(facts.partitions) if facts else [],
            "snapshot_id": facts.snapshot_id if facts else None,
            "quarantine_id": quarantine_id(entry.version) if facts and facts.report_key else None,
            "bytes_read": self.reading.bytes_read if self.reading else None,
            "first_faults": [v.model_dump() for v in report.violations[:_FAULTS_SHOWN]] if report else [],
        }


@dataclass(frozen=True, slots=True)
class FileStory:
    """A key, what serves it, and each of its versions, lowest first."""

    key: str
    head: Head
    versions: tuple[VersionStory, ...]
    history: tuple[HistoryRecord, ...]

    def lines(self) -> Iterator[str]:
        """The whole story, line by line, printable: what is so now comes first."""
        yield printable(self.key)
        yield self._summary()
        for version in self.versions:
            yield ""
            yield from (line[: len(line) - len(line.lstrip())] + printable(line.lstrip()) for line in version.lines())

    def _summary(self) -> str:
        newest = self.versions[-1].entry
        count = len(self.versions)
        where = f"dataset {newest.dataset}" if newest.dataset else "no dataset claims it"
        text = f"{where}, landing day {newest.landing_day}; {count:,} {'version' if count == 1 else 'versions'}. "
        serving = next((v.entry for v in self.versions if v.entry.serving), None)
        if serving is None:
            text += "No version serves: the key has no rows in the table."
        else:
            rows = serving.facts.rows_accepted if serving.facts else 0
            text += f"Version {printable(serving.version.version_id)} serves with {rows:,} {'row' if rows == 1 else 'rows'}."
        if self.head.removed:
            text += " A delete marker hides the key in the bucket."
        return text

    def document(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "version": 1,
            "key": self.key,
            "serving_version": self.head.serving_version,
            "versions": [version.document() for version in self.versions],
            "history": [_record_document(r) for r in self.history],
        }


def story_of(gate: Gate, key: str) -> FileStory | None:
    """All that is known of a key of the landing bucket; None when the ledger knows no version of it."""
    bucket = gate.landing_bucket
    entries = gate.ledger.entries(bucket, key)
    if not entries:
        return None
    history = gate.ledger.history(bucket, key)
    versions = tuple(
        VersionStory(
            entry,
            tuple(record for record in history if record.version_id == entry.version.version_id),
            _report(gate, entry),
            gate.links,
            _reading(gate, entry),
        )
        for entry in entries
    )
    return FileStory(key, gate.ledger.head(bucket, key), versions, tuple(history))


def _reading(gate: Gate, entry: LedgerEntry) -> Reading | None:
    """What the batch that holds the version says of it, if that is the file it is at."""
    if entry.state not in (State.PLANNED, State.CLAIMED) or entry.batch_id is None:
        return None
    batch = gate.ledger.batch(entry.batch_id)
    alive = batch is not None and batch.lease_until is not None and batch.lease_until > gate.clock()
    reading = batch.reading if batch is not None and alive else None
    return reading if reading is not None and reading.ref == entry.ref else None


def _report(gate: Gate, entry: LedgerEntry) -> QuarantineReport | None:
    facts = entry.rejudged if entry.rejudged and entry.rejudged.report_key else entry.facts
    if facts is None or facts.report_key is None:
        return None
    try:
        return load_report(gate.store, gate.quarantine_bucket, facts.report_key)
    except ObjectGoneError:
        return None


def sentence(record: HistoryRecord) -> str:
    """One step: what the file became, why, how many rows, where the time went, and in which run."""
    parts = [_what(record)]
    if record.rows is not None:
        parts.append(_rows(record))
    if record.milliseconds is not None:
        parts.append(_times(record))
    if record.run and record.to_state is not State.CLAIMED:
        parts.append(f"run {record.run}")
    return "; ".join(parts)


def _what(record: HistoryRecord) -> str:
    state, outcome, reason = record.to_state, record.outcome.value, record.reason
    if reason == "registered":
        return (
            "seen for the first time, due" if state is State.SEEN else "seen for the first time; no dataset claims it"
        )
    if state is State.CLAIMED:
        return f"claimed by run {record.run} ({reason})"
    if state is State.PLANNED:
        return f"planned into the batch {record.batch_id}"
    if record.from_state is state:
        return reason if reason.startswith(outcome) else f"{reason} (still {outcome})"
    words = _STATES[state]
    if state is State.COMMITTED or (state is State.QUARANTINED and outcome != "quarantined"):
        words += f", {outcome}"
    return f"{words}: {reason}" if reason else words


def _rows(record: HistoryRecord) -> str:
    text = f"{record.rows:,} {'row' if record.rows == 1 else 'rows'} read"
    facts = record.facts
    if facts is None:
        return text
    if not facts.read_complete:
        text += ", not to the end"
    if record.to_state is State.QUARANTINED:
        return f"{text}, none loaded"
    return f"{text}, {facts.rows_accepted:,} accepted, {facts.rows_rejected:,} rejected"


def _times(record: HistoryRecord) -> str:
    text = f"{record.milliseconds:,} ms reading it"
    times = record.batch_times
    if times is None:
        return text
    return f"{text}; its batch: {times.stage:,} ms staging, {times.commit:,} ms committing, {times.books:,} ms books"


def _record_document(record: HistoryRecord) -> dict[str, Any]:
    facts, times = record.facts, record.batch_times
    return {
        "at": record.at.isoformat(),
        "version_id": record.version_id,
        "from": record.from_state,
        "to": record.to_state,
        "outcome": record.outcome,
        "batch": record.batch_id,
        "trace_id": record.trace_id,
        "run": record.run,
        "reason": record.reason,
        "rows": record.rows,
        "rows_accepted": facts.rows_accepted if facts else None,
        "rows_rejected": facts.rows_rejected if facts else None,
        "milliseconds": record.milliseconds,
        "batch_milliseconds": {"stage": times.stage, "commit": times.commit, "books": times.books} if times else None,
    }
