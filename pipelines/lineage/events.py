"""A run event as OpenLineage describes one, as values. Names follow the specification's, in this project's spelling.

Source: OpenLineage specification 2-0-2, and its facets. Which facet a value becomes is said in `resources/openlineage.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

__all__ = [
    "Assertion",
    "Change",
    "DatasetName",
    "EventDataset",
    "Field",
    "InputField",
    "JobRun",
    "Metrics",
    "RunEvent",
    "RunState",
    "Statistics",
]


class RunState(StrEnum):
    """What happened to the run."""

    START = "START"
    COMPLETE = "COMPLETE"
    FAIL = "FAIL"
    ABORT = "ABORT"


class Change(StrEnum):
    """What a batch did to a dataset as a whole: its columns changed, or it went away."""

    ALTER = "ALTER"
    DROP = "DROP"


@dataclass(frozen=True, slots=True)
class DatasetName:
    """A dataset's name, the same for everybody who reads or writes it (OpenLineage, "Naming Conventions")."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Field:
    """A column, or a member inside one."""

    name: str
    type: str | None = None
    description: str | None = None
    fields: tuple["Field", ...] = ()


@dataclass(frozen=True, slots=True)
class InputField:
    """A column that values of another are taken from. `subtype` is IDENTITY or TRANSFORMATION."""

    dataset: DatasetName
    field: str
    subtype: str
    description: str


@dataclass(frozen=True, slots=True)
class Statistics:
    """What was read or written: rows, bytes, files; None where it is not known."""

    rows: int | None = None
    size_bytes: int | None = None
    files: int | None = None


@dataclass(frozen=True, slots=True)
class Metrics:
    """What was looked at: rows, bytes and files, and nulls by column."""

    rows: int
    size_bytes: int
    files: int
    nulls: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class Assertion:
    """One promise of the contract, and whether a breach of it was found. `severity` is error or warn.

    `consequence` is what a breach leads to, in the contract's words. `expected` is of the contract; `actual` counts, and holds no
    row's content. `content` is the text of a rule or of an expectation's arguments.
    """

    assertion: str
    success: bool
    column: str | None
    severity: str
    consequence: str
    name: str
    description: str | None = None
    expected: str | None = None
    actual: str | None = None
    content: str | None = None


@dataclass(frozen=True, slots=True)
class EventDataset:
    """A dataset as an event shows it. What is None or empty is not known, or does not apply."""

    name: DatasetName
    type: str
    description: str | None = None
    owner: str | None = None
    version: str | None = None
    also_known_as: DatasetName | None = None
    iceberg: bool = False
    fields: tuple[Field, ...] = ()
    column_lineage: Mapping[str, tuple[InputField, ...]] = field(default_factory=dict[str, tuple[InputField, ...]])
    change: Change | None = None
    statistics: Statistics | None = None
    metrics: Metrics | None = None
    assertions: tuple[Assertion, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class JobRun:
    """A job of a namespace, and one run of it."""

    namespace: str
    job: str
    run_id: str


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One event of one run. `nominal_start` and `nominal_end` bound what the run is about; `error` is one line without row contents."""

    state: RunState
    at: datetime
    run: JobRun
    parent: JobRun | None
    description: str
    owner: str | None
    source_url: str | None
    nominal_start: datetime
    nominal_end: datetime
    version: str
    tags: Mapping[str, str]
    inputs: tuple[EventDataset, ...] = ()
    outputs: tuple[EventDataset, ...] = ()
    error: str | None = None
