"""Nested columns of a table that the product wrote, through Glue, PyIceberg and the laptop's Athena."""

from __future__ import annotations

import subprocess
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines.ports import SourceVersion, TableCommit
from pipelines.publication.staging import Staging
from pipelines.reading.reader import InProcessReader
from pipelines.reading.summary import ReadRequest
from resources.athena import AthenaQueryEngine
from resources.environment import Deployment, client
from resources.iceberg import IcebergTables, glue_tables
from resources.s3 import S3ObjectStore
from tests.reading.support import RowList, dataset

pytestmark = pytest.mark.aws
COLUMNS = {
    "id": {"type": "int"},
    "actor": {"type": "struct<login: string, address: struct<city: string, zip: string>>"},
    "labels": {"type": "array<struct<name: string, weight: decimal(5,2)>>"},
    "tags": {"type": "array<string>"},
    "counts": {"type": "map<string, int>"},
    "extra": {"type": "json"},
}
LINES = """\
{"id": 1, "actor": {"login": "a", "address": {"city": "Köln", "zip": "50667"}}, "labels": [{"name": "bug", "weight": 1.50}, {"name": "old", "weight": null}], "tags": ["x", null], "counts": {"k": 1, "größe": null}, "extra": {"n": 1.50}}
{"id": 2, "actor": {"login": null, "address": null}, "labels": [], "tags": [], "counts": {}, "extra": []}
{"id": 3, "actor": null, "labels": null, "tags": null, "counts": null, "extra": null}
""".encode()


class Table:
    """One table with those lines, and ways to ask it."""

    def __init__(self, deployment: Deployment, scratch: Path) -> None:
        name = f"nested_{uuid.uuid4().hex[:8]}"
        self.of = dataset(COLUMNS, "jsonl", name=name, schema={"missing_columns": "allow"})
        self.tables: IcebergTables = glue_tables(deployment, S3ObjectStore())
        self.tables.ensure(self.of)
        self.publish("b1", "v1", LINES, scratch)
        self.deployment = deployment
        self.engine = AthenaQueryEngine(deployment)

    def publish(
        self, batch: str, version: str, content: bytes, scratch: Path, removes: tuple[SourceVersion, ...] = ()
    ) -> None:
        sink = Batches()
        summary = InProcessReader().read(ReadRequest(self.of, None, {}), lambda: [content], sink)
        assert summary.violations == ()
        schema = self.tables.file_schema(self.of)
        staging = Staging(self.of, batch, 1, scratch / batch, datetime(2024, 1, 1, tzinfo=UTC), schema=schema)
        source = SourceVersion("landing/a.jsonl", version)
        file = staging.open_file(source)
        for one in sink.batches:
            file.write(one)
        file.accept()
        base = self.tables.current(self.of)
        self.tables.commit(self.of, TableCommit(batch, staging.finish(), (source,), removes, base))

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        table = self.engine.query(sql.format(t=self.of.table)).table
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


class Batches(RowList):
    def __init__(self) -> None:
        super().__init__()
        self.batches: list[Any] = []

    def write(self, batch: Any) -> None:
        self.batches.append(batch)


@pytest.fixture(scope="module")
def table(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Table:
    return Table(deployment, tmp_path_factory.mktemp("nested"))


def test_glue_has_the_columns_types_as_athena_writes_them(table: Table) -> None:
    found = client("glue").get_table(DatabaseName=table.deployment.glue_database, Name=table.of.table)["Table"]
    types = {column["Name"]: column["Type"] for column in found["StorageDescriptor"]["Columns"]}
    assert types["actor"] == "struct<login:string,address:struct<city:string,zip:string>>"
    assert types["labels"] == "array<struct<name:string,weight:decimal(5,2)>>"
    assert types["counts"] == "map<string,int>"


QUERIES = [
    ("SELECT actor.login, actor.address.city FROM {t} ORDER BY id", [("a", "Köln"), (None, None), (None, None)]),
    ("SELECT labels[1].name FROM {t} WHERE id = 1", [("bug",)]),
    ("SELECT id, cardinality(labels), cardinality(tags) FROM {t} ORDER BY id", [(1, 2, 2), (2, 0, 0), (3, None, None)]),
    ("SELECT id FROM {t} WHERE labels IS NULL OR actor IS NULL", [(3,)]),
    ("SELECT element_at(counts, 'k'), element_at(counts, 'none') FROM {t} WHERE id = 1", [(1, None)]),
    ("SELECT counts['k'] FROM {t} WHERE id = 1", [(1,)]),
    ("SELECT t.id, tag FROM {t} t CROSS JOIN UNNEST(tags) AS u(tag) ORDER BY tag", [(1, "x"), (1, None)]),
    ("SELECT json_extract_scalar(extra, '$.n') FROM {t} WHERE id = 1", [("1.5",)]),
    ("SELECT count(*) FROM {t} WHERE actor.address.zip = '50667'", [(1,)]),
]


@pytest.mark.parametrize(("sql", "rows"), QUERIES)
def test_athena_answers_questions_about_what_is_inside(table: Table, sql: str, rows: list[tuple[Any, ...]]) -> None:
    assert table.ask(sql) == rows


def test_athena_shows_nested_values_in_its_own_text(table: Table) -> None:
    rows = table.ask("SELECT actor, labels, counts FROM {t} ORDER BY id")
    assert rows[0] == (
        "{login=a, address={city=Köln, zip=50667}}",
        "[{name=bug, weight=1.50}, {name=old, weight=null}]",
        "{k=1, größe=null}",
    )
    assert rows[2] == (None, None, None)


def test_pyiceberg_reads_them_back(table: Table) -> None:
    rows = table.tables.load(table.of).scan().to_arrow().sort_by("id").to_pylist()
    assert rows[0]["actor"] == {"login": "a", "address": {"city": "Köln", "zip": "50667"}}
    assert [row["tags"] for row in rows] == [["x", None], [], None]
    assert rows[0]["counts"] == [("k", 1), ("größe", None)]


def test_pyiceberg_itself_still_reads_a_null_array_of_structs_as_an_empty_one() -> None:
    """Once this fails PyIceberg is mended: then `_mend_pyiceberg` can go, and the note in docs/nested-json.md with it."""
    program = (
        "import pyarrow as pa\n"
        "from pyiceberg.io.pyarrow import _to_requested_schema\n"
        "from pyiceberg.schema import Schema\n"
        "from pyiceberg.types import ListType, LongType, NestedField, StructType\n"
        "kind = ListType(2, StructType(NestedField(3, 'n', LongType())), False)\n"
        "schema = Schema(NestedField(1, 'a', kind))\n"
        "batch = pa.RecordBatch.from_pylist([{'a': None}], pa.schema([('a', pa.list_(pa.struct([('n', pa.int64())])))]))\n"
        "print(_to_requested_schema(schema, schema, batch).to_pylist())\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said == "[{'a': []}]\n"


def test_rewriting_a_file_keeps_nested_values(table: Table, tmp_path: Path) -> None:
    before = table.ask("SELECT id, actor, labels, tags, counts FROM {t} ORDER BY id")
    table.publish("b2", "w1", b'{"id": 9, "labels": null}\n{"id": 10}\n', tmp_path)
    table.publish("b3", "w2", b"", tmp_path, removes=(SourceVersion("landing/a.jsonl", "w1"),))
    assert table.ask("SELECT id, actor, labels, tags, counts FROM {t} ORDER BY id") == before
