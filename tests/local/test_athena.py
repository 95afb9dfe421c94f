"""The laptop's Athena answers as Athena does: SQL, types, pages, errors; over Iceberg tables and plain ones."""

from __future__ import annotations

import datetime as dt
import threading
import time
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from botocore.exceptions import ClientError

from lakegate.local.athena.engine import Cancellation
from lakegate.local.athena.engine import run as run_query
from lakegate.local.athena.failures import ExecutionFailedError
from lakegate.local.athena.translation import Query, parse
from pipelines.errors import QueryFailedError
from resources.athena import AthenaQueryEngine
from resources.environment import Deployment, client, iceberg_catalog

pytestmark = pytest.mark.aws
Run = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def flights(deployment: Deployment) -> str:
    """An Iceberg table with a partition a day, every type, and nulls; two snapshots."""
    from pyiceberg.partitioning import PartitionField, PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.transforms import IdentityTransform
    from pyiceberg.types import (
        BooleanType,
        DateType,
        DecimalType,
        DoubleType,
        IntegerType,
        LongType,
        NestedField,
        StringType,
        TimestamptzType,
    )

    schema = Schema(
        NestedField(1, "flight_date", DateType()),
        NestedField(2, "carrier", StringType()),
        NestedField(3, "flight", IntegerType()),
        NestedField(4, "distance", LongType()),
        NestedField(5, "delay", DoubleType()),
        NestedField(6, "fare", DecimalType(10, 2)),
        NestedField(7, "late", BooleanType()),
        NestedField(8, "time_hour", TimestamptzType()),
    )
    name = f"flights_{uuid.uuid4().hex[:8]}"
    table = iceberg_catalog().create_table(
        (deployment.glue_database, name),
        schema=schema,
        location=f"s3://{deployment.processed_bucket}/processed/{name}",
        partition_spec=PartitionSpec(PartitionField(1, 1000, IdentityTransform(), "flight_date")),
    )
    for first in (0, 50):
        rows = [
            {
                "flight_date": dt.date(2013, 1, 1 + n % 10),
                "carrier": None if n % 10 == 9 else ("UA", "AA", 'B"6')[n % 3],
                "flight": n,
                "distance": 1000 + n,
                "delay": n / 4,
                "fare": Decimal(n) / 100,
                "late": n % 2 == 0,
                "time_hour": dt.datetime(2013, 1, 1 + n % 10, 10, tzinfo=dt.UTC),
            }
            for n in range(first, first + 50)
        ]
        table.append(pa.Table.from_pylist(rows, schema=schema.as_arrow()))
    return name


@pytest.fixture
def run(deployment: Deployment, flights: str) -> Run:
    """Run SQL in which {t} stands for the table; return the rows as Python values."""
    engine = AthenaQueryEngine(deployment)

    def query(sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        table = engine.query(sql.format(t=flights), parameters).table
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))

    return query


