"""Expectations that only Great Expectations evaluates: through the real one, on Parquet files."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets import expectations
from assets.expectations import evaluate, gx_expectations, shown_arguments
from lakegate.settings import repository_root
from pipelines.contracts.loading import load_dataset
from pipelines.contracts.model import Dataset
from tests.ingest.world import dataset

PEOPLE = """
name: people
description: People.
landing: {key: "landing/people/*.csv", start: 2024-01-01}
format: {type: csv}
columns:
  id: {type: bigint}
  name: {type: string}
  born: {type: date}
  seen: {type: timestamp}
  owes: {type: "decimal(10,2)"}
expectations:
"""


def people(*lines: str) -> Dataset:
    return dataset(PEOPLE + "".join(f"  - {line}\n" for line in lines))


@pytest.fixture
def rows(tmp_path: Path) -> list[Path]:
    """Three rows in two files; the second has a null id."""
    table = pa.table(
        {
            "id": pa.array([1, 2**60 + 1, None], pa.int64()),
            "name": ["Ada", 'O\'Neil "Nell"', "Ada"],
            "born": [date(1950, 1, 1), date(1960, 1, 1), date(1970, 1, 1)],
            "seen": pa.array([datetime(2024, 1, 1, tzinfo=UTC)] * 3, pa.timestamp("us", "UTC")),
            "owes": pa.array([Decimal("1.50"), Decimal("2.50"), Decimal("3.50")], pa.decimal128(10, 2)),
            "_source_file": ["a", "a", "b"],
        }
    )
    paths = [tmp_path / "one.parquet", tmp_path / "two.parquet"]
    pq.write_table(table.slice(0, 2), paths[0])
    pq.write_table(table.slice(2), paths[1])
    return paths


def outcome(rows: Sequence[Path], line: str) -> tuple[bool, str]:
    [found] = evaluate(people(line), rows)
    return found.success, found.observed


@pytest.mark.parametrize(
    ("line", "success", "observed"),
    [
        ("{expect_table_row_count_to_equal: {value: 3}}", True, "observed 3"),
        ("{expect_column_mean_to_be_between: {column: owes, max_value: 2}}", False, "observed 2.5"),
        ("{expect_column_values_to_be_unique: {column: name}}", False, "2 of 3 rows do not fit"),
        ("{expect_column_max_to_be_between: {column: born, max_value: 1969-12-31}}", False, "does not hold"),
        (
            "{expect_column_distinct_values_to_be_in_set: {column: name, value_set: [Ada]}}",
            False,
            "1 distinct value not in the set",
        ),
        (
            "{expect_column_distinct_values_to_equal_set: {column: name, value_set: [Ada, Bob]}}",
            False,
            "1 distinct value not in the set, 1 distinct value of the set missing",
        ),
        (
            "{expect_column_most_common_value_to_be_in_set: {column: name, value_set: [Bob]}}",
            False,
            "observed 1 value",
        ),
        ("{expect_compound_columns_to_be_unique: {column_list: [id, name]}}", True, "0 of 3 rows do not fit"),
        ("{expect_column_values_to_not_be_null: {column: id}, severity: block}", False, "1 of 3 rows do not fit"),
        # Exact beyond 2^53 although the column has a null: pandas' own integers would have become doubles.
        (f"{{expect_column_max_to_be_between: {{column: id, max_value: {2**60}}}}}", False, "observed 1.15292e+18"),
        ("{expect_table_column_count_to_equal: {value: 5}}", True, "observed 5"),
        ("{expect_table_columns_to_match_set: {column_set: [id, name, born, seen, owes]}}", True, "observed 5 values"),
        (
            "{expect_column_values_to_be_between: {column: id, min_value: 2, row_condition: 'name == \"Ada\"', condition_parser: pandas}}",
            False,
            "1 of 2 rows do not fit",
        ),
    ],
)
def test_great_expectations_answers_in_numbers_and_never_in_values(
    rows: list[Path], line: str, success: bool, observed: str
) -> None:
    assert outcome(rows, line) == (success, observed)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{expect_column_max_to_be_between: {column: name, max_value: M}}", "4 validation errors for ExpectColumnMax"),
        ("{expect_table_row_count_to_equal: {value: many}}", "2 validation errors for ExpectTableRowCountToEqual"),
        ("{expect_column_max_to_be_between: {column: seen, max_value: 2024-01-01}}", "Cannot compare Timestamp with"),
        (
            "{expect_column_values_to_be_between: {column: id, min_value: 2, row_condition: 'nobody > 1', condition_parser: pandas}}",
            "name … is not defined",
        ),
    ],
)
def test_what_great_expectations_cannot_evaluate_counts_as_failed_with_its_reason(
    rows: list[Path], line: str, why: str
) -> None:
    success, observed = outcome(rows, line)
    assert not success
    assert observed.startswith(f"could not be evaluated: {why}")


def test_one_that_cannot_be_evaluated_takes_no_other_with_it(rows: list[Path]) -> None:
    lines = ("{expect_table_row_count_to_equal: {value: many}}", "{expect_table_row_count_to_equal: {value: 3}}")
    assert [found.success for found in evaluate(people(*lines), rows)] == [False, True]


@pytest.mark.parametrize("message", ["bad value 'Ada' here", 'bad "O\'Neil" and "Ada"', "cannot parse 'it\\'s Ada'"])
def test_values_in_the_words_of_an_exception_are_left_out(message: str) -> None:
    said = expectations._refused(message)
    assert "Ada" not in said
    assert said.startswith(("could not be evaluated: bad", "could not be evaluated: cannot parse"))


def test_too_many_rows_are_not_evaluated_and_the_result_says_so(
    rows: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expectations, "MAX_ROWS", 2)
    success, observed = outcome(rows, "{expect_table_row_count_to_equal: {value: 3}}")
    assert not success
    assert observed == "not evaluated: the batch has 3 rows, more than the 2 that fit in memory"


def test_without_rows_or_without_its_expectations_nothing_is_evaluated(rows: list[Path]) -> None:
    native = people("{expect_column_values_to_be_between: {column: id, min_value: 0}, severity: quarantine_rows}")
    assert gx_expectations(native) == ()
    assert evaluate(native, rows) == ()
    assert evaluate(people("{expect_table_row_count_to_equal: {value: 3}}"), []) == ()


def test_the_airports_of_the_demo_fail_on_the_zones_and_hold_on_the_mean(tmp_path: Path) -> None:
    airports = load_dataset(repository_root() / "assets" / "datasets" / "airports.yaml")
    assert isinstance(airports, Dataset)
    zones = ["America/New_York", "America/Chicago", "Asia/Chongqing", None]
    table = pa.table(
        {"faa": ["A", "B", "C", "D"], "alt": pa.array([900, 1100, 1000, 1004], pa.int32()), "tzone": zones}
    )
    pq.write_table(table, tmp_path / "airports.parquet")
    found = {
        r.name: (r.success, r.severity.value, r.observed) for r in evaluate(airports, [tmp_path / "airports.parquet"])
    }
    assert found == {
        "expect_table_row_count_to_be_between": (False, "block", "observed 4"),
        "expect_column_mean_to_be_between": (True, "warn", "observed 1,001"),
        "expect_column_distinct_values_to_be_in_set": (False, "warn", "1 distinct value not in the set"),
    }


def test_arguments_are_shown_without_notes_and_capped() -> None:
    [found] = people(
        f"{{expect_column_distinct_values_to_be_in_set: {{column: name, value_set: [{', '.join('v' * 9 + str(n) for n in range(50))}], notes: why}}}}"
    ).expectations
    said = shown_arguments(found)
    assert said.startswith('column: "name", value_set: ["vvvvvvvvv0", ')
    assert (len(said), said[-1]) == (200, "…")
    assert "why" not in said
