"""What a run says that could not finish: read at three in the morning, on the run's page, by somebody who did not build it."""

from collections.abc import Mapping, Sequence
from datetime import date

import dagster as dg

from assets.keys import counted
from pipelines.accounting.breaker import Breaker
from pipelines.contracts.model import Dataset
from pipelines.links import Links
from pipelines.printable import printable

__all__ = ["failure"]


def failure(
    dataset: Dataset, days: Sequence[date], faults: Mapping[date, str], breaker: Breaker, links: Links
) -> dg.Failure:
    """The end of a run of these `days`, some of which met a fault of ours: what is lost (nothing), what happens now, what to do."""
    of = f"{len(faults)} of the run's {counted(len(days), 'day')}" if len(days) > 1 else "the day"
    now = (
        "What happens now: the files are due again, and the landing sensor requests a new run for them by itself, the first time after a "
        "minute at most, then with growing pauses. This run need not be executed again."
    )
    then = (
        f"What to do: nothing, if a later run of {dataset.name} is green. If the error repeats, mend what it names; the check no_failed_files "
        f"shows files that were given up. Which fault passes by itself: {links.page('operating.md', 'when-aws-misbehaves')}"
    )
    parts = [
        f"{dataset.name}: {of} could not be finished, for a fault of ours or of AWS, not of a file. Nothing is lost.",
        "",
        *(f"  {said}" for said in faults.values()),
        "",
        now,
        then,
    ]
    if breaker.is_paused:
        parts.insert(1, f"{printable(breaker.sentence())}.")
    return dg.Failure("\n".join(parts), allow_retries=False)
