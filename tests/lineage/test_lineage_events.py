"""What a batch is told of as: START and an end, its files, its tables, the contract's promises, and where columns come from."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from pipelines.accounting.states import Trigger
from pipelines.errors import ClaimLostError, LakegateError, PermanentError, TransientError
from pipelines.intake.backfill import take_days
from pipelines.intake.dispatching import RunState, dispatch
from pipelines.intake.receiving import receive
from pipelines.lineage.describe import MAX_FILES
from pipelines.lineage.naming import run_id_of
from pipelines.lineage.news import BatchNews, Begun
from pipelines.links import Links
from pipelines.reports import BatchReport
from tests.ingest.removing import RETRACTING_BY_ROWS, Deletions
from tests.ingest.world import BAD, DAY, ORDERS, World, dataset, mixed, orders, orders_key
from tests.lineage.spec import Spec, spec_folder
from tests.lineage.told import (
    GOLDEN,
    Event,
    Told,
    as_json,
    dataset_of,
    facets_of,
    names,
    tags,
    without_ids,
)

LANDING = "landing/orders"
TABLE = "AwsDataCatalog.lake.orders"
BESIDE = "AwsDataCatalog.lake.orders__rejected"


@dataclass
class Listening:
    """A world whose lineage is heard."""

    world: World
    told: Told


def listening(text: str = ORDERS, **changes: object) -> Listening:
    told = Told()
    return Listening(World(datasets=(dataset(text),), lineage=told, **changes), told)  # pyright: ignore[reportArgumentType]


def everything() -> Listening:
    """Two batches: files loaded, quarantined and with a rejected row; then one replaced and one removed."""
    told = Told()
    world = World(datasets=(RETRACTING_BY_ROWS,), lineage=told)
    world.put(orders_key("a"), orders(1, 2, 3))
    world.put(orders_key("b"), mixed(4, 5, bad=1))
    world.put(orders_key("c"), BAD + b"x,y,z\n")
    world.put(orders_key("d"), orders(6))
    world.settle_down()
    world.put(orders_key("a"), orders(1, 2))
    deletions = Deletions(world)
    deletions.send(deletions.hide(orders_key("d"))[1])
    world.settle_down()
    return Listening(world, told)


def test_a_batch_is_one_run_with_a_start_and_one_end() -> None:
    heard = listening()
    heard.world.put(orders_key("a"), orders(1))
    (report,) = heard.world.settle_down()
    start, end = heard.told.events()
    assert [start["eventType"], end["eventType"]] == ["START", "COMPLETE"]
    assert start["run"]["runId"] == end["run"]["runId"] == run_id_of(report.batch_id)
    assert end["job"]["namespace"] == "lakegate"
    assert end["job"]["name"] == "ingest_orders"
    assert end["run"]["facets"]["nominalTime"]["nominalStartTime"] == "2026-02-01T00:00:00.000000Z"
    assert end["run"]["facets"]["nominalTime"]["nominalEndTime"] == "2026-02-02T00:00:00.000000Z"


def test_files_are_inputs_by_key_and_version_with_what_became_of_them() -> None:
    event = everything().told.completed()[0]
    by_name = {one["name"]: one for one in event["inputs"]}
    loaded = by_name[orders_key("a")]
    assert loaded["namespace"] == "s3://landing-bucket"
    assert loaded["facets"]["version"]["datasetVersion"] == "v1"
    assert loaded["inputFacets"]["inputStatistics"]["rowCount"] == 3
    assert loaded["inputFacets"]["inputStatistics"]["size"] == len(orders(1, 2, 3))
    assert loaded["facets"]["tags"]["tags"][0]["value"] == "loaded"
    assert by_name[orders_key("c")]["facets"]["tags"]["tags"][0]["value"] == "quarantined"
    landing = by_name[LANDING]["inputFacets"]["inputStatistics"]
    assert (landing["rowCount"], landing["fileCount"]) == (3 + 3 + 3 + 1, 4)


def test_the_table_is_an_output_with_what_was_written_and_its_version() -> None:
    heard = everything()
    table = dataset_of(heard.told.completed()[0], "outputs", TABLE)
    report = next(one.what for one in heard.told.news if isinstance(one.what, BatchReport))
    assert report.committed is not None
    assert table["namespace"] == "awsathena://athena.eu-west-1.amazonaws.com"
    assert table["outputFacets"]["outputStatistics"]["rowCount"] == 6
    assert table["outputFacets"]["outputStatistics"]["fileCount"] == report.committed.files_added
    assert table["outputFacets"]["outputStatistics"]["size"] == report.bytes_out > 0
    assert table["facets"]["version"]["datasetVersion"] == str(report.committed.snapshot_id)
    (symlink,) = table["facets"]["symlinks"]["identifiers"]
    assert symlink == {"namespace": "s3://processed-bucket", "name": "processed/orders", "type": "LOCATION"}
    columns = {one["name"]: one["type"] for one in table["facets"]["schema"]["fields"]}
    assert columns["amount"] == "decimal(10,2)"
    assert list(columns)[-1] == "_ingested_at"


def test_rejected_rows_and_quarantined_files_are_outputs_of_their_own() -> None:
    first, second = everything().told.completed()
    assert dataset_of(first, "outputs", BESIDE)["outputFacets"]["outputStatistics"]["rowCount"] == 1
    quarantine = dataset_of(first, "outputs", "quarantine/orders")
    assert quarantine["namespace"] == "s3://quarantine-bucket"
    assert quarantine["outputFacets"]["outputStatistics"] | {"size": 0, "fileCount": 1} == quarantine["outputFacets"][
        "outputStatistics"
    ] | {"size": 0}
    assert {one["name"] for one in second["outputs"]} == {TABLE}


def test_a_batch_that_wrote_nothing_has_no_outputs() -> None:
    heard = listening()
    heard.world.put(orders_key("a"), b"")
    heard.world.settle_down()
    (event,) = heard.told.completed()
    assert event["outputs"] == []
    assert tags(event)["lakegate/files_empty"] == "1"


def test_a_removed_object_is_an_input_that_was_dropped() -> None:
    second = everything().told.completed()[1]
    removed = dataset_of(second, "inputs", orders_key("d"))
    assert removed["facets"]["lifecycleStateChange"]["lifecycleStateChange"] == "DROP"
    assert "inputStatistics" not in removed["inputFacets"]
    assert tags(second)["lakegate/files_removed"] == "1"
    assert tags(second)["lakegate/rows_taken_out"] == "4"  # three of the replaced file, one of the removed


def test_columns_come_from_what_landed() -> None:
    heard = listening(ORDERS.replace("amount: {", "amount: {source: price, aliases: [cost], "))
    heard.world.put(orders_key("a"), b"id,cost\n1,2.00\n")
    heard.world.settle_down()
    (event,) = heard.told.completed()
    lineage = dataset_of(event, "outputs", TABLE)["facets"]["columnLineage"]["fields"]
    assert [one["field"] for one in lineage["amount"]["inputFields"]] == ["cost"]
    assert lineage["amount"]["inputFields"][0]["transformations"][0]["description"].startswith(
        "A column of the file; another name of price"
    )
    assert [one["field"] for one in lineage["day"]["inputFields"]] == ["{day}"]
    assert lineage["_source_file"]["inputFields"][0]["transformations"][0]["subtype"] == "IDENTITY"
    assert lineage["amount"]["inputFields"][0]["transformations"][0]["subtype"] == "TRANSFORMATION"
    assert "_batch_id" not in lineage
    known = {one["name"] for one in dataset_of(event, "inputs", LANDING)["facets"]["schema"]["fields"]}
    for column in lineage.values():
        for source in column["inputFields"]:
            assert (source["namespace"], source["name"]) == ("s3://landing-bucket", LANDING)
            assert source["field"] in known


def test_columns_that_no_file_had_come_from_all_their_names() -> None:
    heard = listening(ORDERS.replace("amount: {", "amount: {aliases: [cost], ") + "schema: {missing_columns: allow}\n")
    heard.world.put(orders_key("a"), b"id\n1\n")
    heard.world.settle_down()
    (event,) = heard.told.completed()
    lineage = dataset_of(event, "outputs", TABLE)["facets"]["columnLineage"]["fields"]
    assert [one["field"] for one in lineage["amount"]["inputFields"]] == ["amount", "cost"]


def test_a_name_that_only_the_file_writes_so_is_a_column_of_the_landing_too() -> None:
    heard = listening()
    heard.world.put(orders_key("a"), b"ID, Amount \n1,2.00\n")
    heard.world.settle_down()
    (event,) = heard.told.completed()
    (source,) = dataset_of(event, "outputs", TABLE)["facets"]["columnLineage"]["fields"]["amount"]["inputFields"]
    assert source["field"] == " Amount "
    assert " Amount " in {one["name"] for one in dataset_of(event, "inputs", LANDING)["facets"]["schema"]["fields"]}


def test_columns_that_files_brought_are_told_and_change_the_table() -> None:
    heard = listening(ORDERS + "schema: {new_columns: add, missing_columns: allow}\n")
    heard.world.put(orders_key("a"), b"id,amount,Gift Wrap\n1,2.00,yes\n")
    heard.world.settle_down()
    (event,) = heard.told.completed()
    table = dataset_of(event, "outputs", TABLE)["facets"]
    assert "gift_wrap" in {one["name"] for one in table["schema"]["fields"]}
    assert table["columnLineage"]["fields"]["gift_wrap"]["inputFields"][0]["field"] == "Gift Wrap"
    assert table["lifecycleStateChange"]["lifecycleStateChange"] == "ALTER"
    contract = tags(event)["lakegate/contract"]
    heard.world.put(orders_key("b"), b"id,amount\n2,2.00\n")
    heard.world.settle_down()
    later = heard.told.completed()[1]
    table = dataset_of(later, "outputs", TABLE)["facets"]
    assert "gift_wrap" in {one["name"] for one in table["schema"]["fields"]}
    assert "lifecycleStateChange" not in table
    assert tags(later)["lakegate/contract"] == contract


def test_nested_columns_show_what_is_inside_them() -> None:
    text = (
        'name: carts\ndescription: d\nlanding: {key: "landing/carts/*.jsonl", start: 2026-01-01}\nformat: {type: jsonl}\n'
        "columns:\n  buyer: {type: 'struct<name: string, tags: array<string>>'}\n  prices: {type: 'map<string, double>'}\n"
    )
    heard = listening(text)
    heard.world.put("landing/carts/a.jsonl", b'{"buyer":{"name":"n","tags":["t"]},"prices":{"a":1.5}}\n')
    heard.world.settle_down()
    (event,) = heard.told.completed()
    buyer, prices, *_ = dataset_of(event, "outputs", "AwsDataCatalog.lake.carts")["facets"]["schema"]["fields"]
    assert (buyer["type"], [one["name"] for one in buyer["fields"]]) == ("struct", ["name", "tags"])
    assert buyer["fields"][1]["fields"][0]["name"] == "_element"
    assert [one["name"] for one in prices["fields"]] == ["key", "value"]


def test_nulls_are_told_of_what_was_published() -> None:
    heard = listening()
    heard.world.put(orders_key("a"), b"id,amount\n1,\n2,\n3,1.00\n")
    heard.world.settle_down()
    (event,) = heard.told.completed()
    metrics = dataset_of(event, "outputs", TABLE)["facets"]["dataQualityMetrics"]
    assert metrics["rowCount"] == 3
    assert metrics["columnMetrics"]["amount"]["nullCount"] == 2
    assert metrics["columnMetrics"]["id"]["nullCount"] == 0


# ---- promises of the contract

PROMISES = """
name: orders
description: Orders of a shop.
landing: {key: "landing/orders/{day:%Y-%m-%d}/*.csv", day: day, start: 2026-01-01}
format: {type: csv}
columns:
  day: {type: date, from: key}
  id: {type: bigint, source: "Order No", nullable: false, min: 1}
  state: {type: string, allowed: [open, paid], max_length: 9}
  net: {type: double}
  gross: {type: double}