def start(deployment: Deployment, sql: str, **more: Any) -> dict[str, Any]:
    athena = client("athena")
    execution_id = athena.start_query_execution(
        QueryString=sql,
        WorkGroup=deployment.athena_workgroup,
        QueryExecutionContext={"Database": deployment.glue_database},
        **more,
    )["QueryExecutionId"]
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        execution = athena.get_query_execution(QueryExecutionId=execution_id)["QueryExecution"]
        if execution["Status"]["State"] in ("SUCCEEDED", "FAILED", "CANCELLED"):
            return execution
        time.sleep(0.02)
    raise AssertionError(f"{sql} did not end")


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT count(*) FROM {t}", [(100,)]),
        ("SELECT count(*) FROM {t} WHERE flight_date = DATE '2013-01-03'", [(10,)]),
        ("SELECT count(*) FROM {t} WHERE flight_date BETWEEN DATE '2013-01-03' AND DATE '2013-01-04' AND late", [(10,)]),
        ("SELECT sum(flight), min(flight), max(distance) FROM {t} WHERE carrier IN ('UA', 'AA')", [(2937, 0, 1097)]),
        ("SELECT count(*) FROM {t} WHERE carrier IS NULL", [(10,)]),
        ("SELECT count(*) FROM {t} WHERE 5 > flight", [(5,)]),
        ("SELECT count(*) FROM {t} WHERE time_hour >= TIMESTAMP '2013-01-09 00:00:00 UTC'", [(20,)]),
        ("SELECT count(*) FROM {t} WHERE time_hour < from_iso8601_timestamp('2013-01-02T00:00:00Z')", [(10,)]),
        ("SELECT carrier, count(*) AS n FROM {t} GROUP BY 1 ORDER BY n DESC, 1 LIMIT 1", [("AA", 30)]),
        ("SELECT 7 / 2, 7.5e0 / 2, -7 / 2, 7 % 3", [(3, 3.75, -3, 1)]),
        ("SELECT date_add('day', 1, DATE '2024-02-28'), date_diff('day', DATE '2024-01-01', DATE '2024-03-01')",
         [(dt.date(2024, 2, 29), 60)]),
        ("SELECT date_parse('2024-01-02 03:04:05', '%Y-%m-%d %H:%i:%s')", [(dt.datetime.fromisoformat('2024-01-02 03:04:05'),)]),
        ("SELECT date_format(TIMESTAMP '2024-01-02 03:04:05', '%Y-%m')", [("2024-01",)]),
        ("SELECT date_trunc('month', flight_date) FROM {t} WHERE flight = 5", [(dt.date(2013, 1, 1),)]),
        ("SELECT max(date_add('day', 1, flight_date)), max(flight_date) - INTERVAL '1' DAY FROM {t}",
         [(dt.date(2013, 1, 11), dt.date(2013, 1, 9))]),
        ("SELECT json_extract_scalar('{{\"a\": {{\"b\": 7}}}}', '$.a.b')", [("7",)]),
        ("SELECT try_cast('x' AS integer), cast('12' AS integer), coalesce(NULL, 3)", [(None, 12, 3)]),
        ("SELECT element_at(split('a,b,c', ','), 2), cardinality(ARRAY[1, 2])", [("b", 2)]),
        ("SELECT regexp_like('UA12', '^[A-Z]+'), regexp_extract('UA12', '[0-9]+')", [(True, "12")]),
        ("SELECT count_if(late), arbitrary(late) FROM {t} WHERE late", [(50, True)]),
        ("SELECT max_by(flight, distance), approx_distinct(late) FROM {t}", [(99, 2)]),
        ("SELECT x FROM UNNEST(ARRAY[3, 1]) AS u(x) ORDER BY x", [(1,), (3,)]),
        ("WITH d AS (SELECT flight_date, count(*) AS n FROM {t} GROUP BY 1) SELECT max(n) FROM d", [(10,)]),
        ("SELECT a.flight FROM {t} a JOIN {t} b ON a.flight = b.flight + 99 WHERE b.flight_date = DATE '2013-01-01'", [(99,)]),
        ("SELECT count(*) FROM {t} a LEFT JOIN {t} b ON a.flight = b.flight AND b.late WHERE b.flight IS NULL", [(50,)]),
        ("SELECT flight, row_number() OVER (ORDER BY flight DESC) FROM {t} ORDER BY 2 LIMIT 1", [(99, 1)]),
        ("SELECT carrier FROM \"awsdatacatalog\".\"lakegate\".\"{t}\" WHERE flight = 2", [('B"6',)]),
        ("SELECT time_hour AT TIME ZONE 'UTC' FROM {t} WHERE flight = 0", [(dt.datetime(2013, 1, 1, 10, tzinfo=dt.UTC),)]),
        ("SELECT count(*) FROM information_schema.columns WHERE table_name = '{t}'", [(8,)]),
        ("SELECT count(*) FROM \"{t}$snapshots\"", [(2,)]),
        ("SELECT count(*) FROM {t} UNION ALL SELECT 1 ORDER BY 1", [(1,), (100,)]),
        ("VALUES (1, 'a')", [(1, "a")]),
    ],
)  # fmt: skip
def test_athenas_sql_is_answered(run: Run, sql: str, expected: list[tuple[Any, ...]]) -> None:
    assert run(sql) == expected


def test_every_type_comes_back_as_itself(run: Run) -> None:
    assert run("SELECT * FROM {t} WHERE flight = 41") == [
        (
            dt.date(2013, 1, 2),
            'B"6',
            41,
            1041,
            10.25,
            Decimal("0.41"),
            False,
            dt.datetime(2013, 1, 2, 10, tzinfo=dt.UTC),
        )
    ]


def test_parameters_are_bound_as_literals_and_cannot_change_the_query(run: Run) -> None:
    assert run(
        "SELECT flight FROM {t} WHERE carrier = ? AND flight_date = ? AND flight < ?", "UA", dt.date(2013, 1, 1), 35
    ) == [
        (0,),
        (30,),
    ]
    assert run("SELECT ?", "x' OR 1=1 --") == [("x' OR 1=1 --",)]


