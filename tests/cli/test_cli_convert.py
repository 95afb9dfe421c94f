"""`lakegate convert`: files through the very gate of the pipeline into a folder that any reader of Parquet understands."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from pipelines.ingest import ingest_batch
from resources.folder import folder_tables
from resources.iceberg import IcebergTables
from tests.cli.command import BAD, GOOD, ORDERS, inside, lakegate
from tests.ingest.world import World, dataset

CONVERT = ("convert", "-d", "orders.yaml", "--out", "out")


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "orders.yaml").write_text(ORDERS)
    (tmp_path / "2026-02-01.csv").write_bytes(GOOD)
    (tmp_path / "2026-02-02.csv").write_bytes(b"id,amount,note\n3,3.50,c\n")
    (tmp_path / "2026-02-03.csv").write_bytes(BAD)
    with inside(tmp_path):
        yield tmp_path


def table_rows(out: str = "out") -> list[dict[str, Any]]:
    """The rows of the current snapshot."""
    table = folder_tables(Path(out)).load(dataset(ORDERS)).scan().to_arrow()
    return sorted(table.to_pylist(), key=lambda row: (row["_source_file"], row["_source_line"]))


def naive_rows(out: str = "out") -> list[tuple[Any, ...]]:
    """What somebody sees who knows nothing of Iceberg."""
    asked = f"SELECT id, day FROM read_parquet('{out}/processed/orders/data/**/*.parquet', hive_partitioning=false) ORDER BY id"
    return duckdb.sql(asked).fetchall()


def iceberg_rows() -> list[int]:
    """What DuckDB reads of the newest metadata file, by Arrow files of the manifest: the current snapshot."""
    return sorted(row["id"] for row in table_rows())


def test_good_files_become_a_table_and_bad_ones_go_to_quarantine(here: Path) -> None:
    answer = lakegate(*CONVERT, "2026-02-01.csv", "2026-02-02.csv", "2026-02-03.csv")
    assert answer.code == 1
    assert [line.split(":")[0] for line in answer.out.splitlines()] == [
        "accepted  2026-02-01.csv",
        "accepted  2026-02-02.csv",
        "rejected  2026-02-03.csv",
        "          2026-02-03.csv",
    ]
    assert [(r["id"], str(r["day"]), r["_source_file"], r["_source_line"]) for r in table_rows()] == [
        (1, "2026-02-01", "landing/orders/2026-02-01.csv", 2),
        (2, "2026-02-01", "landing/orders/2026-02-01.csv", 3),
        (3, "2026-02-02", "landing/orders/2026-02-02.csv", 2),
    ]
    folders = {p.parent.name for p in Path("out/processed/orders/data").rglob("*.parquet")}
    assert folders == {"day=2026-02-01", "day=2026-02-02"}
    [report] = Path("out/quarantine/orders").rglob("report.json")
    assert report.with_name("object").read_bytes() == BAD
    told = json.loads(report.read_text())
    assert (told["key"], told["violations"][0]["line"]) == ("landing/orders/2026-02-03.csv", 3)


def test_its_json_is_that_of_validate(here: Path) -> None:
    names = ["2026-02-03.csv", "2026-02-01.csv"]
    validated = lakegate("validate", "-d", "orders.yaml", "--json", *names)
    converted = lakegate(*CONVERT, "--json", *names)
    assert converted.json == validated.json
    assert [f["file"] for f in converted.json["files"]] == names
    assert (converted.code, validated.code) == (1, 1)


def test_converting_again_replaces_and_never_doubles(here: Path) -> None:
    for _ in range(3):
        assert lakegate(*CONVERT, "2026-02-01.csv", "2026-02-02.csv").code == 0
        assert iceberg_rows() == [1, 2, 3]
        assert [row[0] for row in naive_rows()] == [1, 2, 3]
    Path("2026-02-01.csv").write_bytes(b"id,amount,note\n9,9.00,z\n")
    assert lakegate(*CONVERT, "2026-02-01.csv").code == 0
    assert iceberg_rows() == [3, 9]
    assert [row[0] for row in naive_rows()] == [3, 9]
    Path("2026-02-01.csv").write_bytes(BAD)
    assert lakegate(*CONVERT, "2026-02-01.csv").code == 1
    assert iceberg_rows() == [3, 9], "a wrong new version leaves the good one"
    assert [row[0] for row in naive_rows()] == [3, 9]


def test_the_files_of_other_tables_in_the_folder_stay(here: Path) -> None:
    Path("other.yaml").write_text(ORDERS.replace("orders", "other"))
    lakegate(*CONVERT, "2026-02-01.csv")
    lakegate("convert", "-d", "other.yaml", "--out", "out", "2026-02-01.csv")
    lakegate(*CONVERT, "2026-02-01.csv")
    assert len(list(Path("out/processed/other/data").rglob("*.parquet"))) == 1
    assert len(list(Path("out/processed/orders/data").rglob("*.parquet"))) == 1


def test_pipeline_and_convert_make_equal_rows(here: Path) -> None:
    lakegate(*CONVERT, "2026-02-01.csv", "2026-02-02.csv", "2026-02-03.csv")
    world = World(datasets=(dataset(ORDERS),))
    for name in ("2026-02-01.csv", "2026-02-02.csv", "2026-02-03.csv"):
        world.put(f"landing/orders/{name}", Path(name).read_bytes())
    world.settle_down()
    ours = {"_batch_id", "_ingested_at", "_source_version"}
    plain = [{k: v for k, v in row.items() if k not in ours} for row in table_rows()]
    assert plain == [{k: v for k, v in row.items() if k not in ours} for row in world.rows()]
    schema = pq.read_schema(next(Path("out/processed/orders/data").rglob("*.parquet")))
    assert schema.names == list(world.rows()[0])


def test_an_empty_file_keeps_what_was_converted(here: Path) -> None:
    lakegate(*CONVERT, "2026-02-01.csv")
    Path("2026-02-01.csv").write_bytes(b"")
    answer = lakegate(*CONVERT, "2026-02-01.csv", "--json")
    assert (answer.code, answer.json["files"][0]["verdict"]) == (0, "empty")
    assert iceberg_rows() == [1, 2]


def test_a_conversion_that_died_is_finished_by_the_next(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after its commit, before the books: the next one, of another file of the same day or not, settles it."""

    class Killed(BaseException):
        pass

    def dying(self: IcebergTables, *arguments: Any) -> None:
        commit(self, *arguments)
        raise Killed

    commit = IcebergTables.commit
    monkeypatch.setattr(IcebergTables, "commit", dying)
    with pytest.raises(Killed):
        lakegate(*CONVERT, "2026-02-01.csv")
    monkeypatch.undo()
    assert iceberg_rows() == [1, 2]
    answer = lakegate(*CONVERT, "2026-02-01.csv", "2026-02-02.csv", "--json")
    assert [f["verdict"] for f in answer.json["files"]] == ["accepted", "accepted"]
    assert iceberg_rows() == [1, 2, 3]
    assert [row[0] for row in naive_rows()] == [1, 2, 3]
    states = [(item.get("state"), item.get("outcome")) for sk, item in _books("out") if sk.startswith("version#")]
    assert sorted(states, key=str) == [("committed", "loaded"), ("committed", "loaded"), ("committed", "superseded")]


