"""Tells Dagster what a run did: to the table's asset, a day at a time, and to the landing files and the quarantine beside it."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import cast

import dagster as dg

from assets import plots
from assets.column_lineage import landing_schema
from assets.columns import column_schema
from assets.day_metadata import MEDIAN_LATENCY, SLOWEST_LATENCY, Metadata, day_metadata
from assets.file_tables import FILES_SHOWN, report_list
from assets.keys import counted, landing_key, quarantine_key, table_key
from pipelines.accounting.day_counts import DayCounts
from pipelines.contracts.evolution import evolved
from pipelines.contracts.model import Dataset
from pipelines.gate import Gate
from pipelines.printable import printable
from pipelines.reports import BatchReport, FileEnding, FileReport

__all__ = ["first_told", "tell"]


def first_told(days: Sequence[date]) -> date:
    """The first day that is spoken of when these days are told of: pictures reach back."""
    return min(min(days), max(days) - plots.DAYS_SHOWN * plots.ONE_DAY)


def tell(
    context: dg.AssetExecutionContext,
    gate: Gate,
    dataset: Dataset,
    days: Sequence[date],
    reports: Sequence[BatchReport],
    failed: Collection[date],
    counts: Sequence[DayCounts],
) -> None:
    """Tell of each day of a run, with the dataset's `counts` from `first_told` on.

    Where days `failed`, the run will, and only those of the others that had a batch are told of.
    The last day with files has pictures of the dataset's past; what goes wrong in drawing them is a warning in the run's log.
    """
    rows_in_table = {count.landing_day: count.rows_in_table for count in counts}
    schemas = _Schemas(gate, dataset)
    told: dict[date, Metadata] = {}
    for day in days:
        mine = [r for r in reports if r.landing_day == day]
        told[day] = {**schemas.of_table, **day_metadata(gate, schemas.dataset, mine, rows_in_table.get(day, 0))}
        _tell_neighbours(context, gate, dataset, day, mine, schemas.of_landing)
    with_files = [day for day in days if any(r.landing_day == day and r.files for r in reports)]
    if with_files:
        last = max(with_files)
        told[last] = _with_pictures(told[last], _pictures(context, dataset, last, counts, reports, told[last]))
    for day, metadata in told.items():
        if not failed:
            context.add_asset_metadata(metadata, partition_key=day.isoformat())
        elif day not in failed and any(r.landing_day == day for r in reports):
            # A failed step yields no materialization: what is done would look failed too.
            context.log_event(dg.AssetMaterialization(table_key(dataset), partition=day.isoformat(), metadata=metadata))


class _Schemas:
    """The columns of table and files, where files may have made them others than the contract's, which the assets show."""

    def __init__(self, gate: Gate, dataset: Dataset) -> None:
        self.dataset = dataset
        self.of_table: Metadata = {}
        self.of_landing: Metadata = {}
        if dataset.schema_.new_columns == "add" or dataset.schema_.widens:
            there = gate.tables.columns(dataset)
            self.dataset = evolved(dataset, there)
            self.of_table = {"dagster/column_schema": dg.MetadataValue.table_schema(column_schema(dataset, there))}
            self.of_landing = {"dagster/column_schema": dg.MetadataValue.table_schema(landing_schema(self.dataset))}


# ---- the neighbours -----------------------------------------------------------------------------------------------


def _tell_neighbours(
    context: dg.AssetExecutionContext,
    gate: Gate,
    dataset: Dataset,
    day: date,
    reports: Sequence[BatchReport],
    schema: Mapping[str, dg.MetadataValue],
) -> None:
    files = [f for r in reports for f in r.files]
    quarantined = [f for f in files if f.outcome is FileEnding.QUARANTINED]
    if files:
        context.log_event(
            dg.AssetMaterialization(
                landing_key(dataset),
                partition=day.isoformat(),
                description=f"{counted(len(files), 'file')} landed and {'was' if len(files) == 1 else 'were'} read",
                metadata={
                    "files": dg.MetadataValue.int(len(files)),
                    "bytes": dg.MetadataValue.int(sum(f.size_bytes for f in files)),
                    **schema,
                },
            )
        )
    if quarantined:
        context.log_event(
            dg.AssetMaterialization(
                quarantine_key(dataset),
                partition=day.isoformat(),
                description=f"{counted(len(quarantined), 'file')} went to quarantine",
                metadata=_quarantine_metadata(gate, quarantined),
            )
        )


