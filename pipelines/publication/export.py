"""From the outbox to Athena: changes of state become rows of `file_history`, the counters rows of `balance_sheet`, and what people did by
hand rows of `audit_log`.

    seal     the page is written down: what it holds cannot change any more
    commit   one Iceberg commit a table that carries the page's id; a page found in the table is not committed again
    sheet    the months whose days the page touched are written anew
    clear    items and page leave the outbox
    expire   once all of it is exported, states of both tables older than a week are forgotten

Whatever step a crash follows, and however many export at the same time, the next one finds the same page and goes on: every
change is in the table exactly once. A commit counts only on the table state it was planned against, and only while the page is
still sealed after that state was looked up: who wakes up late finds the page in the table, or gone, or loses the commit.
"""

import itertools
import json
import random
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from pipelines.accounting.balance import BalanceLine, balance
from pipelines.accounting.day_counts import DayCounts
from pipelines.accounting.keys import parse_iso
from pipelines.accounting.outbox import FileChange, OutboxPage
from pipelines.contracts.model import Dataset
from pipelines.contracts.schema import BATCH_ID, INGESTED_AT, SOURCE_FILE, SOURCE_LINE, SOURCE_VERSION
from pipelines.contracts.system_tables import AUDIT_LOG, BALANCE_SHEET, audit_log, balance_sheet, file_history
from pipelines.errors import CommitConflictError, TransientError
from pipelines.gate import Gate
from pipelines.ports import Committed, SourceVersion, TableCommit, TableSnapshot
from pipelines.publication.staged import StagedFile
from pipelines.publication.system_rows import stage_rows

__all__ = ["ExportReport", "export_history"]

_TABLES = (file_history, balance_sheet, audit_log)
_MAX_TRIES = 12
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0
_KEPT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export came to: pages exported, rows added to `file_history` by this one, lines written to `balance_sheet`."""

    pages: int = 0
    changes: int = 0
    days: int = 0
    is_complete: bool = True
    """Whether all that waited when it began is exported; else the time was up, and the next export goes on."""

    def sentence(self) -> str:
        """One line for the log."""
        if not self.pages:
            return "nothing to export: every change of state is in file_history"
        rest = "" if self.is_complete else "; more is waiting for the next run"
        changes = "1 change" if self.changes == 1 else f"{self.changes:,} changes"
        lines = "1 line" if self.days == 1 else f"{self.days:,} lines"
        return f"{changes} of state exported to file_history, {lines} of balance_sheet written{rest}"


def export_history(gate: Gate, budget_s: float = 240.0) -> ExportReport:
    """Export what waits in the outbox now, page by page, until it is done or `budget_s` seconds are over.

    What comes meanwhile is the next export's: where files keep coming, one that went after each of them would never end,
    and would make a commit for every few.

    Raises CommitConflictError when other writers of the tables kept coming first, TransientError when the catalog kept failing:
    nothing is lost then, the next export goes on where this one ended.
    """
    outbox = gate.ledger.outbox
    started, upto = time.monotonic(), gate.ledger.new_id()
    pages = changes = days = 0
    while True:
        page = outbox.seal(upto)
        if page is None:
            if pages:
                _forget_old_states(gate)
            return ExportReport(pages, changes, days)
        if pages and time.monotonic() - started > budget_s:
            return ExportReport(pages, changes, days, is_complete=False)
        told, audited = outbox.changes(page), outbox.audited(page)
        if not pages:
            for dataset in _TABLES:
                gate.tables.ensure(dataset())
        if audited:
            _commit(gate, page, audit_log(), f"audit-{page.page_id}", [_audit_row(r, gate.clock()) for r in audited])
        if told:
            rows = [_history_row(change, gate.clock()) for change in told]
            changes += _commit(gate, page, file_history(), f"history-{page.page_id}", rows)
            days += _write_sheet(gate, _months(told))
        outbox.clear(page)
        pages += 1


# ---- file_history -------------------------------------------------------------------------------------------------


def _commit(gate: Gate, page: OutboxPage, dataset: Dataset, batch_id: str, rows: Sequence[Mapping[str, Any]]) -> int:
    """Commit a page's rows of one table, unless they are in it; the number of rows that this added."""

    def plan(base: TableSnapshot, staged: tuple[StagedFile, ...]) -> TableCommit | None:
        found = gate.tables.find_batch(dataset, batch_id) is not None
        if found or not gate.ledger.outbox.is_sealed(page):
            return None
        return TableCommit(batch_id, staged, (), (), base)

    with tempfile.TemporaryDirectory(prefix="lakegate-history-") as folder:
        # A name of its own for each attempt: two that export the same page must not write to the same object.
        stem = f"{batch_id}-{gate.ledger.new_id()}"
        staged = stage_rows(dataset, gate.tables.file_schema(dataset), rows, stem, Path(folder))
        committed = _until_known(gate, dataset, lambda base: plan(base, staged))
    return committed.rows_added if committed else 0


def _history_row(change: FileChange, now: datetime) -> Mapping[str, Any]:
    row = {name: _encodable(value) for name, value in asdict(change).items() if name != "counted_before"}
    system = {
        SOURCE_FILE: row["key"],
        SOURCE_VERSION: row["version"],
        SOURCE_LINE: 0,
        BATCH_ID: change.batch or "",
        INGESTED_AT: now,
    }
    return row | system


