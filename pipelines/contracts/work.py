"""What a dataset says of the order of its work: who goes first, what counts as fresh, and what may wait for quieter hours."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import Field

from pipelines.amounts import amount
from pipelines.contracts.columns import ContractModel
from pipelines.contracts.values import find_zone
from pipelines.contracts.watching import parse_span

__all__ = ["Deferral", "Work"]

_DAY = timedelta(days=1)


class Deferral(ContractModel):
    """Which files may wait, and until when: large ones, old ones, or both kinds."""

    larger_than_bytes: Annotated[int, Field(strict=True, ge=1)] | None = Field(
        default=None, description="Files of more bytes than this wait for the hours."
    )
    older_than: str | None = Field(
        default=None,
        description="Files wait whose landing day is longer ago than this when they are looked at: a duration of a day or more, such as P7D.",
    )
    hours: str = Field(
        description='When they are processed: from a time of day to another, such as `"20:00-06:00"`, which goes over midnight. '
        "What was begun then is finished."
    )
    zone: str = Field(default="UTC", description="The time zone of these hours, such as Europe/Berlin.")

    @property
    def opens_and_closes(self) -> tuple[time, time]:
        """`hours` as two times of day. Raises ValueError when they are none, or the same."""
        match = re.fullmatch(r"([0-9]{2}:[0-9]{2})\s*-\s*([0-9]{2}:[0-9]{2})", self.hours)
        if match is None or match[1] == match[2]:
            raise ValueError(f"{self.hours!r} are no hours such as 20:00-06:00")
        return time.fromisoformat(match[1]), time.fromisoformat(match[2])

    @property
    def age(self) -> timedelta | None:
        """`older_than` as a span of time. Raises ValueError when it is no such duration, or shorter than a day."""
        if self.older_than is None:
            return None
        span = parse_span(self.older_than)
        if span < _DAY:
            raise ValueError(f"{self.older_than!r} is shorter than a day")
        return span

    @property
    def time_zone(self) -> ZoneInfo:
        """`zone`. Raises ValueError when there is no such time zone."""
        if (found := find_zone(self.zone)) is None:
            raise ValueError(f"{self.zone!r} is not a time zone")
        return found

    def is_open(self, now: datetime) -> bool:
        """Whether nothing has to wait at this moment."""
        opens, closes = self.opens_and_closes
        clock = now.astimezone(self.time_zone).time()
        return opens <= clock < closes if opens < closes else clock >= opens or clock < closes

    def opens_at(self, now: datetime) -> datetime:
        """When the hours begin next, in UTC; `now` while they last."""
        if self.is_open(now):
            return now
        opens, _ = self.opens_and_closes
        local = now.astimezone(self.time_zone)
        day = local.date() if local.time() < opens else local.date() + _DAY
        return datetime.combine(day, opens, self.time_zone).astimezone(UTC)

    def reason(self, size_bytes: int, landing_day: date, now: datetime) -> str | None:
        """Why such a file has to wait now, for people; None when it has not."""
        if self.is_open(now):
            return None
        if self.larger_than_bytes is not None and size_bytes > self.larger_than_bytes:
            return f"{amount(size_bytes)} are more than {amount(self.larger_than_bytes)}: it waits for {self.when}"
        if self.age is not None and now.date() - landing_day > self.age:
            return f"its landing day {landing_day} is older than {self.older_than}: it waits for {self.when}"
        return None

    @property
    def when(self) -> str:
        """The hours, for people."""
        return f"{self.hours} {self.zone}"


class Work(ContractModel):
    """Which files of a dataset go first, beside each other and beside other datasets'."""

    priority: Annotated[int, Field(strict=True, ge=-4, le=4)] = Field(
        default=0,
        description="Before which datasets this one goes, from -4 to 4: the higher, the sooner. It orders what is of one lane; "
        "old files never go before fresh ones of another dataset.",
    )
    fresh_within: str = Field(
        default="PT1H",
        description="For how long after its landing a file is fresh, and goes before the dataset's other files: a duration "
        "of at most a day, such as PT1H or PT15M.",
    )
    defer: Deferral | None = Field(
        default=None, description="Large or old files that wait for other hours; none by default."
    )

    @property
    def fresh(self) -> timedelta:
        """`fresh_within` as a span of time. Raises ValueError when it is no such duration, or longer than a day."""
        span = parse_span(self.fresh_within)
        if span > _DAY:
            raise ValueError(f"{self.fresh_within!r} is longer than a day")
        return span
