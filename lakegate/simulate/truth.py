"""What must hold, from a dictionary of what was put: at every commit of a table, and when all is at rest."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lakegate.simulate.reading import Judged, judged
from pipelines.accounting.balance import balance
from pipelines.accounting.changes import counts_for
from pipelines.accounting.entries import LedgerEntry
from pipelines.accounting.items import decode_entry
from pipelines.accounting.states import Outcome
from pipelines.contracts.rejected import bad_row_limit, rejected_dataset
from pipelines.contracts.schema import SOURCE_LINE, SOURCE_VERSION
from pipelines.errors import ObjectGoneError, PermanentError
from pipelines.intake.objects import ObjectVersion
from pipelines.ports import SourceVersion

if TYPE_CHECKING:
    from lakegate.simulate.world import World

__all__ = ["QUARANTINE", "Truth", "Violated"]

QUARANTINE = "quarantine-bucket"


class Violated(Exception):  # noqa: N818 - what is raised is what was found
    """Something that must hold does not. `kind` names which of the promises."""

    def __init__(self, kind: str, found: str) -> None:
        """`found` is a sentence for people."""
        super().__init__(found)
        self.kind = kind
        self.found = found


@dataclass(slots=True)
class _Known:
    """One version as it was put, and its worth.

    `gone`: it was deleted for good. `hidden_by` are the delete markers above it; `ever_removed`: it was out of sight at some time.
    """

    version: ObjectVersion
    content: str
    worth: Judged
    gone: bool = False
    hidden_by: set[str] = field(default_factory=set[str])
    ever_removed: bool = False

    @property
    def in_sight(self) -> bool:
        """Whether its object is there now."""
        return not self.gone and not self.hidden_by


class Truth:
    """The dictionary, and the checks."""

    def __init__(self, world: "World") -> None:
        """Knows nothing yet."""
        self._world = world
        self._known: dict[str, _Known] = {}
        self._shown: dict[str, str] = {}
        """The version of each key that readers have seen last."""

    def put(self, version: ObjectVersion, content: str) -> None:
        """A version was put; of one key, in order."""
        self._known[version.version_id] = _Known(version, content, judged(content, self._world.dataset))

    def gone(self, version: ObjectVersion) -> None:
        """A version was deleted for good."""
        known = self._known[version.version_id]
        known.gone = known.ever_removed = True

    def hidden(self, marker: ObjectVersion) -> None:
        """A delete marker was put: it hides what is there of its key."""
        for known in self._known.values():
            if known.version.key == marker.key:
                known.hidden_by.add(marker.version_id)
                known.ever_removed = True

    def shown(self, marker: ObjectVersion) -> None:
        """A delete marker was deleted."""
        for known in self._known.values():
            known.hidden_by.discard(marker.version_id)

    def _is_above(self, one: str, other: str) -> bool:
        order = list(self._known)
        return order.index(one) > order.index(other)

    # ---- at every commit

    def check_commit(self, sources: Mapping[SourceVersion, int]) -> None:
        """A new state of the table: whole accepted files, one version of a key, and never back to an older one."""
        shown: dict[str, str] = {}
        for source, rows in sources.items():
            known = self._known.get(source.version_id)
            if known is None or not known.worth.accepted:
                raise Violated("wrong rows", f"the table holds rows of {source.version_id}, which is no good file")
            if rows != known.worth.rows:
                raise Violated(
                    "not whole",
                    f"the table holds {rows} rows of {source.version_id}, the file has {known.worth.rows}",
                )
            if source.key in shown:
                raise Violated(
                    "two generations", f"the table holds rows of {shown[source.key]} and of {source.version_id} at once"
                )
            shown[source.key] = source.version_id
        for key, before in self._shown.items():
            now = shown.get(key)
            if self._world.dataset.retracts and self._known[before].ever_removed:
                continue
            if now is None:
                if not self._emptied(before):
                    raise Violated("lost rows", f"the rows of {before} left the table and no newer version came")
            elif now != before and self._is_above(before, now):
                raise Violated("back in time", f"the table went from {before} back to {now}")
        self._shown = shown

    def _emptied(self, before: str) -> bool:
        """Whether a newer version of the key counts although it has no row."""
        key = self._known[before].version.key
        return any(
            k.worth.accepted and not k.worth.rows
            for v, k in self._known.items()
            if k.version.key == key and self._is_above(v, before)
        )

    # ---- at rest

    def check_rest(self) -> None:
        """Everything, once nothing is under way any more. Raises Violated."""
        entries = self._entries()
        for version_id, known in self._known.items():
            if version_id not in entries and not known.gone:
                raise Violated("forgotten", f"the ledger does not know {version_id}")
        serving: dict[str, str | None] = {}
        for key in sorted({known.version.key for known in self._known.values()}):
            serving[key] = self._serving(key, entries)
            self._check_outcomes(key, serving[key], entries)
        self._check_tables({version for version in serving.values() if version is not None})
        self._check_books(entries)
        self._check_messages()

    def _entries(self) -> dict[str, LedgerEntry]:
        items = self._world.items.items()
        entries = [decode_entry(item) for key, item in items.items() if key.sk.startswith("version#")]
        return {entry.version.version_id: entry for entry in entries}

    def _serving(self, key: str, entries: Mapping[str, LedgerEntry]) -> str | None:
        """The highest accepted version, and where removed rows are retracted the highest in sight.

        Where they are kept, one that was deleted may have been read before, or not: the ledger says.
        """
        mine = [v for v, k in self._known.items() if k.version.key == key and k.worth.accepted]
        if self._world.dataset.retracts:
            there = [v for v in mine if self._known[v].in_sight]
            return there[-1] if there else None
        sure = [v for v in mine if not self._known[v].gone or (v in entries and entries[v].serving)]
        return sure[-1] if sure else None

    def _check_outcomes(self, key: str, serving: str | None, entries: Mapping[str, LedgerEntry]) -> None:
        for version_id, known in self._known.items():
            entry = entries.get(version_id)
            if known.version.key != key or entry is None:
                continue
            below = serving is not None and self._is_above(serving, version_id)
            expected = {self._outcome(known, version_id == serving, below)}
            if self._world.dataset.retracts:
                expected = expected if known.in_sight else {Outcome.REMOVED}
            elif known.gone and version_id != serving:
                expected |= {Outcome.REMOVED, Outcome.SUPERSEDED} if below else {Outcome.REMOVED}
            if entry.outcome not in expected:
                wanted = " or ".join(sorted(expected))
                raise Violated(
                    "wrong outcome",
                    f"{version_id} is {entry.outcome} ({entry.state}), expected {wanted}; {serving or 'nothing'} serves",
                )
            if entry.serving != (version_id == serving):
                raise Violated("wrong outcome", f"{version_id} {'serves' if entry.serving else 'does not serve'}")
            if entry.outcome is Outcome.QUARANTINED:
                self._check_quarantine(entry)

    @staticmethod
    def _outcome(known: _Known, serves: bool, below: bool) -> Outcome:
        if serves:
            return Outcome.LOADED
        if known.worth.empty:
            return Outcome.EMPTY
        if known.worth.accepted:
            return Outcome.SUPERSEDED if below else Outcome.LOADED
        return Outcome.SUPERSEDED if below else Outcome.QUARANTINED

    def _check_quarantine(self, entry: LedgerEntry) -> None:
        report = entry.facts.report_key if entry.facts is not None else None
        known = self._known[entry.version.version_id]
        try:
            assert report is not None  # noqa: S101 - a quarantined file has a report, or the next line tells
            copy = self._world.objects.get_bytes(QUARANTINE, f"{report.rpartition('/')[0]}/object")
            self._world.objects.get_bytes(QUARANTINE, report)
        except (AssertionError, ObjectGoneError):
            raise Violated("quarantine", f"{entry.version.version_id} is quarantined without its report") from None
        if copy.decode() != known.content:
            raise Violated("quarantine", f"the copy of {entry.version.version_id} is not the object")

    def _check_tables(self, serving: set[str]) -> None:
        dataset = self._world.dataset
        wanted = {v: self._known[v].worth.rows for v in serving if self._known[v].worth.rows}
        self._check_table(dataset.name, wanted)
        if bad_row_limit(dataset) is not None:
            wanted = {v: self._known[v].worth.bad for v in serving if self._known[v].worth.bad}
            self._check_table(rejected_dataset(dataset).name, wanted)

    def _check_table(self, name: str, wanted: Mapping[str, int]) -> None:
        dataset = self._world.dataset
        of = dataset if name == dataset.name else rejected_dataset(dataset)
        try:
            rows = self._world.tables.rows(of).to_pylist()
        except PermanentError:
            rows = []  # no run ever needed the table
        found = Counter(row[SOURCE_VERSION] for row in rows)
        if found != wanted:
            raise Violated("wrong rows", f"{name} holds {_counted(found)}, expected {_counted(wanted)}")
        if len({(row[SOURCE_VERSION], row[SOURCE_LINE]) for row in rows}) != len(rows):
            raise Violated("wrong rows", f"{name} holds a row twice")
        for row in rows:
            if row["content" if of is dataset else "raw"] != self._known[row[SOURCE_VERSION]].content:
                raise Violated("wrong rows", f"{name} holds rows of {row[SOURCE_VERSION]} with another's content")

    def _check_books(self, entries: Mapping[str, LedgerEntry]) -> None:
        counts = self._world.ledger.counts()
        sheet = balance(counts)
        if sheet.problems:
            raise Violated("balance sheet", "; ".join(sheet.problems))
        if sheet.objects != len(entries):
            raise Violated("balance sheet", f"{sheet.objects} objects are counted, the ledger has {len(entries)}")
        sums: Counter[str] = Counter()
        for entry in entries.values():
            sums.update(counts_for(entry))
        told: Counter[str] = Counter()
        for line in counts:
            told.update({o.value: n for o, n in line.outcomes.items()})
            told.update(rows_in_table=line.rows_in_table, rows_rejected=line.rows_rejected, bytes=line.bytes)
        for name, number in told.items():
            if sums[name] != number:
                raise Violated("balance sheet", f"{name} is counted as {number}, the entries come to {sums[name]}")

    def _check_messages(self) -> None:
        if len(self._world.queue):
            raise Violated("messages", f"{len(self._world.queue)} messages are left in the queue")


def _counted(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{number} of {version}" for version, number in sorted(rows.items())) or "nothing"
