"""`python -m lakegate.workers.lost RUN…`: says of runs whose process is dead that they have failed.

A process of its own, because Dagster's storage is not for those who fork. What becomes of the files is the landing
sensor's business: a failed run's batch is released, and its files are due again.
"""

import sys
from collections.abc import Sequence

import dagster as dg

__all__ = ["report_lost"]

MESSAGE = (
    "The worker process that ran this was killed: by the system for lack of memory, or by hand. Its files are due again and are "
    "processed by another run within a minute. If it repeats, look at the worker's log and at the memory of the machine."
)


def report_lost(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> list[str]:
    """Mark those of the runs that have not ended as failed; their ids."""
    lost: list[str] = []
    for run_id in run_ids:
        run = instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished:
            instance.report_run_failed(run, message=MESSAGE)
            lost.append(run_id)
    return lost


if __name__ == "__main__":
    with dg.DagsterInstance.get() as here:
        report_lost(here, sys.argv[1:])
