"""Loading: a folder of dataset files becomes datasets and broken ones, and nothing a file holds makes it raise."""

from __future__ import annotations

import json
import string
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.contracts.key_pattern import KeyPattern
from pipelines.contracts.loading import BrokenDataset, load_dataset, load_datasets, parse_dataset
from pipelines.contracts.model import Dataset, PartitionField
from pipelines.contracts.schema import fingerprint, reading_schema, table_schema
from pipelines.contracts.yaml_source import read_yaml
from pipelines.errors import ConfigurationError

REPOSITORY = Path(__file__).resolve().parents[2]
ORDERS = """\
name: orders
description: Orders of the shop.
landing: {key: "landing/orders/*.csv", start: 2024-01-01}
format: {type: csv}
columns:
  order_id: {type: bigint}
"""
# The sample of the design, section 3, as it stands.
SAMPLE = """\
name: flights                      # [a-z][a-z0-9_]*; also the table's name
description: Departures from the three New York airports, one file a day.
owner: team:aviation
landing:
  key: "landing/flights/{flight_date:%Y-%m-%d}.csv*"   # one pattern: prefix, suffix and values taken from the key (typed by their column)
  day: flight_date                 # the Dagster partition; default: UTC day of the object's event time. Fixed at registration, never changed
  start: 2013-01-01
format: {type: csv, delimiter: ",", encoding: utf-8, null_values: ["NA"]}
columns:                           # in table order; a name from the key is a column too
  flight_date: {type: date, from: key}
  carrier:     {type: string, nullable: false, pattern: "[A-Z0-9]{2}"}
  flight:      {type: int, nullable: false}          # int 32 bit, bigint 64
  origin:      {type: string, allowed: [EWR, JFK, LGA]}
  dep_time:    {type: int, min: 0, max: 2400}
  distance:    {type: int, source: distance_mi, aliases: [distance, dist]}
  time_hour:   {type: timestamp, format: iso8601, zone: UTC, nullable: false}     # microseconds, UTC
partition_by: [flight_date]        # table partitions: identity, or day(col), month(col), bucket(n, col)
primary_key: [carrier, flight, time_hour]
schema: {new_columns: rescue, missing_columns: reject, type_changes: reject}      # add | rescue | reject; allow | reject; widen | rescue | reject
rows: {on_bad: quarantine_file}    # or quarantine_rows with max_bad: 0.1%
on_empty: keep                     # 0 bytes, header only, []: never supersedes rows unless `accept`
on_delete: keep                    # or retract
expectations:                      # Great Expectations, by their own names
  - {expect_column_values_to_be_between: {column: distance, min_value: 0}, severity: quarantine_rows}
freshness: {expected_every: P1D}
"""


def parse(text: str, name: str = "orders") -> Dataset:
    outcome = parse_dataset(text.encode(), Path(f"{name}.yaml"))
    assert isinstance(outcome, Dataset), str(outcome)
    return outcome


def with_column(column: str) -> str:
    return ORDERS.replace("  order_id: {type: bigint}", f"  order_id: {column}")


def test_the_sample_of_the_design_loads() -> None:
    dataset = parse(SAMPLE, "flights")
    assert dataset.key_columns == ("flight_date",)
    assert dataset.partition_by == (PartitionField(transform="identity", column="flight_date"),)
    assert dataset.landing.start == date(2013, 1, 1)
    assert dataset.freshness is not None
    assert dataset.freshness.every == timedelta(days=1)
    assert reading_schema(dataset).names[:2] == ["flight_date", "carrier"]
    assert "_rescued" in table_schema(dataset).names


def test_the_datasets_of_this_repository_load() -> None:
    catalog = load_datasets(REPOSITORY / "assets" / "datasets")
    assert catalog.broken == ()
    assert [d.name for d in catalog.datasets] == ["airports", "flights", "planes", "weather"]


def test_norway_stays_text_and_dates_are_not_guessed() -> None:
    assert parse(with_column("{type: string, allowed: [NO, on, 2024-01-01, y]}")).columns["order_id"].allowed == (
        "NO",
        "on",
        "2024-01-01",
        "y",
    )


