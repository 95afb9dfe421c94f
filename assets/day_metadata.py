"""What the materialization of one landing day tells: its metadata, by names that people and Dagster's plots know it by.

First what a person reads, then the numbers, which Dagster plots over days and over time. The page of the documentation lists all
of them (`docs/what-a-materialization-tells.md`); a test holds both against each other.
"""

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import dagster as dg

from assets.column_lineage import column_lineage
from assets.file_tables import file_table
from assets.keys import counted
from pipelines.contracts.column_sources import spellings
from pipelines.contracts.model import Dataset
from pipelines.gate import Gate
from pipelines.links import Links
from pipelines.printable import markdown, printable, spoken
from pipelines.reports import BatchReport, FileEnding, FileReport
from pipelines.telemetry.tracing import trace_of

__all__ = ["MEDIAN_LATENCY", "SLOWEST_LATENCY", "day_metadata"]

MEDIAN_LATENCY = "seconds to queryable, median"
SLOWEST_LATENCY = "seconds to queryable, slowest"
_PARTITIONS_SHOWN = 20
_COLUMNS_SHOWN = 50

Metadata = dict[str, dg.MetadataValue]


def day_metadata(gate: Gate, dataset: Dataset, reports: Sequence[BatchReport], rows_in_table: int) -> Metadata:
    """Everything about one day's batches in one run. `dataset` is as its table has it; `rows_in_table` of the day, in all."""
    files = [f for r in reports for f in r.files]
    numbers = _numbers(reports, files, rows_in_table)
    if not files:
        note = "No file of this day was due: nothing was read and nothing was changed."
        return {"note": dg.MetadataValue.text(note), **numbers}
    return {
        **_story(gate, reports, files),
        **_columns(dataset, reports),
        **numbers,
        **_times(reports),
        **_particulars(gate.links, reports, files),
    }


# ---- for people ---------------------------------------------------------------------------------------------------


def _story(gate: Gate, reports: Sequence[BatchReport], files: Sequence[FileReport]) -> Metadata:
    outcomes = Counter(file.outcome for file in files)
    became = ", ".join(f"{outcomes[ending]:,} {ending.value}" for ending in FileEnding if outcomes[ending])
    rows = f"{counted(sum(r.rows_loaded for r in reports), 'row')} loaded"
    removed = sum(r.committed.rows_removed for r in reports if r.committed)
    story: Metadata = {
        "summary": dg.MetadataValue.text(
            f"{counted(len(files), 'file')}: {became}; {rows}"
            + (f", {counted(removed, 'older row')} out" if removed else "")
        )
    }
    if any(f.outcome is FileEnding.LOADED for f in files) and not any(r.latencies for r in reports):
        story["note"] = dg.MetadataValue.text(_no_latency(reports))
    story["files of this day"] = dg.MetadataValue.md(file_table(gate, files))
    return story


def _no_latency(reports: Sequence[BatchReport]) -> str:
    if any(r.recognised for r in reports):
        return "An attempt that died had published these files: how long they took to become queryable is not known."
    triggers = ", ".join(sorted({r.trigger for r in reports}))
    return (
        f"These files were not announced by an event just now ({triggers}): there is no time from landing to queryable."
    )


def _columns(dataset: Dataset, reports: Sequence[BatchReport]) -> Metadata:
    """Which columns came from where, and what changed in the table's."""
    told: Metadata = {}
    added = {name: source for r in reports for name, source in r.columns_added.items()}
    widened = {name: types for r in reports for name, types in r.types_widened.items()}
    changes = [
        f"column {markdown(name)} added, text, which files call {markdown(source)}" for name, source in added.items()
    ]
    changes += [f"column {markdown(name)} widened from {old} to {new}" for name, (old, new) in widened.items()]
    if changes:
        told["schema changes"] = dg.MetadataValue.md(_bullets(changes))
    names: dict[str, dict[str, None]] = {}
    for report in reports:
        for column, found in report.names_in_files.items():
            names.setdefault(column, {}).update(dict.fromkeys(found))
    others = list(_other_names(dataset, names))
    if others:
        told["columns under other names"] = dg.MetadataValue.md(_bullets(others))
    rescued: Counter[str] = Counter()
    for report in reports:
        rescued.update(report.rescued)
    if rescued:
        told["values rescued by column"] = dg.MetadataValue.md(
            _bullets([f"{markdown(name)}: {number:,}" for name, number in rescued.most_common()])
        )
        told["values rescued"] = dg.MetadataValue.int(rescued.total())
    told["dagster/column_lineage"] = dg.MetadataValue.column_lineage(
        column_lineage(dataset, {column: tuple(found) for column, found in names.items()})
    )
    return told


