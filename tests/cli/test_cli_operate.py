"""The operator's commands against the laptop's AWS: files are dropped by the command, and taken through the gate here."""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipelines.contracts.loading import load_datasets
from pipelines.intake.receiving import receive
from resources.assembly import open_gate
from resources.environment import Deployment, client
from tests.cli.command import BAD, GOOD, ORDERS, inside, lakegate
from tests.cli.settling import settle

pytestmark = pytest.mark.aws
LIMIT_S = 60


@dataclass(frozen=True)
class Story:
    """A good file, a bad one, and one that was bad at first, all settled."""

    name: str
    deployment: Deployment
    folder: Path

    def key(self, day: str) -> str:
        return f"landing/{self.name}/{day}.csv"


@pytest.fixture(scope="module")
def story(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    name = f"orders_{uuid.uuid4().hex[:8]}"
    folder = tmp_path_factory.mktemp("operate")
    (folder / f"{name}.yaml").write_text(ORDERS.replace("orders", name))
    before = dict(os.environ)
    os.environ["LAKEGATE_DATASETS"] = str(folder)
    try:
        with inside(folder):
            gate = open_gate(deployment, load_datasets(folder))
            told = Story(name, deployment, folder)
            days = ("2026-02-01", "2026-02-02", "2026-02-03")
            for day, content in zip(days, (GOOD, BAD, BAD), strict=True):
                Path(f"{day}.csv").write_bytes(content)
            answer = lakegate("drop", *(f"{day}.csv" for day in days), "--dataset", name)
            assert answer.out == "".join(f"dropped {day}.csv as {told.key(day)}\n" for day in days)
            settle(gate, [told.key(day) for day in days])
            Path("2026-02-03.csv").write_bytes(b"id,amount,note\n7,7.00,\n")
            document = lakegate("drop", "2026-02-03.csv", "-d", name, "--json").json
            [dropped] = document["dropped"]
            assert (dropped["file"], dropped["key"], bool(dropped["version_id"])) == (
                "2026-02-03.csv", told.key("2026-02-03"), True,
            )  # fmt: skip
            deadline = time.monotonic() + LIMIT_S
            while len(gate.ledger.entries(deployment.landing_bucket, told.key("2026-02-03"))) < 2:
                assert time.monotonic() < deadline
                receive(gate, wait_s=1, budget_s=10)
            settle(gate, [told.key(day) for day in days])
            yield told
    finally:
        os.environ.clear()
        os.environ.update(before)


def test_status_has_each_object_in_one_outcome(story: Story) -> None:
    answer = lakegate("status")
    assert (answer.code, answer.err) == (0, "")
    header, row = (
        next(re.split(r" {2,}", line.strip()) for line in answer.out.splitlines() if line.startswith(name))
        for name in ("dataset", story.name)
    )
    told = dict(zip(header, row, strict=True))
    assert {k: told[k] for k in ("objects", "loaded", "superseded", "quarantined", "rows in table")} == {
        "objects": "4",
        "loaded": "2",
        "superseded": "1",
        "quarantined": "1",
        "rows in table": "3",
    }
    by_day = lakegate("status", "--days")
    assert [line.split()[1] for line in by_day.out.splitlines() if line.startswith(story.name)] == [
        "2026-02-01",
        "2026-02-02",
        "2026-02-03",
    ]


def test_status_in_json_adds_up(story: Story) -> None:
    document = lakegate("status", "--json").json
    assert (document["version"], document["problems"]) == (1, [])
    lines = [line for line in document["lines"] if line["dataset"] == story.name]
    assert [line["landing_day"] for line in lines] == ["2026-02-01", "2026-02-02", "2026-02-03"]
    for line in lines:
        assert line["objects"] == sum(line["outcomes"].values())
    assert sum(line["rows_in_table"] for line in lines) == 3
    assert document["objects"] == sum(document["outcomes"].values())
    assert isinstance(document["messages"], int)
    assert isinstance(document["dead_letters"], int)


def test_status_is_proved_against_bucket_and_tables_when_asked(story: Story) -> None:
    told = lakegate("status", "--prove", "--json").json["proof"]
    assert told["tables"] == [{"table": story.name, "files": 2, "rows": 3, "rows_in_ledger": 3}]
    assert [problem for problem in told["problems"] if story.name in problem] == []
    answer = lakegate("status", "--prove")
    assert any(re.split(r" {2,}", line.strip()) == [story.name, "2", "3", "3"] for line in answer.out.splitlines())
    assert answer.out.splitlines()[-1].startswith("Proved against the bucket and the tables: ")


def test_wait_returns_when_all_is_at_rest_and_gives_up_when_time_is(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lakegate.cli.operate._BETWEEN_LOOKS_S", 0.2)
    answer = lakegate("wait", "--timeout", "20", "--json")
    pending = [line for line in answer.json["lines"] if line["outcomes"]["pending"]]
    assert (answer.code, answer.json["at_rest"], pending) == (0, True, [])
    text = lakegate("wait", "--timeout", "20")
    assert (text.code, text.out.splitlines()[-1].startswith("At rest: ")) == (0, True)
    client("s3").put_object(Bucket=story.deployment.landing_bucket, Key=f"landing/{story.name}/late", Body=b"x")
    try:
        deadline = time.monotonic() + LIMIT_S
        while (late := lakegate("wait", "--timeout", "0.5", "--json")).code == 0:
            assert time.monotonic() < deadline, "the message never came"
        assert (late.code, late.json["at_rest"], late.json["messages"]) == (1, False, 1)
    finally:
        settle(open_gate(story.deployment, load_datasets(story.folder)), [f"landing/{story.name}/late"])


def test_trace_tells_the_story_of_a_key(story: Story) -> None:
    key = story.key("2026-02-03")
    for name in (key, f"s3://{story.deployment.landing_bucket}/{key}"):
        answer = lakegate("trace", name)
        assert answer.code == 0
        assert answer.out.splitlines()[0] == key
        assert [
            word
            for word in ("superseded", "serving", "seen for the first time", "claimed", "is being published")
            if word not in answer.out
        ] == []
    document = lakegate("trace", key, "--json").json
    first, second = document["versions"]
    assert (first["state"], first["outcome"], first["violations_total"]) == ("quarantined", "superseded", 2)
    assert (second["state"], second["outcome"], second["rows_accepted"]) == ("committed", "loaded", 1)
    assert document["serving_version"] == second["version_id"]
    steps = [(h["from"], h["to"]) for h in document["history"] if h["version_id"] == second["version_id"]]
    assert steps[0] == (None, "seen")
    assert steps[-1] == ("committing", "committed")
    assert all(h["run"].startswith("run-") for h in document["history"] if h["to"] == "claimed")


def test_trace_of_an_unknown_key_says_so(story: Story) -> None:
    answer = lakegate("trace", "landing/nobody")
    assert (answer.code, answer.out) == (1, "The ledger knows no version of the key landing/nobody.\n")
    assert lakegate("trace", "landing/nobody", "--json").json["versions"] == []


def test_quarantine_lists_what_nothing_has_replaced_and_shows_the_reason_and_the_way_back(story: Story) -> None:
    listed = lakegate("quarantine", "list", "--dataset", story.name)
    assert listed.code == 0
    [line] = [row for row in listed.out.splitlines() if story.name in row]
    assert f"{story.key('2026-02-02')}:3:amount:" in line
    [file] = lakegate("quarantine", "list", "-d", story.name, "--json").json["files"]
    assert (file["key"], file["violations_total"], file["first"]["rule"]) == (story.key("2026-02-02"), 2, "type")
    assert line.startswith(file["id"])
    shown = lakegate("quarantine", "show", file["id"][:10])
    assert shown.code == 0
    assert f"{story.key('2026-02-02')}:3:amount:" in shown.out
    assert "Correct the file and send it again under the same key." in shown.out
    [copy] = [line.split()[-1] for line in shown.out.splitlines() if "unchanged copy" in line]
    bucket, _, key = copy.removeprefix("s3://").partition("/")
    assert client("s3").get_object(Bucket=bucket, Key=key)["Body"].read() == BAD
    report = lakegate("quarantine", "show", file["id"], "--json").json
    assert (report["id"], report["violations"][0]["line"], report["rows_read"]) == (file["id"], 3, 3)


def test_quarantine_show_of_no_file_is_misuse(story: Story) -> None:
    answer = lakegate("quarantine", "show", "ffffffffffffffff")
    assert answer.code == 2
    assert "see `lakegate quarantine list`" in answer.err


def test_query_answers_from_athena(story: Story) -> None:
    sql = f'SELECT id, amount, day, "_source_line" FROM {story.name} ORDER BY id'
    document = lakegate("query", sql, "--json").json
    assert [(r["id"], r["amount"], r["day"]) for r in document["rows"]] == [
        (1, "1.50", "2026-02-01"),
        (2, "2.50", "2026-02-01"),
        (7, "7.00", "2026-02-03"),
    ]
    assert [c["name"] for c in document["columns"]] == ["id", "amount", "day", "_source_line"]
    text = lakegate("query", sql)
    assert text.code == 0
    assert [line.split()[:3] for line in text.out.splitlines()[1:4]] == [
        ["1", "1.50", "2026-02-01"],
        ["2", "2.50", "2026-02-01"],
        ["7", "7.00", "2026-02-03"],
    ]


def test_query_of_numbers_that_json_has_not_is_still_json(story: Story) -> None:
    rows = lakegate(
        "query",
        "SELECT CAST('NaN' AS double) AS n, CAST('Infinity' AS double) AS i, CAST(NULL AS double) AS z",
        "--json",
    ).json["rows"]
    assert [str(v).lower() for v in rows[0].values()] == ["nan", "inf", "none"]


@pytest.mark.parametrize("sql", ["SELECT", "SELECT * FROM there_is_no_such_table", "DROP TABLE x", ""])
def test_a_query_that_athena_refuses_is_told_with_its_reason(story: Story, sql: str) -> None:
    answer = lakegate("query", sql)
    assert answer.code in (2, 3)
    assert answer.out == ""
    assert answer.err.startswith("lakegate: ")


def test_a_drop_of_what_does_not_fit_puts_nothing_there(story: Story) -> None:
    Path("export.csv").write_bytes(GOOD)
    for arguments in (["export.csv", "-d", story.name], ["2026-02-01.csv", "missing.csv", "-d", story.name]):
        answer = lakegate("drop", *arguments)
        assert (answer.code, answer.out) == (2, "")
    listed: dict[str, Any] = client("s3").list_object_versions(
        Bucket=story.deployment.landing_bucket, Prefix=story.key("2026-02-01")
    )
    assert len(listed["Versions"]) == 1


def test_a_drop_of_a_new_file_replaces_none_that_is_there(story: Story) -> None:
    Path("2026-02-01.csv").write_bytes(BAD)
    answer = lakegate("drop", "2026-02-01.csv", "-d", story.name, "--new")
    assert (answer.code, answer.out) == (2, "")
    assert f"{story.key('2026-02-01')} is there already" in answer.err
    held = client("s3").get_object(Bucket=story.deployment.landing_bucket, Key=story.key("2026-02-01"))
    assert held["Body"].read() == GOOD


def test_setup_plan_changes_nothing_where_all_is_as_the_template_says(story: Story) -> None:
    answer = lakegate("setup", "--plan", "--json")
    assert answer.code == 0
    assert answer.json["version"] == 1
