"""Days taken again on purpose: a run that nobody planned for plans its own batches. Safe to press twice.

The days are taken one after the other: a day's files become due when its turn comes and are planned in the same breath. What
was due longer would be due for everybody, and the landing sensor would take it for its own.

The index of what is due may lag a moment behind on DynamoDB, so the work is not looked up there: what was just made due is
planned by its own names.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from pipelines.accounting.audit import Deed
from pipelines.accounting.entries import Batch, LedgerEntry, Planned, VersionRef
from pipelines.accounting.states import DUE_STATES, State, Trigger
from pipelines.contracts.model import Dataset
from pipelines.contracts.schema import fingerprint
from pipelines.errors import ConfigurationError
from pipelines.gate import Gate
from pipelines.intake.objects import ObjectVersion
from pipelines.intake.planning import plan_batches
from pipelines.intake.receiving import sighting_of
from pipelines.intake.routing import event_day
from pipelines.printable import printable
from pipelines.telemetry.planned import tell_planned

__all__ = ["Choice", "Taken", "is_judged_by", "take_days", "take_versions"]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which files of the days: those with these `keys` (none named: all).

    Without `force`, none that the contract given today has judged already: then only those that wait, those that failed, and
    those an older contract judged.
    """

    keys: tuple[str, ...] = ()
    force: bool = True


@dataclass(slots=True)
class Taken:
    """The batches of a run over some days, planned as it goes, and sentences about what was left as it is or to others."""

    gate: Gate
    dataset: Dataset
    run_key: str
    waves: Iterator[list[VersionRef]]
    notes: list[str] = field(default_factory=list[str])

    def batches(self) -> Iterator[Batch]:
        """Plan the next batches and give them out, until none of the days' files waits that this run may have.

        A day with more files than one batch takes is planned again when its first batch is done: the caller processes
        each batch before it asks for the next.
        """
        for wave in self.waves:
            yield from self._of(wave)

    def _of(self, pending: Sequence[VersionRef]) -> Iterator[Batch]:
        ledger = self.gate.ledger
        taken_by_others: set[date] = set()
        while pending:
            began = self.gate.clock()
            due = [e for e in ledger.entries_of(pending) if e.state in DUE_STATES]
            planned: list[Batch] = []
            for batch in plan_batches(due, taken_by_others, ledger.new_id, trigger=Trigger.BACKFILL):
                mine = replace(batch, run_key=self.run_key)
                if isinstance(ledger.plan(mine), Planned):
                    planned.append(mine)
                    tell_planned(self.gate.tracer, self.gate.clock, mine, due, began)
                    yield mine
                else:
                    taken_by_others.add(batch.landing_day)
                    self.notes.append(f"{batch.landing_day}: another run works on this day; its files are left to it")
            if not planned:
                return
            done = {member.ref for batch in planned for member in batch.members}
            if self.dataset.partition_by:  # a batch may have had no room for some: they are due as they were
                done -= {entry.ref for entry in ledger.entries_of(list(done)) if entry.state is State.SEEN}
            pending = [ref for ref in pending if ref not in done]


def take_days(gate: Gate, dataset: Dataset, days: Sequence[date], run_key: str, choice: Choice | None = None) -> Taken:
    """Make the serving and the never accepted versions of these days due again, a day at a time, for this run to process.

    Raises ConfigurationError when `choice` names a key that the ledger has no object of: nothing was made due.
    """
    choice = choice or Choice()
    if not days:
        return Taken(gate, dataset, run_key, iter(()), [])
    said = {"first": min(days), "last": max(days), "days": len(days), "keys": choice.keys, "force": choice.force}
    gate.ledger.audit.note(Deed(f"Dagster run {run_key}", "process days again", dataset.name, said, run=run_key))
    notes: list[str] = []
    chosen = _by_key(gate, dataset, frozenset(days), choice.keys, notes) if choice.keys else None
    by_day = chosen if chosen is not None else gate.ledger.versions_by_day(dataset.name, days)
    return Taken(gate, dataset, run_key, _due(gate, dataset, by_day, run_key, choice, notes), notes)