partition_by: [day]
primary_key: [id]
rows: {on_bad: quarantine_rows, max_bad: 90%, count: {max: 100}}
rules:
  - {rule: gross >= net, name: gross covers net}
  - {rule: net > 0, severity: warn}
expectations:
  - {expect_column_values_to_be_between: {column: net, max_value: 50}, severity: warn}
"""


def promised(content: bytes) -> dict[str, Event]:
    heard = listening(PROMISES)
    heard.world.put(orders_key("a"), content)
    heard.world.settle_down()
    (event,) = heard.told.completed()
    facet = dataset_of(event, "inputs", LANDING)["inputFacets"].get("dataQualityAssertions", {"assertions": []})
    return {one["name"]: one for one in facet["assertions"]}


def test_every_promise_is_told_when_all_are_kept() -> None:
    told = promised(b"Order No,state,net,gross\n1,open,10,12\n")
    assert all(one["success"] for one in told.values())
    assert set(told) == {
        "not_null.Order No", "type.Order No", "range.Order No", "accepted_values.state", "length.state", "type.net", "type.gross",
        "unique.id", "row_count", "gross covers net", "rules[1]", "expectations[0].expect_column_values_to_be_between",
    }  # fmt: skip


def test_a_broken_promise_is_told_with_its_count_and_what_follows() -> None:
    told = promised(b"Order No,state,net,gross\n1,lost,10,12\n2,gone,6,61\n3,paid,9,8\n4,paid,,1\n5,open,60,62\n")
    broken = {name: one["actual"] for name, one in told.items() if not one["success"]}
    assert broken == {
        "accepted_values.state": "2 breaches",
        "gross covers net": "1 breach",
        "expectations[0].expect_column_values_to_be_between": "1 breach",
    }
    assert told["gross covers net"]["params"] == {"consequence": "quarantine_rows"}
    assert told["gross covers net"]["content"] == "gross >= net"
    assert told["accepted_values.state"]["expected"] == "one of open, paid"
    assert told["expectations[0].expect_column_values_to_be_between"]["severity"] == "warn"


def test_a_number_too_large_breaks_the_promise_of_the_type() -> None:
    told = promised(b"Order No,state,net,gross\n99999999999999999999,open,1,2\n2,open,1,2\n")
    assert told["type.Order No"]["success"] is False


def test_a_fault_of_the_file_itself_stands_behind_the_promises() -> None:
    told = promised(b'Order No,state,net,gross\n1,"open,1,2\n')
    assert told["unclosed_quote"]["success"] is False
    assert "expected" not in told["unclosed_quote"]


def test_columns_the_contract_does_not_know_are_counted_and_not_named() -> None:
    told = promised(b"Order No,state,net,gross,Bread,Water\n1,open,1,2,3,4\n")
    broken = {name: one["actual"] for name, one in told.items() if not one["success"]}
    assert broken == {"column_unexpected": "2 breaches"}


def test_no_content_of_a_row_is_in_an_event() -> None:
    heard = listening(PROMISES)
    heard.world.put(
        orders_key("a"), b"Order No,state,net,gross\n1,Sesame,1,2\nTyltyl,open,1,2\n3,open,Mytyl,2\n4,open,1,2\n"
    )
    heard.world.settle_down()
    heard.world.put(orders_key("b"), b"Berylune,open,1,2\n5,open,1,2\n")  # a file without its header
    heard.world.settle_down()
    text = json.dumps(heard.told.events())
    assert not [secret for secret in ("Sesame", "Tyltyl", "Mytyl", "Berylune") if secret.lower() in text.lower()]


def test_where_no_file_was_read_no_promise_is_judged() -> None:
    heard = listening(ORDERS + "on_delete: retract\n")
    heard.world.put(orders_key("a"), orders(1))
    heard.world.settle_down()
    deletions = Deletions(heard.world)
    deletions.send(deletions.hide(orders_key("a"))[1])
    heard.world.settle_down()
    event = heard.told.completed()[1]
    assert "dataQualityAssertions" not in dataset_of(event, "inputs", LANDING)["inputFacets"]


# ---- many files, other triggers


def test_files_beyond_the_limit_are_counted_and_those_with_trouble_come_first() -> None:
    heard = listening()
    for number in range(MAX_FILES + 5):
        heard.world.put(orders_key(f"f{number:03}"), orders(number))
    heard.world.put(orders_key("zz"), BAD)
    heard.world.settle_down()
    (event,) = heard.told.completed()
    files = [one["name"] for one in event["inputs"] if one["name"].endswith(".csv")]
    assert len(files) == MAX_FILES
    assert files[0] == orders_key("zz")
    assert tags(event)["lakegate/files"] == "106"
    assert tags(event)["lakegate/files_not_listed"] == "6"
    landing = dataset_of(event, "inputs", LANDING)["inputFacets"]["inputStatistics"]
    assert landing["fileCount"] == 106


def test_work_that_somebody_asked_for_says_so() -> None:
    heard = listening()
    of = heard.world.datasets[0]
    heard.world.put(orders_key("a"), orders(1))
    heard.world.settle_down()
    gate = heard.world.gate()
    for batch in take_days(gate, of, [DAY], run_key="a backfill").batches():
        heard.world.take(gate, of, batch.batch_id, "a backfill")
    refs = [entry.ref for entry in heard.world.entries()]
    gate.ledger.make_due(refs, Trigger.REPLAY)
    heard.world.settle_down()
    assert [tags(event)["lakegate/trigger"] for event in heard.told.completed()] == ["event", "backfill", "replay"]


def test_the_dagster_run_is_the_parent_and_its_page_is_told() -> None:
    heard = listening()
    heard.world.put(orders_key("a"), orders(1))
    heard.world.settle_down()
    run = str(uuid4())
    event = as_json(replace(heard.told.news[-1], owner=run))
    assert event["run"]["facets"]["parent"]["run"]["runId"] == run
    assert event["run"]["facets"]["parent"]["job"] == {"namespace": "lakegate", "name": "dagster.ingest_orders"} | {
        "facets": {}
    }
    assert tags(event)["lakegate/run_page"] == f"https://dagster.example.com/runs/{run}"
    assert "parent" not in as_json(heard.told.news[-1])["run"]["facets"]


def test_the_dataset_file_is_the_source_code_where_its_address_is_known() -> None:
    heard = listening()
    heard.world.put(orders_key("a"), orders(1))
    heard.world.settle_down()
    facet = heard.told.events()[0]["job"]["facets"]["sourceCodeLocation"]
    assert facet["url"] == "https://git.example.com/lake/assets/datasets/orders.yaml"
    assert "sourceCodeLocation" not in heard.told.events(links=Links())[0]["job"]["facets"]


# ---- ends of other kinds


class Falling:
    """Tables whose next commit raises, before or after it was made."""

    def __init__(self, tables: object, error: BaseException | None, *, after: bool) -> None:
        self._tables, self._error, self._after = tables, error, after

    def __getattr__(self, name: str) -> object:
        return getattr(self._tables, name)

    def commit(self, *arguments: object) -> object:
        made = self._tables.commit(*arguments) if self._after else None  # pyright: ignore[reportAttributeAccessIssue]
        error, self._error = self._error, None
        if error is not None:
            raise error
        return made or self._tables.commit(*arguments)  # pyright: ignore[reportAttributeAccessIssue]


class Died(BaseException):
    """A worker that is no more."""


def launched(heard: Listening, error: BaseException, *, after: bool) -> str:
    """Land a file and run its batch into the error; the batch's id."""
    heard.world.put(orders_key("a"), orders(1))
    gate = heard.world.gate()
    receive(gate, wait_s=0, budget_s=60)
    (launch,) = dispatch(gate, lambda _: {}).launches
    gate = replace(gate, tables=Falling(gate.tables, error, after=after))
    with suppress(LakegateError, Died):
        heard.world.run(gate, launch)
    return launch.batches[0]


