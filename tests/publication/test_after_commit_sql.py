"""The statements that are sent after a commit: what they read, and that nothing gets into them unquoted."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from pipelines.contracts.columns import Reference
from pipelines.errors import TransientError
from pipelines.ports import QueryResult
from pipelines.publication.after_commit import (
    NotLooked,
    Published,
    find_missing_values,
    find_repeated_keys,
    missing_values_sql,
    repeated_keys_sql,
)
from tests.publication.samples import dataset

RUN = Published(("b1", "b2"), ("day=2024-01-02", "day=2024-01-01"))
DAYS = "\"day\" IN (DATE '2024-01-01', DATE '2024-01-02')"


def test_only_the_runs_partitions_are_read_for_its_own_rows_and_all_for_the_others() -> None:
    sql = repeated_keys_sql(dataset(primary_key=["id"]), RUN)
    assert f"WHERE \"_batch_id\" IN ('b1', 'b2') AND {DAYS})" in sql
    assert f"o.{DAYS}" not in sql


def test_where_the_partition_is_part_of_the_key_nothing_else_is_read() -> None:
    sql = repeated_keys_sql(dataset(primary_key=["day", "id"]), RUN)
    assert f'o."id" = p."id" AND o.{DAYS}' in sql


@pytest.mark.parametrize(
    ("partition_by", "paths"),
    [
        ((), ("",)),
        (("day(at)",), ("at_day=2024-01-01",)),
        (("bucket(4, id)",), ("id_bucket=1",)),
        (("price",), ("price=1.00",)),
        (("carrier",), (f"carrier={'a' * 160}!{'0' * 32}",)),
        (("day",), None),
        (("day",), tuple(f"day={date(2000, 1, 1) + timedelta(days=n)}" for n in range(600))),
    ],
)
def test_where_the_paths_do_not_say_the_values_the_whole_table_is_read(
    partition_by: tuple[str, ...], paths: tuple[str, ...] | None
) -> None:
    of = dataset(partition_by=partition_by, primary_key=["id", "day", "carrier", "price"])
    assert "WHERE \"_batch_id\" IN ('b1'))" in repeated_keys_sql(of, Published(("b1",), paths))


def test_each_partition_column_is_judged_by_itself() -> None:
    of = dataset(partition_by=("day", "bucket(4, id)", "stops", "carrier"), primary_key=["stops", "id"])
    run = Published(("b1",), ("day=2024-01-01/id_bucket=3/stops=-7/carrier=it%27s+%2F",))
    sql = repeated_keys_sql(of, run)
    assert "\"day\" IN (DATE '2024-01-01') AND \"stops\" IN (-7) AND \"carrier\" IN ('it''s /')" in sql
    assert sql.count('o."stops" IN (-7)') == 1
    assert 'o."day" IN' not in sql


def test_references_read_the_runs_partitions_of_the_one_table_and_one_column_of_the_other() -> None:
    sql = missing_values_sql(dataset(), {"carrier": Reference(dataset="airlines", column="code")}, RUN)
    assert f"WHERE p.\"_batch_id\" IN ('b1', 'b2') AND p.{DAYS} AND" in sql
    assert 'SELECT DISTINCT "code" AS "_there" FROM "airlines"' in sql


def test_quotes_in_literals_are_doubled_and_other_names_refused() -> None:
    sql = repeated_keys_sql(dataset(primary_key=["id"]), Published(("b' OR 1=1 --",), None))
    assert "IN ('b'' OR 1=1 --')" in sql
    of = dataset().model_copy(update={"primary_key": ('id" --',)})
    with pytest.raises(ValueError, match="no name"):
        repeated_keys_sql(of, RUN)


class Broken:
    def query(self, sql: str) -> QueryResult:
        raise TransientError(f"the network is down\nbetween here and {len(sql) > 0}")


def test_what_gets_no_answer_is_not_looked_at() -> None:
    of = dataset(primary_key=["id"])
    wanted = {"carrier": Reference(dataset="airlines", column="code")}
    for queries, reason in ((Broken(), "the network is down between here and True"), (None, "no query engine")):
        for found in (find_repeated_keys(queries, of, RUN), find_missing_values(queries, of, wanted, RUN)):
            assert isinstance(found, NotLooked)
            assert reason in found.reason