@pytest.mark.parametrize(
    ("column", "bound"),
    [
        ("{type: int, min: -5}", -5),
        ("{type: double, min: 5}", 5.0),
        ("{type: 'decimal(5,2)', min: 0.10}", Decimal("0.1")),
        ("{type: 'decimal(38,20)', min: 0.12345678901234567891}", Decimal("0.12345678901234567891")),
        ("{type: date, min: 2024-02-29}", date(2024, 2, 29)),
        ("{type: timestamp, min: '2024-07-01T12:00:00+02:00'}", datetime(2024, 7, 1, 10, tzinfo=UTC)),
        ("{type: timestamp, min: '2024-07-01T12:00', zone: Europe/Berlin}", datetime(2024, 7, 1, 10, tzinfo=UTC)),
        ("{type: timestamp, min: 2024-07-01}", datetime(2024, 7, 1, tzinfo=UTC)),
    ],
)
def test_bounds_have_the_type_of_their_column(column: str, bound: object) -> None:
    found = parse(with_column(column)).columns["order_id"].min
    assert found == bound
    assert type(found) is type(bound)


def test_tsv_has_a_tab() -> None:
    assert parse(ORDERS.replace("{type: csv}", "{type: tsv}")).format.model_dump()["delimiter"] == "\t"


def test_one_broken_file_takes_no_other_down(tmp_path: Path) -> None:
    (tmp_path / "orders.yaml").write_text(ORDERS)
    (tmp_path / "broken.yaml").write_text("name: [")
    (tmp_path / "binary.yaml").write_bytes(bytes(range(256)))
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "README.md").write_text("not a dataset")
    (tmp_path / ".#orders.yaml").write_text("an editor's lock")
    catalog = load_datasets(tmp_path, overlaps=lambda one, other: False)
    assert [d.name for d in catalog.datasets] == ["orders"]
    assert [b.path.name for b in catalog.broken] == ["binary.yaml", "broken.yaml", "folder.yaml"]
    assert catalog.find("orders") is catalog.datasets[0]
    assert catalog.find("broken") is catalog.broken[1]
    assert catalog.find("nothing") is None


def test_a_file_that_is_not_there_is_a_broken_dataset(tmp_path: Path) -> None:
    outcome = load_dataset(tmp_path / "gone.yaml")
    assert isinstance(outcome, BrokenDataset)
    assert "No such file" in str(outcome)


def test_a_huge_file_is_refused_without_reading_it_all(tmp_path: Path) -> None:
    (tmp_path / "huge.yaml").write_text("a: b\n" * 500_000)
    outcome = load_dataset(tmp_path / "huge.yaml")
    assert isinstance(outcome, BrokenDataset)
    assert len(outcome.faults) == 1
    assert "at most 524,288" in str(outcome)


def test_a_folder_that_is_not_there_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="LAKEGATE_DATASETS"):
        load_datasets(tmp_path / "nothing")


def test_two_datasets_that_share_keys_are_both_broken(tmp_path: Path) -> None:
    (tmp_path / "orders.yaml").write_text(ORDERS)
    (tmp_path / "returns.yaml").write_text(ORDERS.replace("name: orders", "name: returns"))
    (tmp_path / "other.yaml").write_text(ORDERS.replace("orders", "other"))

    def same_prefix(one: KeyPattern, other: KeyPattern) -> bool:
        return one.prefix == other.prefix

    catalog = load_datasets(tmp_path, overlaps=same_prefix)
    assert [d.name for d in catalog.datasets] == ["other"]
    assert [b.name for b in catalog.broken] == ["orders", "returns"]
    for broken, rival in zip(catalog.broken, ("returns", "orders"), strict=True):
        (fault,) = broken.faults
        assert fault.line == 3
        assert fault.key == "landing.key"
        assert rival in fault.found


REFERRING = ORDERS + "  customer: {type: string, references: %s}\n"
CUSTOMERS = """\
name: customers
description: Customers of the shop.
landing: {key: "landing/customers/*.csv", start: 2024-01-01}
format: {type: csv}
columns:
  number: {type: string}
  visits: {type: int}
"""