def test_a_fault_of_ours_is_a_failed_run_with_the_reason_and_the_files_in_hand() -> None:
    heard = listening()
    batch = launched(heard, PermanentError("no permission\nfor glue:UpdateTable"), after=False)
    start, end = heard.told.events()
    assert (start["eventType"], end["eventType"]) == ("START", "FAIL")
    assert end["run"]["runId"] == run_id_of(batch)
    assert end["run"]["facets"]["errorMessage"]["message"] == "PermanentError: no permission\\nfor glue:UpdateTable"
    assert [one["name"] for one in end["inputs"]] == [LANDING, orders_key("a")]
    assert end["outputs"] == []


def test_a_worker_that_lost_its_claim_tells_of_no_end() -> None:
    heard = listening()
    launched(heard, ClaimLostError("another run has it"), after=False)
    assert [event["eventType"] for event in heard.told.events()] == ["START"]


def test_what_a_dead_worker_published_is_aborted_and_told_by_the_batch_that_finds_it() -> None:
    heard = listening()
    batch = launched(heard, Died(), after=True)
    heard.world.clock.turn(3600)
    heard.world.settle_down()
    events = heard.told.events()
    assert [event["eventType"] for event in events] == ["START", "ABORT", "START", "COMPLETE"]
    assert events[0]["run"]["runId"] == events[1]["run"]["runId"] == run_id_of(batch)
    assert events[2]["run"]["runId"] == events[3]["run"]["runId"] != run_id_of(batch)


