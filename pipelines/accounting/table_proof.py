"""The ledger against a table: for every file that serves, as many rows as the ledger says, and not one of another.

One statement counts the table's rows by file and version, a page of files at a time; each page is looked up in the ledger. What the
table lacks altogether shows in the sums by landing day, and is then looked for by name. A commit is in the table a moment before it
is in the ledger: what differs is looked at once more, and left alone while a version of its key is on its way.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TypeVar

from pipelines.accounting.day_counts import DayCounts
from pipelines.accounting.entries import LedgerEntry, VersionRef
from pipelines.accounting.states import State
from pipelines.asking import NotLooked, ask, sql_name, sql_text
from pipelines.contracts.model import Dataset
from pipelines.contracts.rejected import main_table
from pipelines.contracts.schema import SOURCE_FILE, SOURCE_VERSION
from pipelines.errors import PermanentError
from pipelines.gate import Gate
from pipelines.intake.objects import object_id
from pipelines.ports import SourceVersion
from pipelines.printable import printable

__all__ = ["TableProof", "prove_table"]

_FILES_A_PAGE = 20_000
_AT_ONCE = 1000
_MOST_NAMED = 20
_T = TypeVar("_T")
_ON_ITS_WAY = frozenset({State.SEEN, State.RETRY_WAIT, State.PLANNED, State.CLAIMED, State.COMMITTING})


@dataclass(slots=True)
class TableProof:
    """What a table holds beside what the ledger says of it. `rows` is None when nobody could look; `note` says why.

    `moving` counts files and days that differed while work on them was under way: nothing is known of those.
    """

    dataset: str
    table: str
    rows: int | None = None
    files: int = 0
    rows_in_ledger: int = 0
    problems: list[str] = field(default_factory=list[str])
    moving: int = 0
    note: str = ""

    @property
    def is_rejected(self) -> bool:
        """Whether it is the table of rejected rows."""
        return main_table(self.table) is not None


def prove_table(gate: Gate, dataset: Dataset, table: Dataset) -> TableProof:
    """Compare a dataset's table, or the one beside it with its rejected rows, with the ledger.

    Raises TransientError, PermanentError: the ledger or the table cannot be read.
    """
    return _Proof(gate, dataset, table).run()


class _Proof:
    def __init__(self, gate: Gate, dataset: Dataset, table: Dataset) -> None:
        self._gate = gate
        self._dataset = dataset
        self._table = table
        self._proof = TableProof(dataset.name, table.table)
        self._rejected = self._proof.is_rejected
        self._rows: dict[date, int] = {}
        self._differ: list[VersionRef] = []
        self._named = 0

    def run(self) -> TableProof:
        proof = self._proof
        before = self._counts()
        proof.rows_in_ledger = sum(before.values())
        try:
            self._gate.tables.current(self._table)
        except PermanentError as error:
            if proof.rows_in_ledger:
                self._tell(f"the ledger says {_rows(proof.rows_in_ledger)}, but the table cannot be read: {error}")
            else:
                proof.note = "no run has made the table yet"
            return proof
        for page in self._pages():
            if isinstance(page, NotLooked):
                self._tell(f"nobody could look into the table: {page.reason}")
                return proof
            self._take(page)
        self._look_again(self._differ)
        self._compare_days(before)
        return proof

    def _tell(self, what: str) -> None:
        self._named += 1
        if self._named <= _MOST_NAMED:
            self._proof.problems.append(f"{self._proof.table}: {what}")
        elif self._named == _MOST_NAMED + 1:
            self._proof.problems.append(f"{self._proof.table}: more differences like these are not listed")

    # ---- what the table holds

    def _pages(self) -> Iterator[dict[SourceVersion, int] | NotLooked]:
        """The rows of every file and version in the table, a page of files at a time."""
        file, version, table = sql_name(SOURCE_FILE), sql_name(SOURCE_VERSION), sql_name(self._table.table)
        behind = ""
        while True:
            rows = ask(
                self._gate.queries,
                f'SELECT {file}, {version}, COUNT(*) AS "row_count" FROM {table} {behind}'  # noqa: S608 - names and texts of `asking`
                f"GROUP BY {file}, {version} ORDER BY {file}, {version} LIMIT {_FILES_A_PAGE}",
            )
            if isinstance(rows, NotLooked):
                yield rows
                return
            is_last = len(rows) < _FILES_A_PAGE
            # The last file of a full page may have versions on the next: it is read again there.
            end = None if is_last else rows[-1][SOURCE_FILE]
            taken = [row for row in rows if row[SOURCE_FILE] != end]
            yield {SourceVersion(row[SOURCE_FILE], row[SOURCE_VERSION]): int(row["row_count"]) for row in taken}
            if is_last:
                return
            if not taken:
                yield NotLooked(f"{printable(str(end))} has more than {_FILES_A_PAGE:,} versions in it")
                return
            behind = f"WHERE {file} >= {sql_text(str(end))} "

    def _take(self, page: dict[SourceVersion, int]) -> None:
        proof = self._proof
        for part in _parts(list(page)):
            refs = {self._ref(source): source for source in part}
            entries = {entry.ref: entry for entry in self._gate.ledger.entries_of(refs)}
            for ref, source in refs.items():
                rows = page[source]
                proof.rows = (proof.rows or 0) + rows
                proof.files += 1
                entry = entries.get(ref)
                if entry is not None and entry.dataset == self._dataset.name:
                    self._rows[entry.landing_day] = self._rows.get(entry.landing_day, 0) + rows
                if entry is None:
                    self._tell(
                        f"it has {_rows(rows)} of {_named(source)}, of which the ledger knows nothing. "
                        "Did another program write into the table?"
                    )
                elif rows != self._expected(entry):
                    self._differ.append(ref)
        proof.rows = proof.rows or 0

    def _ref(self, source: SourceVersion) -> VersionRef:
        return VersionRef(object_id(self._gate.landing_bucket, source.key), source.version_id)

    def _expected(self, entry: LedgerEntry) -> int:
        """The rows of a version that the ledger says are in the table."""
        if not entry.serving or entry.facts is None or entry.dataset != self._dataset.name:
            return 0
        return entry.facts.rows_rejected if self._rejected else entry.facts.rows_accepted

    # ---- what differs

    def _look_again(self, refs: Sequence[VersionRef]) -> None:
        """Name each version whose rows still differ, unless a version of its key is on its way."""
        ledger, tables = self._gate.ledger, self._gate.tables
        for part in _parts(refs):
            beside = ledger.versions_beside(part)
            still = [ref for ref in part if not any(e.state in _ON_ITS_WAY for e in beside[ref])]
            self._proof.moving += len(part) - len(still)
            entries = {e.ref: e for ref in still for e in beside[ref] if e.ref == ref}
            sources = {ref: SourceVersion(e.version.key, e.version.version_id) for ref, e in entries.items()}
            now = tables.current(self._table)
            found = tables.find_sources(now, self._table, list(sources.values()))
            there = {one.source: one.rows for one in found}
            for ref, entry in entries.items():
                rows, expected = there.get(sources[ref], 0), self._expected(entry)
                if rows != expected:
                    day = entry.landing_day.isoformat()
                    self._tell(
                        f"{_named(sources[ref])} has {_rows(rows)} in it, but the ledger says {expected:,}"
                        f"{'' if entry.serving else f' ({entry.outcome.value})'}. Process its day {day} again: "
                        "the rows replace themselves"
                    )

    def _compare_days(self, before: dict[date, int]) -> None:
        """The sums by landing day: what the table lacks altogether is found here."""
        differ = [day for day in sorted({*before, *self._rows}) if before.get(day, 0) != self._rows.get(day, 0)]
        for day in differ:
            named, moving = self._named, self._proof.moving
            serving = 0
            lacking: list[VersionRef] = []
            for part in _parts(self._gate.ledger.versions_of_days(self._dataset.name, [day])):
                held = [e for e in self._gate.ledger.entries_of(part) if self._expected(e)]
                serving += sum(self._expected(e) for e in held)
                sources = {SourceVersion(e.version.key, e.version.version_id): e.ref for e in held}
                now = self._gate.tables.current(self._table)
                found = {one.source for one in self._gate.tables.find_sources(now, self._table, list(sources))}
                lacking += [ref for source, ref in sources.items() if source not in found]
            self._look_again(lacking)
            after = self._counts().get(day, 0)
            if after != before.get(day, 0):
                self._proof.moving += 1
            elif serving != after:
                what = "rejected rows" if self._rejected else "rows"
                self._tell(
                    f"of {day.isoformat()} the ledger counts {after:,} {what}, but its files that serve have {serving:,}"
                )
            elif self._named == named and self._proof.moving == moving and not self._differ:
                self._proof.moving += 1  # equal by now: a commit came between the two looks

    def _counts(self) -> dict[date, int]:
        return {line.landing_day: self._of(line) for line in self._gate.ledger.counts(self._dataset.name)}

    def _of(self, line: DayCounts) -> int:
        return line.rows_rejected if self._rejected else line.rows_in_table


def _rows(number: int) -> str:
    return f"{number:,} row" if number == 1 else f"{number:,} rows"


def _named(source: SourceVersion) -> str:
    return f"{printable(source.key)} (version {printable(source.version_id)})"


def _parts(things: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(things), _AT_ONCE):
        yield things[start : start + _AT_ONCE]