OTHER_TYPE = "found %s; expected a type that compares with string; choose another column, or change one type"


@pytest.mark.parametrize(
    ("reference", "fault"),
    [
        ("customers.number", None),
        ("{dataset: customers, column: number, severity: block}", None),
        ("orders.customer", None),
        ("damaged.anything", None),
        ("customer.number", 'found "customer", which is no dataset; expected a dataset of this folder; did you mean customers?'),
        ("zoo.number", 'found "zoo", which is no dataset; expected a dataset of this folder; add it, or correct the name'),
        ("customers.nomber", 'found "nomber", which is no column of customers; expected a column of customers; did you mean number?'),
        ("customers.visits", OTHER_TYPE % "customers.visits, a column of type int"),
        ("orders.order_id", OTHER_TYPE % "orders.order_id, a column of type bigint"),
    ],
)  # fmt: skip
def test_references_are_judged_by_the_whole_folder(tmp_path: Path, reference: str, fault: str | None) -> None:
    (tmp_path / "orders.yaml").write_text(REFERRING % reference)
    (tmp_path / "customers.yaml").write_text(CUSTOMERS)
    (tmp_path / "damaged.yaml").write_text("name: [")
    catalog = load_datasets(tmp_path)
    assert isinstance(load_dataset(tmp_path / "orders.yaml"), Dataset)
    orders = catalog.find("orders")
    if fault is None:
        assert isinstance(orders, Dataset)
        assert orders.columns["customer"].references is not None
    else:
        assert isinstance(orders, BrokenDataset)
        assert [str(f) for f in orders.faults] == [f"{tmp_path}/orders.yaml:7: columns.customer.references: {fault}"]
    assert isinstance(catalog.find("customers"), Dataset)


def test_whole_numbers_and_decimals_refer_to_one_another(tmp_path: Path) -> None:
    (tmp_path / "customers.yaml").write_text(CUSTOMERS)
    (tmp_path / "orders.yaml").write_text(ORDERS + '  visits: {type: "decimal(10,2)", references: customers.visits}\n')
    assert load_datasets(tmp_path).broken == ()


def test_the_fingerprint_follows_the_contract_and_not_the_words_around_it() -> None:
    before = fingerprint(parse(ORDERS))
    assert fingerprint(parse("# a comment\n" + ORDERS.replace("Orders of the shop", "All orders"))) == before
    assert fingerprint(parse(with_column("{type: bigint, description: The number.}"))) == before
    assert fingerprint(parse(with_column("{type: int}"))) != before
    assert fingerprint(parse(with_column("{type: bigint, min: 1}"))) != before


@pytest.mark.parametrize(
    ("more", "changes"),
    [
        ("on_empty: keep\n", False),
        ("on_empty: accept\n", True),
        ("on_delete: retract\n", False),
        ("rows: {on_bad: quarantine_file}\n", False),
        ("rows: {on_bad: quarantine_rows, max_bad: 1%}\n", True),
        ("limits: {cell_bytes: 10}\n", True),
        ("rules: [{rule: order_id > 0, severity: warn}]\n", False),
        ("rules: [{rule: order_id > 0, severity: block}]\n", False),
        ("rules: [order_id > 0]\n", True),
        ("expectations: [{expect_column_values_to_be_between: {column: order_id, min_value: 1}, severity: warn}]\n", False),
        ("expectations: [{expect_column_values_to_be_between: {column: order_id, min_value: 1}, severity: quarantine_rows}]\n", True),
        ("freshness: {expected_every: P1D}\n", False),
    ],
)  # fmt: skip
def test_the_fingerprint_follows_what_decides_about_files_and_rows(more: str, changes: bool) -> None:
    assert (fingerprint(parse(ORDERS + more)) != fingerprint(parse(ORDERS))) is changes


def test_where_else_a_key_is_looked_for_changes_no_fingerprint() -> None:
    keyed = ORDERS + "primary_key: [order_id]\n"
    assert fingerprint(parse(keyed + "primary_key_across_files: block\n")) == fingerprint(parse(keyed))
    assert fingerprint(parse(keyed)) != fingerprint(parse(ORDERS))


