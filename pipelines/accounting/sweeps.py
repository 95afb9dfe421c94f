"""What sweeps leave in the books: how each day last compared with the bucket, and what the last sweep of a dataset found.

A version that is gone never comes back, and a day's number of versions never falls: a day whose two numbers are those of
the last comparison needs no second look. So a sweep costs the listing, and work only where something changed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from pipelines.accounting.books import Books
from pipelines.accounting.items import FORMAT
from pipelines.accounting.keys import NO_DATASET, iso, parse_iso
from pipelines.ports import ItemKey, ItemValue, Put

__all__ = ["LastSweep", "SweepRecords", "SweptDay"]

_MOST_PROBLEMS = 50
_LONGEST_PROBLEM = 2000


@dataclass(frozen=True, slots=True)
class SweptDay:
    """A day as a sweep proved it: `objects` versions in the ledger, of which the bucket listed `listed`; the others are gone."""

    dataset: str | None
    landing_day: date
    objects: int
    listed: int


@dataclass(frozen=True, slots=True)
class LastSweep:
    """What the last sweep of a dataset (None: of what no dataset claims) came to. `problems` are those it could not put right."""

    dataset: str | None
    at: datetime
    listed: int
    problems: tuple[str, ...]


class SweepRecords:
    """Reads and writes what sweeps leave."""

    def __init__(self, books: Books) -> None:
        """Works on the books given."""
        self._books = books

    def days(self, dataset: str | None) -> Mapping[date, SweptDay]:
        """The proved days of a dataset that lack versions: one that lists all it has needs no record."""
        found = (
            SweptDay(
                dataset, date.fromisoformat(str(item["landing_day"])), _number(item["objects"]), _number(item["listed"])
            )
            for item in self._books.query(f"swept#{dataset or NO_DATASET}")
        )
        return {day.landing_day: day for day in found}

    def write_days(self, days: Iterable[SweptDay]) -> None:
        """Remember proved days."""
        for day in days:
            key = ItemKey(f"swept#{day.dataset or NO_DATASET}", day.landing_day.isoformat())
            said = {"landing_day": day.landing_day.isoformat(), "objects": day.objects, "listed": day.listed}
            self._books.write([Put(key, {"format": FORMAT, **said})])

    def last(self) -> Mapping[str | None, LastSweep]:
        """The last sweep of each dataset that was ever swept."""
        found: dict[str | None, LastSweep] = {}
        for item in self._books.query("sweeps"):
            name = str(item["dataset"])
            dataset = None if name == NO_DATASET else name
            problems = item["problems"]
            told = tuple(map(str, problems)) if isinstance(problems, list) else ()
            found[dataset] = LastSweep(dataset, parse_iso(str(item["at"])), _number(item["listed"]), told)
        return found

    def write_last(self, sweeps: Iterable[LastSweep]) -> None:
        """Remember what a sweep came to; of many problems the first."""
        for sweep in sweeps:
            name = sweep.dataset or NO_DATASET
            problems = [problem[:_LONGEST_PROBLEM] for problem in sweep.problems[:_MOST_PROBLEMS]]
            said: dict[str, ItemValue] = {"dataset": name, "at": iso(sweep.at), "listed": sweep.listed}
            self._books.write([Put(ItemKey("sweeps", name), {"format": FORMAT, **said, "problems": [*problems]})])


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is no number")
    return value
