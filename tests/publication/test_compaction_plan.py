"""Which files are worth putting together, from a list of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from pipelines.contracts.compaction import Compaction
from pipelines.ports import TableFile
from pipelines.publication.compaction import files_after, group_files, plan_compaction

NOW = datetime(2026, 11, 20, 3, tzinfo=UTC)
MIB = 1 << 20
POLICY = Compaction(target_bytes=64 * MIB, min_files=4)


def file(number: int, size: int = MIB, partition: str = "day=1", age_h: float | None = 24.0) -> TableFile:
    at = None if age_h is None else NOW - timedelta(hours=age_h)
    return TableFile(f"s3://b/{partition}/{number}", partition, 10, size, at)


def test_small_files_of_a_partition_are_put_together_and_the_large_one_stays() -> None:
    files = [*(file(n) for n in range(6)), file(9, 60 * MIB), *(file(n, partition="day=2") for n in range(3))]
    plan = plan_compaction(files, POLICY, NOW)
    assert [(one.partition, one.files, one.files_after, one.rows) for one in plan.chosen] == [("day=1", 6, 1, 60)]
    assert (plan.files, plan.small_files, plan.waiting) == (10, 9, 0)
    assert [f.address for f in group_files(files, plan, POLICY, NOW)["day=1"]] == [
        f"s3://b/day=1/{n}" for n in range(6)
    ]
    assert "6 small files of 1 partition would become 1 (6.3 MB read and written)" in plan.sentence()


def test_what_came_just_now_is_left_and_what_nobody_remembers_coming_is_old() -> None:
    files = [file(1, age_h=1), *(file(n, age_h=None) for n in range(2, 5)), file(5, age_h=6)]
    plan = plan_compaction(files, POLICY, NOW)
    assert (plan.files_before, plan.young_files) == (4, 1)
    assert not plan_compaction(files[:4], POLICY, NOW).chosen


def test_what_gains_most_comes_first_and_a_run_takes_no_more_than_it_may() -> None:
    files = [file(n, partition=f"day={day}") for day, many in ((1, 5), (2, 9), (3, 7)) for n in range(many)]
    plan = plan_compaction(files, POLICY, NOW, max_bytes=15 * MIB)
    assert [one.partition for one in plan.chosen] == ["day=2", "day=1"]
    assert plan.waiting == 1
    assert [one.partition for one in plan_compaction(files, POLICY, NOW, max_bytes=1).chosen] == ["day=2"]
    assert [one.partition for one in plan_compaction(files, POLICY, NOW, only="day=3").chosen] == ["day=3"]


def test_a_large_partition_is_taken_in_parts() -> None:
    files = [file(n, 10 * MIB) for n in range(20)]
    plan = plan_compaction(files, POLICY, NOW, group_bytes=85 * MIB)
    assert plan.files_before == 8
    assert len(group_files(files, plan, POLICY, NOW, 85 * MIB)["day=1"]) == 8


def test_a_table_without_small_files_has_nothing_to_put_together() -> None:
    assert (
        plan_compaction([], POLICY, NOW).sentence()
        == "0 files, 0 bytes, 0 bytes each on average: nothing to put together"
    )
    assert not plan_compaction([file(n, 60 * MIB) for n in range(50)], POLICY, NOW).chosen


@given(st.lists(st.integers(1, 100 * MIB), max_size=60), st.integers(2, 6))
def test_putting_together_again_and_again_comes_to_an_end(sizes: list[int], least: int) -> None:
    """Every round halves what it takes at least: no file is rewritten night after night."""
    policy = Compaction(target_bytes=64 * MIB, min_files=least)
    files = [file(n, size) for n, size in enumerate(sizes)]
    for _ in range(12):
        plan = plan_compaction(files, policy, NOW)
        if not plan.chosen:
            return
        [one] = plan.chosen
        assert one.files_after <= one.files * 0.76
        group = {f.address for f in group_files(files, plan, policy, NOW)["day=1"]}
        size = one.size_bytes // one.files_after
        files = [f for f in files if f.address not in group]
        files += [file(10**6 + len(files) + n, size) for n in range(one.files_after)]
    raise AssertionError("it never ends")


@given(st.integers(1, 2**40))
def test_files_come_near_the_target(size: int) -> None:
    each = size / files_after(size, POLICY)
    assert each <= 1.5 * POLICY.target_bytes
    assert each >= POLICY.target_bytes / 1.5 or size < 1.5 * POLICY.target_bytes
