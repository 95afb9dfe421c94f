"""From what a worker told of a batch to the event that OpenLineage knows it by. Pure.

A batch is a run of the job `ingest_<dataset>`. It reads the landing of the dataset (one dataset with all that is known of the
batch's files together: columns, promises of the contract, numbers) and its files, each by its key and version; it writes the table, the
table of rejected rows and the quarantine, each only where something went there. What a batch has no word for in OpenLineage is in tags.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import assert_never

import pyarrow as pa

from pipelines.contracts.column_sources import column_sources, landing_columns
from pipelines.contracts.evolution import type_text
from pipelines.contracts.model import Dataset, JsonFormat
from pipelines.contracts.rejected import bad_row_limit, rejected_dataset
from pipelines.contracts.schema import fingerprint, table_schema
from pipelines.lineage.assertions import assertions
from pipelines.lineage.events import (
    Assertion,
    Change,
    EventDataset,
    Field,
    InputField,
    Metrics,
    RunEvent,
    RunState,
    Statistics,
)
from pipelines.lineage.naming import LineageNames
from pipelines.lineage.news import BatchNews, Begun, Stopped
from pipelines.printable import printable
from pipelines.reports import BatchReport, FileEnding, FileReport

__all__ = ["MAX_FILES", "describe"]

MAX_FILES = 100
"""Files of a batch that are inputs of its event one by one; the others are in the numbers of the landing, and counted in a tag."""

_NOT_READ = frozenset({FileEnding.GONE, FileEnding.REMOVED, FileEnding.ARCHIVED, FileEnding.RETRY, FileEnding.DEFERRED})


def describe(news: BatchNews, names: LineageNames) -> RunEvent:
    """The event that says so."""
    match news.what:
        case Begun():
            landing = _landing(news.table, names)
            return _event(news, names, RunState.START, {}, (landing,))
        case Stopped() as stopped:
            state = RunState.ABORT if stopped.abandoned else RunState.FAIL
            shown = stopped.versions[:MAX_FILES]
            files = [_file(v.key, v.version_id, names, Statistics(size_bytes=v.size_bytes, files=1), {}) for v in shown]
            tags = _file_tags(len(stopped.versions), len(shown)) if stopped.versions else {}
            inputs = (_landing(news.table, names), *files)
            return _event(news, names, state, tags, inputs, error=stopped.reason)
        case BatchReport() as report:
            inputs, listed = _inputs(news, report, names)
            tags = _file_tags(len(report.files), listed) | _report_tags(report)
            outputs = _outputs(news.table, report, names)
            return _event(news, names, RunState.COMPLETE, tags, inputs, outputs)
        case _ as never:
            assert_never(never)


def _event(
    news: BatchNews,
    names: LineageNames,
    state: RunState,
    tags: Mapping[str, str],
    inputs: Sequence[EventDataset],
    outputs: Sequence[EventDataset] = (),
    *,
    error: str | None = None,
) -> RunEvent:
    dataset, batch = news.dataset, news.batch
    day = datetime.combine(batch.landing_day, time(), UTC)
    said = {
        "lakegate/dataset": dataset.name,
        "lakegate/day": batch.landing_day.isoformat(),
        "lakegate/batch": batch.batch_id,
        "lakegate/trigger": batch.trigger.value,
        "lakegate/contract": fingerprint(dataset),
    }
    page = names.links.run(news.owner) if news.owner else None
    return RunEvent(
        state=state,
        at=news.at,
        run=names.run(dataset, batch.batch_id),
        parent=names.parent(dataset, news.owner),
        description=f"Reads, checks and publishes the files of {dataset.name} that have landed.",
        owner=dataset.owner,
        source_url=names.links.dataset_file(dataset.name),
        nominal_start=day,
        nominal_end=day + timedelta(days=1),
        version=names.version,
        tags={**said, **({"lakegate/run_page": page} if page else {}), **tags},
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        error=error,
    )


def _file_tags(files: int, listed: int) -> dict[str, str]:
    return {"lakegate/files": str(files), "lakegate/files_not_listed": str(files - listed)}


def _report_tags(report: BatchReport) -> dict[str, str]:
    endings = Counter(file.outcome for file in report.files)
    tags = {f"lakegate/files_{ending.value}": str(count) for ending, count in endings.items()}
    if report.committed is not None and report.committed.rows_removed:
        tags["lakegate/rows_taken_out"] = str(report.committed.rows_removed)
    if report.recognised:
        tags["lakegate/recognised"] = "true"
    return tags


# ---- what it read


def _inputs(news: BatchNews, report: BatchReport, names: LineageNames) -> tuple[list[EventDataset], int]:
    """The landing and the files, and how many of these there are. What went wrong comes first: it is never left out for what did not."""
    read = [file for file in report.files if file.outcome not in _NOT_READ]
    size = sum(file.size_bytes for file in read)
    landing = _landing(
        news.table,
        names,
        statistics=Statistics(report.rows_read, size, len(read)),
        metrics=Metrics(report.rows_read, size, len(read)),
        promises=assertions(news.dataset, report),
        further=[name for names_of_one in report.names_in_files.values() for name in names_of_one],
    )
    ordered = sorted(report.files, key=lambda file: file.outcome is FileEnding.LOADED)[:MAX_FILES]
    return [landing, *(_reported_file(file, names) for file in ordered)], len(ordered)


def _landing(
    dataset: Dataset,
    names: LineageNames,
    *,
    statistics: Statistics | None = None,
    metrics: Metrics | None = None,
    promises: tuple[Assertion, ...] = (),
    further: Sequence[str] = (),
) -> EventDataset:
    """All that lands for a dataset. `further` are names that files gave its columns, whether or not the contract has them."""
    said = {one.name: one.words for one in landing_columns(dataset)}
    said |= {name: "A column of the file." for name in further if name not in said}
    kind = "JSON" if isinstance(dataset.format, JsonFormat) else dataset.format.type.upper()
    return EventDataset(
        names.landing(dataset),
        "FILE",
        description=f"{kind} files of {dataset.name}, as they land under {dataset.landing.key}",
        owner=dataset.owner,
        fields=tuple(Field(printable(name), description=words) for name, words in said.items()),
        statistics=statistics,
        metrics=metrics,
        assertions=promises,
    )


def _reported_file(file: FileReport, names: LineageNames) -> EventDataset:
    tags = {"lakegate/outcome": file.outcome.value}
    if file.quarantine_id is not None:
        tags["lakegate/quarantine_id"] = file.quarantine_id
    change = Change.DROP if file.outcome in (FileEnding.REMOVED, FileEnding.GONE) else None
    if file.outcome in _NOT_READ:
        return _file(file.key, file.version_id, names, None, tags, change)
    statistics = Statistics(file.rows_read, file.size_bytes, 1)
    return _file(file.key, file.version_id, names, statistics, tags, change)


def _file(
    key: str,
    version_id: str,
    names: LineageNames,
    statistics: Statistics | None,
    tags: Mapping[str, str],
    change: Change | None = None,
) -> EventDataset:
    return EventDataset(
        names.file(printable(key)), "FILE", version=version_id, statistics=statistics, tags=tags, change=change
    )


# ---- what it wrote


def _outputs(dataset: Dataset, report: BatchReport, names: LineageNames) -> list[EventDataset]:
    outputs: list[EventDataset] = []
    if (committed := report.committed) is not None:
        files = None if report.recognised else committed.files_added
        size = None if report.recognised else report.bytes_out
        changed = bool(report.columns_added or report.types_widened)
        outputs.append(
            _table(
                dataset,
                names,
                lineage=_column_lineage(dataset, names, report.names_in_files),
                version=str(committed.snapshot_id),
                change=Change.ALTER if changed else None,
                statistics=Statistics(committed.rows_added, size, files),
                metrics=_nulls(report),
            )
        )
    if report.rows_rejected and bad_row_limit(dataset) is not None:
        beside = rejected_dataset(dataset)
        outputs.append(_table(beside, names, statistics=Statistics(rows=report.rows_rejected)))
    quarantined = [file for file in report.files if file.outcome is FileEnding.QUARANTINED]
    if quarantined:
        outputs.append(
            EventDataset(
                names.quarantine(dataset),
                "FILE",
                description=f"Files that broke the contract of {dataset.name}, unchanged, each with a report of why",
                owner=dataset.owner,
                statistics=Statistics(size_bytes=sum(f.size_bytes for f in quarantined), files=len(quarantined)),
            )
        )
    return outputs


def _table(
    dataset: Dataset,
    names: LineageNames,
    *,
    lineage: Mapping[str, tuple[InputField, ...]] | None = None,
    version: str | None = None,
    change: Change | None = None,
    statistics: Statistics | None = None,
    metrics: Metrics | None = None,
) -> EventDataset:
    return EventDataset(
        names.table(dataset),
        "TABLE",
        description=dataset.description,
        owner=dataset.owner,
        version=version,
        also_known_as=names.location(dataset),
        iceberg=True,
        fields=_fields(dataset),
        column_lineage=lineage or {},
        change=change,
        statistics=statistics,
        metrics=metrics,
    )


def _nulls(report: BatchReport) -> Metrics | None:
    """The nulls of what was published: only where this attempt published all of it."""
    if report.rows_published is None or report.column_nulls is None or report.committed is None:
        return None
    return Metrics(report.rows_published, report.bytes_out, report.committed.files_added, report.column_nulls)


def _fields(dataset: Dataset) -> tuple[Field, ...]:
    said = {name: column.description for name, column in dataset.columns.items()}
    return tuple(_field(one.name, one.type, said.get(one.name)) for one in table_schema(dataset))


def _field(name: str, kind: pa.DataType, description: str | None = None) -> Field:
    """A column with what is inside it, named as the specification's page on the schema facet does."""
    if pa.types.is_struct(kind):
        members = tuple(_field(member.name, member.type) for member in kind.fields)
        return Field(name, "struct", description, members)
    if pa.types.is_map(kind):
        return Field(name, "map", description, (Field("key", "string"), _field("value", kind.item_type)))
    if pa.types.is_list(kind):
        return Field(name, "array", description, (_field("_element", kind.value_type),))
    return Field(name, type_text(kind), description)


def _column_lineage(
    dataset: Dataset, names: LineageNames, found: Mapping[str, Sequence[str]]
) -> dict[str, tuple[InputField, ...]]:
    """Each column of the table with a source, and its sources; those that Lakegate makes itself have none.

    Of several names of a column, those under which the files of the batch had it, where they had it.
    """
    landing = names.landing(dataset)
    lineage: dict[str, tuple[InputField, ...]] = {}
    for name, sources in column_sources(dataset).items():
        column = dataset.columns.get(name)
        as_it_is = column is None or column.type == "string"
        subtype = "IDENTITY" if as_it_is else "TRANSFORMATION"
        read_as = "" if column is None or as_it_is else f" Read as {column.type}."
        if sources:
            words = {source.name: source.words for source in sources}
            lineage[name] = tuple(
                InputField(landing, printable(one), subtype, f"{words.get(one, sources[0].words)}{read_as}")
                for one in found.get(name) or words
            )
    return lineage
