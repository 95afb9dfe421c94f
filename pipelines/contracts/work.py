"""What a dataset says of the order of its work: who goes first, and what counts as fresh."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from pipelines.contracts.columns import ContractModel
from pipelines.contracts.watching import parse_span

__all__ = ["Work"]


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

    @property
    def fresh(self) -> timedelta:
        """`fresh_within` as a span of time. Raises ValueError when it is no such duration, or longer than a day."""
        span = parse_span(self.fresh_within)
        if span > timedelta(days=1):
            raise ValueError(f"{self.fresh_within!r} is longer than a day")
        return span