def test_a_second_attempt_at_the_same_batch_is_the_same_run() -> None:
    heard = listening()
    batch = launched(heard, Died(), after=True)
    heard.world.clock.turn(3600)
    again = heard.world.take(heard.world.gate(), heard.world.datasets[0], batch, "second")
    assert isinstance(again, BatchReport)
    assert again.recognised
    events = heard.told.events()
    assert [event["eventType"] for event in events] == ["START", "START", "COMPLETE"]
    assert {event["run"]["runId"] for event in events} == {run_id_of(batch)}
    (end,) = heard.told.completed()
    assert tags(end)["lakegate/recognised"] == "true"
    table = dataset_of(end, "outputs", TABLE)
    assert table["outputFacets"]["outputStatistics"] == {
        **table["outputFacets"]["outputStatistics"],
        "rowCount": 1,
    }
    assert "dataQualityMetrics" not in table["facets"]
    assert "dataQualityAssertions" not in dataset_of(end, "inputs", LANDING)["inputFacets"]


def test_a_batch_taken_from_a_dead_worker_is_aborted_with_the_reason() -> None:
    heard = listening()
    batch = launched(heard, Died(), after=False)
    heard.world.clock.turn(3600)
    looked = dispatch(heard.world.gate(), lambda keys: dict.fromkeys(keys, RunState.FAILED))
    assert looked.released
    end = heard.told.events()[-1]
    assert (end["eventType"], end["run"]["runId"]) == ("ABORT", run_id_of(batch))
    assert end["run"]["facets"]["errorMessage"]["message"] == looked.released[0]


