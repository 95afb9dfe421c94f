"""What is looked at after the rows are published: when files are due, and what is compared with the dataset's own past."""

import re
from datetime import time, timedelta
from decimal import Decimal
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import Field

from pipelines.contracts.columns import ContractModel

__all__ = ["Checks", "Freshness", "NullShareCheck", "SchemaDriftCheck", "VolumeCheck", "Weekday", "parse_span"]

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_Watched = Literal["warn", "block", "off"]
_Days = Annotated[int, Field(strict=True, ge=3, le=56)]


class Freshness(ContractModel):
    """When the next file is due: so long after the one before (`expected_every`), or by the clock and calendar (`due_by`)."""

    expected_every: str | None = Field(
        default=None,
        description="How often a file is expected, day and night: an ISO 8601 duration of weeks, days, hours and minutes, such as P1D or PT6H.",
    )
    due_by: str | None = Field(
        default=None,
        description='In place of `expected_every`: the time of day, such as `"08:00"`, by which a file has come in the 24 hours before.',
    )
    weekdays: tuple[Weekday, ...] = Field(
        default=WEEKDAYS, description="With `due_by`: the days on which a file is due.", min_length=1
    )
    zone: str = Field(default="UTC", description="With `due_by`: the time zone of that time, such as Europe/Berlin.")

    @property
    def every(self) -> timedelta:
        """`expected_every` as a span of time. Raises ValueError when it is no such duration, or none at all."""
        return parse_span(self.expected_every or "")

    @property
    def due_at(self) -> time:
        """`due_by` as a time of day. Raises ValueError when it is none."""
        if not re.fullmatch(r"[0-9]{2}:[0-9]{2}", self.due_by or ""):
            raise ValueError(f"{self.due_by!r} is not a time of day such as 08:00")
        return time.fromisoformat(self.due_by or "")

    @property
    def time_zone(self) -> ZoneInfo:
        """`zone`. Raises ValueError when there is no such time zone."""
        try:
            return ZoneInfo(self.zone)
        except (KeyError, OSError) as error:
            raise ValueError(f"{self.zone!r} is not a time zone") from error


class VolumeCheck(ContractModel):
    """How the rows of a landing day are compared with those of earlier days."""

    severity: _Watched = Field(
        default="warn",
        description="What an unusual number leads to: a warning, a stop of what is downstream, or nothing.",
    )
    tolerance: str = Field(
        default="50%", description="How far a day may be from the median of the days it is compared with, at least."
    )
    min_days: _Days = Field(default=7, description="Earlier days with rows that there must be before a day is judged.")

    @property
    def share(self) -> float:
        """`tolerance` as a share. Raises ValueError when it is none."""
        return _share(self.tolerance)


class NullShareCheck(ContractModel):
    """How the share of nulls in each column of a landing day is compared with that of earlier days."""

    severity: _Watched = Field(
        default="warn",
        description="What an unusual share leads to: a warning, a stop of what is downstream, or nothing.",
    )
    tolerance: str = Field(
        default="10%",
        description="How many of all rows the share may be from the median of the days it is compared with, at least.",
    )
    min_days: _Days = Field(default=7, description="Earlier days with rows that there must be before a day is judged.")

    @property
    def share(self) -> float:
        """`tolerance` as a share. Raises ValueError when it is none."""
        return _share(self.tolerance)


class SchemaDriftCheck(ContractModel):
    """How the table's columns are compared with the contract's."""

    severity: _Watched = Field(
        default="warn", description="What a difference leads to: a warning, a stop of what is downstream, or nothing."
    )


class Checks(ContractModel):
    """What is looked at by itself, in every run and whenever a check is executed."""

    volume: VolumeCheck = Field(default=VolumeCheck(), description="The number of rows of a landing day.")
    null_share: NullShareCheck = Field(default=NullShareCheck(), description="The share of nulls in each column.")
    schema_drift: SchemaDriftCheck = Field(default=SchemaDriftCheck(), description="The columns of the table.")


def parse_span(text: str) -> timedelta:
    """An ISO 8601 duration of weeks, days, hours and minutes, above zero. Raises ValueError when it is none."""
    match = re.fullmatch(
        r"P(?=.)(?:([0-9]{1,4})W)?(?:([0-9]{1,4})D)?(?:T(?=.)(?:([0-9]{1,4})H)?(?:([0-9]{1,4})M)?)?", text
    )
    span = timedelta(0)
    if match:
        weeks, days, hours, minutes = (int(part or 0) for part in match.groups())
        span = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes)
    if not span:
        raise ValueError(f"{text!r} is not a duration such as P1D, P1W, PT6H or P1DT12H")
    return span


def _share(text: str) -> float:
    match = re.fullmatch(r"([0-9]{1,4}(?:\.[0-9]{1,4})?)\s*%", text)
    if match is None or not Decimal(match[1]):
        raise ValueError(f"{text!r} is not a share above zero, such as 50%")
    return float(Decimal(match[1]) / 100)
