"""The audit log: who had files processed again, sent messages back, paused, resumed or changed what. Written once, never changed.

    audit#<yyyy-mm>     <time>#<id>     one record
    outbox#<shard>      <id>            the same on its way to the table `audit_log`

A deed is written down before it is done, with its arguments, and once more when it is done, with what it came to (`of` names the
first record): so one that died half-way is in the log too. What is one transaction anyway has its record in it.
Each record is a log line as well (logger `lakegate.audit`). Nothing here updates or deletes; the roles may not either.
"""

import json
import logging
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pipelines.accounting.books import Books
from pipelines.accounting.changes import shard_of
from pipelines.accounting.items import FORMAT
from pipelines.accounting.keys import OUTBOX_SHARDS, audit_key, iso, outbox_key, parse_iso
from pipelines.ports import Absent, Item, ItemValue, Put
from pipelines.printable import printable

__all__ = ["AuditLog", "AuditRecord", "Deed", "decode_record"]

_LONGEST = 500
_VALUES_KEPT = 20
_log = logging.getLogger("lakegate.audit")


@dataclass(frozen=True, slots=True)
class Deed:
    """What somebody does: `who`, with `what` (a verb), to which dataset (None: to none in particular), and why, in their words.

    `arguments` say which files or messages, never what stands in them; `run` is the Dagster run that does it for them.
    """

    who: str
    what: str
    dataset: str | None = None
    arguments: Mapping[str, object] = field(default_factory=dict[str, object])
    why: str = ""
    run: str | None = None


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One record. `of` names the record of the deed whose `outcome` this is; `arguments` and `outcome` are texts by name."""

    record_id: str
    at: datetime
    who: str
    what: str
    dataset: str | None
    arguments: Mapping[str, str]
    why: str
    run: str | None
    of: str | None
    outcome: Mapping[str, str]

    def document(self) -> dict[str, Any]:
        """The same for programs, and for the log."""
        return {
            "id": self.record_id,
            "at": iso(self.at),
            "who": self.who,
            "what": self.what,
            "dataset": self.dataset,
            "arguments": dict(self.arguments),
            "why": self.why,
            "run": self.run,
            "of": self.of,
            "outcome": dict(self.outcome),
        }


class AuditLog:
    """Writes and reads records."""

    def __init__(self, books: Books) -> None:
        """Works on the books given."""
        self._books = books

    @contextmanager
    def doing(self, deed: Deed) -> Generator[dict[str, object]]:
        """Do what `deed` says inside; what it came to goes into the mapping given.

        Raises TransientError when the log cannot be written: then nothing was done.
        """
        first = self._record(deed)
        self._write(first)
        outcome: dict[str, object] = {}
        try:
            yield outcome
        except BaseException as error:
            outcome["stopped by"] = type(error).__name__
            raise
        finally:
            self._write(self._record(deed, first.record_id, outcome))

    def note(self, deed: Deed) -> None:
        """Write down a deed whose outcome is told elsewhere. Raises TransientError when the log cannot be written."""
        self._write(self._record(deed))

    def changes(self, deed: Deed) -> list[Put]:
        """What goes into the transaction that is the deed; `told` is to be called once it is written."""
        return self._puts(self._record(deed))

    @staticmethod
    def told(changes: list[Put]) -> None:
        """Log the record that was written with a transaction."""
        _tell(decode_record(changes[0].item))

    def since(self, at: datetime) -> Iterator[AuditRecord]:
        """Every record from then on, in order of time, read a month at a time."""
        now = self._books.now()
        month = at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        while month <= now:
            for item in self._books.query(audit_key(month, "").pk):
                record = decode_record(item)
                if record.at >= at:
                    yield record
            month = month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)

    # ---- helpers

    def _record(self, deed: Deed, of: str | None = None, outcome: Mapping[str, object] | None = None) -> AuditRecord:
        return AuditRecord(
            record_id=self._books.new_id(),
            at=self._books.now(),
            who=_text(deed.who),
            what=deed.what,
            dataset=deed.dataset,
            arguments=_texts(deed.arguments) if of is None else {},
            why=_text(deed.why) if of is None else "",
            run=deed.run,
            of=of,
            outcome=_texts(outcome or {}),
        )

    def _puts(self, record: AuditRecord) -> list[Put]:
        said = record.document()
        item: dict[str, ItemValue] = {"format": FORMAT, **{n: v for n, v in said.items() if v not in (None, "", {})}}
        line = json.dumps(said, ensure_ascii=False, separators=(",", ":"))
        outbox: dict[str, ItemValue] = {"format": FORMAT, "count": 1, "audit": line}
        shard = shard_of(record.record_id) % OUTBOX_SHARDS
        return [
            Put(audit_key(record.at, record.record_id), item, (Absent(),)),
            Put(outbox_key(shard, self._books.new_id()), outbox),
        ]

    def _write(self, record: AuditRecord) -> None:
        # Refused only when an answer was lost and the record is there: its id is its own.
        self._books.write(self._puts(record))
        _tell(record)


def decode_record(item: Item | Mapping[str, Any]) -> AuditRecord:
    """The record that an item, or a line of the outbox, holds."""
    raw: Mapping[str, Any] = item
    return AuditRecord(
        record_id=raw["id"],
        at=parse_iso(raw["at"]),
        who=raw["who"],
        what=raw["what"],
        dataset=raw.get("dataset"),
        arguments=raw.get("arguments", {}),
        why=raw.get("why", ""),
        run=raw.get("run"),
        of=raw.get("of"),
        outcome=raw.get("outcome", {}),
    )


def _tell(record: AuditRecord) -> None:
    said = ", ".join(f"{name}: {value}" for name, value in (record.outcome or record.arguments).items())
    came_to = " came to" if record.of else ""
    of = f" {record.dataset}" if record.dataset else ""
    _log.info("%s: %s%s%s %s", record.who, record.what, of, came_to, said, extra={"audit": record.document()})


def _text(value: object) -> str:
    return printable(str(value))[:_LONGEST]


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    return {name: _listed(value) for name, value in values.items() if value not in (None, "", (), [])}


def _listed(value: object) -> str:
    if not isinstance(value, list | tuple | set | frozenset):
        return _text(value)
    listed = [str(one) for one in value]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    more = f" and {len(listed) - _VALUES_KEPT:,} more" if len(listed) > _VALUES_KEPT else ""
    return _text(", ".join(listed[:_VALUES_KEPT])) + more
