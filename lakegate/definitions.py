"""Dagster's door: composes fresh definitions from the dataset files. Importing it reads nothing and needs no AWS."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from assets.again import build_again_jobs
from assets.dead_letters import build_dead_letters
from assets.history import build_history_job
from assets.operations import build_operations
from assets.tables import DatasetAssets, broken_asset, build_assets
from lakegate.settings import SweepSettings, datasets_folder, sweep_settings
from pipelines.contracts.loading import DatasetCatalog, load_datasets
from pipelines.links import Links
from resources.gate import GateResource
from sensors.attention import build_attention_sensor
from sensors.dead_letters import build_dead_letter_sensor
from sensors.history import build_history_schedule
from sensors.landing import build_landing_sensor
from sensors.sweep import build_sweep_schedule

__all__ = ["build_defs", "defs"]


def build_defs(
    catalog: DatasetCatalog,
    gate: dg.ConfigurableResource,
    sweeps: SweepSettings | None = None,
    links: Links | None = None,
) -> dg.Definitions:
    """Compose the definitions of these datasets; a broken dataset becomes one node that says why."""
    sweeps = sweeps or sweep_settings({})
    links = links or Links()
    built: list[DatasetAssets] = [build_assets(dataset, links) for dataset in catalog.datasets]
    jobs = [b.job for b in built]
    dead_letters, no_dead_letters = build_dead_letters()
    history = build_history_job()
    operations = build_operations(sweeps.grace, sweeps.orphan_grace, removes_orphans=sweeps.removes_orphans)
    return dg.Definitions(
        assets=[
            *(b.table for b in built),
            *(spec for b in built for spec in b.neighbours),
            *(broken_asset(broken) for broken in catalog.broken),
            dead_letters,
            *operations.assets,
        ],
        asset_checks=[no_dead_letters, *(b.checks for b in built)],
        jobs=[*jobs, history, operations.job, *(build_again_jobs(catalog) if jobs else ())],
        schedules=[build_history_schedule(history), build_sweep_schedule(operations.job, sweeps.cron)],
        sensors=[*(_sensors_of(catalog, jobs) if jobs else ()), build_dead_letter_sensor()],
        resources={"gate": gate},
        # One process for a run: each further one would import everything again (DAGSTER.md, "What a run costs").
        executor=dg.in_process_executor,
    )


def _sensors_of(catalog: DatasetCatalog, jobs: Sequence[Any]) -> tuple[dg.SensorDefinition, ...]:
    return build_landing_sensor(catalog.datasets, jobs), build_attention_sensor(catalog.datasets)


@dg.definitions
def defs() -> dg.Definitions:
    """What the workspace loads: every dataset file in the folder, read now."""
    folder = datasets_folder(os.environ, Path.cwd())
    return build_defs(
        load_datasets(folder),
        GateResource(datasets_folder=str(folder)),
        sweep_settings(os.environ),
        Links.of(os.environ),
    )
