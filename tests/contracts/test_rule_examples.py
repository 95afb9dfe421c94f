"""Each rule's example breaks that rule, and nothing the pages show is made up."""

from __future__ import annotations

import pytest

from pipelines.contracts.rule_examples import EXAMPLES, Example, Told
from pipelines.contracts.rule_runs import run_example, said_of
from pipelines.reading.violations import Rule

ONLY_THE_CHILD = {Rule.READER_MEMORY, Rule.READER_TIME, Rule.READER_CRASH}
"""What a file in this process cannot show: the reader's child is stopped from outside."""


def test_every_rule_has_an_example() -> None:
    assert set(EXAMPLES) == set(Rule)


@pytest.mark.parametrize("rule", [r for r in Rule if isinstance(EXAMPLES[r], Example)], ids=str)
def test_an_example_breaks_its_rule_and_no_other(rule: Rule) -> None:
    beside = {Rule.RECORD_SIZE: {Rule.UNCLOSED_QUOTE}, Rule.BAD_ROWS: {Rule.TYPE}}.get(rule, set())
    assert {v.rule for v in run_example(rule)} == {rule} | beside
    assert rule.meaning.split(":")[0] in said_of(rule) or rule in (Rule.KEY_VALUE, Rule.LANDING_DAY)


def test_only_the_childs_own_faults_are_told_and_not_run() -> None:
    told = {rule for rule, example in EXAMPLES.items() if isinstance(example, Told)}
    assert told - ONLY_THE_CHILD <= {Rule.DELIMITER, Rule.BAD_ROWS}