def _due(
    gate: Gate,
    dataset: Dataset,
    by_day: Iterable[tuple[date, list[VersionRef]]],
    run_key: str,
    choice: Choice,
    notes: list[str],
) -> Iterator[list[VersionRef]]:
    """Make the files of one day after the other due; what was, of each."""
    ledger, contract = gate.ledger, fingerprint(dataset)
    found = current = 0
    for day, listed in by_day:
        refs = listed
        if not choice.force:
            refs = [entry.ref for entry in ledger.entries_of(listed) if not is_judged_by(entry, contract)]
            current += len(listed) - len(refs)
        made = ledger.make_due(refs, Trigger.BACKFILL, f"run {run_key} was asked for this day")
        found += len(made.due) + len(made.held)
        if made.held:
            notes.append(f"{day}: {_files(made.held)} with another run now, left to it")
        yield list(made.due)
    if current:
        notes.append(f"{current:,} of the files were judged by today's contract already and stay as they are")
    elif not found:
        notes.append("none of these days has a file to process")


def is_judged_by(entry: LedgerEntry, contract: str) -> bool:
    """Whether a version is settled, and by this contract: processing it again would come to the same."""
    judged = entry.state in (State.COMMITTED, State.QUARANTINED, State.EMPTY)
    return judged and contract in (facts.contract for facts in (entry.facts, entry.rejudged) if facts is not None)


def _by_key(
    gate: Gate, dataset: Dataset, days: frozenset[date], keys: Sequence[str], notes: list[str]
) -> list[tuple[date, list[VersionRef]]]:
    """The versions of these keys that are of these days."""
    by_day: dict[date, list[VersionRef]] = {}
    unknown: list[str] = []
    for key in dict.fromkeys(keys):
        entries = gate.ledger.entries(gate.landing_bucket, key)
        mine = [entry for entry in entries if entry.dataset == dataset.name]
        if not entries:
            unknown.append(key)
        elif not mine:
            notes.append(f"{printable(key)} belongs to another dataset ({entries[-1].dataset or 'none claims it'})")
        elif not any(entry.landing_day in days for entry in mine):
            notes.append(f"{printable(key)} is of {mine[-1].landing_day}, not of a day that was asked for")
        for entry in mine:
            if entry.landing_day in days:
                by_day.setdefault(entry.landing_day, []).append(entry.ref)
    if unknown:
        raise ConfigurationError(unknown_keys(unknown, gate.landing_bucket))
    return sorted(by_day.items())


def unknown_keys(keys: Sequence[str], bucket: str) -> str:
    """What to say of keys that the ledger has no object of."""
    shown = ", ".join(printable(key) for key in keys[:10]) + (" …" if len(keys) > 10 else "")
    return (
        f"The ledger knows no object under {shown}. Keys are written as in the bucket {bucket}, such as "
        "landing/flights/2024-03-01.csv. If the object is there, the job `sweep` registers it."
    )


def take_versions(gate: Gate, dataset: Dataset, versions: Sequence[ObjectVersion], run_key: str) -> Taken:
    """Register object versions that no event tells of, for this run to process: how `convert` gets its work.

    What an earlier run registered and did not live to plan is taken along.
    """
    sightings = [sighting_of(version, (dataset,), event_day(gate.clock()), source="convert") for version in versions]
    known = [sighting for sighting in sightings if sighting is not None]
    left = [entry.ref for entry in gate.ledger.due(dataset.name)]
    gate.ledger.register(known, gate.retracting)
    return Taken(gate, dataset, run_key, iter([[*left, *(s.ref for s in known)]]))


def _files(refs: Sequence[VersionRef]) -> str:
    return f"{len(refs):,} {'file is' if len(refs) == 1 else 'files are'}"
