"""The day a timestamp falls on, in UTC or in a zone, a column at a time."""
# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions when it is imported: the checker cannot see them.

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.reading.conversion import trusted_years

__all__ = ["days_of"]

_NAIVE = pa.timestamp("us")
_UTC = pa.timestamp("us", tz="UTC")
_EPOCH = date(1970, 1, 1).toordinal()


def days_of(moments: Any, zone: str = "UTC") -> Any:
    """The day of each timestamp (microseconds, UTC) as date32; null stays null. A scalar gives a scalar.

    A local day before the year 1 or after 9999 is a day all the same: only its number is compared.
    """
    if isinstance(moments, pa.Scalar):
        return days_of(pa.array([moments.as_py()], _UTC), zone)[0]
    if zone == "UTC":
        return moments.cast(_NAIVE).cast(pa.date32())
    years = trusted_years(zone)
    if years is None:
        return _one_by_one(moments, zone)
    # A day less at both ends: the years are local ones.
    low, high = (pa.scalar(datetime(year, 1, day, tzinfo=UTC), _UTC) for year, day in zip(years, (2, 1), strict=True))
    bounds = pc.min_max(moments)
    if _inside(bounds, low, high):
        return moments.cast(pa.timestamp("us", tz=zone)).cast(pa.date32())
    is_far = pc.or_(pc.less(moments, low), pc.greater_equal(moments, high))
    near = pc.if_else(is_far, pa.scalar(None, _UTC), moments)
    days = near.cast(pa.timestamp("us", tz=zone)).cast(pa.date32())
    return pc.replace_with_mask(days, pc.fill_null(is_far, False), _one_by_one(moments.filter(is_far), zone))


def _inside(bounds: pa.Scalar, low: pa.Scalar, high: pa.Scalar) -> bool:
    least, most = bounds["min"].as_py(), bounds["max"].as_py()
    return least is None or (least >= low.as_py() and most < high.as_py())


def _one_by_one(moments: pa.Array, zone: str) -> pa.Array:
    """By Python's rules, which know summer time in every year; each moment once, because most are one sentinel in many rows."""
    rules = ZoneInfo(zone)
    distinct = pc.unique(moments)
    days = pa.array([_day(moment, rules) for moment in distinct.to_pylist()], pa.int32())
    return days.take(pc.index_in(moments, distinct)).cast(pa.date32())


def _day(moment: datetime | None, rules: ZoneInfo) -> int | None:
    if moment is None:
        return None
    try:
        return moment.astimezone(rules).date().toordinal() - _EPOCH
    except OverflowError:
        return moment.date().toordinal() - _EPOCH + (1 if moment.year > 1 else -1)