def test_a_batch_nobody_had_begun_is_not_told_of_when_it_is_given_back() -> None:
    heard = listening()
    heard.world.put(orders_key("a"), orders(1))
    gate = heard.world.gate()
    receive(gate, wait_s=0, budget_s=60)
    (launch,) = dispatch(gate, lambda _: {}).launches
    dispatch(gate, lambda _: {launch.run_key: RunState.FAILED})
    assert heard.told.news == []


def test_the_catalog_out_of_reach_after_the_commit_does_not_fail_the_batch() -> None:
    heard = listening(ORDERS + "schema: {new_columns: add}\n")

    class NoMoreColumns(Falling):
        """Its columns cannot be asked for any more once it has committed."""

        committed = False

        def columns(self, of: object) -> object:
            if self.committed:
                raise TransientError("Glue does not answer")
            return self._tables.columns(of)  # pyright: ignore[reportAttributeAccessIssue]

        def commit(self, *arguments: object) -> object:
            self.committed = True
            return self._tables.commit(*arguments)  # pyright: ignore[reportAttributeAccessIssue]

    heard.world.put(orders_key("a"), b"id,amount,gift\n1,2.00,yes\n")
    gate = heard.world.gate()
    receive(gate, wait_s=0, budget_s=60)
    (launch,) = dispatch(gate, lambda _: {}).launches
    gate = replace(gate, tables=NoMoreColumns(gate.tables, None, after=False))
    (report,) = heard.world.run(gate, launch)
    assert report.columns_added == {"gift": "gift"}
    columns = dataset_of(heard.told.completed()[0], "outputs", TABLE)["facets"]["schema"]["fields"]
    assert "gift" in {one["name"] for one in columns}


