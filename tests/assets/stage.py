"""Dagster over a deployment in memory: the committed definitions' own composition, with two small datasets.

`Stage` holds the world (producer, ledger, tables) and plays what the daemon does: runs are made in process.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from lakegate.definitions import build_defs
from pipelines.contracts.loading import DatasetCatalog
from pipelines.gate import Gate
from pipelines.intake.dispatching import Launch, dispatch
from pipelines.intake.receiving import receive
from sensors.landing import run_states
from tests.accounting.books import HandClock
from tests.ingest.world import World, dataset

DEPARTURES = """
name: departures
description: Departures, one file or more a day.
owner: team:aviation
group: nyc
landing: {key: "landing/departures/{day:%Y-%m-%d}/*.csv", day: day, start: 2024-01-01}
format: {type: csv}
columns:
  day: {type: date, from: key}
  flight: {type: int, nullable: false, min: 1, description: "Number."}
  origin: {type: string, allowed: [EWR, JFK, LGA]}
  delay: {type: int}
partition_by: [day]
primary_key: [flight]
expectations:
  - {expect_column_values_to_be_between: {column: delay, max_value: 600}, severity: warn}
  - {expect_column_values_to_be_between: {column: delay, min_value: -60}, severity: warn}
"""
READINGS = """
name: readings
description: Readings; what arrives on a day is of that day.
landing: {key: "landing/readings/*.csv", start: 2024-01-01}
format: {type: csv}
columns:
  id: {type: bigint, nullable: false}
"""
HEADER = b"flight,origin,delay\n"


def departures(*flights: int, delay: int = 5) -> bytes:
    """A good file."""
    return HEADER + b"".join(f"{flight},EWR,{delay}\n".encode() for flight in flights)


BAD = HEADER + b"1,EWR,5\ntwo,EWR,5\n3,ORD,5\n"


def key(day: str, name: str = "a") -> str:
    return f"landing/departures/{day}/{name}.csv"


@dataclass(frozen=True)
class OpenGate:
    """What stands for the gate's resource."""

    gate: Gate

    def open(self) -> Gate:
        return self.gate


@dataclass
class Stage:
    """One Dagster instance and the world it works on."""

    instance: dg.DagsterInstance
    world: World
    gate: Gate
    defs: dg.Definitions

    @property
    def repository(self) -> dg.RepositoryDefinition:
        return self.defs.get_repository_def()

    def tick(self, cursor: str | None = None) -> Any:
        """Evaluate the landing sensor as the daemon does: partition keys and tags are validated."""
        repository = self.repository
        with dg.build_sensor_context(
            instance=self.instance, repository_def=repository, cursor=cursor, resources={"gate": OpenGate(self.gate)}
        ) as context:
            return repository.get_sensor_def("landing_sensor").evaluate_tick(context)

    def planned(self) -> list[Launch]:
        """Register what was announced and plan it, without Dagster."""
        receive(self.gate, wait_s=0, budget_s=60)
        return dispatch(self.gate, lambda keys: run_states(self.instance, keys)).launches

    def run(
        self,
        tags: Mapping[str, str],
        *,
        of: str = "departures",
        raises: bool = True,
        config: Mapping[str, Any] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Execute the dataset's job in this process. One day: tag `dagster/partition`; several: the range tags."""
        job = self.repository.get_job(f"ingest_{of}")
        return job.execute_in_process(
            instance=self.instance,
            tags=dict(tags),
            partition_key=tags.get("dagster/partition"),
            raise_on_error=raises,
            run_config={"ops": {of: {"config": dict(config)}}} if config is not None else None,
        )

    def run_request(self, request: Any, *, raises: bool = True) -> dg.ExecuteInProcessResult:
        """Execute what a tick asked for."""
        of = request.job_name.removeprefix("ingest_")
        tags = {**request.tags, "dagster/run_key": request.run_key, "dagster/sensor_name": "landing_sensor"}
        return self.run(tags, of=of, raises=raises)

    def check(self, *names: str, of: str = "departures") -> dict[str, dg.AssetCheckEvaluation]:
        """Execute checks of a table alone, as the button in the UI does; all of them where none is named."""
        asset = dg.AssetKey([of])
        wanted = {check for check in self.repository.asset_graph.asset_check_keys if check.asset_key == asset}
        selected = {check for check in wanted if not names or check.name in names}
        job = self.repository.get_implicit_global_asset_job_def().get_subset(
            asset_selection=set(), asset_check_selection=selected
        )
        result = job.execute_in_process(instance=self.instance, raise_on_error=False)
        return {answer.check_name: answer for answer in result.get_asset_check_evaluations()}

    def metadata(self, asset: Sequence[str], partition: str) -> dict[str, Any]:
        """The newest materialization of an asset's partition, as plain values."""
        records = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[partition]), limit=1
        ).records
        assert records, f"{asset} {partition} was never materialized"
        found = records[0].asset_materialization
        assert found is not None
        return {name: _plain(value) for name, value in found.metadata.items()}


def _plain(value: dg.MetadataValue) -> Any:
    return [dict(r.data) for r in value.records] if isinstance(value, dg.TableMetadataValue) else value.value


def days(first: str, last: str) -> dict[str, str]:
    """The tags of a run over a range of days."""
    return {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}


@contextmanager
def staged(instance: dg.DagsterInstance, *texts: str) -> Iterator[Stage]:
    """A stage over these datasets."""
    datasets = tuple(dataset(text) for text in (texts or (DEPARTURES, READINGS)))
    world = World(datasets=datasets, clock=HandClock(datetime(2024, 3, 10, 12, tzinfo=UTC)))
    gate = world.gate()
    yield Stage(instance, world, gate, build_defs(DatasetCatalog(datasets), OpenGate(gate)))