def test_a_reference_to_another_dataset_is_looked_up_after_the_commit_and_changes_no_fingerprint() -> None:
    referring = with_column("{type: bigint, references: orders.id}")
    assert fingerprint(parse(referring)) == fingerprint(parse(with_column("{type: bigint}")))


def test_a_dataset_survives_its_own_dump() -> None:
    dataset = parse(SAMPLE, "flights")
    assert Dataset.model_validate(dataset.model_dump(by_alias=True)) == dataset
    assert Dataset.model_validate(dataset.model_dump(mode="json", by_alias=True)) == dataset


@settings(deadline=None)  # two cores, shared: time is no property here
@given(st.binary(max_size=400))
def test_no_bytes_make_loading_raise(raw: bytes) -> None:
    assert isinstance(parse_dataset(raw, Path("x.yaml")), BrokenDataset)


@settings(deadline=None)  # two cores, shared: time is no property here
@given(st.lists(st.sampled_from(["name", "landing", "columns", ":", " ", "\n", "  ", "- ", "[", "]", "{", "}", "&a", "*a", "!!x", "<<", "|", ">", '"', "'", "#", "?", "%", "---", "\t", "1", "~"]), max_size=60))  # fmt: skip
def test_no_yaml_makes_loading_raise(parts: list[str]) -> None:
    assert isinstance(parse_dataset("".join(parts).encode(), Path("x.yaml")), BrokenDataset)


LINES = SAMPLE.splitlines()


@settings(deadline=None)  # two cores, shared: time is no property here
@given(st.data())
def test_a_damaged_contract_loads_or_says_why(choose: st.DataObject) -> None:
    lines = list(LINES)
    for _ in range(choose.draw(st.integers(1, 4))):
        where = choose.draw(st.integers(0, len(lines) - 1))
        line = lines[where]
        at = choose.draw(st.integers(0, len(line)))
        put = choose.draw(
            st.sampled_from(["", *string.punctuation, "x", "5", " ", "true", "null", "[1]", "{a: b}", "é", "\t"])
        )
        drop = choose.draw(st.integers(0, 6))
        lines[where] = line[:at] + put + line[at + drop :]
    outcome = parse_dataset("\n".join(lines).encode(), Path("flights.yaml"))
    if isinstance(outcome, BrokenDataset):
        assert outcome.faults
        assert all(1 <= fault.line <= len(lines) + 1 for fault in outcome.faults)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEYS = [
    ("name",), ("landing",), ("landing", "key"), ("landing", "day"), ("format",), ("format", "type"), ("columns",),
    ("columns", "flight"), ("columns", "flight", "type"), ("columns", "origin", "allowed"), ("columns", "dep_time", "min"),
    ("columns", "time_hour", "format"), ("columns", "distance", "aliases"), ("partition_by",), ("partition_by", 0),
    ("primary_key",), ("schema",), ("rows",), ("rows", "max_bad"), ("expectations",), ("expectations", 0), ("freshness",),
    ("limits",), ("owner",),
]  # fmt: skip


@settings(deadline=None)  # two cores, shared: time is no property here
@given(st.lists(st.tuples(st.sampled_from(KEYS), JSON), min_size=1, max_size=4))
def test_any_value_under_any_key_is_a_dataset_or_a_list_of_faults(
    changes: list[tuple[tuple[str | int, ...], object]],
) -> None:
    data = read_yaml(SAMPLE.encode()).data
    for path, value in changes:
        _put(data, path, value)
    outcome = parse_dataset(json.dumps(data).encode(), Path("flights.yaml"))
    if isinstance(outcome, BrokenDataset):
        assert outcome.faults


def _put(inside: Any, path: tuple[str | int, ...], value: object) -> None:
    """Put the value at the path, if an earlier change left something there to put it into."""
    for part in path[:-1]:
        inside = inside.get(part) if isinstance(inside, dict) else None
    if isinstance(inside, dict) or (isinstance(inside, list) and inside and path[-1] == 0):
        inside[path[-1]] = value
