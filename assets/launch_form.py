"""The form that a person may fill in when materializing a dataset's table: which files, and whether all of them.

Dagster resolves the annotations of configuration: none from the future.
"""

import dagster as dg
from pydantic import Field

from pipelines.intake.backfill import Choice

__all__ = ["WhichFiles"]


class WhichFiles(dg.Config):
    """Which files of the selected days are processed. As it is, the form means: every file of these days."""

    keys: list[str] = Field(
        default=[],
        description="Only these objects, by their keys as they stand in the landing bucket, such as "
        "`landing/flights/2024-03-01.csv`. Empty: every file of the selected days.",
    )
    force: bool = Field(
        default=True,
        description="On: also files that today's contract has judged already; they come to the same end again. Off: only files that "
        "wait, that failed, or that an older contract judged.",
    )

    def choice(self) -> Choice:
        """What was chosen, as the core takes it."""
        return Choice(tuple(self.keys), self.force)
