"""The parts of the laptop's Athena that need no server: translation, Athena's texts, result files, literals."""

from __future__ import annotations

import datetime as dt
import importlib.util
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakegate.local import ministack
from lakegate.local.athena.failures import InvalidRequestError
from lakegate.local.athena.results import ResultColumn, from_csv, render, to_csv
from lakegate.local.athena.translation import Query, parse
from pipelines.errors import QueryFailedError
from resources.athena import as_literal

VARCHAR = ResultColumn("c", "varchar", 0)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (True, "true"),
        (12, "12"),
        (1.0, "1.0"),
        (0.1, "0.1"),
        (1e7, "1.0E7"),
        (123456789.5, "1.234567895E8"),
        (1e-4, "1.0E-4"),
        (-2.5e-10, "-2.5E-10"),
        (float("inf"), "Infinity"),
        (float("nan"), "NaN"),
        (Decimal("1.50"), "1.50"),
        (dt.date(2013, 1, 2), "2013-01-02"),
        (b"hi", "68 69"),
        ([1, None, "a"], "[1, null, a]"),
        ({"a": 1, "b": None}, "{a=1, b=null}"),
    ],
)
def test_a_value_is_shown_as_athena_shows_it(value: Any, text: str | None) -> None:
    assert render(value, VARCHAR) == text


def test_a_timestamp_has_three_digits_in_hive_tables_and_six_in_iceberg_and_its_zone() -> None:
    moment = dt.datetime(2013, 1, 1, 10, 0, 0, 123456, tzinfo=dt.UTC)
    assert render(moment, ResultColumn("c", "timestamp with time zone", 6)) == "2013-01-01 10:00:00.123456 UTC"
    assert render(moment.replace(tzinfo=None), ResultColumn("c", "timestamp", 3)) == "2013-01-01 10:00:00.123"


@given(st.lists(st.lists(st.none() | st.text(), min_size=2, max_size=2)))
def test_a_result_file_is_read_back_as_it_was_written(rows: list[list[str | None]]) -> None:
    columns = (ResultColumn("a", "varchar", 0), ResultColumn('b"', "varchar", 0))
    rows = [[None if text is None else text.encode(errors="ignore").decode() for text in row] for row in rows]
    assert from_csv(to_csv(columns, rows)) == [["a", 'b"'], *rows]


def test_a_query_reads_only_the_columns_it_mentions_and_pushes_its_comparisons_down() -> None:
    query = parse(
        "SELECT f.carrier, count(*) FROM flights f JOIN db2.weather w USING (origin) "
        "WHERE f.flight_date = DATE '2013-01-01' AND w.temp > 3 AND f.late OR false GROUP BY 1",
        [],
        "lakegate",
    )
    assert isinstance(query, Query)
    assert [(table.database, table.table) for table in query.tables] == [("lakegate", "flights"), ("db2", "weather")]
    assert query.tables[0].columns == {"carrier", "origin", "flight_date", "temp", "late"}
    assert query.tables[0].comparisons == ()  # an OR leaves nothing that every row must satisfy


def test_a_name_of_a_with_clause_is_not_a_table() -> None:
    query = parse("WITH flights AS (SELECT 1 AS a) SELECT * FROM flights, other", [], "lakegate")
    assert isinstance(query, Query)
    assert [table.table for table in query.tables] == ["other"]


def test_an_unload_and_a_ctas_say_where_they_write() -> None:
    unload = parse("UNLOAD (SELECT 1 AS a) TO 's3://b/p/' WITH (format='PARQUET', partitioned_by=ARRAY['a'])", [], "d")
    assert isinstance(unload, Query)
    assert unload.output is not None
    assert (unload.output.location, unload.output.partitioned_by) == ("s3://b/p/", ("a",))
    ctas = parse("CREATE TABLE d2.t WITH (write_compression='SNAPPY', format='PARQUET') AS SELECT 1 AS a", [], "d")
    assert isinstance(ctas, Query)
    assert ctas.output is not None
    assert (ctas.output.table, ctas.output.compression) == (("d2", "t"), "SNAPPY")
    with pytest.raises(InvalidRequestError, match="format ORC is refused"):
        parse("UNLOAD (SELECT 1 AS a) TO 's3://b/p/' WITH (format='ORC')", [], "d")


@pytest.mark.parametrize("parameter", ["1 OR 1 = 1 FROM t", "(SELECT 1)", "carrier", "1; DROP TABLE t"])
def test_a_parameter_that_is_no_literal_is_refused(parameter: str) -> None:
    with pytest.raises(InvalidRequestError):
        parse("SELECT * FROM t WHERE a = ?", [parameter], "d")


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        (None, "NULL"),
        (False, "false"),
        (7, "7"),
        (Decimal("1E+2"), "DECIMAL '100'"),
        ("it's", "'it''s'"),
        (dt.date(2013, 1, 1), "DATE '2013-01-01'"),
        (
            dt.datetime(2013, 1, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=2))),
            "TIMESTAMP '2013-01-01 10:00:00.000000 UTC'",
        ),
    ],
)
def test_a_python_value_becomes_athenas_literal(value: object, literal: str) -> None:
    assert as_literal(value) == literal


def test_a_value_without_a_literal_is_refused() -> None:
    with pytest.raises(QueryFailedError, match="no parameter of the type list"):
        as_literal([1])


def test_the_launcher_refuses_any_version_of_ministack_but_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(ministack.__file__).with_name("ministack_launcher.py")
    spec = importlib.util.spec_from_file_location("launcher", path)
    assert spec is not None
    assert spec.loader is not None
    launcher = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(launcher)
    monkeypatch.setattr(launcher, "version", lambda _name: "9.9.9")
    with pytest.raises(SystemExit, match=r"knows ministack 1\.5\.33, but 9\.9\.9 is installed"):
        launcher.refuse_other_versions()
