"""The Big List of Naughty Strings through the laptop's S3, SQS, Glue and Athena: object names and cells come back as they are."""

from __future__ import annotations

import csv
import io
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.contracts.loading import load_datasets
from resources.assembly import open_gate, query_engine
from resources.environment import Deployment, client
from tests.cli.command import inside, lakegate
from tests.cli.settling import settle
from tests.ingest.test_naughty_strings import CONTRACT, naughty_strings, object_names

pytestmark = pytest.mark.aws
_SENT = 100


@pytest.fixture
def dataset_name(tmp_path: Path) -> Iterator[str]:
    """A dataset of its own, in the folder that this shell means."""
    name = f"naughty_{uuid.uuid4().hex[:8]}"
    (tmp_path / f"{name}.yaml").write_text(CONTRACT.replace("naughty", name), "utf-8")
    before = dict(os.environ)
    os.environ["LAKEGATE_DATASETS"] = str(tmp_path)
    try:
        with inside(tmp_path):
            yield name
    finally:
        os.environ.clear()
        os.environ.update(before)


def test_names_and_cells_come_back_from_athena_unchanged(
    deployment: Deployment, dataset_name: str, tmp_path: Path
) -> None:
    naughty, names = naughty_strings(), object_names()
    chosen = names[:: max(1, len(names) // _SENT)]
    keys = [f"landing/{dataset_name}/{name}" for name in chosen]
    bodies: list[bytes] = []
    for n in range(len(keys)):  # every string as a cell of some file
        written = io.StringIO(newline="")
        cells = [(i, s) for i, s in enumerate(naughty) if i % len(keys) == n]
        csv.writer(written, quoting=csv.QUOTE_ALL).writerows([["n", "s"], *cells])
        bodies.append(written.getvalue().encode())
    for key, body in zip(keys, bodies, strict=True):
        client("s3").put_object(Bucket=deployment.landing_bucket, Key=key, Body=body)
    settle(open_gate(deployment, load_datasets(tmp_path)), keys)
    engine = query_engine(deployment)
    rows = engine.query(f"SELECT n, s, _source_file FROM {dataset_name} ORDER BY n").table.to_pylist()
    assert [row["s"] for row in rows] == naughty
    assert [row["_source_file"] for row in rows] == [keys[i % len(keys)] for i in range(len(naughty))]
    for text in naughty[::37]:  # and as a parameter of a query
        found = engine.query(f"SELECT count(*) AS c FROM {dataset_name} WHERE s = ?", [text]).table.to_pylist()
        assert found == [{"c": naughty.count(text)}]


def test_formulas_are_defused_in_csv_and_nowhere_else(
    deployment: Deployment, dataset_name: str, tmp_path: Path
) -> None:
    key = f"landing/{dataset_name}/formulas.csv"
    cells = ["=1+1", "@SUM(A1)", "+1+1", "-2+3", "\tx", "-5", "a=b", "it's", ""]
    written = io.StringIO(newline="")
    csv.writer(written, quoting=csv.QUOTE_ALL).writerows([["n", "s"], *enumerate(cells)])
    client("s3").put_object(Bucket=deployment.landing_bucket, Key=key, Body=written.getvalue().encode())
    settle(open_gate(deployment, load_datasets(tmp_path)), [key])
    sql = f"SELECT n, s, cast(NULL AS varchar) AS nothing FROM {dataset_name} ORDER BY n"
    plain = lakegate("query", sql, "--json").json
    assert [row["s"] for row in plain["rows"]] == cells
    exported = lakegate("query", sql, "--csv")
    assert exported.code == 0
    lines = list(csv.reader(io.StringIO(exported.out, newline=""), strict=True))
    assert lines[0] == ["n", "s", "nothing"]
    assert [line[1] for line in lines[1:]] == ["'=1+1", "'@SUM(A1)", "'+1+1", "'-2+3", "'\tx", "-5", "a=b", "it's", ""]
    assert exported.out.splitlines()[-1] == '8,"",'
    kept = lakegate("query", sql, "--csv", "--keep-formulas")
    assert [line[1] for line in csv.reader(io.StringIO(kept.out, newline=""))][1:] == cells
    assert lakegate("query", sql, "--csv", "--json").code == 2
    assert lakegate("query", sql, "--keep-formulas").code == 2
