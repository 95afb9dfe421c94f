"""Processing again on purpose: failed files, quarantined files; what each ends as, and what stays in its history."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from pipelines.accounting.breaker import BreakerPolicy
from pipelines.accounting.entries import LedgerEntry, RetryPolicy
from pipelines.accounting.states import Trigger
from pipelines.errors import ConfigurationError, TransientError
from pipelines.intake.objects import ObjectVersion
from pipelines.intake.replay import (
    Asked,
    Replayed,
    failed_for,
    failure_reason,
    find_quarantined,
    quarantined_for,
    replay_quarantined,
    retry_failed,
    rules_of,
)
from pipelines.publication.quarantine import quarantine_id
from tests.ingest.world import BAD, ORDERS, ORDERS_BY_ROWS, World, dataset, orders, orders_key, planned

ANN = Asked("ann", "the contract allows it")
STRICT = ORDERS.replace('amount: {type: "decimal(10,2)"}', 'amount: {type: "decimal(10,2)", max: 1}')


def quarantined_world() -> tuple[World, ObjectVersion]:
    world = World()
    bad = world.put(orders_key("bad"), BAD)
    world.put(orders_key("good"), orders(7))
    world.settle_down()
    assert world.outcome(bad) == "quarantined"
    return world, bad


def entry_of(world: World, version: ObjectVersion) -> LedgerEntry:
    return next(e for e in world.entries() if e.version == version)


def reasons(world: World, version: ObjectVersion) -> list[str]:
    return [h.reason for h in world.gate().ledger.history(version.bucket, version.key)]


# ---- quarantined


def test_a_file_rejected_again_keeps_its_id_and_its_report_says_how_often_it_was_tried() -> None:
    world, bad = quarantined_world()
    before, first = world.report_of(bad), entry_of(world, bad)
    world.clock.turn(3600)
    assert replay_quarantined(world.gate(), ANN, ids=[before.id]) == Replayed(due=1)
    assert world.outcome(bad) == "pending"
    [launch] = planned(world)
    assert launch.trigger == "replay"
    world.run(world.gate(), launch)
    world.settle_down()
    after, entry = world.report_of(bad), entry_of(world, bad)
    assert (before.tried, after.tried) == (1, 2)
    assert after.id == before.id == quarantine_id(entry.version)
    assert after.batch_id != before.batch_id
    assert after.quarantined_at > before.quarantined_at
    assert (entry.verdicts, entry.attempts, entry.trigger) == (2, 0, Trigger.REPLAY)
    assert replace(entry.facts, verdicts=1) == first.facts
    assert "replayed by ann: the contract allows it" in reasons(world, bad)
    world.assert_balanced()


def test_a_file_accepted_on_replay_leaves_quarantine_and_is_counted_as_loaded() -> None:
    world, bad = quarantined_world()
    world.datasets = (dataset(ORDERS_BY_ROWS), world.datasets[1])
    assert replay_quarantined(world.gate(), ANN, dataset="orders") == Replayed(due=1)
    world.settle_down()
    assert world.outcome(bad) == "loaded"
    assert world.ids() == [1, 7]
    assert list(quarantined_for(world.gate())) == []
    assert entry_of(world, bad).verdicts == 2
    world.assert_balanced()
    [counts] = world.gate().ledger.counts("orders")
    assert (counts.quarantined_rows_read, counts.serving_files) == (0, 2)


def test_rows_rejected_one_by_one_of_a_replayed_file_are_gone_when_they_are_accepted_now() -> None:
    by_rows = STRICT + "rows: {on_bad: quarantine_rows, max_bad: 60%}\n"
    world = World(datasets=(dataset(by_rows),))
    all_bad = world.put(orders_key("a"), orders(1, 2, amount="9") + b"3,0.50\n")
    world.settle_down()
    assert world.outcome(all_bad) == "quarantined"
    world.datasets = (dataset(by_rows.replace("max_bad: 60%", "max_bad: 90%")),)
    replay_quarantined(world.gate(), ANN, dataset="orders")
    world.settle_down()
    assert (world.ids(), len(world.rejected())) == ([3], 2)
    world.datasets = (dataset(ORDERS_BY_ROWS),)
    gate = world.gate()
    gate.ledger.make_due([entry_of(world, all_bad).ref], Trigger.REPLAY, "as after a contract change")
    world.settle_down()
    assert (world.ids(), world.rejected()) == ([1, 2, 3], [])
    world.assert_balanced()


def test_a_replay_of_what_was_superseded_meanwhile_changes_nothing() -> None:
    world, bad = quarantined_world()
    [entry] = find_quarantined(world.gate(), [world.report_of(bad).id])
    world.put(orders_key("bad"), orders(1))
    world.settle_down()
    with pytest.raises(ConfigurationError, match="no file in quarantine has the id"):
        replay_quarantined(world.gate(), ANN, ids=[quarantine_id(entry.version)])
    assert world.gate().ledger.make_due([entry.ref], Trigger.REPLAY).left == (entry.ref,)
    assert world.ids() == [1, 7]


def test_a_replayed_version_that_was_deleted_from_the_landing_bucket_ends_as_removed_and_its_copy_stays() -> None:
    world, bad = quarantined_world()
    report = world.report_of(bad)
    world.store.remove_version(bad)
    assert replay_quarantined(world.gate(), ANN, ids=[report.id]) == Replayed(due=1)
    world.settle_down()
    assert world.outcome(bad) == "removed"
    assert world.store.get_bytes("quarantine-bucket", report.object_key) == BAD
    world.assert_balanced()


def test_a_replay_pressed_twice_is_one_replay_and_what_a_run_holds_is_left_to_it() -> None:
    world, bad = quarantined_world()
    world.clock.turn(60)
    id_ = world.report_of(bad).id
    assert replay_quarantined(world.gate(), ANN, dataset="orders").due == 1
    assert replay_quarantined(world.gate(), ANN, dataset="orders") == Replayed()
    with pytest.raises(ConfigurationError):
        replay_quarantined(world.gate(), ANN, ids=[id_])
    planned(world)
    assert world.gate().ledger.make_due([entry_of(world, bad).ref], Trigger.REPLAY).held
    world.settle_down()
    assert entry_of(world, bad).verdicts == 2


def test_files_are_chosen_by_the_rule_they_broke_without_reading_their_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    typed = world.put(orders_key("typed"), BAD)
    short = world.put(orders_key("short"), b"id,amount\n1\n")
    world.settle_down()
    gate = world.gate()

    def unread(*_: Any) -> bytes:
        raise AssertionError("a report was read")

    monkeypatch.setattr(world.store, "get_bytes", unread)
    assert [e.version for e in quarantined_for(gate, "orders", "type")] == [typed]
    assert [e.version for e in quarantined_for(gate, "orders", "short_row")] == [short]
    assert list(quarantined_for(gate, "clicks", "type")) == []
    assert replay_quarantined(gate, ANN, dataset="orders", rule="type") == Replayed(due=1)
    assert world.outcomes() == {typed.version_id: "pending", short.version_id: "quarantined"}


def test_an_entry_of_before_rules_were_kept_is_chosen_by_its_report() -> None:
    world, bad = quarantined_world()
    entry = entry_of(world, bad)
    assert entry.facts is not None
    old = replace(entry, facts=replace(entry.facts, rules=()))
    assert rules_of(world.gate(), old) == ("type",)
    world.store.delete("quarantine-bucket", list(world.store.list_keys("quarantine-bucket", "")))
    assert rules_of(world.gate(), old) == ()


def test_ids_must_say_which_file_and_one_wrong_id_replays_none() -> None:
    world, bad = quarantined_world()
    id_ = world.report_of(bad).id
    for ids, said in [
        (["ffffffffffff"], "no file in quarantine has the id"),
        ([id_, "ffffffffffff"], "no file in quarantine has the id"),
        ([id_[:3]], "too short"),
        ([""], "too short"),
    ]:
        with pytest.raises(ConfigurationError, match=said):
            replay_quarantined(world.gate(), ANN, ids=ids)
    with pytest.raises(ConfigurationError, match="say which files"):
        replay_quarantined(world.gate(), ANN)
    assert world.outcome(bad) == "quarantined"
    assert replay_quarantined(world.gate(), ANN, ids=[id_[:6], id_]) == Replayed(due=1)


def test_an_id_that_begins_several_files_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    world, _ = quarantined_world()
    world.put(orders_key("worse"), BAD)
    world.settle_down()
    monkeypatch.setattr("pipelines.intake.replay.quarantine_id", lambda version: f"abcd{version.version_id}")
    with pytest.raises(ConfigurationError, match="2 files in quarantine have an id that begins with 'abcd'"):
        find_quarantined(world.gate(), ["abcd"])


def test_many_files_become_due_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.intake.replay._AT_ONCE", 10)
    world = World()
    for number in range(33):
        world.put(orders_key(f"f{number}"), b"id\n")
    world.settle_down()
    assert replay_quarantined(world.gate(), ANN, dataset="orders") == Replayed(due=33)
    assert set(world.outcomes().values()) == {"pending"}


def test_what_a_person_writes_stays_one_line_of_bounded_length() -> None:
    said = Asked("a\nnn\x1b[31m", "why\n" * 500).words("replayed")
    assert said.startswith("replayed by a\\nnn\\x1b[31m: why\\n")
    assert len(said) == 300


# ---- failed


@dataclass
class Unreadable:
    """An object store that does not answer for some keys."""

    inner: Any
    errors: dict[str, str] = field(default_factory=dict)

    def read(self, version: ObjectVersion) -> Iterator[bytes]:
        if version.key in self.errors:
            raise TransientError(self.errors[version.key])
        return self.inner.read(version)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def failed_world() -> tuple[World, Unreadable, dict[str, ObjectVersion]]:
    world = World(policy=RetryPolicy(passing_attempts=5), breaker=BreakerPolicy(faults=1000))
    store = Unreadable(world.store)
    world.store = store  # type: ignore[assignment]
    versions = {name: world.put(orders_key(name), orders(number)) for number, name in enumerate("abc", 1)}
    store.errors = {
        orders_key("a"): "reading s3://landing-bucket/landing/orders/a.csv: AccessDenied: no 1234",
        orders_key("b"): "reading s3://landing-bucket/landing/orders/b.csv: AccessDenied: no 99",
        orders_key("c"): "reading 'c': SlowDown: reduce your request rate",
    }
    world.settle_down()
    assert {world.outcome(v) for v in versions.values()} == {"failed"}
    return world, store, versions


def test_failed_files_are_found_by_what_killed_them() -> None:
    world, _, versions = failed_world()
    ledger = world.gate().ledger
    assert {failure_reason(e.error) for e in failed_for(ledger)} == {
        "reading …: AccessDenied: no …", "reading …: SlowDown: reduce your request rate",
    }  # fmt: skip
    assert [e.version for e in failed_for(ledger, text="slowdown")] == [versions["c"]]
    assert len(list(failed_for(ledger, "orders", "AccessDenied"))) == 2
    assert list(failed_for(ledger, "clicks")) == []


def test_failed_files_are_tried_again_with_all_their_attempts_and_the_reason_is_kept() -> None:
    world, store, versions = failed_world()
    store.errors.clear()
    assert retry_failed(world.gate().ledger, Asked("ann", "the policy is mended"), text="AccessDenied") == Replayed(
        due=2
    )
    assert entry_of(world, versions["a"]).attempts == 0
    world.settle_down()
    assert [world.outcome(v) for v in versions.values()] == ["loaded", "loaded", "failed"]
    assert world.ids() == [1, 2]
    assert "retried by ann: the policy is mended" in reasons(world, versions["a"])
    assert retry_failed(world.gate().ledger, Asked("ann")) == Replayed(due=1)
    world.settle_down()
    assert world.ids() == [1, 2, 3]
    world.assert_balanced()


def test_a_file_that_fails_again_is_failed_again_with_its_new_error() -> None:
    world, store, versions = failed_world()
    store.errors = {orders_key("c"): "another fault"}
    retry_failed(world.gate().ledger, Asked("ann"), text="slowdown")
    world.settle_down()
    entry = entry_of(world, versions["c"])
    assert (entry.outcome, entry.error, entry.attempts) == ("failed", "another fault", 5)


def test_a_serving_file_that_failed_when_processed_again_keeps_its_rows_and_can_be_retried() -> None:
    world = World(policy=RetryPolicy(passing_attempts=5), breaker=BreakerPolicy(faults=1000))
    store = Unreadable(world.store)
    world.store = store  # type: ignore[assignment]
    version = world.put(orders_key("a"), orders(1))
    world.settle_down()
    store.errors[orders_key("a")] = "down"
    world.gate().ledger.make_due([entry_of(world, version).ref], Trigger.BACKFILL)
    world.settle_down()
    assert (world.outcome(version), world.ids()) == ("failed", [1])
    store.errors.clear()
    assert retry_failed(world.gate().ledger, Asked("ann")) == Replayed(due=1)
    world.settle_down()
    assert (world.outcome(version), world.ids()) == ("loaded", [1])
    world.assert_balanced()
