"""What a well-formed dataset can still get wrong: references, types, patterns, and what this version does not carry out yet.

`check` lists every problem of one dataset; it reads no file and knows no line. The model (`model.py`) has checked shapes
and types of the keys before. The checks themselves are in `landing_checks.py`, `column_checks.py`, `nested_checks.py`,
`table_checks.py`, `rule_checks.py`, `expectation_checks.py` and `watching_checks.py`.
"""

from collections.abc import Set

from pipelines.contracts.column_checks import check_columns
from pipelines.contracts.expectation_checks import check_expectations
from pipelines.contracts.faults import KeyPath, Problem
from pipelines.contracts.landing_checks import check_landing
from pipelines.contracts.model import Dataset
from pipelines.contracts.nested_checks import check_nested
from pipelines.contracts.rule_checks import check_lookups, check_rules
from pipelines.contracts.table_checks import check_table
from pipelines.contracts.watching_checks import check_watching

__all__ = ["check"]


def check(dataset: Dataset, unsound: Set[KeyPath] = frozenset()) -> list[Problem]:
    """All problems of a dataset. `unsound` are paths already complained of: what rests on them is not judged again."""

    def sound(*path: str | int) -> bool:
        return not any(path[: len(bad)] == bad for bad in unsound if bad)

    parts = (
        check_landing,
        check_columns,
        check_nested,
        check_table,
        check_rules,
        check_lookups,
        check_expectations,
        check_watching,
    )
    return [problem for part in parts for problem in part(dataset, sound)]
