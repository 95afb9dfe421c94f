"""The outbox: every change of state on its way to the table `file_history`, written in the transaction that makes the change.

    outbox#<shard>    <id>     the changes of one transaction, as JSON lines, or one record of the audit log (`audit.py`); deleted once
                               they are in their table
    outbox            page     what is being exported: the items that go into one commit

Whoever exports first seals a page: it names the items, and there is one page at a time. The page's id is made of those names
and goes with the commit, so that whoever finds a sealed page can see whether it is in the table. Items leave only when it is,
and the page leaves last. So each step can be done twice, by anybody, and nothing is exported twice or lost.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from pipelines.accounting.books import Books
from pipelines.accounting.entries import HistoryRecord, LedgerEntry
from pipelines.accounting.ids import ID_TIME_CHARACTERS
from pipelines.accounting.items import FORMAT
from pipelines.accounting.keys import OUTBOX_PAGE, OUTBOX_SHARDS, iso, outbox_key, parse_iso
from pipelines.accounting.states import Outcome, State, Trigger
from pipelines.ports import Absent, Delete, Equals, Item, ItemKey, Put, Written

__all__ = ["FileChange", "Outbox", "OutboxPage", "encode_change"]

_DELETES_AT_ONCE = 99
_PAGE_ITEMS = 1_000
_PAGE_CHANGES = 20_000
_REASON_CHARACTERS = 1_000
"""What goes to the table of a reason; a transaction's changes have to fit one item (DynamoDB: 400 kB)."""


@dataclass(frozen=True, slots=True)
class FileChange:
    """One change of state of one object version, as `file_history` shows it.

    `read_ms` is the file's own. `batch_*_ms` are what its whole batch had spent when the file was settled: the same number on
    each of its files. `counted_before` is the landing day it was counted under until then, where that is another.
    """

    change_id: str
    at: datetime
    dataset: str | None
    landing_day: date
    key: str
    version: str
    from_state: State | None
    to_state: State
    outcome: Outcome
    reason: str
    trigger: Trigger
    attempts: int
    size_bytes: int
    batch: str | None = None
    run: str | None = None
    rows_read: int | None = None
    rows_accepted: int | None = None
    rows_rejected: int | None = None
    violations_total: int | None = None
    rules: str | None = None
    read_ms: int | None = None
    batch_stage_ms: int | None = None
    batch_commit_ms: int | None = None
    batch_books_ms: int | None = None
    contract: str | None = None
    report_key: str | None = None
    snapshot_id: int | None = None
    counted_before: date | None = None
    trace_id: str | None = None


def encode_change(entry: LedgerEntry, record: HistoryRecord, counted_before: date | None = None) -> str:
    """One line of an outbox item: the record, and what `entry` (after the change) says of its file."""
    times, facts = record.batch_times, record.facts
    said: dict[str, Any] = {
        "at": iso(record.at),
        "dataset": entry.dataset,
        "day": entry.landing_day.isoformat(),
        "key": entry.version.key,
        "version": record.version_id,
        "from": record.from_state,
        "to": record.to_state,
        "outcome": record.outcome,
        "reason": record.reason[:_REASON_CHARACTERS],
        "trigger": entry.trigger,
        "attempts": entry.attempts,
        "size": entry.version.size_bytes,
        "batch": record.batch_id,
        "trace": record.trace_id,
        "run": record.run,
        "rows_read": record.rows,
        "rows_accepted": facts.rows_accepted if facts else None,
        "rows_rejected": facts.rows_rejected if facts else None,
        "violations": facts.violations_total if facts else None,
        "rules": ",".join(facts.rules) if facts else None,
        "read_ms": record.milliseconds,
        "batch_ms": [times.stage, times.commit, times.books] if times else None,
        "contract": facts.contract if facts else None,
        "report": facts.report_key if facts else None,
        "snapshot": facts.snapshot_id if facts else None,
        "counted_before": counted_before.isoformat() if counted_before else None,
        "steps": [[iso(step.at), step.state, step.run, step.reason] for step in record.steps] or None,
    }
    told = {name: value for name, value in said.items() if value not in (None, "")}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


