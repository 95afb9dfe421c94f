"""Runs the examples of the rules through the real reader: what the pages say a file is told is what it is told."""

import functools
from datetime import UTC, date, datetime
from pathlib import Path
from typing import assert_never

import pyarrow as pa

from pipelines.contracts.loading import BrokenDataset, parse_dataset
from pipelines.contracts.model import Dataset
from pipelines.contracts.rule_examples import EXAMPLES, Example, Told
from pipelines.intake.routing import BadKey, Outside, Routed, Unrouted, bad_key_violation, route
from pipelines.reading.reader import InProcessReader, summary_of_fault
from pipelines.reading.summary import ReadRequest
from pipelines.reading.violations import Rule, Violation

__all__ = ["example_dataset", "run_example", "said_of"]

_TODAY = date(2024, 3, 2)
_LANDED_AT = datetime(2024, 3, 2, 6, tzinfo=UTC)


class _Nowhere:
    """A sink that keeps nothing."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Take one record batch."""

    def reject(self, batch: pa.RecordBatch) -> None:
        """Take rejected rows."""

    def restart(self) -> None:
        """Forget all."""


def example_dataset(example: Example) -> Dataset:
    """The example's contract, loaded as any other. Raises ValueError when it does not load."""
    landing = "" if "landing:" in example.contract else 'landing: {key: "landing/orders/*", start: 2024-01-01}\n'
    text = f"name: orders\ndescription: Orders of a shop.\n{landing}{example.contract}"
    loaded = parse_dataset(text.encode(), Path("orders.yaml"))
    if isinstance(loaded, BrokenDataset):
        raise ValueError(str(loaded))
    return loaded


@functools.cache
def run_example(rule: Rule) -> tuple[Violation, ...]:
    """Every violation of the rule's example, by line. Raises KeyError for a rule without one."""
    example = EXAMPLES[rule]
    if isinstance(example, Told):
        return summary_of_fault(rule, example.found, example.expected, 0).violations
    dataset = example_dataset(example)
    match route(example.key, (dataset,), _TODAY, _TODAY):
        case Routed() as routed:
            request = ReadRequest(dataset, example.size_bytes, routed.key_values, _LANDED_AT)
            return InProcessReader().read(request, lambda: [example.content], _Nowhere()).violations
        case BadKey() as bad:
            return (bad_key_violation(bad, example.key),)
        case Unrouted() | Outside():
            raise ValueError(f"the example of {rule} has a key that is not its dataset's")
        case _ as never:
            assert_never(never)


def said_of(rule: Rule) -> str:
    """What the rule's example is told, as `lakegate validate` prints it. Raises ValueError when it does not break the rule."""
    example = EXAMPLES[rule]
    name = "orders.csv" if isinstance(example, Told) else example.key.rpartition("/")[2]
    for violation in run_example(rule):
        if violation.rule is rule:
            place = ":".join(str(part) for part in (name, violation.line, violation.column) if part is not None)
            return f"{place}: {violation.message} [{rule.value}]"
    raise ValueError(f"the example of {rule} does not break it")
