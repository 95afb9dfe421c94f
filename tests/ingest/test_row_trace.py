"""From rows of a table to the file, version, line and text they came from."""

from __future__ import annotations

import gzip
from dataclasses import replace

import pytest

from pipelines.contracts.rejected import tables_of
from pipelines.errors import ConfigurationError
from pipelines.gate import Gate
from pipelines.row_trace import MOST_ROWS, RowSource, checked_condition, trace_rows
from resources.memory_tables import MemoryTables
from tests.ingest.queries import MemoryQueries
from tests.ingest.world import CLICKS, ORDERS_BY_ROWS, World, dataset, mixed, orders, orders_key

EVENTS = """
name: events
description: Events, as arrays.
landing: {key: "landing/events/*.json", start: 2026-01-01}
format: {type: json}
columns:
  id: {type: bigint, nullable: false, source: eventId}
  kind: {type: string}
primary_key: [id]
"""


def traced(world: World) -> Gate:
    """The gate with a query engine that also knows the tables of rejected rows."""
    tables = world.tables
    assert isinstance(tables, MemoryTables)
    known = [table for of in world.datasets for table in tables_of(of)]
    return replace(world.gate(), queries=MemoryQueries(tables, known))


@pytest.fixture
def world() -> World:
    world = World(datasets=(dataset(ORDERS_BY_ROWS), dataset(CLICKS), dataset(EVENTS)))
    world.put(orders_key("a"), mixed(1, 2, bad=1))
    world.put(orders_key("b"), gzip.compress(orders(3, 4)))
    world.put("landing/events/x.json", b'[{"eventId": 1, "kind": "a"},{"eventId": 2, "kind": "b"},{"eventId": 3}]')
    world.settle_down()
    return world


def test_a_row_leads_to_file_version_line_and_text(world: World) -> None:
    found = trace_rows(traced(world), "orders", "id in (2, 4)")
    assert not found.has_more
    first, second = sorted(found.rows, key=lambda row: row.key)
    assert (first.key, first.version_id, first.line, first.raw) == (orders_key("a"), "v1", 3, ("2,1.50",))
    assert (second.key, second.line, second.raw, second.values) == (orders_key("b"), 3, ("4,1.50",), {"id": 4})
    assert first.entry is not None
    assert first.entry.outcome.value == "loaded"
    assert first.batch_id == first.entry.batch_id


def test_many_rows_of_one_file_read_it_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    inner = world.store.read
    monkeypatch.setattr(world.store, "read", lambda version: (read.append(version.key), inner(version))[1])
    assert len(trace_rows(traced(world), "orders", "true").rows) == 4
    assert sorted(read) == [orders_key("a"), orders_key("b")]


def test_of_many_records_in_one_line_the_one_with_the_rows_key_is_shown(world: World) -> None:
    [row] = trace_rows(traced(world), "events", "id = 2").rows
    assert (row.line, row.raw, row.records_there) == (1, ('{"eventId": 2, "kind": "b"}',), 1)


def test_where_the_key_does_not_tell_all_are_counted_and_the_first_shown() -> None:
    text = EVENTS.replace("primary_key: [id]\n", "")
    world = World(datasets=(dataset(text),))
    world.put("landing/events/x.json", b"[" + b",".join(b'{"eventId":%d,"kind":"a"}' % n for n in range(9)) + b"]")
    world.settle_down()
    [row] = trace_rows(traced(world), "events", "id = 7").rows
    assert (row.records_there, row.raw) == (9, tuple(f'{{"eventId":{n},"kind":"a"}}' for n in range(3)))


def test_a_rejected_row_shows_the_text_that_its_table_kept_and_why(world: World) -> None:
    [row] = trace_rows(traced(world), "orders__rejected", "rules like '%type%'").rows
    assert (row.key, row.line, row.raw) == (orders_key("a"), 4, ("none0,9",))
    assert set(row.values) == {"rules", "reasons"}


def test_a_version_that_is_gone_is_said_to_be(world: World) -> None:
    world.store.remove_version(world.versions[0])
    [row] = trace_rows(traced(world), "orders", "id = 1").rows
    assert (row.raw, row.missing) == ((), "the object version is no longer in the landing bucket")


def test_a_file_that_now_reads_otherwise_is_said_to(world: World) -> None:
    world.store.put_version(world.versions[0], b"id,amount\n")
    [row] = trace_rows(traced(world), "orders", "id = 1").rows
    assert row.missing == "the file ends before that line: was it read under another contract?"


def test_no_more_than_twenty_rows_are_followed_and_it_says_that_there_are_more() -> None:
    world = World(datasets=(dataset(CLICKS),))
    world.put("landing/clicks/a.csv", b"id\n" + b"".join(b"%d\n" % n for n in range(50)))
    world.settle_down()
    found = trace_rows(traced(world), "clicks", "id >= 0")
    assert (len(found.rows), found.has_more) == (MOST_ROWS, True)
    rows: tuple[RowSource, ...] = found.rows
    assert all(row.raw == (str(row.line - 2),) for row in rows)


@pytest.mark.parametrize(
    "condition",
    [
        "id = 1; DROP TABLE orders",
        "id = 1) OR (1 = 1",
        "id = 1) UNION SELECT 1, 2, 3, 4, 5 FROM orders WHERE (true",
        "id = 1 -- ",
        "id = 1 /* ",
        "note = 'open",
        '"id = 1',
        "(id = 1",
        "id = 1)",
        "  ",
    ],
)
def test_what_is_not_one_condition_is_refused_before_anybody_is_asked(world: World, condition: str) -> None:
    gate = traced(world)
    with pytest.raises(ConfigurationError, match="--where takes one condition"):
        trace_rows(gate, "orders", condition)
    assert isinstance(gate.queries, MemoryQueries)
    assert gate.queries.asked == []


@pytest.mark.parametrize(
    "condition", ["note = 'a;b -- c ) ('", "note = 'it''s'", '"id" = 1', "id in (select max(id) from orders)"]
)
def test_quotes_and_parentheses_inside_a_condition_are_its_own(condition: str) -> None:
    assert checked_condition(condition) == condition


def test_the_engines_refusal_is_passed_on_with_what_it_was_asked(world: World) -> None:
    with pytest.raises(ConfigurationError, match=r"(?s)Athena refused the condition: .*\n  It was asked: SELECT"):
        trace_rows(traced(world), "orders", "no_such_column = 1")


def test_a_table_that_no_dataset_has_is_named_with_the_nearest(world: World) -> None:
    with pytest.raises(ConfigurationError, match="no dataset has the table 'order': did you mean orders"):
        trace_rows(traced(world), "order", "true")
    with pytest.raises(ConfigurationError, match="there are clicks, events, orders, orders__rejected"):
        trace_rows(traced(world), "file_history", "true")
