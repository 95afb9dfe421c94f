"""Jobs by which a person has files processed again: quarantined ones, failed ones, those of an older contract, some by name.

They only make versions due; the landing sensor plans and runs them, as it does new files. Dagster resolves the annotations of
configuration: none from the future.
"""

from collections.abc import Callable, Sequence
from datetime import date

import dagster as dg
from pydantic import Field

from assets.keys import counted
from assets.run_tags import SHORT_RUN
from pipelines.contracts.loading import DatasetCatalog
from pipelines.contracts.model import Dataset
from pipelines.errors import ConfigurationError
from pipelines.gate import Gate
from pipelines.intake.impact import process_again
from pipelines.intake.replay import Asked, Replayed, process_keys, replay_quarantined, retry_failed
from pipelines.reading.violations import Rule

__all__ = ["build_again_jobs"]

_THEN = (
    "The files become due; the landing sensor (it must be running) plans and runs them within a minute, as new ones."
)


class _Config(dg.Config):
    asked_by: str = Field(default="", description="Your name; it stands in the history of each file.")
    why: str = Field(default="", description="In your words; it stands in the history of each file.")


class ReplayQuarantine(_Config):
    """Which quarantined files: a dataset's (of one rule), or those with these ids."""

    dataset: str = Field(default="", description="A dataset's name. Needed where no ids are given.")
    rule: str = Field(
        default="", description="Only files that broke this rule, such as `type` (docs/reference/rules.md)."
    )
    ids: list[str] = Field(
        default=[], description="Quarantine ids, or their beginnings, as the quarantine asset shows them."
    )


class RetryFailed(_Config):
    """Which failed files."""

    dataset: str = Field(default="", description="Only this dataset; empty: all.")
    reason: str = Field(default="", description="Only files in whose error this text stands; empty: all.")


class ProcessAgain(_Config):
    """Which days of which dataset."""

    dataset: str = Field(description="A dataset's name.")
    first_day: str = Field(default="", description="The first landing day, such as 2024-03-01; empty: from the first.")
    last_day: str = Field(default="", description="The last landing day; empty: to the last.")


class ProcessFiles(_Config):
    """Which files, by their keys."""

    keys: list[str] = Field(
        description="The files' keys as they stand in the landing bucket, such as `landing/flights/2024-03-01.csv`."
    )
    dataset: str = Field(
        default="", description="The dataset they belong to; the run fails if one belongs to another. Empty: any."
    )
    force: bool = Field(
        default=True,
        description="On: also files that today's contract has judged already; they come to the same end again. Off: only files that "
        "wait, that failed, or that an older contract judged.",
    )


def build_again_jobs(catalog: DatasetCatalog) -> Sequence[dg.JobDefinition]:
    """Make the four jobs."""

    @dg.op(name="make_quarantined_files_due", required_resource_keys={"gate"})
    def make_quarantined_files_due(context: dg.OpExecutionContext, config: ReplayQuarantine) -> dg.Output[None]:
        if config.rule and config.rule not in {rule.value for rule in Rule}:
            raise dg.Failure(f"{config.rule!r} is no rule; docs/reference/rules.md names them.", allow_retries=False)
        name = _named(catalog, config.dataset).name if config.dataset else None
        return _told(
            context,
            lambda gate, asked: replay_quarantined(
                gate, asked, dataset=name, rule=config.rule or None, ids=tuple(config.ids)
            ),
            config,
        )

    @dg.op(name="make_failed_files_due", required_resource_keys={"gate"})
    def make_failed_files_due(context: dg.OpExecutionContext, config: RetryFailed) -> dg.Output[None]:
        name = _named(catalog, config.dataset).name if config.dataset else None
        return _told(
            context,
            lambda gate, asked: retry_failed(gate.ledger, asked, dataset=name, text=config.reason or None),
            config,
        )

    @dg.op(name="make_files_of_an_older_contract_due", required_resource_keys={"gate"})
    def make_files_of_an_older_contract_due(context: dg.OpExecutionContext, config: ProcessAgain) -> dg.Output[None]:
        of, first, last = _named(catalog, config.dataset), _day(config.first_day), _day(config.last_day)
        return _told(context, lambda gate, asked: process_again(gate.ledger, of, asked, first=first, last=last), config)

    @dg.op(name="make_files_due", required_resource_keys={"gate"})
    def make_files_due(context: dg.OpExecutionContext, config: ProcessFiles) -> dg.Output[None]:
        name = _named(catalog, config.dataset).name if config.dataset else None
        return _told(
            context,
            lambda gate, asked: process_keys(gate, asked, config.keys, dataset=name, force=config.force),
            config,
        )

    @dg.job(tags=SHORT_RUN, description=f"Processes files again whose keys you know, whatever their day, under today's contract. {_THEN} Whole days are "
            "processed again from the Partitions tab of their table.")  # fmt: skip
    def process_files() -> None:
        make_files_due()

    @dg.job(tags=SHORT_RUN, description=f"Processes quarantined files again under today's contract. {_THEN} One that is accepted leaves quarantine; "
            "one that is rejected again keeps its id, and its report is renewed.")  # fmt: skip
    def replay_quarantine() -> None:
        make_quarantined_files_due()

    @dg.job(
        tags=SHORT_RUN,
        description=f"Tries files again whose attempts were used up by faults of ours, with all their attempts. {_THEN}",
    )
    def retry_failed_files() -> None:
        make_failed_files_due()

    @dg.job(
        name="process_again",
        tags=SHORT_RUN,
        description=f"Processes again what an older contract judged: see the check `contract_is_current`. {_THEN}",
    )
    def process_again_job() -> None:
        make_files_of_an_older_contract_due()

    return (replay_quarantine, retry_failed_files, process_again_job, process_files)


def _told(
    context: dg.OpExecutionContext, make_due: Callable[[Gate, Asked], Replayed], config: _Config
) -> dg.Output[None]:
    gate: Gate = context.resources.gate.open()
    by = f"{config.asked_by or 'somebody'} with the Dagster run {context.run.run_id[:8]}"
    asked = Asked(by, config.why, context.run.run_id)
    try:
        done = make_due(gate, asked)
    except ConfigurationError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    current = f", {done.current:,} judged by today's contract already" if done.current else ""
    context.log.info(
        f"{counted(done.due, 'file')} due again; {done.held:,} with a run just now, {done.left:,} superseded, removed or settled "
        f"otherwise meanwhile{current}. The landing sensor plans and runs them: filter the runs by the tag lakegate/trigger=replay."
    )
    return dg.Output(
        None,
        metadata={
            "due again": done.due,
            "with a run just now": done.held,
            "settled otherwise": done.left,
            "judged by today's contract already": done.current,
        },
    )


def _named(catalog: DatasetCatalog, name: str) -> Dataset:
    for dataset in catalog.datasets:
        if dataset.name == name:
            return dataset
    known = ", ".join(sorted(dataset.name for dataset in catalog.datasets)) or "none"
    raise dg.Failure(f"There is no dataset {name!r}; known are: {known}.", allow_retries=False)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise dg.Failure(f"{text!r} is not a day such as 2024-03-01.", allow_retries=False) from None
