"""Has a file come when it was due? By the dataset's calendar and the moment the last file was loaded. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pipelines.contracts.watching import WEEKDAYS, Freshness

__all__ = ["DUE_WITHIN", "Lateness", "lateness"]

DUE_WITHIN = timedelta(days=1)
"""With `due_by`: how long before the time a file may come and still be the one that was due."""
_MOST = 60


@dataclass(frozen=True, slots=True)
class Lateness:
    """`missed` files were due since the last one came, the first of them at `since`; `due` is when the next one is.

    Both are aware: UTC, or in the dataset's zone. At most 60 are counted.
    """

    missed: int
    since: datetime | None
    due: datetime


def lateness(freshness: Freshness, last: datetime, now: datetime) -> Lateness:
    """What was missed between `last`, when a file was loaded, and `now` (both aware)."""
    if freshness.due_by is None:
        every = freshness.every
        missed = max(0, (now - last) // every)
        since = (last + every).astimezone(UTC) if missed else None
        return Lateness(min(missed, _MOST), since, (last + (missed + 1) * every).astimezone(UTC))
    missed_at = [at for at in _deadlines(freshness, now) if at - DUE_WITHIN > last]
    return Lateness(len(missed_at), missed_at[-1] if missed_at else None, _next(freshness, now))


def _deadlines(freshness: Freshness, now: datetime) -> Iterator[datetime]:
    """The last times at which a file was due, newest first."""
    local = now.astimezone(freshness.time_zone)
    found = 0
    for back in range(7 * _MOST + 8):
        at = _due_on(freshness, local - timedelta(days=back))
        if at is not None and at <= now:
            yield at
            found += 1
            if found == _MOST:
                return


def _next(freshness: Freshness, now: datetime) -> datetime:
    local = now.astimezone(freshness.time_zone)
    days = (_due_on(freshness, local + timedelta(days=ahead)) for ahead in range(9))
    return next(at for at in days if at is not None and at > now)


def _due_on(freshness: Freshness, day: datetime) -> datetime | None:
    if WEEKDAYS[day.weekday()] not in freshness.weekdays:
        return None
    return datetime.combine(day.date(), freshness.due_at, freshness.time_zone)
