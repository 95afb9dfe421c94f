"""What can be wrong with `rules`: their text, their columns, types that do not go together. Part of `checks.py`."""

from collections.abc import Iterator

from pipelines.contracts.faults import KeyPath, Problem, Sound, did_you_mean, show
from pipelines.contracts.model import Dataset
from pipelines.contracts.rule_language import Node, RuleFault, column_names, parse_rule
from pipelines.contracts.rule_types import rule_fault

__all__ = ["check_rules"]


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