def _other_names(dataset: Dataset, names: Mapping[str, Mapping[str, None]]) -> Iterator[str]:
    """Columns that a file had under another name than the one that is looked for first."""
    for column, found in names.items():
        first = spellings(column, dataset.columns[column])[0] if column in dataset.columns else column
        if list(found) != [first]:
            yield f"column {markdown(column)} from {', '.join(map(markdown, found))}"


def _bullets(lines: Sequence[str]) -> str:
    shown = [f"- {line}" for line in lines[:_COLUMNS_SHOWN]]
    return "\n".join([*shown, f"- … and {len(lines) - len(shown):,} more"] if len(lines) > len(shown) else shown)


# ---- numbers ------------------------------------------------------------------------------------------------------


def _numbers(reports: Sequence[BatchReport], files: Sequence[FileReport], rows_in_table: int) -> Metadata:
    quarantined = sum(f.outcome is FileEnding.QUARANTINED for f in files)
    numbers: Metadata = {
        "dagster/partition_row_count": dg.MetadataValue.int(rows_in_table),
        "files": dg.MetadataValue.int(len(files)),
        "files loaded": dg.MetadataValue.int(sum(f.outcome is FileEnding.LOADED for f in files)),
        "files quarantined": dg.MetadataValue.int(quarantined),
        "rows read": dg.MetadataValue.int(sum(f.rows_read for f in files)),
        "rows loaded": dg.MetadataValue.int(sum(r.rows_loaded for r in reports)),
        "rows rejected": dg.MetadataValue.int(sum(r.rows_rejected for r in reports)),
        "rows replaced": dg.MetadataValue.int(sum(r.committed.rows_removed for r in reports if r.committed)),
        "bytes in": dg.MetadataValue.int(sum(r.bytes_in for r in reports)),
        "bytes out": dg.MetadataValue.int(sum(r.bytes_out for r in reports)),
        "partitions touched": dg.MetadataValue.int(len({p for r in reports for p in r.partitions})),
    }
    if files:
        numbers["quarantine rate, percent"] = dg.MetadataValue.float(round(100 * quarantined / len(files), 2))
    changes: Counter[str] = Counter()
    for report in reports:
        changes.update(report.changes)
    for what, number in changes.items():
        name = "replaced files not compared" if what == "not compared" else f"rows of replaced files {what}"
        numbers[name] = dg.MetadataValue.int(number)
    return numbers


def _times(reports: Sequence[BatchReport]) -> Metadata:
    times: Metadata = {}
    waits = [seconds for report in reports for seconds in report.latencies]
    if waits:
        times[MEDIAN_LATENCY] = dg.MetadataValue.float(round(statistics.median(waits), 3))
        times[SLOWEST_LATENCY] = dg.MetadataValue.float(round(max(waits), 3))
    for stage, seconds in ((s, t) for r in reports for s, t in r.seconds.items()):
        name = f"seconds {stage.value}"
        before = times.get(name)
        times[name] = dg.MetadataValue.float(round(seconds + (cast(float, before.value) if before else 0.0), 3))
    return times


def _particulars(links: Links, reports: Sequence[BatchReport], files: Sequence[FileReport]) -> Metadata:
    told: Metadata = {}
    said = {
        f"{spoken(f.delimiter)} ({'pinned' if f.delimiter_score is None else f'score {f.delimiter_score:.2f}'})": None
        for f in files
        if f.delimiter is not None
    }
    if said:
        told["delimiter"] = dg.MetadataValue.text(", ".join(said))
    partitions = sorted({p for r in reports for p in r.partitions})
    if partitions:
        more = f" … and {len(partitions) - _PARTITIONS_SHOWN:,} more" if len(partitions) > _PARTITIONS_SHOWN else ""
        told["partitions"] = dg.MetadataValue.text(printable(", ".join(partitions[:_PARTITIONS_SHOWN])) + more)
    snapshots = [str(r.committed.snapshot_id) for r in reports if r.committed]
    if snapshots:
        told["snapshot id"] = dg.MetadataValue.text(snapshots[-1])
    told["batches"] = dg.MetadataValue.text(", ".join(r.batch_id for r in reports))
    told["traces"] = _traces(links, [trace_of(r.batch_id) for r in reports])
    return told


def _traces(links: Links, ids: Sequence[str]) -> dg.MetadataValue:
    if links.traces is None:
        return dg.MetadataValue.text(", ".join(ids))
    return dg.MetadataValue.md(", ".join(f"[{id_}]({links.trace(id_)})" for id_ in ids))