def _audit_row(record: Mapping[str, Any], now: datetime) -> Mapping[str, Any]:
    told = {"record_id": record["id"], "at": parse_iso(record["at"]), "of_record": record["of"]}
    texts = {name: _encodable(record[name]) for name in ("who", "what", "dataset", "why", "run")}
    said = {name: _encodable(json.dumps(record[name], ensure_ascii=False)) for name in ("arguments", "outcome")}
    system = {SOURCE_FILE: AUDIT_LOG, SOURCE_VERSION: record["id"], SOURCE_LINE: 0, BATCH_ID: "", INGESTED_AT: now}
    return told | texts | said | system


def _encodable(value: Any) -> Any:
    """Text that Parquet can hold: one character that is none would stop every export after it."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


# ---- balance_sheet ------------------------------------------------------------------------------------------------


def _months(changes: Iterable[FileChange]) -> set[date]:
    """The first of each month whose counters the changes moved."""
    days = {day for c in changes for day in (c.landing_day, c.counted_before) if day is not None}
    return {day.replace(day=1) for day in days}


def _write_sheet(gate: Gate, months: Collection[date]) -> int:
    """Write the lines of these months anew; of every month, when the table holds none. The number of lines."""
    dataset = balance_sheet()
    batch_id = f"sheet-{gate.ledger.new_id()}"
    written = 0
    with tempfile.TemporaryDirectory(prefix="lakegate-sheet-") as folder:
        numbers = itertools.count(1)

        def plan(base: TableSnapshot) -> TableCommit:
            nonlocal written
            # Counted after the state of the table was looked up: an older count cannot replace a newer one.
            now = gate.clock()
            counts = _counts(gate, None if base.snapshot_id is None else months)
            lines = balance(counts).lines
            rows = [_sheet_row(line, number, now, batch_id) for number, line in enumerate(lines, start=1)]
            written = len(rows)
            stem = f"{batch_id}-{next(numbers)}"
            staged = stage_rows(dataset, gate.tables.file_schema(dataset), rows, stem, Path(folder))
            sources = tuple({SourceVersion(BALANCE_SHEET, f"{line.landing_day:%Y-%m}"): None for line in lines})
            return TableCommit(batch_id, staged, sources, sources if base.snapshot_id is not None else (), base)

        _until_known(gate, dataset, plan)
    return written


def _counts(gate: Gate, months: Collection[date] | None) -> list[DayCounts]:
    if months is None:
        return gate.ledger.counts()
    return [line for month in sorted(months) for line in gate.ledger.counts(month=month)]


def _sheet_row(line: BalanceLine, number: int, now: datetime, batch_id: str) -> Mapping[str, Any]:
    counts = line.counts
    return {
        "dataset": counts.dataset,
        "landing_day": counts.landing_day,
        "taken_at": now,
        "objects": counts.objects,
        **{outcome.value: count for outcome, count in counts.outcomes.items()},
        "duplicates": counts.duplicates,
        "size_bytes": counts.bytes,
        "serving_files": counts.serving_files,
        "rows_read": counts.rows_read,
        "rows_in_table": counts.rows_in_table,
        "rows_rejected": counts.rows_rejected,
        "quarantined_rows_read": counts.quarantined_rows_read,
        "problems": "\n".join(line.problems) or None,
        SOURCE_FILE: BALANCE_SHEET,
        SOURCE_VERSION: f"{line.landing_day:%Y-%m}",
        SOURCE_LINE: number,
        BATCH_ID: batch_id,
        INGESTED_AT: now,
    }


# ---- both ---------------------------------------------------------------------------------------------------------


def _forget_old_states(gate: Gate) -> None:
    """Keep the metadata small that each commit reads and writes: up to 288 states a day come, each makes every later commit dearer.

    Only once no page of before is sealed: until it is cleared, a page whose exporter died is told from one that was never committed by its snapshot
    alone. A page sealed from now on is committed in a state that is not a week old.
    """
    for dataset in _TABLES:
        gate.tables.expire(dataset(), gate.clock() - _KEPT)


def _until_known(gate: Gate, dataset: Dataset, plan: Callable[[TableSnapshot], TableCommit | None]) -> Committed | None:
    """Commit what `plan` makes of the table's present state, and again until the outcome is known; None when there is nothing to do.

    A plan is made anew after each lost race and each lost answer: it has to see for itself what is in the table by then.
    """
    unknown: TransientError | None = None
    for tries in range(_MAX_TRIES):
        if tries:
            gate.pause(random.uniform(0, min(_FIRST_PAUSE_S * 2**tries, _LONGEST_PAUSE_S)))  # noqa: S311  # jitter, no secret
        change = plan(gate.tables.current(dataset))
        if change is None:
            return None
        try:
            outcome = gate.tables.commit(dataset, change)
        except TransientError as error:
            unknown = error
            continue
        if isinstance(outcome, Committed):
            return outcome
        unknown = None
    if unknown is not None:
        raise unknown
    raise CommitConflictError(
        f"Other writers committed to the table {dataset.table} {_MAX_TRIES} times before this export could; the next one tries again."
    )