def _quarantine_metadata(gate: Gate, files: Sequence[FileReport]) -> Metadata:
    records = [
        dg.TableRecord(
            {
                "file": printable(file.key),
                "id": file.quarantine_id or "",
                "rule": violation.rule.value,
                "line": str(violation.line or ""),
                "column": printable(violation.column or ""),
                "count": violation.count,
                "what to do": violation.rule.remedy,
            }
        )
        for file in files
        for violation in file.violations[:5]
    ]
    return {
        "files": dg.MetadataValue.int(len(files)),
        "faults": dg.MetadataValue.int(sum(f.violations_total for f in files)),
        "reports": dg.MetadataValue.md(report_list(gate, files)),
        "reasons": dg.MetadataValue.table(records[:FILES_SHOWN]),
    }


# ---- pictures -----------------------------------------------------------------------------------------------------


def _pictures(
    context: dg.AssetExecutionContext,
    dataset: Dataset,
    last: date,
    counts: Sequence[DayCounts],
    reports: Sequence[BatchReport],
    told: Metadata,
) -> Metadata:
    """Pictures of the past up to a day; none where drawing fails, which no run fails for."""
    try:
        pictures = {
            "plot of rows": plots.rows_per_day(counts, last),
            "plot of quarantine rate": plots.quarantine_rate(counts, last),
        }
        if SLOWEST_LATENCY in told:
            now = _waited(datetime.now(UTC), told)
            pictures["plot of latency"] = plots.latency([*_waits_before(context.instance, dataset), now])
        published = [r for r in reports if r.rows_published and r.column_nulls is not None]
        if published:
            nulls: dict[str, int] = {}
            for report in published:
                for column, number in (report.column_nulls or {}).items():
                    nulls[column] = nulls.get(column, 0) + number
            pictures["plot of nulls"] = plots.null_share(nulls, sum(r.rows_published or 0 for r in published))
        return {name: dg.MetadataValue.md(picture) for name, picture in pictures.items()}
    except Exception as error:  # noqa: BLE001  # a picture is worth no run: whatever goes wrong in drawing is told
        context.log.warning(
            f"{dataset.name}: the plots of this materialization could not be drawn: {type(error).__name__}: {printable(str(error))}"
        )
        return {}


def _with_pictures(told: Metadata, pictures: Metadata) -> Metadata:
    """The metadata with pictures behind the table of files, which is where a person looks on."""
    names = list(told)
    at = names.index("files of this day") + 1
    return {name: told[name] for name in names[:at]} | pictures | {name: told[name] for name in names[at:]}


def _waited(at: datetime, told: Mapping[str, dg.MetadataValue]) -> plots.Waited:
    median, slowest = (cast(float, told[name].value) for name in (MEDIAN_LATENCY, SLOWEST_LATENCY))
    return plots.Waited(at, median, slowest)


def _waits_before(instance: dg.DagsterInstance, dataset: Dataset) -> list[plots.Waited]:
    """How long files waited in the latest materializations, as these told it."""
    found = instance.fetch_materializations(dg.AssetRecordsFilter(asset_key=table_key(dataset)), limit=plots.DAYS_SHOWN)
    waits: list[plots.Waited] = []
    for record in found.records:
        materialization = record.asset_materialization
        if materialization is not None and SLOWEST_LATENCY in materialization.metadata:
            waits.append(_waited(datetime.fromtimestamp(record.timestamp, UTC), materialization.metadata))
    return waits
