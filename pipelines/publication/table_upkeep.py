"""Every table looked after, one by one: small files put together, old states let go of. What stops one table stops no other.

A state of a table is kept for a week after it was replaced: longer than any query reads it, and longer than any run takes. And as long as
its batch is at work: by that state a commit is recognised whose worker did not live to tell of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from pipelines.accounting.states import LIVE_BATCH_STATES
from pipelines.contracts.loading import DatasetCatalog
from pipelines.contracts.model import Dataset
from pipelines.contracts.rejected import tables_of
from pipelines.contracts.system_tables import SYSTEM_TABLES, audit_log, balance_sheet, file_history
from pipelines.errors import PermanentError
from pipelines.gate import Gate
from pipelines.publication.compacting import CompactionReport, compact_table, look_at_table
from pipelines.publication.compaction import RUN_BYTES, CompactionPlan

__all__ = [
    "KEPT_STATES",
    "ExpiryReport",
    "TableCompaction",
    "TableLook",
    "compact_tables",
    "every_table",
    "expire_states",
    "look_at_tables",
]

KEPT_STATES = timedelta(days=7)
"""How long a state of a table is kept after it was replaced."""
_LEAST_EXPIRED = 20
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class TableLook:
    """What compaction would do with a table; `note` says why nobody could look."""

    table: str
    plan: CompactionPlan
    note: str = ""


@dataclass(frozen=True, slots=True)
class TableCompaction:
    """What compaction did with a table; `note` says what stopped it."""

    table: str
    report: CompactionReport
    note: str = ""


@dataclass(frozen=True, slots=True)
class ExpiryReport:
    """How many states of each table were let go of, and what stopped it where it could not."""

    states: dict[str, int]
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Of all tables."""
        return sum(self.states.values())

    def sentence(self) -> str:
        """In one sentence."""
        if not self.total:
            return "no state of a table is old enough to be let go of"
        told = ", ".join(f"{number:,} of {table}" for table, number in self.states.items() if number)
        return f"{self.total:,} old states let go of: {told}"


def every_table(catalog: DatasetCatalog) -> list[Dataset]:
    """The tables of all datasets, those of rejected rows beside them, and Lakegate's own."""
    return [*(t for d in catalog.datasets for t in tables_of(d)), file_history(), balance_sheet(), audit_log()]


def look_at_tables(gate: Gate, tables: Sequence[Dataset], *, only: str | None = None) -> list[TableLook]:
    """What compaction would do with each. Raises TransientError: AWS cannot be reached."""
    looks: list[TableLook] = []
    for table in tables:
        try:
            looks.append(TableLook(table.table, look_at_table(gate, table, only=only)))
        except PermanentError as error:
            looks.append(TableLook(table.table, CompactionPlan(), str(error)))
    return looks


def compact_tables(
    gate: Gate,
    tables: Sequence[Dataset],
    *,
    only: str | None = None,
    max_bytes: int = RUN_BYTES,
    tell: Callable[[str], None] = lambda _: None,
) -> list[TableCompaction]:
    """Put small files together, table by table, until `max_bytes` were rewritten. Raises TransientError: doing it again does the rest."""
    done: list[TableCompaction] = []
    left = max_bytes
    for table in tables:
        if left <= 0:
            break
        try:
            report = compact_table(gate, table, only=only, max_bytes=left, tell=tell)
        except PermanentError as error:
            done.append(TableCompaction(table.table, CompactionReport(CompactionPlan()), str(error)))
            continue
        left -= report.plan.bytes_rewritten
        done.append(TableCompaction(table.table, report))
    return done


def expire_states(gate: Gate, tables: Sequence[Dataset], keep: timedelta = KEPT_STATES) -> ExpiryReport:
    """Let go of the states that were replaced longer ago than `keep`, in each table. No file is removed by it.

    Lakegate's own tables are left to the export of the history, which knows when none of its commits may still be asked for.

    Raises TransientError: AWS cannot be reached. Doing it again does the rest.
    """
    before = gate.clock() - keep
    states: dict[str, int] = {}
    notes: list[str] = []
    for table in (one for one in tables if one.table not in SYSTEM_TABLES):
        try:
            gone = 0
            while now := gate.tables.expire(table, before, _LEAST_EXPIRED if not gone else 1, _AT_ONCE, _keeps(gate)):
                gone += now
            states[table.table] = gone
        except PermanentError as error:
            notes.append(f"{table.table}: {error}")
    return ExpiryReport(states, tuple(notes))


def _keeps(gate: Gate) -> Callable[[str], bool]:
    """Whether a batch is at work: its commit may still be asked for."""
    known: dict[str, bool] = {}

    def keeps(batch_id: str) -> bool:
        # A batch's other commits (fences, the rows rejected beside it) begin with its id.
        name = batch_id.split("-")[0]
        if name not in known:
            batch = gate.ledger.batch(name)
            known[name] = batch is not None and batch.state in LIVE_BATCH_STATES
        return known[name]

    return keeps
