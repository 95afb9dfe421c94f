"""The tags of a run: what a person filters the list of runs by, and where the run stands in the queue.

| tag                | says                                                                              |
|--------------------|-----------------------------------------------------------------------------------|
| `lakegate/dataset` | the dataset; of a backfill's run over several, all of them: `flights,weather`     |
| `lakegate/day`     | the landing day, or the first and the last: `2024-03-01..2024-03-31`              |
| `lakegate/trigger` | what made it start: `event`, `removal`, `replay`, `sweep` or `backfill`           |
| `lakegate/lane`    | `fresh` or `backlog`; a run from the UI has none                                   |
| `lakegate/batch`   | the batch; of a run with several, the first                                       |
| `lakegate/trace`   | the trace of that batch                                                           |
| `lakegate/launch`  | the name of a launch, under which the ledger holds the batches; a backfill has none |
| `dagster/priority` | the place in the queue: the higher, the sooner; a run without it has 0             |

A run that the landing sensor requests has all of them from the start. One from the UI or a backfill gets them when it begins,
and those of its batches as they become known: until then it waits with what Dagster gave it.
"""

from collections.abc import Mapping, Sequence
from datetime import date

from assets.keys import LANE_TAG, LAUNCH_TAG, TRIGGER_TAG
from pipelines.accounting.states import Lane, Trigger
from pipelines.intake.dispatching import Launch
from pipelines.telemetry.tracing import trace_of

__all__ = [
    "BATCH_TAG",
    "DATASET_TAG",
    "DAY_TAG",
    "PRIORITIES",
    "SHORT_RUN",
    "SWEEP_RUN",
    "TRACE_TAG",
    "UPKEEP_RUN",
    "days_tag",
    "tag_of_batch",
    "tags_of_launch",
    "tags_of_own_run",
]

DATASET_TAG = "lakegate/dataset"
DAY_TAG = "lakegate/day"
BATCH_TAG = "lakegate/batch"
TRACE_TAG = "lakegate/trace"
_PRIORITY_TAG = "dagster/priority"
_AND = ","

PRIORITIES: Mapping[Lane, int] = {Lane.FRESH: 30, Lane.ASKED: 20, Lane.BACKLOG: 10}
"""Fresh files first, then what a person asked for again, then what is left. Dagster gives the runs of a backfill no
priority, which is 0, and a job cannot change that: so everything else stands above it."""
SHORT_RUN: Mapping[str, str] = {_PRIORITY_TAG: "40"}
"""Of jobs that take seconds and that somebody waits for: they go before everything, or a backlog would hold them up for hours."""
SWEEP_RUN: Mapping[str, str] = {_PRIORITY_TAG: str(PRIORITIES[Lane.BACKLOG])}
"""Of the job `sweep`, whose finds have the same place."""

UPKEEP_RUN: Mapping[str, str] = {_PRIORITY_TAG: "-10"}
"""Of jobs that nobody waits for: they go after everything, backfills too."""


def tags_of_launch(launch: Launch) -> dict[str, str]:
    """The tags of a run that the landing sensor requests."""
    return {
        LAUNCH_TAG: launch.run_key,
        TRIGGER_TAG: launch.trigger,
        DATASET_TAG: launch.dataset,
        DAY_TAG: days_tag(launch.days),
        LANE_TAG: (Lane.FRESH if launch.lane is Lane.FRESH else Lane.BACKLOG).value,
        **tag_of_batch(launch.batches[0]),
        _PRIORITY_TAG: str(PRIORITIES[launch.lane] + launch.priority),
    }


def tags_of_own_run(dataset: str, days: Sequence[date], before: Mapping[str, str]) -> dict[str, str]:
    """The tags of a run from the UI or a backfill, as soon as it begins with a dataset; `before` are those it has by then.

    One backfill of several datasets has runs that take them one after the other: such a run names them all.
    """
    names = {dataset, *filter(None, before.get(DATASET_TAG, "").split(_AND))}
    return {DATASET_TAG: _AND.join(sorted(names)), DAY_TAG: days_tag(days), TRIGGER_TAG: Trigger.BACKFILL.value}


def tag_of_batch(first: str) -> dict[str, str]:
    """The tags of the first batch that a run has."""
    return {BATCH_TAG: first, TRACE_TAG: trace_of(first)}


def days_tag(days: Sequence[date]) -> str:
    """One day, or the first and the last of them."""
    first, last = min(days), max(days)
    return f"{first}" if first == last else f"{first}..{last}"
