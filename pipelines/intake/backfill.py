"""Days taken again on purpose: a run that nobody planned for plans its own batches. Safe to press twice.

The index of what is due may lag a moment behind on DynamoDB, so the work is not looked up there: what was just made due is
planned by its own names.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from pipelines.accounting.entries import Batch, Planned, VersionRef
from pipelines.accounting.states import DUE_STATES, State, Trigger
from pipelines.contracts.model import Dataset
from pipelines.gate import Gate
from pipelines.intake.objects import ObjectVersion
from pipelines.intake.planning import plan_batches
from pipelines.intake.receiving import sighting_of
from pipelines.intake.routing import event_day

__all__ = ["Taken", "take_days", "take_versions"]


@dataclass(slots=True)
class Taken:
    """The batches of a run over some days, planned as it goes, and sentences about what was left to others."""

    gate: Gate
    dataset: Dataset
    run_key: str
    pending: list[VersionRef]
    notes: list[str] = field(default_factory=list[str])

    def batches(self) -> Iterator[Batch]:
        """Plan the next batches and give them out, until none of the days' files waits that this run may have.

        A day with more files than one batch takes is planned again when its first batch is done: the caller processes
        each batch before it asks for the next.
        """
        ledger = self.gate.ledger
        taken_by_others: set[date] = set()
        while self.pending:
            due = [e for e in ledger.entries_of(self.pending) if e.state in DUE_STATES]
            planned: list[Batch] = []
            for batch in plan_batches(due, taken_by_others, ledger.new_id, trigger=Trigger.BACKFILL):
                mine = replace(batch, run_key=self.run_key)
                if isinstance(ledger.plan(mine), Planned):
                    planned.append(mine)
                    yield mine
                else:
                    taken_by_others.add(batch.landing_day)
                    self.notes.append(f"{batch.landing_day}: another run works on this day; its files are left to it")
            if not planned:
                return
            done = {member.ref for batch in planned for member in batch.members}
            if self.dataset.partition_by:  # a batch may have had no room for some: they are due as they were
                done -= {entry.ref for entry in ledger.entries_of(list(done)) if entry.state is State.SEEN}
            self.pending = [ref for ref in self.pending if ref not in done]


def take_days(gate: Gate, dataset: Dataset, days: Sequence[date], run_key: str) -> Taken:
    """Make the serving and the never accepted versions of these days due again, for this run to process."""
    made = gate.ledger.make_days_due(dataset.name, days, Trigger.BACKFILL, f"run {run_key} was asked for these days")
    taken = Taken(gate, dataset, run_key, list(made.due))
    if made.held:
        taken.notes.append(f"{len(made.held)} files are with another run now; they are left to it")
    if not made.due and not made.held:
        taken.notes.append("none of these days has a file to process")
    return taken


def take_versions(gate: Gate, dataset: Dataset, versions: Sequence[ObjectVersion], run_key: str) -> Taken:
    """Register object versions that no event tells of, for this run to process: how `convert` gets its work.

    What an earlier run registered and did not live to plan is taken along.
    """
    sightings = [sighting_of(version, (dataset,), event_day(gate.clock()), source="convert") for version in versions]
    known = [sighting for sighting in sightings if sighting is not None]
    left = [entry.ref for entry in gate.ledger.due(dataset.name)]
    gate.ledger.register(known, gate.retracting)
    return Taken(gate, dataset, run_key, [*left, *(s.ref for s in known)])
