"""awswrangler, unchanged, reads through the laptop's Athena in each of its three ways, and plain tables it made itself."""

from __future__ import annotations

import datetime as dt
import uuid

import pandas as pd
import pyarrow as pa
import pytest

from resources.environment import Deployment, client, iceberg_catalog

wr = pytest.importorskip("awswrangler")
pytestmark = pytest.mark.aws


@pytest.fixture(scope="module")
def table(deployment: Deployment) -> str:
    name = f"weather_{uuid.uuid4().hex[:8]}"
    rows = pa.table(
        {
            "origin": pa.array(["EWR", "JFK", None]),
            "temp": pa.array([39.02, None, 1e10]),
            "year": pa.array([2013, 2013, 2014], pa.int64()),
            "time_hour": pa.array([dt.datetime(2013, 1, 1, hour, tzinfo=dt.UTC) for hour in (6, 7, 8)]),
            "day": pa.array([dt.date(2013, 1, 1)] * 3),
        }
    )
    location = f"s3://{deployment.processed_bucket}/processed/{name}"
    iceberg_catalog().create_table((deployment.glue_database, name), rows.schema, location=location).append(rows)
    return name


@pytest.mark.parametrize(
    "way", [{"ctas_approach": True}, {"ctas_approach": False}, {"ctas_approach": False, "unload_approach": True}]
)
def test_read_sql_query_answers_in_each_of_its_ways(deployment: Deployment, table: str, way: dict[str, bool]) -> None:
    where = (
        {"s3_output": f"{deployment.athena_results_location}{uuid.uuid4().hex}/"} if "unload_approach" in way else {}
    )
    frame = wr.athena.read_sql_query(
        f"SELECT origin, temp, year, day, time_hour FROM {table} WHERE year = :year ORDER BY origin",
        database=deployment.glue_database,
        workgroup=deployment.athena_workgroup,
        params={"year": 2013},
        **where,
        **way,
    )
    assert frame["origin"].tolist() == ["EWR", "JFK"]
    assert frame["temp"].iloc[0] == 39.02
    assert pd.isna(frame["temp"].iloc[1])
    assert frame["year"].tolist() == [2013, 2013]
    assert [str(day) for day in frame["day"]] == ["2013-01-01", "2013-01-01"]
    hours = pd.to_datetime(frame["time_hour"], utc=True)
    assert [moment.hour for moment in hours] == [6, 7]
    tables = client("glue").get_tables(DatabaseName=deployment.glue_database)["TableList"]
    assert not [found for found in tables if found["Name"].startswith("temp_table")]


def test_question_mark_parameters_reach_athena(deployment: Deployment, table: str) -> None:
    frame = wr.athena.read_sql_query(
        f"SELECT count(*) AS n FROM {table} WHERE origin = ?",
        database=deployment.glue_database,
        workgroup=deployment.athena_workgroup,
        ctas_approach=False,
        params=["'EWR'"],
        paramstyle="qmark",
    )
    assert frame["n"].tolist() == [1]


def test_a_plain_parquet_table_with_partitions_is_read_and_pruned(deployment: Deployment) -> None:
    name = f"plain_{uuid.uuid4().hex[:8]}"
    frame = pd.DataFrame({"n": [1, 2, 3], "text": ["a", None, "c"], "region": ["eu", "eu", "us"]})
    wr.s3.to_parquet(
        frame,
        path=f"s3://{deployment.processed_bucket}/plain/{name}/",
        dataset=True,
        database=deployment.glue_database,
        table=name,
        partition_cols=["region"],
    )
    found = wr.athena.read_sql_query(
        f"SELECT region, sum(n) AS n, count(text) AS texts FROM {name} WHERE region = 'eu' GROUP BY region",
        database=deployment.glue_database,
        workgroup=deployment.athena_workgroup,
        ctas_approach=False,
    )
    assert found.values.tolist() == [["eu", 3, 1]]


def test_a_plain_csv_table_is_read(deployment: Deployment) -> None:
    name = f"csv_{uuid.uuid4().hex[:8]}"
    client("s3").put_object(
        Bucket=deployment.processed_bucket, Key=f"csv/{name}/1.csv", Body=b'n,text\n1,"a, b"\n,"q""x"\n'
    )
    client("glue").create_table(
        DatabaseName=deployment.glue_database,
        TableInput={
            "Name": name,
            "TableType": "EXTERNAL_TABLE",
            "Parameters": {"skip.header.line.count": "1"},
            "StorageDescriptor": {
                "Columns": [{"Name": "n", "Type": "int"}, {"Name": "text", "Type": "string"}],
                "Location": f"s3://{deployment.processed_bucket}/csv/{name}/",
                "Parameters": {"skip.header.line.count": "1"},
                "SerdeInfo": {
                    "SerializationLibrary": "org.apache.hadoop.hive.serde2.OpenCSVSerde",
                    "Parameters": {"separatorChar": ",", "quoteChar": '"'},
                },
            },
        },
    )
    found = wr.athena.read_sql_query(
        f"SELECT n, text FROM {name} ORDER BY text",
        database=deployment.glue_database,
        workgroup=deployment.athena_workgroup,
        ctas_approach=False,
    )
    assert found["text"].tolist() == ["a, b", 'q"x']
    assert found["n"].iloc[0] == 1
    assert pd.isna(found["n"].iloc[1])
