"""The attention sensor: tells between runs what waits for a person, on checks of each table, and of days whose run could not
tell of them. It starts nothing.

A file may fail when the landing sensor gives up on a run, a contract may change without any file: no run tells of either. The
cursor holds a mark a dataset, so that a check is answered anew only when its answer has changed. Dagster resolves annotations
here: none from the future.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import dagster as dg

from assets.answers import Standing
from assets.freshness import fresh_standing
from assets.keys import counted
from assets.late_days import late_materializations, runs_failed_lately
from assets.standing import contract_standing, failed_standing
from pipelines.contracts.model import Dataset
from pipelines.contracts.schema import fingerprint
from pipelines.gate import Gate
from sensors.ticking import ticking

__all__ = ["build_attention_sensor"]

Marks = dict[str, str]
"""By check."""


def build_attention_sensor(datasets: Sequence[Dataset]) -> dg.SensorDefinition:
    """Make the sensor that answers `no_failed_files`, `contract_is_current` and `fresh` for these datasets."""

    @dg.sensor(
        name="attention_sensor",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        required_resource_keys={"gate"},
        description="Looks once a minute for files that failed, for contracts that changed and for files that are late, and shows them on the checks "
        "`no_failed_files`, `contract_is_current` and `fresh` of each table; shows days as materialized whose files were loaded though the run "
        "that was to say so was killed. It starts nothing.",
    )
    @ticking("attention_sensor")
    def attention_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        gate: Gate = context.resources.gate.open()
        before = _marks(context.cursor)
        marks: dict[str, Marks] = {}
        checks: list[dg.AssetCheckEvaluation] = []
        late: list[dg.AssetMaterialization] = []
        now = datetime.now(UTC)
        owed = runs_failed_lately(context.instance, now)
        for dataset in datasets:
            known = before.get(dataset.name, {})
            answers = _look(gate, dataset, known)
            marks[dataset.name] = known | {answer.check: answer.mark for answer in answers}
            checks.extend(a.evaluation() for a in answers if known.get(a.check) != a.mark)
            if owed:
                late.extend(late_materializations(context.instance, gate.ledger, dataset, now))
        told = _sentence(datasets, checks, late)
        context.log.info(told)
        if not (checks or late):
            return dg.SkipReason(told)
        return dg.SensorResult(asset_events=[*checks, *late], cursor=json.dumps(marks, sort_keys=True))

    return attention_sensor


def _sentence(
    datasets: Sequence[Dataset], checks: Sequence[dg.AssetCheckEvaluation], late: Sequence[dg.AssetMaterialization]
) -> str:
    if not (checks or late):
        return f"nothing has changed that waits for a person; looked at {counted(len(datasets), 'dataset')}"
    answers = (
        f"`{c.check_name}` of {c.asset_key.to_user_string()} {'passes' if c.passed else 'fails'}" for c in checks
    )
    days = (
        f"{m.asset_key.to_user_string()} {m.partition} was loaded, though its run did not live to say so" for m in late
    )
    return "; ".join((*answers, *days))


def _look(gate: Gate, dataset: Dataset, known: Mapping[str, str]) -> list[Standing]:
    answers = [failed_standing(gate.ledger, dataset)]
    if (fresh := fresh_standing(gate, dataset)) is not None:
        answers.append(fresh)
    # What was current stays so until the contract changes: the counters of all days are not read each minute.
    if f"{fingerprint(dataset)}:current" not in known.values():
        answers.append(contract_standing(dataset, gate.ledger.counts(dataset.name)))
    return answers


def _marks(cursor: str | None) -> Mapping[str, Marks]:
    try:
        found = json.loads(cursor or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
