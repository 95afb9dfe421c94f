"""Dagster's door: composes fresh definitions from the dataset files. Importing it reads nothing and needs no AWS."""

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

import assets.defs
from assets.again import build_again_jobs
from assets.catalog import dataset_definitions
from assets.components import DatasetFolder
from assets.dead_letters import build_dead_letters
from assets.history import build_history
from assets.keys import table_key
from assets.operations import build_operations
from assets.run_history import RunRetention
from assets.table_files import build_table_files
from assets.upkeep import build_upkeep
from lakegate.logs import configure_logging
from lakegate.settings import (
    CompactionSettings,
    SweepSettings,
    UpkeepSettings,
    compaction_settings,
    repository_root,
    sweep_settings,
    upkeep_settings,
)
from pipelines.contracts.loading import DatasetCatalog
from pipelines.errors import ConfigurationError
from pipelines.links import Links
from resources.alerts import AlertsResource, channels_of
from resources.gate import GateResource
from sensors.alerts import build_alert_sensor
from sensors.attention import build_attention_sensor
from sensors.dead_letters import build_dead_letter_sensor
from sensors.history import build_history_schedule
from sensors.landing import build_landing_sensor
from sensors.sweep import build_sweep_schedule
from sensors.table_files import build_table_schedules
from sensors.upkeep import build_upkeep_schedule

__all__ = ["build_defs", "defs"]


def build_defs(
    catalog: DatasetCatalog,
    gate: dg.ConfigurableResource,
    sweeps: SweepSettings | None = None,
    links: Links | None = None,
    keeping: UpkeepSettings | None = None,
    channels: Sequence[str] = (),
    compacting: CompactionSettings | None = None,
) -> dg.Definitions:
    """Compose the definitions of these datasets; a broken dataset becomes one node that says why.

    `channels` name where alerts go, for the sensor's description.
    """
    return _around(
        dataset_definitions(catalog, links or Links()),
        catalog,
        gate,
        sweeps or sweep_settings({}),
        keeping or upkeep_settings({}),
        compacting or compaction_settings({}),
        channels,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What the workspace and `dg` load: all of the folder `assets/defs`, read now, and what works for every dataset."""
    configure_logging(os.environ)
    with warnings.catch_warnings():
        # Dagster says of several arguments that they are in beta, once an asset: hundreds of lines in each run's log.
        warnings.simplefilter("ignore", dg.BetaWarning)
        tree = dg.ComponentTree.from_module(assets.defs, repository_root())
        datasets = tree.load_component("datasets", DatasetFolder)
        # Not the whole tree: that also documents every component of every installed package, which costs a second and imports boto3.
        found = tree.build_defs(tree.defs_module_path)
        return _around(
            found,
            datasets.catalog,
            GateResource(datasets_folder=str(datasets.folder)),
            sweep_settings(os.environ),
            upkeep_settings(os.environ),
            compaction_settings(os.environ),
            _channels(os.environ),
        )


def _around(
    found: dg.Definitions,
    catalog: DatasetCatalog,
    gate: dg.ConfigurableResource,
    sweeps: SweepSettings,
    keeping: UpkeepSettings,
    compacting: CompactionSettings,
    channels: Sequence[str],
) -> dg.Definitions:
    """Merge these definitions with what serves all datasets: sensors, schedules, jobs, the assets of operations."""
    ours = {f"ingest_{dataset.name}" for dataset in catalog.datasets}
    jobs = [job for job in found.jobs or () if job.name in ours]
    dead_letters, no_dead_letters = build_dead_letters()
    history = build_history()
    operations = build_operations(
        sweeps.grace,
        sweeps.orphan_grace,
        removes_orphans=sweeps.removes_orphans,
        tables=[table_key(dataset) for dataset in catalog.datasets],
    )
    upkeep = build_upkeep(RunRetention(keeping.keep_runs, keeping.keep_failed_runs))
    table_files = build_table_files(compacting.run_bytes, compacting.keep_states)
    checked = (*(found.assets or ()), *(found.asset_checks or ()), *operations.assets)
    specs = [spec for made in checked if isinstance(made, dg.AssetsDefinition) for spec in made.check_specs]
    alerts = build_alert_sensor(catalog.datasets, [spec.key for spec in specs if spec.blocking], channels)
    return dg.Definitions.merge(
        found,
        dg.Definitions(
            assets=[dead_letters, history.table, *operations.assets, *table_files.assets, upkeep.asset],
            asset_checks=[no_dead_letters],
            jobs=[
                history.job,
                operations.job,
                table_files.compaction,
                table_files.expiry,
                upkeep.job,
                *(build_again_jobs(catalog) if jobs else ()),
            ],
            schedules=[
                build_history_schedule(history.job),
                build_sweep_schedule(operations.job, sweeps.cron),
                *build_table_schedules(
                    table_files.compaction, table_files.expiry, compacting.cron, compacting.expiry_cron
                ),
                build_upkeep_schedule(upkeep.job, keeping.cron),
            ],
            sensors=[*(_sensors_of(catalog, jobs) if jobs else ()), build_dead_letter_sensor(), alerts],
            resources={"gate": gate, "alerts": AlertsResource()},
            # One process for a run: each further one would import everything again (DAGSTER.md, "What a run costs").
            executor=dg.in_process_executor,
        ),
    )


def _sensors_of(catalog: DatasetCatalog, jobs: Sequence[Any]) -> tuple[dg.SensorDefinition, ...]:
    return build_landing_sensor(catalog.datasets, jobs), build_attention_sensor(catalog.datasets)


def _channels(environment: Mapping[str, str]) -> list[str]:
    """The alert channels as people are told of them. A wrong setting takes no definition down: the sensor's ticks say it."""
    try:
        return [f"{channel.name} ({channel.place})" for channel in channels_of(environment)]
    except ConfigurationError:
        return []
