"""What each landing day of a dataset looks like in the table: how many rows, how many nulls a column, and when a file last came.

    profiles#<dataset>     <landing_day>     one small item a day: `rows`, `nulls.<column>` where there are any, `arrived_at`

For comparing a day with the days before it, not for accounting: the counters (`day_counts.py`) count each file and row, this knows of
a file that was replaced only how many rows it took away, and takes them for average ones. A run that publishes all a day has makes
it exact again. One read and one write a run and day.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from pipelines.accounting.books import Books
from pipelines.accounting.items import FORMAT
from pipelines.accounting.keys import iso, parse_iso
from pipelines.errors import TransientError
from pipelines.ports import Absent, Condition, Equals, Item, ItemKey, ItemValue, Put, Written

__all__ = ["DayProfile", "Profiles", "after_publishing"]

_ROUNDS = 20
_NULLS = "nulls."


@dataclass(frozen=True, slots=True)
class DayProfile:
    """One landing day. `rows` are those of which nulls are known; a column without nulls is not in `nulls`.

    `arrived_at` is when a file that its producer sent was last published (aware, UTC), not one that was processed again.
    """

    landing_day: date
    rows: int = 0
    nulls: Mapping[str, int] = field(default_factory=dict[str, int])
    arrived_at: datetime | None = None
    revision: int = 0

    def null_share(self, column: str) -> float:
        """The share of null in a column. `rows` must not be 0."""
        return self.nulls.get(column, 0) / self.rows


def after_publishing(before: DayProfile, rows: int, nulls: Mapping[str, int], rows_in_table: int) -> DayProfile:
    """The day after `rows` with these nulls came into the table, which now has `rows_in_table` of the day.

    Of the rows known before, as many stay as there is room for; their nulls stay in proportion.
    """
    rows = min(rows, rows_in_table)
    kept = min(before.rows, rows_in_table - rows)
    share = kept / before.rows if before.rows else 0.0
    columns = dict.fromkeys((*before.nulls, *nulls))
    counts = {name: round(before.nulls.get(name, 0) * share) + nulls.get(name, 0) for name in columns}
    return replace(before, rows=rows + kept, nulls={name: count for name, count in counts.items() if count})


class Profiles:
    """The days of all datasets."""

    def __init__(self, books: Books) -> None:
        """Works on the books given."""
        self._books = books

    def published(
        self, dataset: str, day: date, rows: int, nulls: Mapping[str, int], rows_in_table: int, *, arrived: bool
    ) -> DayProfile:
        """Write down what a run published of a day; the day after it. `arrived`: a producer had sent it.

        Raises TransientError when it keeps changing, or the store cannot be reached.
        """
        key = ItemKey(f"profiles#{dataset}", day.isoformat())
        for _ in range(_ROUNDS):
            found = self._books.store.get([key]).get(key)
            before = DayProfile(day) if found is None else _decode(found)
            after = after_publishing(before, rows, nulls, rows_in_table)
            if arrived:
                after = replace(after, arrived_at=self._books.now())
            same: Condition = Equals("revision", before.revision) if before.revision else Absent()
            after = replace(after, revision=before.revision + 1)
            if isinstance(self._books.write([Put(key, _encode(after), (same,))]), Written):
                return after
        raise TransientError(f"the profile of {dataset} {day} changes too often; try again")

    def since(self, dataset: str, day: date) -> list[DayProfile]:
        """The dataset's days from this one on, in order."""
        found: list[DayProfile] = []
        for item in self._books.query(f"profiles#{dataset}", descending=True):
            profile = _decode(item)
            if profile.landing_day < day:
                break
            found.append(profile)
        return found[::-1]

    def newest(self, dataset: str, days: int) -> list[DayProfile]:
        """The newest of the dataset's days, in order."""
        found: list[DayProfile] = []
        for item in self._books.query(f"profiles#{dataset}", descending=True):
            found.append(_decode(item))
            if len(found) == days:
                break
        return found[::-1]


def _encode(profile: DayProfile) -> dict[str, ItemValue]:
    return {
        "format": FORMAT,
        "landing_day": profile.landing_day.isoformat(),
        "rows": profile.rows,
        "arrived_at": iso(profile.arrived_at) if profile.arrived_at else None,
        "revision": profile.revision,
        **{f"{_NULLS}{name}": count for name, count in profile.nulls.items()},
    }


def _decode(item: Item) -> DayProfile:
    arrived = item["arrived_at"]
    return DayProfile(
        landing_day=date.fromisoformat(str(item["landing_day"])),
        rows=int(str(item["rows"])),
        nulls={n.removeprefix(_NULLS): v for n, v in item.items() if n.startswith(_NULLS) and isinstance(v, int)},
        arrived_at=parse_iso(str(arrived)) if arrived else None,
        revision=int(str(item["revision"])),
    )
