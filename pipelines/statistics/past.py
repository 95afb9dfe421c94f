"""Is a day's number unusual, by the dataset's own earlier days? Median and median absolute deviation: a few odd days change neither.

A day is compared with the days of the same weekday where there are enough of them, else with all; then whatever the same
weekday has had counts as usual too, so that the second weekend of a new dataset is no alarm. Source of the factor 1.4826: the MAD of
a normal distribution times it is its standard deviation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median

__all__ = ["WINDOW_DAYS", "TooFewDays", "Usual", "usual"]

WINDOW_DAYS = 56
"""How far back a day is compared: eight weeks."""
SAME_WEEKDAYS = 4
"""So many days of the same weekday are enough to compare with them alone."""
_DEVIATIONS = 4.0
_NORMAL = 1.4826


@dataclass(frozen=True, slots=True)
class Usual:
    """The range of usual numbers, both ends included, and what it was taken from: `days` earlier ones, `of` one kind."""

    low: float
    high: float
    median: float
    days: int
    of: str

    def holds(self, value: float) -> bool:
        """Whether a number is usual."""
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class TooFewDays:
    """There is too little past to compare with: `days` earlier ones, where `needed` are."""

    days: int
    needed: int


def usual(
    past: Mapping[date, float],
    day: date,
    *,
    relative: float = 0.0,
    absolute: float = 0.0,
    highest: float | None = None,
    min_days: int = 7,
) -> Usual | TooFewDays:
    """The range in which the number of `day` is usual, by the numbers of the days before it, of WINDOW_DAYS at most.

    The range reaches from the median by four robust standard deviations, by `relative` of the median, or by `absolute`,
    whichever is most; never below zero, nor above `highest`.
    """
    start = day - timedelta(days=WINDOW_DAYS)
    earlier = {at: number for at, number in past.items() if start <= at < day}
    if len(earlier) < min_days:
        return TooFewDays(len(earlier), min_days)
    same = [number for at, number in earlier.items() if at.weekday() == day.weekday()]
    if len(same) >= SAME_WEEKDAYS:
        return _range(same, (), f"{day:%A}s", relative, absolute, highest)
    return _range(list(earlier.values()), same, "days", relative, absolute, highest)


def _range(
    numbers: Sequence[float],
    seen: Sequence[float],
    of: str,
    relative: float,
    absolute: float,
    highest: float | None,
) -> Usual:
    middle = median(numbers)
    spread = _NORMAL * median(abs(number - middle) for number in numbers)

    def reach(around: float) -> float:
        return max(_DEVIATIONS * spread if around == middle else 0.0, relative * around, absolute)

    low = min(around - reach(around) for around in (middle, *seen))
    high = max(around + reach(around) for around in (middle, *seen))
    return Usual(max(0.0, low), high if highest is None else min(high, highest), middle, len(numbers), of)
