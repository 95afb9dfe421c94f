"""The table beside a dataset's own: the same catalog, another bucket; and whoever may, queries it with Athena."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.contracts.rejected import rejected_dataset, tables_of
from resources.environment import Deployment, client
from resources.folder import folder_tables
from resources.iceberg import IcebergTables
from tests.ingest.world import DAY, ORDERS_BY_ROWS, World, dataset, mixed
from tests.publication.samples import dataset as flights


def test_rejected_rows_lie_in_a_place_of_their_own(connect: Callable[[], IcebergTables]) -> None:
    tables = connect()
    of = flights(f"flights_{uuid.uuid4().hex[:12]}", rows={"on_bad": "quarantine_rows"})
    main, beside = tables_of(of)
    for table in (main, beside, main, beside):
        tables.ensure(table)
    places = [tables.data_location(table) for table in (main, beside)]
    assert [key for _, key in places] == [f"processed/{of.name}/data", f"rejected/{of.name}/data"]
    assert tables.current(beside).snapshot_id is None
    assert beside == rejected_dataset(of)


def test_a_folder_keeps_both_below_its_root(tmp_path: Path) -> None:
    tables = folder_tables(tmp_path)
    of = flights(rows={"on_bad": "quarantine_rows"})
    assert {tables.data_location(table)[0] for table in tables_of(of)} == {"."}


@pytest.mark.aws
def test_athena_answers_from_the_quarantine_bucket_what_was_rejected_and_why(deployment: Deployment) -> None:
    from resources.athena import AthenaQueryEngine
    from resources.iceberg import glue_tables
    from resources.s3 import S3ObjectStore

    name = f"orders_{uuid.uuid4().hex[:8]}"
    of = dataset(ORDERS_BY_ROWS.replace("orders", name))
    world = World(tables=glue_tables(deployment, S3ObjectStore()), datasets=(of,))
    key = f"landing/{name}/{DAY}/a.csv"
    world.put(key, mixed(1, 2, bad=2))
    world.settle_down()
    beside = rejected_dataset(of)
    asked = f"SELECT _source_file, _source_line, rules, raw, reasons FROM {beside.table} WHERE landing_day = DATE '{DAY}' ORDER BY _source_line"
    rows = AthenaQueryEngine(deployment).query(asked).table.to_pylist()
    assert [(r["_source_file"], r["_source_line"], r["rules"], r["raw"]) for r in rows] == [
        (key, 4, "type", "none0,9"),
        (key, 5, "type", "none1,9"),
    ]
    assert json.loads(rows[1]["reasons"])[0]["found"] == "none1"
    found = client("glue").get_table(DatabaseName=deployment.glue_database, Name=beside.table)["Table"]
    assert found["Parameters"]["metadata_location"].startswith(f"s3://{deployment.quarantine_bucket}/rejected/{name}/")
    listed = client("s3").list_objects_v2(Bucket=deployment.quarantine_bucket, Prefix=f"rejected/{name}/data/")
    assert [o["Key"].split("/")[3] for o in listed["Contents"]] == [f"landing_day={DAY}"]

    world.put(key, mixed(1, 2, 3, bad=0))
    world.settle_down()
    left = AthenaQueryEngine(deployment).query(f"SELECT count(*) AS n FROM {beside.table}").table
    assert left["n"].to_pylist() == [0]
    world.assert_balanced()
