"""Expectations: which ones the reader carries out itself. GX is never imported here.

An expectation is *native* when the reader answers it while it reads a file: then it may quarantine. All others are given to
Great Expectations once a batch, after the commit, and may only warn or block. Native is a matter of the expectation as
written: with an argument that the reader does not understand (`row_condition`) the same name is left to GX. `block` speaks of
the table after the commit, so a blocking expectation is GX's as well.

| expectation                                       | holds for a row when                                   |
|---------------------------------------------------|--------------------------------------------------------|
| expect_column_values_to_not_be_null               | the value is not null                                  |
| expect_column_values_to_be_null                   | it is null                                             |
| expect_column_values_to_be_between                | it lies between the bounds; strict ones do not count   |
| expect_column_values_to_be_in_set                 | it is one of the values                                |
| expect_column_values_to_not_be_in_set             | it is none of them                                     |
| expect_column_values_to_match_regex               | RE2 finds the expression anywhere in the text          |
| expect_column_values_to_not_match_regex           | RE2 finds it nowhere                                   |
| expect_column_value_lengths_to_be_between         | its code points are as many; the bounds count          |
| expect_column_value_lengths_to_equal              | its code points are as many                            |
| expect_column_pair_values_a_to_be_greater_than_b  | column_A's value is greater (or_equal: or the same)    |
| expect_column_pair_values_to_be_equal             | both values are the same                               |

A null breaks the first only. With `mostly` the file as a whole is judged at its end. `pipelines/reading/expectations.py` does
all this; a test holds the two to each other.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contracts.model import Dataset, Expectation, Severity

__all__ = ["NATIVE", "identified", "is_native", "re2_fault"]

NATIVE: dict[str, frozenset[str]] = {
    "expect_column_values_to_not_be_null": frozenset({"column"}),
    "expect_column_values_to_be_null": frozenset({"column"}),
    "expect_column_values_to_be_between": frozenset({"column", "min_value", "max_value", "strict_min", "strict_max"}),
    "expect_column_values_to_be_in_set": frozenset({"column", "value_set"}),
    "expect_column_values_to_not_be_in_set": frozenset({"column", "value_set"}),
    "expect_column_values_to_match_regex": frozenset({"column", "regex"}),
    "expect_column_values_to_not_match_regex": frozenset({"column", "regex"}),
    "expect_column_value_lengths_to_be_between": frozenset({"column", "min_value", "max_value"}),
    "expect_column_value_lengths_to_equal": frozenset({"column", "value"}),
    "expect_column_pair_values_a_to_be_greater_than_b": frozenset({"column_A", "column_B", "or_equal"}),
    "expect_column_pair_values_to_be_equal": frozenset({"column_A", "column_B"}),
}
"""Expectations the reader implements, and the arguments it understands beside `mostly`, `notes` and `meta`."""

_BESIDE = frozenset({"mostly", "notes", "meta"})


def is_native(expectation: Expectation) -> bool:
    """Whether the reader carries the expectation out itself; if not, Great Expectations does, once a batch."""
    understood = NATIVE.get(expectation.name)
    if understood is None or expectation.severity is Severity.BLOCK:
        return False
    return expectation.arguments.keys() <= understood | _BESIDE


def identified(dataset: Dataset) -> Iterator[tuple[str, Expectation]]:
    """Each expectation with its identity, `expectations[2].expect_…`: what a reader's warning names it by.

    The name alone does not tell: one column may have the same expectation twice, with other bounds.
    """
    for index, expectation in enumerate(dataset.expectations):
        yield f"expectations[{index}].{expectation.name}", expectation


@lru_cache(maxsize=4096)
def re2_fault(regex: Any) -> str | None:
    """Why RE2 refuses a regular expression (it knows no look-around and no back reference), or None."""
    if not isinstance(regex, str):
        return "not text"
    try:
        pc.call_function("match_substring_regex", [pa.nulls(1, pa.string())], pc.MatchSubstringOptions(regex))
    except (pa.ArrowInvalid, UnicodeEncodeError) as fault:
        return str(fault).removeprefix("Invalid regular expression: ")
    return None
