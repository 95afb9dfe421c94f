"""`lakegate trace` and `lakegate history export` against the laptop's AWS: the story of a file, and from a row to its text."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from pipelines.contracts.loading import load_datasets
from resources.assembly import open_gate
from resources.environment import Deployment, client
from tests.cli.command import BAD, GOOD, ORDERS, inside, lakegate
from tests.cli.settling import settle

pytestmark = pytest.mark.aws
DAYS = ("2026-02-01", "2026-02-02")


@dataclass(frozen=True)
class Shop:
    """A dataset with a file that was bad at first and one that is bad still; and one with bad rows beside good ones."""

    name: str
    by_rows: str
    deployment: Deployment

    def key(self, day: str = DAYS[0]) -> str:
        return f"landing/{self.name}/{day}.csv"


@pytest.fixture(scope="module")
def shop(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    tail = uuid.uuid4().hex[:8]
    told = Shop(f"orders_{tail}", f"parts_{tail}", deployment)
    folder = tmp_path_factory.mktemp("trace")
    (folder / f"{told.name}.yaml").write_text(ORDERS.replace("orders", told.name))
    rows = ORDERS.replace("orders", told.by_rows) + "rows: {on_bad: quarantine_rows, max_bad: 90%}\n"
    (folder / f"{told.by_rows}.yaml").write_text(rows)
    before = dict(os.environ)
    os.environ["LAKEGATE_DATASETS"] = str(folder)
    try:
        with inside(folder):
            gate = open_gate(deployment, load_datasets(folder))
            good = GOOD + b'3,3.50,"over\ntwo \x1b[31mlines"\n'
            parts = f"landing/{told.by_rows}/{DAYS[0]}.csv"
            for wave in ([(told.key(), BAD), (told.key(DAYS[1]), BAD), (parts, BAD)], [(told.key(), good)]):
                for key, content in wave:
                    client("s3").put_object(Bucket=deployment.landing_bucket, Key=key, Body=content)
                settle(gate, [key for key, _ in wave], versions=2 if len(wave) == 1 else 1)
            yield told
    finally:
        os.environ.clear()
        os.environ.update(before)


def test_the_story_says_what_serves_and_each_step_in_a_sentence(shop: Shop) -> None:
    answer = lakegate("trace", shop.key())
    assert answer.code == 0
    first, second, *_ = answer.out.splitlines()
    assert first == shop.key()
    assert second.startswith(f"dataset {shop.name}, landing day {DAYS[0]}; 2 versions. Version ")
    assert second.endswith(" serves with 3 rows.")
    for words in (
        "superseded by a higher version",
        "loaded, serving: its rows are what the key has in the table",
        "seen for the first time, due\n",
        " planned into the batch ",
        "claimed by run run-",
        "its batch is being published",
        "committed, loaded; 3 rows read, 3 accepted, 0 rejected; ",
        " ms reading it; its batch: ",
        f"where its rows are: 3 in the table {shop.name}, partitions day={DAYS[0]}, published by snapshot ",
        "rejected, object and report are in quarantine; 3 rows read, none loaded; ",
        f"  superseded by {second.split()[-5]}; run ",
        "what was wrong (2 faults; all: lakegate quarantine show ",
        f"{shop.key()}:3:amount: ",
    ):
        assert words in answer.out, words


def test_the_story_of_a_rejected_file_says_what_to_do(shop: Shop) -> None:
    answer = lakegate("trace", shop.key(DAYS[1]))
    assert "No version serves: the key has no rows in the table." in answer.out
    assert "what is next: send the corrected file again under the same key" in answer.out


def test_the_story_in_json_has_the_numbers_of_each_step(shop: Shop) -> None:
    document = lakegate("trace", shop.key(), "--json").json
    first, second = document["versions"]
    assert first["first_faults"][0]["column"] == "amount"
    assert (second["serving"], second["rows_accepted"], second["rows_rejected"]) == (True, 3, 0)
    assert second["partitions"] == [f"day={DAYS[0]}"]
    [settled] = [h for h in document["history"] if h["to"] == "committed"]
    assert set(settled["batch_milliseconds"]) == {"stage", "commit", "books"}
    assert (settled["rows"], settled["rows_accepted"]) == (3, 3)


def test_a_row_leads_to_file_version_line_and_raw_text_and_no_escape_reaches_the_terminal(shop: Shop) -> None:
    version = lakegate("trace", shop.key(), "--json").json["serving_version"]
    answer = lakegate("trace", "--table", shop.name, "--where", "id = 3")
    assert answer.code == 0, answer
    lines = answer.out.splitlines()
    assert lines[0] == f"{shop.key()}:4  version {version}"
    assert lines[1] == "  id: 3"
    assert '  │ 3,3.50,"over\\ntwo \\x1b[31mlines"' in lines
    assert lines[-1] == f"1 row of {shop.name} found."
    [row] = lakegate("trace", "-t", shop.name, "-w", "id = 3", "--json").json["rows"]
    assert row["raw"] == ['3,3.50,"over\ntwo \x1b[31mlines"']
    assert (row["line"], row["version_id"], row["outcome"]) == (4, version, "loaded")


def test_a_rejected_row_leads_to_its_text_too(shop: Shop) -> None:
    answer = lakegate("trace", "--table", f"{shop.by_rows}__rejected", "--where", "_source_line = 3")
    assert answer.code == 0, answer
    assert "  rules: type" in answer.out
    assert "  │ 2,much,b" in answer.out


def test_no_row_is_no_success_and_a_wrong_condition_is_misuse(shop: Shop) -> None:
    nothing = lakegate("trace", "--table", shop.name, "--where", "id = 99")
    assert (nothing.code, nothing.out) == (1, f"0 rows of {shop.name} found.\n")
    refused = lakegate("trace", "--table", shop.name, "--where", "nobody = 1")
    assert refused.code == 2
    assert "Athena refused the condition: " in refused.err
    assert lakegate("trace", "--table", shop.name, "--where", "1 = 1; SELECT 1").code == 2


@pytest.mark.parametrize(
    "arguments", [(), ("landing/x", "--table", "orders", "--where", "true"), ("--table", "orders"), ("--where", "true")]
)
def test_what_to_trace_has_to_be_said_once(shop: Shop, arguments: tuple[str, ...]) -> None:
    answer = lakegate("trace", *arguments)
    assert (answer.code, "say what to trace" in answer.err) == (2, True)


def test_the_history_is_exported_on_request_and_asked_for_in_athena(shop: Shop) -> None:
    assert lakegate("history", "export", "--json").json["outbox_empty"] is True
    assert lakegate("history", "export").out == "nothing to export: every change of state is in file_history\n"
    sql = f"SELECT to_state, rows_read, rules FROM file_history WHERE key = '{shop.key()}' ORDER BY at, change_id"
    found = lakegate("query", sql, "--json").json["rows"]
    assert [row["to_state"] for row in found if row["rows_read"] is not None] == ["quarantined", "committed"]
    assert next(row["rules"] for row in found if row["to_state"] == "quarantined") == "type"
    sheet = lakegate(
        "query", f"SELECT * FROM balance_sheet WHERE dataset = '{shop.name}' ORDER BY landing_day", "--json"
    )
    assert [(row["loaded"], row["superseded"], row["quarantined"]) for row in sheet.json["rows"]] == [
        (1, 1, 0),
        (0, 0, 1),
    ]
