"""What can be wrong with `rules` and with what is looked up after the commit (`references`, the primary key). Part of `checks.py`.

Whether a referenced column exists only the whole catalog can tell: `reference_problems` is asked by `loading.py`.
"""

from collections.abc import Iterator, Mapping, Set

from pipelines.contracts.faults import KeyPath, Problem, Sound, closest, did_you_mean, show
from pipelines.contracts.model import Dataset
from pipelines.contracts.nested_types import NESTED
from pipelines.contracts.rule_language import Node, RuleFault, column_names, parse_rule
from pipelines.contracts.rule_types import rule_fault
from pipelines.contracts.values import ColumnType

__all__ = ["check_lookups", "check_rules", "reference_problems"]

_NO_LOOKUP = NESTED | frozenset({ColumnType.FLOAT, ColumnType.DOUBLE, ColumnType.JSON})
_EXACT = frozenset({ColumnType.INT, ColumnType.BIGINT, ColumnType.DECIMAL})


def check_rules(dataset: Dataset, sound: Sound) -> Iterator[Problem]:
    """The problems of the row rules."""
    for index, rule in enumerate(dataset.rules):
        path = ("rules", index)
        if not sound(*path, "rule"):
            continue
        node = parse_rule(rule.rule)
        if isinstance(node, RuleFault):
            yield _problem(path, node)
        else:
            yield from _columns(dataset, path, node, sound)


def check_lookups(dataset: Dataset, sound: Sound) -> Iterator[Problem]:
    """The problems of `references` and `primary_key_across_files` that the dataset alone can show."""
    for name, column in dataset.columns.items():
        path = ("columns", name, "references")
        if (
            column.references is not None
            and column.kind in _NO_LOOKUP
            and sound(*path)
            and sound("columns", name, "type")
        ):
            yield Problem(
                path,
                f"a reference from a column of type {column.type}",
                "a type that compares exactly (not float, double or json)",
                "use decimal(p,s) or string, or remove it",
            )
    path = ("primary_key_across_files",)
    if path[0] in dataset.model_fields_set and not dataset.primary_key and sound(*path) and sound("primary_key"):
        found = f"{dataset.primary_key_across_files} without a primary_key"
        yield Problem(path, found, "a primary_key beside it", "add primary_key, or remove it")


def reference_problems(dataset: Dataset, others: Mapping[str, Dataset], broken: Set[str]) -> Iterator[Problem]:
    """References to datasets or columns that are not there, or of another type; those to broken datasets are not judged."""
    for name, column in dataset.columns.items():
        reference = column.references
        if reference is None or (reference.dataset in broken and reference.dataset not in others):
            continue
        path = ("columns", name, "references")
        other = others.get(reference.dataset)
        if other is None:
            near = closest(reference.dataset, others)
            found = f"{show(reference.dataset)}, which is no dataset"
            yield Problem(
                path,
                found,
                "a dataset of this folder",
                f"did you mean {near}?" if near else "add it, or correct the name",
            )
            continue
        there = other.columns.get(reference.column)
        if there is None:
            found = f"{show(reference.column)}, which is no column of {other.name}"
            yield Problem(path, found, f"a column of {other.name}", did_you_mean(reference.column, other.columns))
        elif there.kind is not column.kind and not {there.kind, column.kind} <= _EXACT:
            found = f"{reference.dataset}.{reference.column}, a column of type {there.type}"
            yield Problem(
                path, found, f"a type that compares with {column.type}", "choose another column, or change one type"
            )


def _columns(dataset: Dataset, path: KeyPath, node: Node, sound: Sound) -> Iterator[Problem]:
    names = column_names(node)
    if not names:
        yield Problem(
            path, "a rule without a column", "a rule about at least one column", "name one, or remove the rule"
        )
        return
    if not sound("columns"):
        return
    unknown = [name for name in names if name not in dataset.columns]
    for name in unknown:
        remedy = did_you_mean(name, dataset.columns)
        yield Problem(path, f"{show(name)}, which is no column", "a column of this dataset", remedy)
    if unknown or not all(sound("columns", name, "type") for name in names):
        return
    if fault := rule_fault(node, dataset.columns):
        yield _problem(path, fault)


def _problem(path: KeyPath, fault: RuleFault) -> Problem:
    return Problem(path, fault.found, fault.expected, fault.remedy)
