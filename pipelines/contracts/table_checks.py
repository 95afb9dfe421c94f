"""What can be wrong with the table: its keys, its partitions, its policies. Part of `checks.py`."""

from collections.abc import Iterator, Sequence

from pipelines.contracts.faults import KeyPath, Problem, Sound, did_you_mean, show
from pipelines.contracts.model import MAX_NAME, Column, Dataset, OnBad
from pipelines.contracts.nested_types import NESTED
from pipelines.contracts.rejected import REJECTED_SUFFIX
from pipelines.contracts.values import ColumnType

__all__ = ["MAX_BUCKETS", "check_table"]

MAX_BUCKETS = 10_000
# What has no total order, no equality to rely on, or no place in a path.
_NO_KEY = NESTED | {ColumnType.FLOAT, ColumnType.DOUBLE, ColumnType.JSON}
_NO_BUCKET = _NO_KEY | {ColumnType.BOOLEAN}
_TIMES = frozenset({ColumnType.DATE, ColumnType.TIMESTAMP})


def check_table(dataset: Dataset, sound: Sound) -> Iterator[Problem]:
    """The problems of `primary_key`, `unique`, `partition_by`, `rows.count`, and of what happens when things change or go wrong."""
    yield from _key(dataset, sound, ("primary_key",), dataset.primary_key)
    yield from _unique(dataset, sound)
    yield from _row_count(dataset, sound)
    yield from _partitions(dataset, sound)
    yield from _policies(dataset, sound)
    yield from _compaction(dataset, sound)


def _compaction(dataset: Dataset, sound: Sound) -> Iterator[Problem]:
    path = ("compaction", "sort_by")
    seen: set[str] = set()
    for index, name in enumerate(dataset.compaction.sort_by if sound(*path) else ()):
        column = dataset.columns.get(name)
        if name in seen:
            yield Problem((*path, index), f"{name} a second time", "each column once", "remove it")
        elif column is None:
            if sound("columns"):
                found = f"{show(name)}, which is no column"
                yield Problem((*path, index), found, "a column of this dataset", did_you_mean(name, dataset.columns))
        elif column.kind in NESTED and sound("columns", name, "type"):
            found = f"{name}, a column of type {column.type}"
            yield Problem(
                (*path, index), found, "a type with an order (not struct, array or map)", "choose another column"
            )
        seen.add(name)
    if sound("compaction", "settled_after"):
        try:
            _ = dataset.compaction.settled
        except ValueError:
            found = show(dataset.compaction.settled_after)
            yield Problem(
                ("compaction", "settled_after"), found, "an ISO 8601 duration", "write PT6H (six hours) or P1D (a day)"
            )


def _unique(dataset: Dataset, sound: Sound) -> Iterator[Problem]:
    seen = {frozenset(dataset.primary_key): "the primary key"}
    for index, names in enumerate(dataset.unique):
        path = ("unique", index)
        if not sound(*path):
            continue
        if not names:
            yield Problem(path, "an empty list", "at least one column", "name the columns, or remove it")
        elif frozenset(names) in seen:
            found = f"{', '.join(names)}, {seen[frozenset(names)]} already"
            yield Problem(path, found, "other columns", "remove it: these are unique already")
        seen.setdefault(frozenset(names), f"unique[{index}]")
        yield from _key(dataset, sound, path, names)


def _row_count(dataset: Dataset, sound: Sound) -> Iterator[Problem]:
    path, count = ("rows", "count"), dataset.rows.count
    if count is None or not (sound(*path, "min") and sound(*path, "max")):
        return
    if count.min is None and count.max is None:
        yield Problem(path, "neither min nor max", "at least one of them", "write 24 or {min: 1, max: 100000}")
    elif count.min is not None and count.max is not None and count.min > count.max:
        found = f"{count.min}, above max {count.max}"
        yield Problem((*path, "min"), found, "min at most max", "swap the two, or correct one")


