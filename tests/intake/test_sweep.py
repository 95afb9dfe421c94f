"""The sweep: what events did not tell is found and put right, what they will tell is left to them, and nothing is done twice."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.accounting.balance import balance
from pipelines.accounting.entries import LedgerEntry
from pipelines.accounting.proof import prove
from pipelines.accounting.removals import Removals
from pipelines.accounting.states import Outcome, Trigger
from pipelines.errors import TransientError
from pipelines.intake import sweep as sweep_module
from pipelines.intake import vanished
from pipelines.intake.objects import ObjectVersion
from pipelines.intake.sweep import sweep
from pipelines.intake.sweep_report import SweepReport
from pipelines.ports import ListedVersion, Update
from tests.ingest.removing import RETRACTING
from tests.ingest.world import CLICKS, ORDERS, World, dataset, orders, orders_key
from tests.intake.landing_bucket import LandingBucket

HOUR = 3600
KEYS = [orders_key("a"), orders_key("b", "2026-02-02"), "landing/clicks/x.csv", "landing/nobody/x.csv"]


def swept(bucket: LandingBucket, *, after_s: float = HOUR, **how: bool) -> SweepReport:
    bucket.world.clock.turn(after_s)
    return sweep(bucket.world.gate(), pause=lambda _: None, **how)


@pytest.fixture
def bucket() -> LandingBucket:
    return LandingBucket()


def test_what_no_event_told_of_is_registered_and_processed(bucket: LandingBucket) -> None:
    told, lost = bucket.put(KEYS[0]), bucket.put(KEYS[1], b"id,amount\n7,1.50\n", told=False)
    bucket.receive()
    report = swept(bucket)
    assert report.sentence() == (
        "listed 2 versions: 1 known, 1 that no event had told of; bucket and ledger agree on 2 days"
    )
    assert report.findings == {"registered": [f"{KEYS[1]} (version {lost.version_id})"]}
    entries = bucket.entries()
    assert entries[lost.version_id].trigger is Trigger.SWEEP
    assert entries[told.version_id].trigger is Trigger.EVENT
    bucket.world.settle_down()
    assert bucket.world.ids() == [7]


def test_a_version_is_left_to_its_event_until_the_grace_is_over(bucket: LandingBucket) -> None:
    bucket.put(KEYS[0], told=False)
    report = swept(bucket, after_s=299)
    assert (report.of("orders").young, report.of("orders").registered) == (1, 0)
    assert report.sentence() == (
        "listed 1 version: 0 known, 1 too young, left to their events; bucket and ledger agree on 0 days"
    )
    assert swept(bucket, after_s=1).of("orders").registered == 1


def test_an_event_that_comes_after_the_sweep_is_a_duplicate(bucket: LandingBucket) -> None:
    version = bucket.put(KEYS[0], told=False)
    swept(bucket)
    bucket.world.tell(version)
    bucket.receive()
    [entry] = bucket.world.entries()
    assert entry.duplicates == 1
    assert entry.version.sequencer == version.sequencer  # the event knows the order; the listing did not
    assert swept(bucket).corrections == 0


def test_an_event_that_comes_between_page_and_ledger_is_no_finding(bucket: LandingBucket) -> None:
    version = bucket.put(KEYS[0], told=False)
    gate = bucket.world.gate()
    register = gate.ledger.register

    def late(sightings, *retracting):  # the event is registered after the sweep has looked, before it registers
        bucket.world.tell(version)
        bucket.receive()
        gate.ledger.register = register
        return register(sightings, *retracting)

    gate.ledger.register = late
    bucket.world.clock.turn(HOUR)
    report = sweep(gate)
    assert (report.of("orders").known, report.of("orders").registered) == (1, 0)
    assert len(bucket.world.entries()) == 1


def test_versions_nobody_claims_are_accounted_for_too(bucket: LandingBucket) -> None:
    version = bucket.put("landing/nobody/x.csv", told=False)
    assert swept(bucket).of(None).registered == 1
    assert bucket.entries()[version.version_id].outcome is Outcome.UNROUTED
    assert swept(bucket).sentence() == "listed 1 version: 1 known; bucket and ledger agree on 1 day"


def test_versions_of_one_second_keep_the_order_of_the_bucket(bucket: LandingBucket) -> None:
    first = bucket.put(KEYS[0])
    bucket.receive()
    second, third = bucket.put(KEYS[0], told=False), bucket.put(KEYS[0], told=False)
    fourth = bucket.put(KEYS[0])
    bucket.receive()
    swept(bucket)
    entries = sorted(bucket.world.entries(), key=lambda entry: entry.order)
    assert [entry.version.version_id for entry in entries] == [v.version_id for v in (first, second, third, fourth)]


# ---- removals -----------------------------------------------------------------------------------------------------


def test_a_delete_marker_that_no_event_told_of_is_recorded(bucket: LandingBucket) -> None:
    version = bucket.put(KEYS[0])
    bucket.receive()
    bucket.hide(KEYS[0], told=False)
    assert swept(bucket, after_s=60).corrections == 0  # its event may be on its way
    report = swept(bucket)
    assert report.findings == {"removed": [f"{KEYS[0]} (version {version.version_id})"]}
    assert bucket.entries()[version.version_id].object_removed
    assert swept(bucket).corrections == 0


def test_a_marker_hides_what_is_older_than_it_and_nothing_newer(bucket: LandingBucket) -> None:
    older = bucket.put(KEYS[0])
    bucket.hide(KEYS[0], told=False)
    newer = bucket.put(KEYS[0])
    bucket.receive()
    swept(bucket)
    entries = bucket.entries()
    assert entries[older.version_id].object_removed
    assert not entries[newer.version_id].object_removed


def test_a_version_and_its_marker_both_untold_are_registered_and_removed(bucket: LandingBucket) -> None:
    version = bucket.put(KEYS[0], told=False)
    bucket.hide(KEYS[0], told=False)
    swept(bucket)
    assert bucket.entries()[version.version_id].object_removed
    assert swept(bucket).corrections == 0


def test_a_key_whose_marker_was_deleted_is_visible_again(bucket: LandingBucket) -> None:
    version = bucket.put(KEYS[0])
    marker = bucket.hide(KEYS[0])
    bucket.receive()
    bucket.remove(marker, told=False)
    report = swept(bucket)
    assert report.of("orders").restored == 1
    assert not bucket.entries()[version.version_id].object_removed
    assert swept(bucket).corrections == 0


def test_a_marker_younger_than_the_page_is_not_lifted(bucket: LandingBucket) -> None:
    version = bucket.put(KEYS[0])
    bucket.receive()
    bucket.world.clock.turn(HOUR)
    gate = bucket.world.gate()
    look = gate.ledger.entries_of

    def meanwhile(refs):  # the key is deleted after its page was read, before the ledger is asked
        bucket.hide(KEYS[0])
        bucket.receive()
        gate.ledger.entries_of = look
        return look(refs)

    gate.ledger.entries_of = meanwhile
    assert sweep(gate).corrections == 0
    assert bucket.entries()[version.version_id].object_removed


def test_what_a_sweep_finds_removed_leaves_the_table_of_a_dataset_that_retracts() -> None:
    bucket = LandingBucket(World(datasets=(RETRACTING,)))
    low, top = (bucket.put(KEYS[0], orders(n)) for n in (1, 2))
    bucket.world.versions += [low, top, bucket.put(KEYS[1], orders(3))]
    bucket.world.settle_down()
    bucket.remove(top, told=False)
    marker = bucket.hide(KEYS[1], told=False)
    swept(bucket)
    bucket.world.settle_down()
    assert bucket.world.ids() == [1]
    assert bucket.world.outcomes() == {low.version_id: "loaded", top.version_id: "removed", "v3": "removed"}
    bucket.world.assert_balanced()
    bucket.remove(marker, told=False)
    swept(bucket)
    bucket.world.settle_down()
    assert bucket.world.ids() == [1, 3]
    bucket.world.assert_balanced()
    assert swept(bucket).corrections == 0


@pytest.mark.parametrize("key", KEYS)
def test_a_version_gone_for_good_is_missed_and_recorded(bucket: LandingBucket, key: str) -> None:
    version, kept = bucket.put(key), bucket.put(key.replace("x.csv", "y.csv").replace("a.csv", "c.csv"))
    bucket.receive()
    bucket.remove(version, told=False)
    report = swept(bucket)
    assert report.findings == {"missing": [f"{key} (version {version.version_id})"]}
    assert bucket.entries()[version.version_id].object_removed
    assert not bucket.entries()[kept.version_id].object_removed
    again = swept(bucket)
    assert (again.corrections, again.total("gone"), again.problems) == (0, 1, ())


def test_what_events_told_to_be_gone_is_no_finding(bucket: LandingBucket) -> None:
    version = bucket.put(KEYS[0])
    bucket.receive()
    bucket.remove(version)
    bucket.receive()
    report = swept(bucket)
    assert (report.corrections, report.of("orders").gone) == (0, 1)


def test_a_version_deleted_before_it_was_read_is_no_finding(bucket: LandingBucket) -> None:
    version = bucket.put(KEYS[0])
    bucket.remove(version, told=False)
    bucket.world.settle_down()
    assert swept(bucket).corrections == 0
    assert bucket.entries()[version.version_id].object_removed


def test_a_proved_day_is_not_looked_through_again(bucket: LandingBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = [bucket.put(orders_key(f"f{n}")) for n in range(3)]
    bucket.receive()
    bucket.remove(versions[0], told=False)
    swept(bucket)
    looked: list[object] = []
    look = vanished._DaysOf.look
    monkeypatch.setattr(vanished._DaysOf, "look", lambda days: looked.append(days) or look(days))
    swept(bucket)
    assert looked == []
    bucket.remove(versions[1], told=False)
    assert swept(bucket).of("orders").missing == 1
    assert len(looked) == 1


def test_rows_of_a_file_whose_deletion_no_event_told_of_leave_and_come_back() -> None:
    world = World(datasets=(dataset(ORDERS + "on_delete: retract\n"),))
    bucket = LandingBucket(world)
    version = bucket.put(KEYS[0], orders(1, 2))
    world.settle_down()
    assert world.ids() == [1, 2]
    marker = bucket.hide(KEYS[0], told=False)
    assert swept(bucket).of("orders").removed == 1
    world.settle_down()
    assert (world.ids(), world.outcome(version)) == ([], "removed")
    assert prove(world.gate()).problems == ()
    bucket.remove(marker, told=False)
    assert swept(bucket).of("orders").restored == 1
    world.settle_down()
    assert world.ids() == [1, 2]
    bucket.remove(version, told=False)
    assert swept(bucket).of("orders").missing == 1
    world.settle_down()
    assert world.ids() == []
    assert swept(bucket).corrections == 0
    assert prove(world.gate()).problems == ()


def test_memory_does_not_grow_with_the_bucket(bucket: LandingBucket) -> None:
    now = bucket.world.clock()

    def peak(number: int) -> int:
        def listing(*_: object) -> Iterator[ListedVersion]:
            for n in range(number):
                yield ListedVersion(
                    ObjectVersion("landing-bucket", orders_key(f"{n:06d}"), "v", None, 1, "e", now), True
                )

        gate = bucket.world.gate()
        gate = replace(gate, store=SimpleNamespace(list_versions=listing))
        tracemalloc.start()
        try:
            report = sweep(gate, correct=False)
            assert report.of("orders").young == number
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1000)
    assert peak(12_000) < 1.5 * peak(3000)


# ---- what differs -------------------------------------------------------------------------------------------------


def test_a_counter_that_was_changed_is_named(bucket: LandingBucket) -> None:
    bucket.put(KEYS[0])
    bucket.receive()
    [shard] = [key for key in bucket.world.items.items() if key.pk == "counts#orders"]
    bucket.world.items.write([Update(shard, add={"objects": 1, "pending": 1})])
    report = swept(bucket)
    assert report.problems == ("orders, 2026-02-01: the ledger counts 2 objects, but holds 1 entry",)
    assert report.sentence().endswith("; 1 difference between bucket and ledger")
    assert bucket.world.gate().ledger.last_sweeps()["orders"].problems == report.problems


def test_without_correcting_everything_found_is_a_problem_and_nothing_changes(bucket: LandingBucket) -> None:
    hidden, gone = bucket.put(KEYS[0]), bucket.put(KEYS[1])
    bucket.receive()
    bucket.hide(KEYS[0], told=False)
    bucket.remove(gone, told=False)
    lost = bucket.put(KEYS[3], told=False)
    before = bucket.world.items.items()
    report = swept(bucket, correct=False)
    assert bucket.world.items.items() == before
    assert [problem.split(": run")[0] for problem in report.problems] == [
        f"{KEYS[3]} (version {lost.version_id}) is in the bucket, but not in the ledger",
        f"{KEYS[0]} (version {hidden.version_id}) is deleted (a delete marker hides it), but not in the ledger",
        f"{KEYS[1]} (version {gone.version_id}) is in the ledger, but gone from the bucket",
    ]
    assert "(nothing was changed); 3 differences" in report.sentence()


def test_many_findings_are_counted_and_the_first_are_named(bucket: LandingBucket) -> None:
    for n in range(25):
        bucket.put(orders_key(f"f{n:02d}"), told=False)
    report = swept(bucket, correct=False)
    assert len(report.problems) == 21
    assert report.problems[-1].startswith("5 more versions like this: ")


def test_one_dataset_is_swept_alone(bucket: LandingBucket) -> None:
    bucket.put(KEYS[0], told=False)
    bucket.put(KEYS[2], told=False)
    gone = bucket.put("landing/clicks/y.csv")
    bucket.receive()
    bucket.remove(gone, told=False)
    bucket.world.clock.turn(HOUR)
    report = sweep(bucket.world.gate(), dataset(ORDERS))
    assert report.findings == {"registered": [f"{KEYS[0]} (version v1)"]}
    assert set(bucket.world.gate().ledger.last_sweeps()) == {"orders"}


def test_a_removal_recorded_by_somebody_who_died_before_acting_on_it_is_acted_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket = LandingBucket(World(datasets=(RETRACTING,)))
    low, top = (bucket.put(KEYS[0], orders(n)) for n in (1, 2))
    bucket.world.versions += [low, top]
    bucket.world.settle_down()
    bucket.remove(top, told=False)

    def die(*_: object) -> None:
        raise TransientError("the worker is gone")

    with monkeypatch.context() as patched:
        patched.setattr(Removals, "apply", die)
        with pytest.raises(TransientError):
            swept(bucket)
    assert not bucket.entries()[top.version_id].object_removed
    swept(bucket)
    bucket.world.settle_down()
    assert bucket.world.outcomes() == {low.version_id: "loaded", top.version_id: "removed"}
    assert bucket.world.ids() == [1]
    bucket.world.assert_balanced()


def test_a_sweep_that_dies_is_done_again(bucket: LandingBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_module, "_AT_ONCE", 2)
    for n in range(6):
        bucket.put(orders_key(f"f{n}"), told=False)
    store = bucket.world.store
    listed = list(store.list_versions("landing-bucket", "landing/"))

    def cut(*_: object) -> Iterator[ListedVersion]:
        yield from listed[:4]
        raise TransientError("the connection was cut")

    bucket.world.clock.turn(HOUR)
    with monkeypatch.context() as patched:
        patched.setattr(store, "list_versions", cut)
        with pytest.raises(TransientError):
            sweep(bucket.world.gate())
    assert len(bucket.entries()) == 2
    assert swept(bucket).of("orders").registered == 4


# ---- whatever happened --------------------------------------------------------------------------------------------

STEP = st.tuples(
    st.sampled_from(["put", "put", "hide", "remove", "remove marker", "wait", "receive", "sweep", "run"]),
    st.integers(0, 3),
    st.integers(0, 9),
    st.booleans(),
)


@settings(max_examples=60)
@given(st.lists(STEP, max_size=30), st.sampled_from([1, 2, 1000]), st.sampled_from([1, 2, 1000]), st.booleans())
def test_after_a_sweep_the_ledger_says_of_every_version_what_the_bucket_does(
    steps: list[tuple[str, int, int, bool]], at_once: int, of_a_key: int, retracts: bool
) -> None:
    more = "on_delete: retract\n" if retracts else ""
    bucket = LandingBucket(World(datasets=(dataset(ORDERS + more), dataset(CLICKS + more))))
    store = bucket.world.store

    def present(key: str, *, marker: bool) -> list[ListedVersion]:
        return [one for one in store.list_versions("landing-bucket", key) if one.is_marker is marker]

    everything: set[str] = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep_module, "_AT_ONCE", at_once)
        patch.setattr(sweep_module, "_MOST_OF_A_KEY", of_a_key)
        patch.setattr(vanished, "_AT_ONCE", at_once)
        for step, which, number, told in steps:
            key = KEYS[which]
            if of_a_key < 1000:  # the order within one second is known of versions that are held together only
                bucket.world.clock.turn(1)
            if step == "put":
                everything.add(bucket.put(key, told=told).version_id)
            elif step == "hide":
                bucket.hide(key, told=told)
            elif step in ("remove", "remove marker"):
                if there := present(key, marker=step == "remove marker"):
                    bucket.remove(there[number % len(there)].version, told=told)
            elif step == "wait":
                bucket.world.clock.turn(number * 60)
            elif step == "receive":
                bucket.receive()
            elif step == "run":
                bucket.world.settle_down()
            else:
                swept(bucket, after_s=0)
        bucket.receive()
        first = swept(bucket)
        again = swept(bucket)
    assert first.problems == ()
    assert (again.corrections, again.problems, again.under_way) == (0, (), 0)
    entries = bucket.entries()
    for key in KEYS:
        hidden = False
        orders: list[str] = []
        for one in store.list_versions("landing-bucket", key):
            if one.is_marker:
                hidden = True
                continue
            entry: LedgerEntry = entries.pop(one.version.version_id)
            assert entry.object_removed is hidden, entry
            orders.append(entry.order)
        assert orders == sorted(orders, reverse=True), "the ledger orders versions as the bucket does"
    assert all(entry.object_removed for entry in entries.values()), "what is left is gone from the bucket"
    bucket.world.settle_down()
    assert prove(bucket.world.gate(), swept(bucket, correct=False)).problems == ()


def test_what_a_sweep_finds_removed_is_retracted_where_the_dataset_does_so() -> None:
    bucket = LandingBucket(World(datasets=(RETRACTING,)))
    hidden, gone, both = (bucket.put(orders_key(name), orders(n)) for n, name in enumerate("abc"))
    bucket.world.settle_down()
    bucket.hide(hidden.key, told=False)
    bucket.remove(gone, told=False)
    late = bucket.put(both.key, orders(7), told=False)
    bucket.hide(both.key, told=False)
    swept(bucket)
    bucket.world.settle_down()
    assert bucket.world.ids() == []
    assert {bucket.world.outcome(version) for version in (hidden, gone, both, late)} == {"removed"}
    assert balance(bucket.world.gate().ledger.counts()).problems == ()
