"""The balance sheet: per dataset and day, each object in exactly one outcome and each row in one place. Pure.

It is made from counters that move in the same transactions as the entries. That they agree with the bucket and with the
tables themselves is shown elsewhere (sweep, asset check): a sheet that checks itself against itself proves little.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from pipelines.accounting.day_counts import DayCounts
from pipelines.accounting.states import Outcome

__all__ = ["BalanceLine", "BalanceSheet", "balance"]


@dataclass(frozen=True, slots=True)
class BalanceLine:
    """One dataset and day (None: all days of it, or what no dataset claims), and what does not add up in it."""

    counts: DayCounts
    problems: tuple[str, ...]

    @property
    def dataset(self) -> str | None:
        """The dataset; None for what no dataset claims."""
        return self.counts.dataset

    @property
    def landing_day(self) -> date:
        """The day."""
        return self.counts.landing_day


@dataclass(frozen=True, slots=True)
class BalanceSheet:
    """All lines, by dataset and day."""

    lines: tuple[BalanceLine, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that does not add up; empty when the books balance."""
        return tuple(problem for line in self.lines for problem in line.problems)

    @property
    def objects(self) -> int:
        """Object versions ever seen."""
        return sum(line.counts.objects for line in self.lines)

    def outcome(self, outcome: Outcome) -> int:
        """Object versions in an outcome, over all lines."""
        return sum(line.counts.outcomes.get(outcome, 0) for line in self.lines)

    @property
    def at_rest(self) -> bool:
        """Whether nothing is pending."""
        return self.outcome(Outcome.PENDING) == 0


def balance(counts: Iterable[DayCounts]) -> BalanceSheet:
    """The sheet of these counters, with every problem found."""
    ordered = sorted(counts, key=lambda c: (c.dataset or "", c.landing_day))
    return BalanceSheet(tuple(BalanceLine(c, tuple(_problems(c))) for c in ordered))


def _problems(counts: DayCounts) -> Iterable[str]:
    where = f"{counts.dataset or 'no dataset'}, {counts.landing_day.isoformat()}"
    told = sum(counts.outcomes.values())
    if told != counts.objects:
        yield f"{where}: {counts.objects} objects were seen, but {told} have an outcome"
    for outcome, number in counts.outcomes.items():
        if number < 0:
            yield f"{where}: {number} objects are {outcome}: a count cannot be negative"
    read, kept, rejected = counts.rows_read, counts.rows_in_table, counts.rows_rejected
    if read != kept + rejected:
        yield f"{where}: serving files hold {read} rows, but {kept} are in the table and {rejected} rejected"
    if counts.outcomes.get(Outcome.PENDING, 0) == 0 and counts.outcomes.get(Outcome.FAILED, 0) == 0:
        loaded = counts.outcomes.get(Outcome.LOADED, 0)
        if loaded != counts.serving_files:
            yield f"{where}: {loaded} files are loaded, but {counts.serving_files} serve"
