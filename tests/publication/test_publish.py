"""Publishing: the plan for every order of arrival, and the commit loop under conflicts, lost answers and late workers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.contracts.model import Dataset
from pipelines.errors import ClaimLostError, CommitConflictError, TransientError
from pipelines.intake.objects import ObjectVersion
from pipelines.ports import Committed, Conflict, SourceVersion, TableCommit
from pipelines.publication.publish import AcceptedFile, KnownVersion, Plan, Published, make_plan, publish, source_of
from resources.memory_tables import MemoryTables
from tests.publication.samples import dataset, object_version, row, source, stage

V1, V2, V3 = (object_version("k", f"v{n}", n) for n in (1, 2, 3))
OTHER = object_version("other", "o1", 9)


def accepted(*versions: ObjectVersion) -> list[AcceptedFile]:
    return [AcceptedFile(v) for v in versions]


def rows(*versions: ObjectVersion) -> dict[SourceVersion, int]:
    return {source_of(v): 10 for v in versions}


# ---- the plan -------------------------------------------------------------------------------------------------------


def test_a_first_version_is_published() -> None:
    assert make_plan(accepted(V1, OTHER), [], {}) == Plan((V1, OTHER), (), ())


def test_a_higher_version_takes_the_lower_ones_rows_out() -> None:
    assert make_plan(accepted(V2), [KnownVersion(V1)], rows(V1)) == Plan((V2,), (), (source_of(V1),))


def test_a_lower_version_that_comes_late_stays_out() -> None:
    plan = make_plan(accepted(V1), [KnownVersion(V2)], rows(V2))
    assert plan == Plan((), (V1,), ())
    assert plan.empty


def test_a_higher_version_that_has_no_rows_and_no_verdict_does_not_count() -> None:
    assert make_plan(accepted(V1), [KnownVersion(V2)], {}) == Plan((V1,), (), ())


def test_a_higher_accepted_version_counts_even_if_it_is_empty() -> None:
    assert make_plan(accepted(V1), [KnownVersion(V2, accepted=True)], {}) == Plan((), (V1,), ())


def test_of_two_versions_in_one_batch_the_higher_serves() -> None:
    assert make_plan(accepted(V2, V1), [], {}) == Plan((V2,), (V1,), ())


def test_between_two_versions_the_lower_goes_and_the_higher_stays() -> None:
    plan = make_plan(accepted(V2), [KnownVersion(V1), KnownVersion(V3)], rows(V1, V3))
    assert plan == Plan((), (V2,), (source_of(V1),))


def test_a_version_processed_again_replaces_its_rows() -> None:
    assert make_plan(accepted(V1), [KnownVersion(V1)], rows(V1)) == Plan((V1,), (), (source_of(V1),))


def test_a_retracted_version_goes_and_uncovers_nothing_by_itself() -> None:
    assert make_plan([], [KnownVersion(V2, retracted=True)], rows(V2)) == Plan((), (), (source_of(V2),))
    assert make_plan(accepted(V1), [KnownVersion(V2, retracted=True)], rows(V2)) == Plan((V1,), (), (source_of(V2),))
    assert make_plan(accepted(V1), [KnownVersion(V1, retracted=True)], {}) == Plan((), (), (), (V1,))


@given(st.permutations(range(5)), st.sets(st.integers(0, 4)), st.lists(st.integers(1, 3), min_size=1, max_size=4))
def test_whatever_the_order_of_arrival_the_highest_accepted_version_is_left(
    order: list[int], bad: set[int], sizes: list[int]
) -> None:
    versions = [object_version("k", f"v{n}", n) for n in range(5)]
    table: set[ObjectVersion] = set()
    seen: list[ObjectVersion] = []
    chunks = itertools.cycle(sizes)
    waiting = list(order)
    while waiting:
        size = next(chunks)
        batch, waiting = [versions[n] for n in waiting[:size]], waiting[size:]
        good = [v for v in batch if int(v.version_id[1]) not in bad]
        plan = make_plan(accepted(*good), [KnownVersion(v) for v in seen], {source_of(v): 1 for v in table})
        table = {v for v in table if source_of(v) not in plan.removes} | set(plan.serves)
        seen += batch
    good_ones = [v for n, v in enumerate(versions) if n not in bad]
    assert table == set(good_ones[-1:])


# ---- the loop -------------------------------------------------------------------------------------------------------


@dataclass
class Worker:
    """Publishes into tables that other workers share; the ledger is a list that knows every version."""

    tables: MemoryTables
    scratch: Path
    of: Dataset = field(default_factory=dataset)
    ledger: list[ObjectVersion] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tables.ensure(self.of)

    def publish(
        self,
        batch_id: str,
        files: Mapping[ObjectVersion, Sequence[int]],
        before_commit: Callable[[], None] = lambda: None,
        max_tries: int = 12,
    ) -> Published:
        for version in files:
            if version not in self.ledger:
                self.ledger.append(version)
        staged = stage(
            self.of, {source_of(v): [row(n) for n in ids] for v, ids in files.items()}, self.scratch, batch_id
        )
        return publish(
            self.tables,
            self.of,
            batch_id,
            accepted(*files),
            staged,
            lambda: [KnownVersion(v) for v in self.ledger if v.key in {f.key for f in files}],
            before_commit=before_commit,
            max_tries=max_tries,
            pause=self.pauses.append,
        )

    def held(self) -> dict[SourceVersion, int]:
        return dict(self.tables.sources(self.of))


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(MemoryTables(), tmp_path)


def test_publishing_says_what_it_did(worker: Worker) -> None:
    worker.publish("b1", {V1: [1, 2], OTHER: [3]})
    published = worker.publish("b2", {V2: [4]})
    assert published.commit is not None
    assert (published.commit.rows_added, published.commit.rows_removed) == (1, 2)
    assert published.replaced == {source_of(V1): 2}
    assert [dict(f.rows_by_source) for f in published.files] == [{"v2": 1}]
    assert worker.held() == {source_of(V2): 1, source_of(OTHER): 1}


def test_publishing_twice_is_publishing_once(worker: Worker) -> None:
    first = worker.publish("b1", {V1: [1, 2]})
    again = worker.publish("b1", {V1: [1, 2]})
    assert (again.commit, again.found) == (first.commit, True)
    assert worker.held() == {source_of(V1): 2}


def test_a_superseded_file_leaves_its_neighbours_in_the_shared_parquet_file(worker: Worker) -> None:
    worker.publish("b2", {V2: [5]})
    published = worker.publish("b1", {V1: [1, 2], OTHER: [3, 4]})
    assert published.superseded == (V1,)
    assert published.commit is not None
    assert published.commit.rows_added == 2
    assert worker.held() == {source_of(V2): 1, source_of(OTHER): 2}


def test_nothing_to_change_is_no_commit(worker: Worker) -> None:
    worker.publish("b2", {V2: [5]})
    before = worker.tables.current(worker.of)
    published = worker.publish("b1", {V1: [1]})
    assert (published.commit, published.superseded) == (None, (V1,))
    assert worker.tables.current(worker.of) == before


def test_a_file_without_rows_replaces_the_older_rows(worker: Worker) -> None:
    worker.publish("b1", {V1: [1, 2]})
    published = worker.publish("b2", {V2: []})
    assert published.commit is not None
    assert (published.commit.rows_added, published.commit.rows_removed) == (0, 2)
    assert worker.held() == {}


def test_a_version_of_another_batch_is_replaced_not_doubled(worker: Worker) -> None:
    worker.publish("b1", {V1: [1, 2]})
    published = worker.publish("b2", {V1: [1, 2, 3]})
    assert published.replaced == {source_of(V1): 2}
    assert worker.held() == {source_of(V1): 3}


def test_a_conflict_is_planned_again_on_what_the_other_writer_left(worker: Worker) -> None:
    calls = itertools.count()

    def rival_comes_first() -> None:
        if next(calls) == 0:
            worker.publish("rival", {V3: [9]})

    published = worker.publish("b1", {V1: [1], OTHER: [2]}, before_commit=rival_comes_first)
    assert (published.superseded, published.tries) == ((V1,), 2)
    assert worker.held() == {source_of(V3): 1, source_of(OTHER): 1}
    assert len(worker.pauses) == 1
    assert 0 <= worker.pauses[0] <= 2


def test_endless_conflicts_end_as_a_transient_fault(worker: Worker) -> None:
    rivals = itertools.count()

    def rival_comes_first() -> None:
        number = next(rivals)
        worker.publish(f"rival{number}", {object_version(f"r{number}"): [1]})

    with pytest.raises(CommitConflictError, match="3 times"):
        worker.publish("b1", {V1: [1]}, before_commit=rival_comes_first, max_tries=3)
    assert source_of(V1) not in worker.held()


def test_a_worker_that_wakes_up_late_finds_its_work_done(worker: Worker) -> None:
    published = worker.publish("b1", {V1: [1]}, before_commit=lambda: discard(worker.publish("b1", {V1: [1]})))
    assert published.found
    assert worker.held() == {source_of(V1): 1}


def test_a_worker_that_lost_its_claim_writes_nothing(worker: Worker) -> None:
    def lost() -> None:
        raise ClaimLostError("another worker has the batch")

    with pytest.raises(ClaimLostError):
        worker.publish("b1", {V1: [1]}, before_commit=lost)
    assert worker.held() == {}


def discard(_: object) -> None:
    """Make a statement of an expression."""


class Unreliable(MemoryTables):
    """Loses answers: the first commits go through, or not, and say that nothing is known."""

    def __init__(self, outcomes: Sequence[bool]) -> None:
        super().__init__()
        self.outcomes = iter(outcomes)

    def commit(self, dataset: Dataset, change: TableCommit) -> Committed | Conflict:
        applied = next(self.outcomes, None)
        if applied is None:
            return super().commit(dataset, change)
        if applied:
            super().commit(dataset, change)
        raise TransientError("the answer was lost")


@pytest.mark.parametrize("outcomes", [(True,), (False,), (False, False, True), (False, False, False)])
def test_a_lost_answer_is_looked_up_never_guessed(tmp_path: Path, outcomes: tuple[bool, ...]) -> None:
    worker = Worker(Unreliable(outcomes), tmp_path)
    published = worker.publish("b1", {V1: [1, 2]})
    assert published.commit is not None
    assert published.found == outcomes[-1]
    assert worker.held() == {source_of(V1): 2}


def test_a_catalog_that_keeps_failing_is_a_transient_fault(tmp_path: Path) -> None:
    worker = Worker(Unreliable([False] * 3), tmp_path)
    with pytest.raises(TransientError, match="lost"):
        worker.publish("b1", {V1: [1]}, max_tries=3)
    assert worker.held() == {}


def test_a_commit_applied_on_the_last_try_is_still_found(tmp_path: Path) -> None:
    worker = Worker(Unreliable([False, True]), tmp_path)
    assert worker.publish("b1", {V1: [1]}, max_tries=2).found


def test_a_version_being_committed_counts_once_its_commit_is_in_the_table(worker: Worker) -> None:
    """An accepted empty version has no rows to be seen by: its batch is what tells."""
    worker.publish("empty", {V2: []})
    staged = stage(worker.of, {source_of(V1): [row(1)]}, worker.scratch, "b1")

    def publish_under(committing: str, batch_id: str) -> Published:
        known = [KnownVersion(V2, committing=committing)]
        return publish(worker.tables, worker.of, batch_id, accepted(V1), staged, lambda: known)

    assert publish_under("empty", "b1").superseded == (V1,)
    assert publish_under("not yet", "b2").superseded == ()


def test_the_ledger_is_asked_after_the_table() -> None:
    """A version committed between the two must be seen: the other order would publish below it."""
    asked: list[str] = []

    class Watched(MemoryTables):
        def current(self, dataset: Dataset):
            asked.append("table")
            return super().current(dataset)

    tables, of = Watched(), dataset()
    tables.ensure(of)

    def known() -> list[KnownVersion]:
        asked.append("ledger")
        return []

    publish(tables, of, "b1", accepted(V1), (), known)
    assert asked == ["table", "ledger"]


@settings(max_examples=60, deadline=None)
@given(
    arrivals=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 5), st.sampled_from(["fine", "applied", "lost", "rival"])),
        max_size=12,
    )
)
def test_in_the_end_each_key_has_the_rows_of_its_highest_version(
    tmp_path_factory: pytest.TempPathFactory, arrivals: list[tuple[int, int, str]]
) -> None:
    class Shaky(MemoryTables):
        fault = "fine"

        def commit(self, dataset: Dataset, change: TableCommit) -> Committed | Conflict:
            fault, self.fault = self.fault, "fine"
            if fault == "lost":
                raise TransientError("lost before")
            outcome = super().commit(dataset, change)
            if fault == "applied":
                raise TransientError("lost after")
            return outcome

    tables = Shaky()
    worker = Worker(tables, tmp_path_factory.mktemp("scratch"))
    best: dict[str, tuple[int, ObjectVersion]] = {}
    for number, (key, order, fault) in enumerate(arrivals):
        version = object_version(f"key{key}", f"v{order}", order)
        tables.fault = fault
        ids = list(range(order + 1))
        rival = object_version(f"key{key}", "v4", 4)

        def come_first(fault: str = fault, rival: ObjectVersion = rival, number: int = number) -> None:
            if fault == "rival" and tables.find_batch(worker.of, f"rival{number}") is None:
                worker.publish(f"rival{number}", {rival: list(range(5))})

        worker.publish(f"b{number}", {version: ids}, before_commit=come_first)
        # A version that is superseded on arrival commits nothing: then the rival had no commit to come before.
        came = tables.find_batch(worker.of, f"rival{number}") is not None
        for candidate in [version, *([rival] if came else [])]:
            rank = candidate.sequencer.number if candidate.sequencer else 0
            if rank >= best.get(candidate.key, (-1, candidate))[0]:
                best[candidate.key] = rank, candidate
    assert worker.held() == {source_of(v): rank + 1 for rank, v in best.values()}


def test_sources_name_versions_as_tables_do() -> None:
    assert source_of(V1) == source("k", "v1")


def test_beside_another_table_retracted_rows_wait_until_they_are_out_of_that_one() -> None:
    known = [KnownVersion(V2, retracted=True, own=True)]
    assert make_plan(accepted(V1), known, rows(V2), loaded=rows(V2)) == Plan((V1,), (), ())
    assert make_plan([], known, rows(V2), loaded={}) == Plan((), (), (source_of(V2),))