def test_an_earlier_snapshot_can_be_queried(run: Run, deployment: Deployment, flights: str) -> None:
    first = iceberg_catalog().load_table((deployment.glue_database, flights)).snapshots()[0]
    assert run(f"SELECT count(*) FROM {{t}} FOR VERSION AS OF {first.snapshot_id}") == [(50,)]
    moment = dt.datetime.fromtimestamp(first.timestamp_ms / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    assert run(f"SELECT count(*) FROM {{t}} FOR TIMESTAMP AS OF TIMESTAMP '{moment} UTC'") == [(50,)]


def test_a_partition_in_the_where_clause_lowers_what_is_scanned(deployment: Deployment, flights: str) -> None:
    whole = start(deployment, f"SELECT sum(flight) FROM {flights}")["Statistics"]["DataScannedInBytes"]
    day = start(deployment, f"SELECT sum(flight) FROM {flights} WHERE flight_date = DATE '2013-01-02'")
    assert 0 < day["Statistics"]["DataScannedInBytes"] < whole / 5


def test_the_result_is_a_csv_with_all_values_quoted_and_null_as_nothing(deployment: Deployment, flights: str) -> None:
    execution = start(
        deployment,
        f"SELECT carrier, flight, delay, fare, late, flight_date, time_hour, NULL AS nothing, count(*) FROM {flights} "
        "WHERE flight IN (2, 9) GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY flight",
    )
    location = execution["ResultConfiguration"]["OutputLocation"]
    assert location == f"{deployment.athena_results_location}{execution['QueryExecutionId']}.csv"
    bucket, _, key = location.removeprefix("s3://").partition("/")
    assert client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode().splitlines() == [
        '"carrier","flight","delay","fare","late","flight_date","time_hour","nothing","_col8"',
        '"B""6","2","0.5","0.02","true","2013-01-03","2013-01-03 10:00:00.000000 UTC",,"1"',
        ',"9","2.25","0.09","false","2013-01-10","2013-01-10 10:00:00.000000 UTC",,"1"',
    ]
    assert client("s3").head_object(Bucket=bucket, Key=f"{key}.metadata")["ContentLength"] > 0


def test_results_come_in_pages_with_a_header_and_typed_columns(deployment: Deployment, flights: str) -> None:
    execution = start(deployment, f"SELECT flight, time_hour, fare, carrier FROM {flights} ORDER BY flight")
    pages = (
        client("athena")
        .get_paginator("get_query_results")
        .paginate(QueryExecutionId=execution["QueryExecutionId"], PaginationConfig={"PageSize": 40})
    )
    pages = list(pages)
    rows = [row["Data"] for found in pages for row in found["ResultSet"]["Rows"]]
    assert [len(found["ResultSet"]["Rows"]) for found in pages] == [40, 40, 21]
    assert rows[0][0] == {"VarCharValue": "flight"}
    assert rows[10][3] == {}
    columns = pages[0]["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
    assert [(column["Type"], column["Precision"], column["Scale"]) for column in columns] == [
        ("integer", 10, 0),
        ("timestamp with time zone", 6, 0),
        ("decimal", 10, 2),
        ("varchar", 2147483647, 0),
    ]


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT * FROM nowhere", "TABLE_NOT_FOUND: line 1:15: Table 'awsdatacatalog.lakegate.nowhere' does not exist"),
        ("SELECT * FROM nobody.nowhere", "SCHEMA_NOT_FOUND: line 1:22: Schema 'nobody' does not exist"),
        ("SELECT flight,\n  nope FROM {t}", "COLUMN_NOT_FOUND: line 2:3: Column 'nope' cannot be resolved"),
        ("SELECT nofunction(1)", "FUNCTION_NOT_FOUND: .*nofunction"),
        ("SELECT 1 / 0", "DIVISION_BY_ZERO: Division by zero"),
        ("SELECT cast('x' AS integer)", "INVALID_CAST_ARGUMENT"),
        ("SELECT carrier, count(*) FROM {t}", "EXPRESSION_NOT_AGGREGATE"),
        ("SELECT sum(x) FROM (VALUES 9223372036854775807, 9223372036854775807) AS v(x)", "NUMERIC_VALUE_OUT_OF_RANGE"),
        ("SELECT * FROM read_csv('/etc/passwd')", "PERMISSION_DENIED|TABLE_NOT_FOUND|SYNTAX_ERROR"),
        ("SELECT * FROM read_parquet('s3://any/*')", "PERMISSION_DENIED|TABLE_NOT_FOUND|SYNTAX_ERROR|INTERNAL"),
    ],
)
def test_a_query_that_fails_says_why_in_athenas_words(run: Run, sql: str, reason: str) -> None:
    with pytest.raises(QueryFailedError, match=reason):
        run(sql)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELEC 1", "mismatched input|NOT_SUPPORTED"),
        ("SELECT FROM WHERE", "line 1:"),
        ("SELECT 1; SELECT 2", "Only one sql statement is allowed"),
        ("INSERT INTO {t} VALUES (1)", "NOT_SUPPORTED: INSERT is refused"),
        ("UPDATE {t} SET flight = 1", "NOT_SUPPORTED: UPDATE is refused"),
        ("DELETE FROM {t}", "NOT_SUPPORTED: DELETE is refused"),
        ("MERGE INTO {t} USING x ON a = b WHEN MATCHED THEN DELETE", "NOT_SUPPORTED: MERGE is refused"),
        ("DROP TABLE {t}", "NOT_SUPPORTED: DROP is refused"),
        ("VACUUM {t}", "NOT_SUPPORTED: VACUUM is refused"),
        ("SELECT ?", "Incorrect number of parameters: expected 1 but found 0"),
    ],
)
def test_a_statement_that_is_wrong_or_would_change_a_table_is_refused_at_once(
    deployment: Deployment, flights: str, sql: str, message: str
) -> None:
    with pytest.raises(ClientError, match=message) as caught:
        start(deployment, sql.format(t=flights))
    assert caught.value.response["Error"]["Code"] == "InvalidRequestException"


