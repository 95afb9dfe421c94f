"""After a contract has changed: what was read under an older one, and processing that again, on request.

Counted, not searched: each day's counters hold how much it has under each contract (`ContractCounts`), and move in the
transactions that change the entries. Only making versions due looks at entries, of the days that have some.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice

from pipelines.accounting.day_counts import ContractCounts, DayCounts
from pipelines.accounting.entries import LedgerEntry, VersionRef
from pipelines.accounting.ledger import Ledger
from pipelines.accounting.states import Outcome
from pipelines.contracts.model import Dataset
from pipelines.contracts.schema import fingerprint
from pipelines.intake.replay import Asked, Replayed, make_due_in_parts

__all__ = ["ContractImpact", "DayImpact", "contract_impact", "impact_of", "process_again"]

_DAYS_AT_ONCE = 31
_ENTRIES_AT_ONCE = 500
_NOTHING = ContractCounts()


@dataclass(frozen=True, slots=True)
class DayImpact:
    """What one landing day has under contracts that are not today's.

    `files` serve, with `rows` in the table; `quarantined` and `empty` were judged by an older contract and might pass now.
    `refused` of the serving files were processed again already: today's contract rejects them (or finds them empty), and the
    rows they had stay. `by_contract` holds serving files by fingerprint; what a release before this one did not count, under "".
    """

    landing_day: date
    files: int = 0
    rows: int = 0
    quarantined: int = 0
    empty: int = 0
    refused: int = 0
    by_contract: tuple[tuple[str, int], ...] = ()

    @property
    def to_process(self) -> int:
        """Files that processing again would judge anew."""
        return self.files - self.refused + self.quarantined + self.empty


@dataclass(frozen=True, slots=True)
class ContractImpact:
    """A dataset's days that have something of an older contract than `contract`, in order."""

    dataset: str
    contract: str
    days: tuple[DayImpact, ...]

    def total(self, name: str) -> int:
        """The sum of a number over all days."""
        return sum(getattr(day, name) for day in self.days)

    @property
    def is_current(self) -> bool:
        """Whether everything was judged by today's contract."""
        return not self.days

    def sentence(self) -> str:
        """For people: what is not of today's contract, and what to do."""
        if self.is_current:
            return f"Every file was read under today's contract ({self.contract})."
        parts: list[str] = []
        waiting = self.total("files") - self.total("refused")
        first, last = self.days[0].landing_day, self.days[-1].landing_day
        span = f"of {first}" if first == last else f"of {len(self.days):,} days from {first} to {last}"
        if waiting:
            parts.append(
                f"{_files(waiting)} in the table {'was' if waiting == 1 else 'were'} read under an older contract"
            )
        if rejected := self.total("quarantined") + self.total("empty"):
            parts.append(f"{_files(rejected)} {'was' if rejected == 1 else 'were'} turned away under an older contract")
        if refused := self.total("refused"):
            parts.append(f"{_files(refused)} would be turned away by today's contract; the rows they had stay")
        told = f"{'; '.join(parts)} ({span})."
        if not self.total("to_process"):
            return f"{told} Have them sent again, corrected, or set the contract back."
        return (
            f"{told} To process again what an older contract judged: lakegate datasets impact {self.dataset} --process"
        )


def contract_impact(ledger: Ledger, dataset: Dataset) -> ContractImpact:
    """What the dataset has under contracts that are not today's, from its counters."""
    return impact_of(dataset, ledger.counts(dataset.name))


def impact_of(dataset: Dataset, counts: Sequence[DayCounts]) -> ContractImpact:
    """The same, from counters at hand. Pure."""
    today = fingerprint(dataset)
    days = (_impact_of_day(day, today) for day in counts)
    return ContractImpact(dataset.name, today, tuple(day for day in days if day.to_process or day.refused))


def process_again(
    ledger: Ledger, dataset: Dataset, asked: Asked, *, first: date | None = None, last: date | None = None
) -> Replayed:
    """Make due again what an older contract judged, of all days or of those from `first` to `last`.

    What today's contract has turned away already stays as it is. Safe to do twice.
    """
    impact = contract_impact(ledger, dataset)
    days = [
        day.landing_day
        for day in impact.days
        if day.to_process and (first is None or day.landing_day >= first) and (last is None or day.landing_day <= last)
    ]
    refs = _older(ledger, dataset.name, days, impact.contract)
    deed = asked.to(
        "process days again", dataset.name, contract=impact.contract, first=first, last=last, days=len(days)
    )
    return make_due_in_parts(ledger, refs, asked.words(f"processed again under the contract {impact.contract}"), deed)


def _older(ledger: Ledger, dataset: str, days: Sequence[date], today: str) -> Iterator[VersionRef]:
    for start in range(0, len(days), _DAYS_AT_ONCE):
        some = frozenset(days[start : start + _DAYS_AT_ONCE])
        refs = iter(ledger.versions_of_days(dataset, some))
        while part := list(islice(refs, _ENTRIES_AT_ONCE)):
            yield from (e.ref for e in ledger.entries_of(part) if e.landing_day in some and _is_older(e, today))


def _is_older(entry: LedgerEntry, today: str) -> bool:
    counts = entry.serving or entry.outcome in (Outcome.QUARANTINED, Outcome.EMPTY)
    judged = (facts.contract for facts in (entry.facts, entry.rejudged) if facts is not None)
    return counts and entry.facts is not None and today not in judged


def _impact_of_day(counts: DayCounts, today: str) -> DayImpact:
    now = counts.contracts.get(today, _NOTHING)
    files = max(0, counts.serving_files - now.serving_files)
    older = {name: c.serving_files for name, c in counts.contracts.items() if name != today and c.serving_files > 0}
    if uncounted := files - sum(older.values()):
        older[""] = uncounted
    return DayImpact(
        counts.landing_day,
        files=files,
        rows=max(0, counts.rows_in_table - now.rows),
        quarantined=max(0, counts.outcomes.get(Outcome.QUARANTINED, 0) - now.quarantined),
        empty=max(0, counts.outcomes.get(Outcome.EMPTY, 0) - now.empty),
        refused=min(files, now.refused),
        by_contract=tuple(sorted(older.items())),
    )


def _files(number: int) -> str:
    return f"{number:,} {'file' if number == 1 else 'files'}"
