"""How a table's small files are put together: the policy of one dataset."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from pipelines.contracts.columns import ContractModel
from pipelines.contracts.watching import parse_span

__all__ = ["Compaction"]

_MIB = 1 << 20


class Compaction(ContractModel):
    """When the small files of a partition are rewritten as few large ones, and in what order their rows stand then."""

    target_bytes: Annotated[int, Field(strict=True, ge=_MIB, le=4096 * _MIB)] = Field(
        default=256 * _MIB,
        description="Size of a file afterwards, about: 1 MiB to 4 GiB. Files under half of it are small. Default 256 MiB.",
    )
    sort_by: tuple[str, ...] = Field(
        default=(),
        description="Columns by which the rows of a partition are sorted, so that queries on them read less. Default: the primary key; "
        "without one, rows stay as their files had them.",
    )
    min_files: Annotated[int, Field(strict=True, ge=2, le=10_000)] = Field(
        default=8, description="A partition with fewer small files is left as it is."
    )
    settled_after: str = Field(
        default="PT6H",
        description="Younger files are left alone, because what came just now is what is replaced most: an ISO 8601 duration, such as PT6H or P1D.",
    )

    @property
    def settled(self) -> timedelta:
        """`settled_after` as a span of time. Raises ValueError when it is none."""
        return parse_span(self.settled_after)