def test_a_running_query_can_be_stopped(deployment: Deployment) -> None:
    athena = client("athena")
    execution_id = athena.start_query_execution(
        QueryString="SELECT count(*) FROM UNNEST(sequence(1, 3000000)) AS a(x), UNNEST(sequence(1, 3000000)) AS b(y) WHERE x + y < 0",
        WorkGroup=deployment.athena_workgroup,
    )["QueryExecutionId"]
    athena.stop_query_execution(QueryExecutionId=execution_id)
    assert athena.get_query_execution(QueryExecutionId=execution_id)["QueryExecution"]["Status"]["State"] == "CANCELLED"
    with pytest.raises(ClientError, match="Final query state: CANCELLED"):
        athena.get_query_results(QueryExecutionId=execution_id)


@pytest.mark.parametrize("after_s", [0.0, 0.001, 0.01, 0.1])
def test_a_stopped_query_stops_whenever_it_is_told_to(after_s: float) -> None:
    sql = "SELECT count(*) FROM UNNEST(sequence(1, 3000000)) AS a(x), UNNEST(sequence(1, 3000000)) AS b(y) WHERE x + y < 0"
    query = parse(sql, [], "default")
    assert isinstance(query, Query)
    cancellation = Cancellation()
    ended = threading.Event()

    def work() -> None:
        with pytest.raises(ExecutionFailedError):
            run_query(query, cancellation)
        ended.set()

    threading.Thread(target=work, daemon=True).start()
    time.sleep(after_s)
    cancellation.request()
    assert ended.wait(20)


def test_a_repeated_request_token_is_the_same_query(deployment: Deployment) -> None:
    token = uuid.uuid4().hex * 2
    first = start(deployment, "SELECT 1", ClientRequestToken=token)
    assert start(deployment, "SELECT 1", ClientRequestToken=token)["QueryExecutionId"] == first["QueryExecutionId"]
    with pytest.raises(ClientError, match="Idempotent parameters do not match"):
        start(deployment, "SELECT 2", ClientRequestToken=token)


def test_executions_are_listed_and_described_together(deployment: Deployment) -> None:
    known = start(deployment, "SELECT 42")["QueryExecutionId"]
    athena = client("athena")
    assert known in athena.list_query_executions(WorkGroup=deployment.athena_workgroup)["QueryExecutionIds"]
    answer = athena.batch_get_query_execution(QueryExecutionIds=[known, "nobody"])
    assert [execution["Query"] for execution in answer["QueryExecutions"]] == ["SELECT 42"]
    assert [missing["QueryExecutionId"] for missing in answer["UnprocessedQueryExecutionIds"]] == ["nobody"]


def test_the_workgroup_of_the_template_is_the_one_queries_run_in(deployment: Deployment) -> None:
    group = client("athena").get_work_group(WorkGroup=deployment.athena_workgroup)["WorkGroup"]
    assert group["Configuration"]["EnforceWorkGroupConfiguration"] is True
    assert group["Configuration"]["ResultConfiguration"]["OutputLocation"] == deployment.athena_results_location
    with pytest.raises(ClientError, match="WorkGroup nobody is not found"):
        client("athena").start_query_execution(QueryString="SELECT 1", WorkGroup="nobody")


def test_tables_and_columns_can_be_shown(deployment: Deployment, flights: str) -> None:
    execution = start(deployment, "SHOW TABLES")
    rows = client("athena").get_query_results(QueryExecutionId=execution["QueryExecutionId"])["ResultSet"]["Rows"]
    assert flights in [row["Data"][0]["VarCharValue"] for row in rows]
    execution = start(deployment, f"DESCRIBE {flights}")
    rows = client("athena").get_query_results(QueryExecutionId=execution["QueryExecutionId"])["ResultSet"]["Rows"]
    assert rows[0]["Data"][0]["VarCharValue"].split() == ["flight_date", "date"]
