"""Which batches a run takes, and the tags that say so.

A run that a sensor requested takes the batches planned under its launch. Any other (a click, a backfill, a schedule) makes the
files of its days due again, a day at a time, and takes those that no other live run holds.
"""

from collections.abc import Iterator, Sequence
from datetime import date

import dagster as dg

from assets.keys import LAUNCH_TAG, counted
from assets.run_tags import BATCH_TAG, tag_of_batch, tags_of_own_run
from pipelines.contracts.model import Dataset
from pipelines.errors import ConfigurationError
from pipelines.gate import Gate
from pipelines.intake.backfill import Choice, take_days

__all__ = ["batches_of_run"]


def batches_of_run(
    context: dg.AssetExecutionContext, gate: Gate, dataset: Dataset, days: Sequence[date], choice: Choice
) -> Iterator[tuple[str, date]]:
    """Each batch and its landing day; the caller processes one before it asks for the next.

    Raises dagster.Failure when `choice` names a key that nobody knows.
    """
    launch = context.run.tags.get(LAUNCH_TAG)
    if launch is not None:
        mine = [b for b in gate.ledger.live_batches(dataset.name) if b.run_key == launch]
        if not mine:
            context.log.info(
                f"Launch {launch} has no open batch: another run has done its work already, or its files were planned anew. To process a "
                "day again, materialize it from the Partitions tab."
            )
        yield from ((b.batch_id, b.landing_day) for b in sorted(mine, key=lambda b: b.landing_day))
        return
    run = context.instance.get_run_by_id(context.run.run_id)  # `context.run` is as it was when the run began
    before = run.tags if run is not None else {}
    context.instance.add_run_tags(context.run.run_id, tags_of_own_run(dataset.name, days, before))
    try:
        taken = take_days(gate, dataset, days, context.run.run_id, choice)
    except ConfigurationError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    for number, batch in enumerate(taken.batches()):
        if number == 0:
            if BATCH_TAG not in before:
                context.instance.add_run_tags(context.run.run_id, tag_of_batch(batch.batch_id))
            context.log.info(f"Processing again the files of {counted(len(days), 'day')}, one day after the other.")
        yield batch.batch_id, batch.landing_day
    for note in taken.notes:
        context.log.info(note)