# ---- the form


def every_kind() -> list[Event]:
    """Events of all kinds, with every facet there is."""
    heard = everything()
    failing, dying, growing = listening(), listening(), listening(ORDERS + "schema: {new_columns: add}\n")
    launched(failing, PermanentError("no permission"), after=False)
    launched(dying, Died(), after=False)
    dispatch(dying.world.gate(), lambda keys: dict.fromkeys(keys, RunState.FAILED))
    growing.world.put(orders_key("a"), b"id,amount,gift\n1,,yes\n")
    growing.world.settle_down()
    news: list[BatchNews] = [*heard.told.news, *failing.told.news, *dying.told.news, *growing.told.news]
    return [as_json(replace(one, owner=str(uuid4()))) for one in news]


def test_events_have_the_form_that_the_specification_asks_for() -> None:
    events = every_kind()
    assert {event["eventType"] for event in events} == {"START", "COMPLETE", "FAIL", "ABORT"}
    for event in events:
        assert event["schemaURL"] == "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
        assert event["producer"] == "urn:lakegate:0.1.0"
        assert datetime.fromisoformat(event["eventTime"]).tzinfo == UTC
        UUID(event["run"]["runId"])
        for name, facet in facets_of(event):
            assert facet["_producer"] == "urn:lakegate:0.1.0", name
            assert re.fullmatch(
                r"https://openlineage\.io/spec/facets/\d+-\d+-\d+/\w+Facet\.json#/\$defs/\w+Facet", facet["_schemaURL"]
            ), name
        for one in (*event["inputs"], *event["outputs"]):
            assert re.match(r"(s3://[a-z-]+|awsathena://athena\.[a-z0-9-]+\.amazonaws\.com)$", one["namespace"])
            assert one["name"]
            assert not one["name"].startswith("/")


