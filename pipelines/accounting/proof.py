"""The balance sheet proved: against itself, against the landing bucket, and against the tables.

each object version in exactly one outcome                                          the ledger's counters
over the versions that serve, rows read = rows in the table + rows rejected         the ledger's counters
the bucket's versions and the ledger's are the same, less those that are gone       a sweep, this one or the last
every file that serves has as many rows in the tables as the ledger says            one query a table, and no file else has any
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pipelines.accounting.balance import BalanceSheet, balance
from pipelines.accounting.states import Outcome
from pipelines.accounting.table_proof import TableProof, prove_table
from pipelines.contracts.rejected import tables_of
from pipelines.gate import Gate
from pipelines.intake.sweep_report import SweepReport
from pipelines.telemetry.records import of_proof

__all__ = ["BucketProof", "Proof", "prove"]


@dataclass(frozen=True, slots=True)
class BucketProof:
    """How the ledger of a dataset (None: of what no dataset claims) compared with the bucket, and when; None for never."""

    dataset: str | None
    at: datetime | None
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Proof:
    """The sheet, and what it was held against. `notes` say what nothing could be said of."""

    sheet: BalanceSheet
    buckets: tuple[BucketProof, ...]
    tables: tuple[TableProof, ...]
    notes: tuple[str, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that does not add up; empty when all does."""
        found = [*self.sheet.problems]
        for bucket in self.buckets:
            found += bucket.problems
        for table in self.tables:
            found += table.problems
        return tuple(found)

    @property
    def moving(self) -> int:
        """Files and days that could not be judged because work on them was under way."""
        return sum(table.moving for table in self.tables)

    def rows(self, dataset: str, *, rejected: bool = False) -> int | None:
        """Rows counted in the dataset's table, or in that of its rejected rows; None when nobody counted."""
        wanted = [t for t in self.tables if t.dataset == dataset and t.is_rejected is rejected]
        return wanted[0].rows if wanted else None

    def sentence(self) -> str:
        """The proof in one sentence."""
        if problems := self.problems:
            return f"the books do not add up: {len(problems):,} {'problem' if len(problems) == 1 else 'problems'}"
        rows = sum(table.rows or 0 for table in self.tables)
        told = f"the books add up: {self.sheet.objects:,} objects, each in one outcome; {rows:,} rows in {len(self.tables):,} tables, each where it belongs"
        pending = self.sheet.outcome(Outcome.PENDING)
        return told + (f"; {pending:,} objects are pending" if pending else "")


def prove(gate: Gate, swept: SweepReport | None = None) -> Proof:
    """Prove the books. `swept` is a sweep made just now; without it the last one counts, and never to have swept is a problem.

    Raises TransientError, PermanentError: ledger or tables cannot be read.
    """
    tables = tuple(
        prove_table(gate, dataset, table) for dataset in gate.datasets.datasets for table in tables_of(dataset)
    )
    sheet = balance(gate.ledger.counts())
    known = {dataset.name for dataset in gate.datasets.datasets}
    counted = sorted({line.dataset for line in sheet.lines}, key=lambda name: name or "")
    proof = Proof(sheet, tuple(_buckets(gate, counted, swept)), tables, tuple(_notes(counted, known, tables)))
    gate.meter.tell(of_proof(proof))
    return proof


def _buckets(gate: Gate, counted: Sequence[str | None], swept: SweepReport | None) -> Iterator[BucketProof]:
    if swept is not None:
        yield BucketProof(None, swept.started_at, swept.problems)
        return
    last = gate.ledger.last_sweeps()
    for name in counted:
        if (found := last.get(name)) is not None:
            yield BucketProof(name, found.at, found.problems)
        else:
            what = f"the files of {name}" if name else "the files that no dataset claims"
            yield BucketProof(
                name, None, (f"{what} were never compared with the bucket: run `lakegate sweep`, or the job `sweep`",)
            )


def _notes(counted: Sequence[str | None], known: set[str], tables: Sequence[TableProof]) -> Iterator[str]:
    for name in counted:
        if name is not None and name not in known:
            yield f"{name}: its table was not looked into, because no dataset file describes it (or that is wrong)"
    for table in tables:
        if table.note:
            yield f"{table.table}: {table.note}"
        if table.moving:
            yield f"{table.table}: {table.moving:,} files or days were under way and are not judged; prove again later"
