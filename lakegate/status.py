"""What stands where, in one look: the balance sheet, the queue, and whether all is at rest."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.accounting.balance import BalanceSheet, balance
from pipelines.accounting.breaker import Breaker
from pipelines.accounting.entries import Reading
from pipelines.accounting.states import Outcome
from pipelines.amounts import amount
from pipelines.gate import Gate
from pipelines.printable import printable

__all__ = ["FileRead", "Rest", "files_read", "how_far", "look", "outcome_columns", "sheet_document"]

UNCLAIMED = "(no dataset)"


@dataclass(frozen=True, slots=True)
class Rest:
    """One look: the sheet, messages waiting or in flight, dead letters, and the datasets that are paused."""

    sheet: BalanceSheet
    messages: int
    dead_letters: int
    paused: tuple[Breaker, ...] = ()

    @property
    def at_rest(self) -> bool:
        """No message waits and no file is pending."""
        return self.messages == 0 and self.sheet.at_rest

    def sentence(self) -> str:
        """One line for people who wait."""
        sheet = self.sheet
        parts = [
            f"{sheet.objects:,} objects seen",
            f"{sheet.outcome(Outcome.LOADED):,} loaded",
            f"{sheet.outcome(Outcome.QUARANTINED):,} quarantined",
            f"{sheet.outcome(Outcome.PENDING):,} pending",
            f"{self.messages:,} {'message' if self.messages == 1 else 'messages'} waiting",
        ]
        if deferred := sum(line.counts.deferred for line in sheet.lines):
            parts.insert(4, f"{deferred:,} of them deferred to other hours")
        if failed := sheet.outcome(Outcome.FAILED):
            parts.append(f"{failed:,} failed")
        if self.dead_letters:
            parts.append(f"{self.dead_letters:,} dead letters")
        return ("At rest: " if self.at_rest else "Under way: ") + ", ".join(parts)


def look(gate: Gate) -> Rest:
    """Read the counters and the queues' depths; neither grows with the number of files."""
    sheet = balance(gate.ledger.counts())
    names = {line.counts.dataset for line in sheet.lines if line.counts.dataset} | {
        d.name for d in gate.datasets.datasets
    }
    paused = tuple(b for _, b in sorted(gate.ledger.pauses.breakers(sorted(names)).items()) if b.is_paused)
    messages = gate.queue.depth() if gate.queue is not None else 0
    dead_letters = gate.dead_letters.depth() if gate.dead_letters is not None else 0
    return Rest(sheet, messages, dead_letters, paused)


@dataclass(frozen=True, slots=True)
class FileRead:
    """A large file that a run is reading, as its last sign of life told."""

    key: str
    dataset: str
    run: str | None
    reading: Reading

    def sentence(self) -> str:
        """One line for people."""
        return f"{printable(self.key)}: {how_far(self.reading)}, by run {self.run}"

    def document(self) -> Mapping[str, Any]:
        """The same for programs."""
        reading = self.reading
        return {
            "key": self.key,
            "version_id": reading.ref.version_id,
            "dataset": self.dataset,
            "run": self.run,
            "bytes_read": reading.bytes_read,
            "size_bytes": reading.size_bytes,
            "rows": reading.rows,
            "at": reading.at.isoformat(),
        }


def how_far(reading: Reading) -> str:
    """How far a file was, and when that was told."""
    share = reading.bytes_read / reading.size_bytes if reading.size_bytes else 0.0
    read = f"{amount(reading.bytes_read)} of {amount(reading.size_bytes)}"
    return f"{share:.0%} read at {reading.at:%H:%M:%S} UTC ({read}, {reading.rows:,} rows)"


def files_read(gate: Gate) -> list[FileRead]:
    """The large files that runs are reading now, by key: one query a dataset."""
    found: list[FileRead] = []
    now = gate.clock()
    for dataset in gate.datasets.datasets:
        for batch in gate.ledger.live_batches(dataset.name):
            alive = batch.lease_until is not None and batch.lease_until > now
            if batch.reading is not None and alive and (entry := gate.ledger.entry(batch.reading.ref)) is not None:
                found.append(FileRead(entry.version.key, dataset.name, batch.owner, batch.reading))
    return sorted(found, key=lambda one: one.key)


def outcome_columns(sheet: BalanceSheet, *, by_day: bool) -> tuple[list[str], list[list[str]]]:
    """Column names (`#` marks numbers) and rows of the sheet as text: a line a dataset (and day), and the sum."""
    shown = [
        outcome for outcome in Outcome if sheet.outcome(outcome) or outcome in (Outcome.LOADED, Outcome.QUARANTINED)
    ]
    any_rejected = any(line.counts.rows_rejected for line in sheet.lines)
    names = [
        "dataset",
        *(["landing day"] if by_day else []),
        "#objects",
        *(f"#{o.value}" for o in shown),
        "#duplicates",
        "#rows in table",
        *(["#rows rejected"] if any_rejected else []),
    ]
    totals: dict[tuple[str, ...], list[int]] = {}
    for line in sheet.lines:
        counts = line.counts
        head = (counts.dataset or UNCLAIMED, *([counts.landing_day.isoformat()] if by_day else []))
        numbers = [
            counts.objects,
            *(counts.outcomes.get(o, 0) for o in shown),
            counts.duplicates,
            counts.rows_in_table,
            *([counts.rows_rejected] if any_rejected else []),
        ]
        before = totals.get(head, [0] * len(numbers))
        totals[head] = [a + b for a, b in zip(before, numbers, strict=True)]
    rows = [[*head, *(f"{n:,}" for n in numbers)] for head, numbers in sorted(totals.items())]
    if totals:
        sums = [sum(column) for column in zip(*totals.values(), strict=True)]
        rows.append(["all", *([""] if by_day else []), *(f"{n:,}" for n in sums)])
    return names, rows


def sheet_document(sheet: BalanceSheet) -> Mapping[str, Any]:
    """The sheet for `--json`: lines by dataset and day, and everything that does not add up."""
    return {
        "objects": sheet.objects,
        "outcomes": {outcome.value: sheet.outcome(outcome) for outcome in Outcome},
        "problems": list(sheet.problems),
        "lines": [
            {
                "dataset": line.dataset,
                "landing_day": line.landing_day.isoformat(),
                "objects": line.counts.objects,
                "outcomes": {outcome.value: n for outcome, n in line.counts.outcomes.items()},
                "deferred": line.counts.deferred,
                "duplicates": line.counts.duplicates,
                "rows_read": line.counts.rows_read,
                "rows_in_table": line.counts.rows_in_table,
                "rows_rejected": line.counts.rows_rejected,
            }
            for line in sheet.lines
        ],
    }
