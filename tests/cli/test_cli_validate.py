"""`lakegate validate`: what the gate would make of files, as text and as the documented JSON; nothing is written."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import BAD, GOOD, ORDERS, inside, lakegate, tree

LAKEGATE = [sys.executable, "-m", "lakegate.cli.main"]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "orders.yaml").write_text(ORDERS)
    (tmp_path / "2026-02-01.csv").write_bytes(GOOD)
    (tmp_path / "2026-02-02.csv").write_bytes(BAD)
    (tmp_path / "2026-02-03.csv").write_bytes(b"")
    with inside(tmp_path):
        yield tmp_path


def test_a_good_file_is_accepted_and_says_where_its_rows_would_go(here: Path) -> None:
    answer = lakegate("validate", "2026-02-01.csv", "--dataset", "orders.yaml")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == "accepted  2026-02-01.csv: 2 rows in day=2026-02-01\n"


def test_a_bad_file_is_told_as_file_line_column_on_one_line_each(here: Path) -> None:
    answer = lakegate("validate", "2026-02-02.csv", "--dataset", "orders.yaml")
    assert answer.code == 1
    first, second = answer.out.splitlines()
    assert first == "rejected  2026-02-02.csv: 2 faults in 3 rows read"
    assert second.startswith(
        '          2026-02-02.csv:3:amount: the value does not have the column\'s type: found "much"'
    )
    assert "2 times in this file (also on line 4)." in second
    assert second.endswith("[type]")
    assert second.count("2026-02-02.csv") == 1


def test_piped_output_is_never_wrapped_however_narrow_the_terminal(here: Path) -> None:
    deep = here / ("folder-" * 12) / ("folder-" * 12)
    deep.mkdir(parents=True)
    path = deep / "2026-02-02.csv"
    path.write_bytes(BAD)
    env = {**os.environ, "COLUMNS": "40"}
    done = subprocess.run(
        [*LAKEGATE, "validate", str(path), "-d", "orders.yaml"], capture_output=True, text=True, env=env, check=False
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert len(done.stdout.splitlines()) == 2
    assert f"{path}:3:amount: " in done.stdout


def test_a_terminal_gets_the_same_lines(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    plain = lakegate("validate", "2026-02-02.csv", "-d", "orders.yaml")
    assert lakegate("validate", "2026-02-02.csv", "-d", "orders.yaml", terminal=True).out == plain.out


def test_the_json_has_exactly_the_documented_shape(here: Path) -> None:
    names = ["2026-02-01.csv", "2026-02-02.csv", "2026-02-03.csv"]
    answer = lakegate("validate", *names, "--dataset", "orders.yaml", "--json")
    assert answer.code == 1
    expected = "a number with at most 8 digits before and 2 after the point"
    assert answer.json == {
        "version": 1,
        "files": [
            {
                "file": "2026-02-01.csv",
                "verdict": "accepted",
                "rows_read": 2,
                "read_complete": True,
                "rows_accepted": 2,
                "rows_rejected": 0,
                "partitions": ["day=2026-02-01"],
                "violations_total": 0,
                "violations": [],
            },
            {
                "file": "2026-02-02.csv",
                "verdict": "rejected",
                "rows_read": 3,
                "read_complete": True,
                "rows_accepted": 0,
                "rows_rejected": 3,
                "partitions": [],
                "violations_total": 2,
                "violations": [
                    {
                        "rule": "type",
                        "column": "amount",
                        "line": 3,
                        "byte_offset": 26,
                        "found": "much",
                        "expected": expected,
                        "count": 2,
                        "samples": [
                            {"line": 3, "byte_offset": 26, "found": "much", "raw": "2,much,b"},
                            {"line": 4, "byte_offset": 35, "found": "more", "raw": "3,more,c"},
                        ],
                        "message": answer.json["files"][1]["violations"][0]["message"],
                    }
                ],
            },
            {
                "file": "2026-02-03.csv",
                "verdict": "empty",
                "rows_read": 0,
                "read_complete": True,
                "rows_accepted": 0,
                "rows_rejected": 0,
                "partitions": [],
                "violations_total": 0,
                "violations": [],
            },
        ],
    }
    assert [list(v) for f in answer.json["files"] for v in f["violations"]] == [
        ["rule", "column", "line", "byte_offset", "found", "expected", "count", "samples", "message"]
    ]


def test_it_writes_nothing(here: Path) -> None:
    before = tree(here)
    lakegate("validate", "2026-02-01.csv", "2026-02-02.csv", "2026-02-03.csv", "-d", "orders.yaml")
    assert tree(here) == before


def test_one_file_by_another_name_needs_a_key(here: Path) -> None:
    (here / "export.csv").write_bytes(GOOD)
    answer = lakegate("validate", "export.csv", "-d", "orders.yaml")
    assert answer.code == 2
    assert "say the key with --key" in answer.err
    key = "landing/orders/2026-02-09.csv"
    answer = lakegate("validate", "export.csv", "-d", "orders.yaml", "--key", key)
    assert (answer.code, answer.out) == (0, "accepted  export.csv: 2 rows in day=2026-02-09\n")
    wrong = lakegate("validate", "export.csv", "-d", "orders.yaml", "--key", "landing/other/2026-02-09.csv")
    assert wrong.code == 2
    assert "does not match the dataset's pattern" in wrong.err
    both = lakegate("validate", "export.csv", "2026-02-01.csv", "-d", "orders.yaml", "--key", key)
    assert both.code == 2
    assert "one file" in both.err


def test_a_pattern_with_values_in_folders_needs_the_whole_key(here: Path) -> None:
    Path("orders.yaml").write_text(ORDERS.replace("{day:%Y-%m-%d}.csv", "{day:%Y-%m-%d}/*.csv"))
    answer = lakegate("validate", "2026-02-01.csv", "-d", "orders.yaml")
    assert answer.code == 2
    assert "say the whole key with --key" in answer.err


@pytest.mark.parametrize(
    ("name", "rule"),
    [("2026-02-31.csv", "key_value"), ("2025-02-01.csv", "landing_day"), ("9999-01-01.csv", "landing_day")],
)
def test_a_name_with_an_impossible_day_is_bad_data(here: Path, name: str, rule: str) -> None:
    (here / name).write_bytes(GOOD)
    answer = lakegate("validate", name, "-d", "orders.yaml", "--json")
    assert answer.code == 1
    [file] = answer.json["files"]
    assert [v["rule"] for v in file["violations"]] == [rule]
    assert (file["verdict"], file["rows_read"], file["read_complete"]) == ("rejected", 0, False)


@pytest.mark.parametrize("fields", ["id", "day, 'bucket(8, id)'"])
def test_too_many_partitions_are_rejected_as_convert_does(here: Path, fields: str) -> None:
    Path("orders.yaml").write_text(
        ORDERS.replace("partition_by: [day]", f"partition_by: [{fields}]\nlimits: {{partitions: 2}}")
    )
    (here / "2026-02-04.csv").write_bytes(b"id,amount,note\n" + b"".join(b"%d,1,\n" % n for n in range(20)))
    documents = [
        lakegate(*command, "2026-02-04.csv", "-d", "orders.yaml", "--json")
        for command in (["validate"], ["convert", "--out", "out"])
    ]
    assert [d.code for d in documents] == [1, 1]
    assert documents[0].json == documents[1].json
    [violation] = documents[0].json["files"][0]["violations"]
    assert violation["rule"] == "partition_count"


def test_warnings_are_told_and_reject_nothing(here: Path) -> None:
    rule = "{expect_column_values_to_be_between: {column: id, max_value: 1}, severity: warn}"
    Path("orders.yaml").write_text(f"{ORDERS}expectations:\n  - {rule}\n")
    answer = lakegate("validate", "2026-02-01.csv", "-d", "orders.yaml")
    assert answer.code == 0
    assert "warning 2026-02-01.csv:3:id: " in answer.out
    [file] = lakegate("validate", "2026-02-01.csv", "-d", "orders.yaml", "--json").json["files"]
    assert (file["verdict"], file["violations_total"], len(file["warnings"])) == ("accepted", 0, 1)


def test_a_gzip_file_is_read_as_the_pipeline_reads_it(here: Path) -> None:
    Path("orders.yaml").write_text(ORDERS.replace(".csv", ".csv*"))
    (here / "2026-02-05.csv.gz").write_bytes(gzip.compress(GOOD))
    (here / "2026-02-06.csv.gz").write_bytes(gzip.compress(GOOD)[:-9])
    answer = lakegate("validate", "2026-02-05.csv.gz", "2026-02-06.csv.gz", "-d", "orders.yaml", "--json")
    assert [f["verdict"] for f in answer.json["files"]] == ["accepted", "rejected"]
    assert answer.json["files"][1]["violations"][0]["rule"] == "compression"


def test_a_file_name_that_is_no_text_is_shown_and_is_valid_json(here: Path) -> None:
    Path("orders.yaml").write_text(ORDERS.replace("{day:%Y-%m-%d}.csv", "{day:%Y-%m-%d}*.csv"))
    name = os.fsdecode(b"2026-02-07 \xff\x1b[31m.csv")
    (here / name).write_bytes(GOOD)
    text = lakegate("validate", name, "-d", "orders.yaml")
    assert text.code == 0, text
    assert text.out.startswith("accepted  2026-02-07 \\udcff\\x1b[31m.csv: 2 rows")
    [file] = lakegate("validate", name, "-d", "orders.yaml", "--json").json["files"]
    assert file["file"] == name


def test_the_json_survives_an_output_that_carries_ascii_only(here: Path) -> None:
    (here / "2026-02-08.csv").write_bytes("id,amount,note\n1,größe,\n".encode())
    for extra, probe in ((["--json"], '"found": "gr\\u00f6\\u00dfe"'), ([], 'found "gr\\xf6\\xdfe"')):
        done = subprocess.run(
            [*LAKEGATE, "validate", "2026-02-08.csv", "-d", "orders.yaml", *extra],
            capture_output=True,
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
            check=False,
        )
        assert (done.returncode, done.stderr) == (1, b"")
        assert probe in done.stdout.decode("ascii")
        if extra:
            assert json.loads(done.stdout)["files"][0]["violations"][0]["found"] == "größe"


def test_a_reader_that_went_away_is_no_failure(here: Path) -> None:
    command = f"{sys.executable} -m lakegate.cli.main datasets show orders.yaml | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
