"""Whatever is wrong with a command, it answers with a sentence and the exit code of misuse; never with a stack trace."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import GOOD, ORDERS, inside, lakegate


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "orders.yaml").write_text(ORDERS)
    (tmp_path / "2026-02-01.csv").write_bytes(GOOD)
    (tmp_path / "empty.yaml").write_bytes(b"")
    (tmp_path / "binary.yaml").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "list.yaml").write_text("- a\n- b\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "2026-02-01.csv").write_bytes(GOOD)
    with inside(tmp_path):
        yield tmp_path


COMMANDS = [["validate"], ["convert", "--out", "out"]]
WRONG = {
    "a missing file": (["2026-02-09.csv", "-d", "orders.yaml"], "No such file"),
    "a folder": (["folder", "-d", "orders.yaml"], "is a folder"),
    "a device": (["/dev/null", "-d", "orders.yaml"], "is no regular file"),
    "a NUL in a name": (["a\0b.csv", "-d", "orders.yaml"], "null byte"),
    "a name too long for the system": (["x" * 5000, "-d", "orders.yaml"], "File name too long"),
    "an unknown dataset": (["2026-02-01.csv", "-d", "nobody"], "there is no dataset 'nobody'"),
    "a missing dataset file": (["2026-02-01.csv", "-d", "nobody.yaml"], "No such file"),
    "a folder as dataset": (["2026-02-01.csv", "-d", "./folder"], "Is a directory"),
    "a NUL in a dataset": (["2026-02-01.csv", "-d", "a\0b.yaml"], "neither a dataset"),
    "an empty dataset name": (["2026-02-01.csv", "-d", ""], "there is no dataset ''"),
    "an empty dataset file": (["2026-02-01.csv", "-d", "empty.yaml"], "empty.yaml"),
    "a binary dataset file": (["2026-02-01.csv", "-d", "binary.yaml"], "binary.yaml"),
    "a dataset file that is a list": (["2026-02-01.csv", "-d", "list.yaml"], "list.yaml"),
    "a device as dataset": (["2026-02-01.csv", "-d", "/dev/null"], "/dev/null"),
    "two files of one key": (["2026-02-01.csv", "folder/2026-02-01.csv", "-d", "orders.yaml"], "under the same key"),
    "no file": (["-d", "orders.yaml"], "Missing argument"),
    "no dataset": (["2026-02-01.csv"], "Missing option"),
    "an unknown option": (["2026-02-01.csv", "-d", "orders.yaml", "--jsn"], "No such option"),
    "a key that is no text": (["2026-02-01.csv", "-d", "orders.yaml", "--key", "\udcff"], "does not match"),
}


@pytest.mark.parametrize("command", COMMANDS, ids=["validate", "convert"])
@pytest.mark.parametrize("what", WRONG)
def test_misuse_is_exit_code_2_and_a_sentence(here: Path, command: list[str], what: str) -> None:
    arguments, said = WRONG[what]
    answer = lakegate(*command, *arguments)
    assert (answer.code, answer.out) == (2, ""), answer
    assert said in answer.err
    assert not (here / "out").exists()


def test_an_unreadable_file_is_misuse(here: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads every file")
    Path("2026-02-01.csv").chmod(0)
    answer = lakegate("validate", "2026-02-01.csv", "-d", "orders.yaml")
    assert answer.code == 2
    assert "Permission denied" in answer.err


def test_a_socket_and_a_pipe_are_no_files(here: Path) -> None:
    os.mkfifo("2026-02-03.csv")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("2026-02-04.csv")
        for name in ("2026-02-03.csv", "2026-02-04.csv"):
            answer = lakegate("validate", name, "-d", "orders.yaml")
            assert (answer.code, "no regular file" in answer.err) == (2, True)


@pytest.mark.parametrize("out", ["2026-02-01.csv", "2026-02-01.csv/below", "/proc/nothing"])
def test_an_output_that_can_be_no_folder_is_misuse(here: Path, out: str) -> None:
    answer = lakegate("convert", "2026-02-01.csv", "-d", "orders.yaml", "--out", out)
    assert answer.code == 2
    assert "cannot be the output folder" in answer.err


def test_an_output_folder_with_books_that_are_not_ours_is_misuse(here: Path) -> None:
    Path("out").mkdir()
    Path("out/.lakegate-books.db").write_bytes(b"garbage" * 1000)
    answer = lakegate("convert", "2026-02-01.csv", "-d", "orders.yaml", "--out", "out")
    assert answer.code == 2
    assert "give another output folder" in answer.err


def test_a_missing_folder_of_datasets_is_misuse(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKEGATE_DATASETS", str(here / "nowhere"))
    for command in (["datasets", "list"], ["datasets", "check"], ["validate", "2026-02-01.csv", "-d", "orders"]):
        answer = lakegate(*command)
        assert answer.code == 2
        assert "set LAKEGATE_DATASETS" in answer.err


@pytest.mark.parametrize("command", ["status", "wait", "trace", "query", "drop"])
def test_without_an_aws_it_is_the_systems_fault_or_misuse_and_said(
    here: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "LAKEGATE_"))}
    environment |= {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_MAX_ATTEMPTS": "1",
        "LAKEGATE_DATASETS": str(here),
    }
    more = {"trace": ["landing/x"], "query": ["SELECT 1"], "drop": ["2026-02-01.csv", "-d", "orders.yaml"]}.get(
        command, []
    )
    done = subprocess.run(
        [sys.executable, "-m", "lakegate.cli.main", command, *more],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 3, done
    assert done.stdout == ""
    assert done.stderr.startswith("lakegate: ")
    assert "Traceback" not in done.stderr


def test_help_names_every_command(here: Path) -> None:
    answer = lakegate("--help")
    assert answer.code == 0
    for name in [
        "up",
        "down",
        "setup",
        "doctor",
        "datasets",
        "drop",
        "wait",
        "status",
        "validate",
        "convert",
        "query",
        "quarantine",
        "trace",
        "demo",
    ]:
        assert f" {name} " in answer.out


def test_what_nobody_foresaw_is_the_systems_fault_and_the_trace_is_there_for_the_asking(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("lakegate.cli.files.landing_keys", broken)
    answer = lakegate("validate", "2026-02-01.csv", "-d", "orders.yaml")
    assert (answer.code, answer.out) == (3, "")
    assert "unexpected ZeroDivisionError: oh" in answer.err
    monkeypatch.setenv("LAKEGATE_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        lakegate("validate", "2026-02-01.csv", "-d", "orders.yaml")