def test_what_a_conversion_registered_and_never_planned_does_not_wait_for_ever(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipelines.intake.backfill.plan_batches", killed)
    assert lakegate(*CONVERT, "2026-02-01.csv").code != 0
    monkeypatch.undo()
    assert lakegate(*CONVERT, "2026-02-02.csv").code == 0
    assert iceberg_rows() == [3]
    outcomes = sorted(item["outcome"] for sk, item in _books("out") if sk.startswith("version#"))
    assert outcomes == ["loaded", "removed"], (
        "its file may have changed since: it is converted again when it is given again"
    )


def _books(out: str) -> list[tuple[str, dict[str, Any]]]:
    with sqlite3.connect(f"{out}/.lakegate-books.db") as books:
        return [(sk, json.loads(item)) for sk, item in books.execute("SELECT sk, item FROM items")]


def test_two_conversions_into_one_folder_wait_for_each_other(here: Path) -> None:
    command = [sys.executable, "-m", "lakegate.cli.main", *CONVERT, "--json"]
    running = [
        subprocess.Popen([*command, name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for name in ("2026-02-01.csv", "2026-02-02.csv", "2026-02-01.csv")
    ]
    ended = [(process.communicate(timeout=120), process.returncode) for process in running]
    assert [code for _, code in ended] == [0, 0, 0], ended
    assert iceberg_rows() == [1, 2, 3]
    assert [row[0] for row in naive_rows()] == [1, 2, 3]


def test_a_folder_that_is_in_use_for_long_is_said_to_be(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.conversion.FileItemStore.__init__.__defaults__", (0.1,))
    lakegate(*CONVERT, "2026-02-01.csv")
    holder = sqlite3.connect("out/.lakegate-books.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        answer = lakegate(*CONVERT, "2026-02-01.csv")
    finally:
        holder.close()
    assert (answer.code, answer.out) == (3, "")
    assert "another conversion is writing to" in answer.err


def test_a_file_that_changes_while_it_is_read_is_no_row_of_either(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def changing(*arguments: Any, **named: Any) -> Any:
        Path("2026-02-01.csv").write_bytes(GOOD + b"5,5.00,late\n")
        return ingest_batch(*arguments, **named)

    monkeypatch.setattr("pipelines.ingest.ingest_batch", changing)
    answer = lakegate(*CONVERT, "2026-02-01.csv", "--json")
    assert answer.code == 3
    [file] = answer.json["files"]
    assert (file["verdict"], file["rows_accepted"], bool(file["error"])) == ("failed", 0, True)
    assert iceberg_rows() == []


def test_a_folder_made_with_another_contract_says_what_differs(here: Path) -> None:
    lakegate(*CONVERT, "2026-02-01.csv")
    Path("orders.yaml").write_text(ORDERS.replace("note: {type: string}", "note: {type: int}"))
    answer = lakegate(*CONVERT, "2026-02-01.csv")
    assert answer.code == 3
    assert "note" in answer.err
    assert iceberg_rows() == [1, 2]


def test_a_folder_reached_by_another_path_keeps_its_rows(here: Path) -> None:
    lakegate(*CONVERT, "2026-02-01.csv")
    Path("link").symlink_to("out")
    assert lakegate("convert", "-d", "orders.yaml", "--out", "link", "2026-02-02.csv").code == 0
    assert iceberg_rows() == [1, 2, 3]
    assert [row[0] for row in naive_rows()] == [1, 2, 3]


def test_a_folder_can_be_moved_aside_and_started_anew(here: Path) -> None:
    lakegate(*CONVERT, "2026-02-01.csv")
    shutil.rmtree("out")
    assert lakegate(*CONVERT, "2026-02-02.csv").code == 0
    assert [row[0] for row in naive_rows()] == [3]


def test_no_thread_is_left(here: Path) -> None:
    before = set(threading.enumerate())
    lakegate(*CONVERT, "2026-02-01.csv", "2026-02-03.csv")
    assert not {
        t.name for t in set(threading.enumerate()) - before if t.name.startswith(("heartbeat", "fetch", "reader"))
    }