def _key(dataset: Dataset, sound: Sound, where: KeyPath, names: Sequence[str]) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, name in enumerate(names):
        path = (*where, index)
        column = dataset.columns.get(name)
        if not sound(*path):
            continue
        if name in seen:
            yield Problem(path, f"{name} a second time", "each column once", "remove it")
        elif column is None:
            if sound("columns"):
                yield Problem(
                    path,
                    f"{show(name)}, which is no column",
                    "a column of this dataset",
                    did_you_mean(name, dataset.columns),
                )
        elif column.kind in _NO_KEY and sound("columns", name, "type"):
            yield Problem(
                path,
                f"{name}, a column of type {column.type}",
                "a type that compares exactly (not float, double, json or nested)",
                "use decimal(p,s) or string, or choose another column",
            )
        seen.add(name)


def _partitions(dataset: Dataset, sound: Sound) -> Iterator[Problem]:
    seen: dict[tuple[str, bool], str] = {}
    for index, field in enumerate(dataset.partition_by):
        path = ("partition_by", index)
        if not sound(*path):
            continue
        column = dataset.columns.get(field.column)
        same = (field.column, field.transform == "bucket")
        if same in seen:
            yield Problem(
                path,
                f"{field.column} a second time",
                "each column once",
                f"remove one: {seen[same]} stands before it",
            )
        seen[same] = field.name
        if field.transform == "bucket" and not 1 <= (field.buckets or 0) <= MAX_BUCKETS:
            yield Problem(
                path, f"{field.buckets} buckets", f"1 to {MAX_BUCKETS}", "write for example bucket(16, column)"
            )
        if column is None:
            if sound("columns"):
                yield Problem(
                    path,
                    f"{show(field.column)}, which is no column",
                    "a column of this dataset",
                    did_you_mean(field.column, dataset.columns),
                )
            continue
        if field.transform != "identity" and field.name in dataset.columns:
            yield Problem(
                path,
                f"the partition {field.name}, which is also a column",
                "a partition name of its own",
                f"rename columns.{field.name}, or partition by it",
            )
        if sound("columns", field.column, "type"):
            yield from _partition_type(path, field.transform, field.column, column)


def _policies(dataset: Dataset, sound: Sound) -> Iterator[Problem]:
    dataset = dataset
    rows = dataset.rows
    if rows.max_bad is not None and sound("rows", "max_bad"):
        path = ("rows", "max_bad")
        if rows.on_bad is not OnBad.QUARANTINE_ROWS and sound("rows", "on_bad"):
            yield Problem(
                path,
                "max_bad with on_bad: quarantine_file",
                "max_bad only with on_bad: quarantine_rows",
                "remove it: one bad row is enough",
            )
        try:
            _ = rows.bad_row_limit
        except ValueError:
            yield Problem(path, show(rows.max_bad), "a number of rows or a share up to 100%", 'write 10 or "0.1%"')
    most = MAX_NAME - len(REJECTED_SUFFIX)
    if rows.on_bad is OnBad.QUARANTINE_ROWS and len(dataset.name) > most and sound("rows", "on_bad") and sound("name"):
        yield Problem(
            ("name",),
            f"{len(dataset.name)} characters, and rows.on_bad: quarantine_rows",
            f"at most {most} characters: the table of its rejected rows is called {REJECTED_SUFFIX} behind its name",
            "shorten the name",
        )


def _partition_type(path: KeyPath, transform: str, name: str, column: Column) -> Iterator[Problem]:
    kind = column.kind
    if transform in ("day", "month"):
        if kind not in _TIMES:
            yield Problem(
                path,
                f"{transform}({name}) on a column of type {column.type}",
                f"{transform} of a date or timestamp",
                f"write {name} for its values, or bucket(16, {name})",
            )
    elif transform == "bucket":
        if kind in _NO_BUCKET:
            yield Problem(
                path,
                f"a bucket of a column of type {column.type}",
                "a type that hashes exactly (not float, double, boolean, json or nested)",
                "choose another column",
            )
    elif kind in _NO_KEY:
        yield Problem(
            path,
            f"{name}, a column of type {column.type}",
            "a type that compares exactly (not float, double, json or nested)",
            "choose another column",
        )