def _decode(item_id: str, number: int, line: str) -> Iterator[FileChange]:
    """The change, after what the batch of the file went through before it: that is told once, when the file is settled."""
    raw = json.loads(line)
    place = f"{item_id}-{number:03d}"
    told: dict[str, Any] = {
        "dataset": raw.get("dataset"),
        "landing_day": date.fromisoformat(raw["day"]),
        "key": raw["key"],
        "version": raw["version"],
        "trigger": Trigger(raw["trigger"]),
        "attempts": raw["attempts"],
        "size_bytes": raw["size"],
        "batch": raw.get("batch"),
        "trace_id": raw.get("trace"),
    }
    before = State(raw["from"]) if "from" in raw else None
    steps = raw.get("steps", ())
    if steps:
        before = State.PLANNED
    for step, (at, state, run, reason) in enumerate(steps):
        yield FileChange(
            change_id=f"{place}-{step}",
            at=parse_iso(at),
            from_state=before,
            to_state=State(state),
            outcome=Outcome.PENDING,
            reason=reason,
            run=run,
            **told,
        )
        before = State(state)
    stage, commit, books = raw.get("batch_ms", (None, None, None))
    yield FileChange(
        change_id=f"{place}-{len(steps)}",
        at=parse_iso(raw["at"]),
        from_state=before,
        to_state=State(raw["to"]),
        outcome=Outcome(raw["outcome"]),
        reason=raw.get("reason", ""),
        run=raw.get("run"),
        rows_read=raw.get("rows_read"),
        rows_accepted=raw.get("rows_accepted"),
        rows_rejected=raw.get("rows_rejected"),
        violations_total=raw.get("violations"),
        rules=raw.get("rules"),
        read_ms=raw.get("read_ms"),
        batch_stage_ms=stage,
        batch_commit_ms=commit,
        batch_books_ms=books,
        contract=raw.get("contract"),
        report_key=raw.get("report"),
        snapshot_id=raw.get("snapshot"),
        counted_before=date.fromisoformat(raw["counted_before"]) if "counted_before" in raw else None,
        **told,
    )


@dataclass(frozen=True, slots=True)
class OutboxPage:
    """A sealed page: the items that go into one commit. `page_id` is made of their names."""

    page_id: str
    items: tuple[ItemKey, ...]


class Outbox:
    """What waits to be exported."""

    def __init__(self, books: Books) -> None:
        """Works on the books given."""
        self._books = books

    def is_empty(self) -> bool:
        """Whether nothing waits and no page is under way: one small read a shard."""
        return self._stored() is None and not any(
            self._books.store.query(f"outbox#{shard:02d}", limit=1).items for shard in range(OUTBOX_SHARDS)
        )

    def seal(self, upto: str | None = None) -> OutboxPage | None:
        """The page under way, by whomever it was sealed; else a new one of the oldest items; None when nothing waits.

        A new page holds nothing that came after `upto`, an id of that moment.
        """
        while True:
            if (stored := self._stored()) is not None:
                return stored
            names = sorted(name for shard in range(OUTBOX_SHARDS) for name in self._oldest(shard, upto))
            if not names:
                return None
            page_id = hashlib.sha256("\n".join(names).encode()).hexdigest()[:32]
            item: dict[str, Any] = {"format": FORMAT, "page_id": page_id, "items": names}
            if isinstance(self._books.write([Put(OUTBOX_PAGE, item, (Absent(),))]), Written):
                return _page_of(page_id, names)

    def is_sealed(self, page: OutboxPage) -> bool:
        """Whether the page is still under way; False once somebody has finished it."""
        return self._stored() == page

    def changes(self, page: OutboxPage) -> list[FileChange]:
        """The changes of a page, in order of time. Items that an earlier page took with it are not there any more."""
        changes: list[FileChange] = []
        for key, item in self._items(page):
            if "changes" not in item:
                continue
            for number, line in enumerate(str(item["changes"]).split("\n")):
                changes.extend(_decode(key.sk, number, line))
        return sorted(changes, key=lambda change: (change.at, change.change_id))

    def audited(self, page: OutboxPage) -> list[Mapping[str, Any]]:
        """The records of the audit log in a page, as JSON said them, in order of time."""
        lines = (str(item["audit"]) for _, item in self._items(page) if "audit" in item)
        return sorted(map(json.loads, lines), key=lambda record: (record["at"], record["id"]))

    def _items(self, page: OutboxPage) -> Iterator[tuple[ItemKey, Item]]:
        yield from self._books.store.get(page.items).items()

    def clear(self, page: OutboxPage) -> None:
        """Delete a page's items, then the page: it is in the table. Repeatable."""
        for start in range(0, len(page.items), _DELETES_AT_ONCE):
            self._books.write([Delete(key) for key in page.items[start : start + _DELETES_AT_ONCE]])
        self._books.write([Delete(OUTBOX_PAGE, (Equals("page_id", page.page_id),))])

    def _stored(self) -> OutboxPage | None:
        item = self._books.store.get([OUTBOX_PAGE]).get(OUTBOX_PAGE)
        if item is None:
            return None
        names: Any = item["items"]
        return _page_of(str(item["page_id"]), names)

    def _oldest(self, shard: int, upto: str | None) -> Iterator[str]:
        changes = 0
        last = None if upto is None else upto[:ID_TIME_CHARACTERS] + "~"  # ids of one millisecond are in no order
        for number, item in enumerate(self._books.query(f"outbox#{shard:02d}"), start=1):
            if last is not None and str(item["sk"]) > last:
                return
            yield f"{shard:02d}#{item['sk']}"
            changes += int(str(item["count"]))
            if number >= _PAGE_ITEMS // OUTBOX_SHARDS or changes >= _PAGE_CHANGES // OUTBOX_SHARDS:
                return


def _page_of(page_id: str, names: list[str]) -> OutboxPage:
    parts = (name.split("#", 1) for name in names)
    return OutboxPage(page_id, tuple(outbox_key(int(shard), item_id) for shard, item_id in parts))