def test_no_account_is_named() -> None:
    # The last twelve places of a UUID, behind a hyphen, may happen to be digits.
    assert not re.search(r"(?<![-\d])\d{12}(?!\d)|arn:", json.dumps(every_kind()))


@pytest.mark.skipif(
    spec_folder() is None, reason="LAKEGATE_OPENLINEAGE_SPEC names no folder with the specification's schemas"
)
def test_events_and_all_their_facets_are_valid_against_the_specification() -> None:
    folder = spec_folder()
    assert folder is not None
    spec = Spec(folder)
    events = every_kind()
    assert [fault for event in events for fault in spec.faults(event)] == []
    used = {name for event in events for name, _ in facets_of(event)}
    assert {
        "columnLineage", "dataQualityAssertions", "dataQualityMetrics", "datasetType", "documentation", "errorMessage", "inputStatistics",
        "jobType", "lifecycleStateChange", "nominalTime", "outputStatistics", "ownership", "parent", "processing_engine", "schema",
        "sourceCodeLocation", "storage", "symlinks", "tags", "version",
    } == used  # fmt: skip
    broken = json.loads(json.dumps(events[1]))
    broken["run"]["runId"] = "no uuid"
    del broken["inputs"][0]["facets"]["documentation"]["description"]
    assert len(spec.faults(broken)) >= 2


@pytest.mark.parametrize("number", [0, 1])
def test_events_stay_what_they_are(number: int) -> None:
    """Golden files: `LAKEGATE_WRITE_GOLDEN=1` writes them anew. Look at the difference before you keep it."""
    heard = everything()
    batches = {}
    for one in heard.told.news:
        batch = one.batch.batch_id
        batches |= {batch: f"batch-{len(batches) // 2 + 1}"} if batch not in batches else {}
        batches |= {run_id_of(batch): str(UUID(int=1))}
    event = without_ids(heard.told.completed()[number], batches)
    file = GOLDEN / f"complete-{number + 1}.json"
    if os.environ.get("LAKEGATE_WRITE_GOLDEN"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(event, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    assert event == json.loads(file.read_text(encoding="utf-8"))


def test_a_beginning_names_the_landing_and_no_file() -> None:
    heard = listening()
    heard.world.put(orders_key("a"), orders(1))
    heard.world.settle_down()
    assert isinstance(heard.told.news[0].what, Begun)
    event = as_json(heard.told.news[0], names())
    assert [one["name"] for one in event["inputs"]] == [LANDING]
