"""The ledger against a dictionary: any order of events, duplicates, crashes, takeovers and verdicts ends as the dictionary says."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from pipelines.accounting.balance import balance
from pipelines.accounting.entries import Claim, Facts, Planned, RetryPolicy, VersionRef
from pipelines.accounting.ledger import Ledger
from pipelines.accounting.outcomes import FileDeferred, FileEmpty, FileFailed
from pipelines.accounting.states import BatchState, Outcome, State, Trigger
from pipelines.errors import ClaimLostError
from resources.memory import MemoryItemStore
from tests.accounting.books import BUCKET, DAY, HandClock, bad, batch_of, good, sighting
from tests.accounting.fragile import assert_counters_are_sums

KEYS = ["landing/flights/a.csv", "landing/flights/b.csv"]
ALL_PLACES = [(key, sequence) for key in KEYS for sequence in range(1, 5)]
PLACES = st.sampled_from(ALL_PLACES)


@dataclass
class Truth:
    """What must be true of one version. `verdict` is the last that was settled; `accepted` whether one ever was."""

    duplicates: int = 0
    verdict: str = "pending"
    accepted: bool = False


class LedgerMachine(RuleBasedStateMachine):
    """Files have a verdict of their own, as real ones do: which, is decided by (key, sequence)."""

    claims: Bundle[Any] = Bundle("claims")

    @initialize(verdicts=st.fixed_dictionaries({p: st.sampled_from(["good", "bad", "empty"]) for p in ALL_PLACES}))
    def begin(self, verdicts: dict[tuple[str, int], str]) -> None:
        self.store = MemoryItemStore()
        self.clock = HandClock()
        self.ledger = Ledger(self.store, self.clock, policy=RetryPolicy(max_attempts=1000), pause=lambda _: None)
        self.verdicts = verdicts
        self.truth: dict[tuple[str, int], Truth] = {}
        self.epochs: dict[str, int] = {}

    def _place(self, ref: VersionRef) -> tuple[str, int]:
        return next(p for p in self.truth if sighting(*p).ref == ref)

    def _outcome(self, ref: VersionRef) -> Any:
        verdict = self.verdicts[self._place(ref)]
        return {"good": good, "bad": bad, "empty": lambda r: FileEmpty(r, Facts())}[verdict](ref)

    @rule(places=st.lists(PLACES, min_size=1, max_size=6))
    def register(self, places: list[tuple[str, int]]) -> None:
        told = self.ledger.register([sighting(*place) for place in places])
        fresh = {place for place in places if place not in self.truth}
        assert {sighting(*p).ref for p in fresh} == set(told.new)
        for place in places:
            if place in fresh:
                self.truth[place] = Truth()
                fresh.discard(place)
            else:
                self.truth[place].duplicates += 1

    @rule(limit=st.integers(1, 6))
    def plan(self, limit: int) -> None:
        busy = bool(self.ledger.live_batches("flights"))
        due = self.ledger.due("flights")[:limit]
        if not due:
            return
        outcome = self.ledger.plan(batch_of(self.ledger, due))
        assert isinstance(outcome, Planned) != busy

    @rule(target=claims, owner=st.sampled_from(["run-1", "run-2"]))
    def claim(self, owner: str) -> Any:
        for batch in self.ledger.live_batches("flights"):
            claim = self.ledger.claim(batch.batch_id, owner, 30)
            if isinstance(claim, Claim):
                assert claim.epoch > self.epochs.get(claim.batch_id, 0)
                self.epochs[claim.batch_id] = claim.epoch
                return claim
        return multiple()

    def _holds(self, claim: Claim) -> bool:
        batch = self.ledger.batch(claim.batch_id)
        return batch is not None and batch.epoch == claim.epoch and batch.state.value in ("claimed", "committing")

    @rule(claim=claims, data=st.data())
    def settle_some(self, claim: Claim, data: st.DataObject) -> None:
        members = (
            data.draw(st.lists(st.sampled_from(claim.members), unique_by=lambda m: m.ref)) if claim.members else []
        )
        holds = self._holds(claim)
        try:
            self._settle(claim, [m.ref for m in members])
            assert holds or not members or self.ledger.batch(claim.batch_id).state is BatchState.DONE  # pyright: ignore[reportOptionalMemberAccess]
        except ClaimLostError:
            assert not holds

    @rule(limit=st.integers(1, 6))
    def a_healthy_worker_comes_by(self, limit: int) -> None:
        self.plan(limit)
        for batch in self.ledger.live_batches("flights"):
            claim = self.ledger.claim(batch.batch_id, "healthy", 30)
            if isinstance(claim, Claim):
                self.epochs[claim.batch_id] = claim.epoch
                self._settle(claim, [m.ref for m in claim.members])
                self.ledger.finish(claim)

    def _settle(self, claim: Claim, refs: list[VersionRef]) -> None:
        for ref in self.ledger.settle(claim, [self._outcome(ref) for ref in refs]).settled:
            truth = self.truth[self._place(ref)]
            truth.verdict = self.verdicts[self._place(ref)]
            truth.accepted |= truth.verdict == "good"

    @rule(claim=claims)
    def a_worker_sleeps_past_its_lease_and_wakes_up(self, claim: Claim) -> None:
        self.clock.turn(31)
        taken = self.ledger.claim(claim.batch_id, "thief", 30)
        if isinstance(taken, Claim):
            self.epochs[claim.batch_id] = taken.epoch
            if taken.members:
                with pytest.raises(ClaimLostError):
                    self.ledger.settle(claim, [self._outcome(taken.members[0].ref)])
            with pytest.raises(ClaimLostError):
                self.ledger.finish(claim)

    @rule(claim=claims, outcome=st.sampled_from([FileFailed, FileDeferred]))
    def put_one_back(self, claim: Claim, outcome: type[FileFailed | FileDeferred]) -> None:
        if claim.members:
            try:
                self.ledger.settle(claim, [outcome(claim.members[0].ref, "fault")])
            except ClaimLostError:
                assert not self._holds(claim)

    @rule(claim=consumes(claims))
    def finish(self, claim: Claim) -> None:
        holds = self._holds(claim)
        try:
            self.ledger.finish(claim)
        except ClaimLostError:
            assert not holds

    @rule(claim=claims)
    def renew(self, claim: Claim) -> None:
        holds = self._holds(claim)
        try:
            self.ledger.renew(claim, 30)
            assert holds
        except ClaimLostError:
            assert not holds

    @rule(burn=st.booleans())
    def release(self, burn: bool) -> None:
        for batch in self.ledger.live_batches("flights"):
            self.ledger.release(batch.batch_id, "its run failed", burn=burn)
        assert self.ledger.live_batches("flights") == []

    @rule(place=PLACES)
    def make_due(self, place: tuple[str, int]) -> None:
        made = self.ledger.make_due([sighting(*place).ref], Trigger.REPLAY)
        if made.due:
            self.truth[place].verdict = "pending"

    @rule()
    def backfill(self) -> None:
        for ref in self.ledger.make_due(self.ledger.versions_of_days("flights", [DAY]), Trigger.BACKFILL).due:
            self.truth[self._place(ref)].verdict = "pending"

    @rule(seconds=st.sampled_from([1, 31, 4000]))
    def time_passes(self, seconds: int) -> None:
        self.clock.turn(seconds)

    # ---- what must hold at any moment

    @invariant()
    def books_agree_with_the_truth(self) -> None:
        for key in KEYS:
            known = {n: t for (k, n), t in self.truth.items() if k == key}
            entries = {int(e.version.version_id[1:]): e for e in self.ledger.entries(BUCKET, key)}
            assert entries.keys() == known.keys()
            serving = max((n for n, t in known.items() if t.accepted), default=None)
            head = self.ledger.head(BUCKET, key)
            assert head.serving_version == (f"v{serving}" if serving else None)
            for number, entry in entries.items():
                assert entry.serving == (number == serving)
                assert entry.duplicates == known[number].duplicates
                assert entry.outcome in self._possible(known[number], number, serving), (number, entry, known)

    def _possible(self, truth: Truth, number: int, serving: int | None) -> set[Outcome]:
        below = serving is not None and number < serving
        match truth.verdict:
            case "pending":
                # Made due while it served, then a higher version was accepted: it need not be processed any more.
                return {Outcome.PENDING, Outcome.SUPERSEDED} if truth.accepted and below else {Outcome.PENDING}
            case "good":
                return {Outcome.LOADED if number == serving else Outcome.SUPERSEDED}
            case "empty":
                return {Outcome.LOADED} if number == serving else {Outcome.EMPTY}
            case _:
                if number == serving:
                    return {Outcome.LOADED}
                return {Outcome.SUPERSEDED if below else Outcome.QUARANTINED}

    @invariant()
    def counters_are_sums_over_entries(self) -> None:
        assert_counters_are_sums(self.store)
        sheet = balance(self.ledger.counts())
        assert [p for p in sheet.problems if "serve" not in p] == []
        assert sheet.objects == len(self.truth)

    @invariant()
    def at_most_one_batch_of_a_day_lives_and_holds_what_is_planned(self) -> None:
        live = self.ledger.live_batches("flights")
        assert len(live) <= 1
        planned = [
            e
            for key in KEYS
            for e in self.ledger.entries(BUCKET, key)
            if e.state in (State.PLANNED, State.CLAIMED, State.COMMITTING)
        ]
        assert {e.batch_id for e in planned} <= {b.batch_id for b in live}

    def teardown(self) -> None:
        """After rest, nothing is pending and every version has the outcome of its verdict."""
        if not hasattr(self, "ledger"):
            return
        for _ in range(30):
            self.clock.turn(4000)
            for batch in self.ledger.live_batches("flights"):
                self.ledger.release(batch.batch_id, "the end", burn=False)
            due = self.ledger.due("flights")
            if not due:
                break
            batch = batch_of(self.ledger, due)
            self.ledger.plan(batch)
            claim = self.ledger.claim(batch.batch_id, "last")
            assert isinstance(claim, Claim)
            self._settle(claim, [m.ref for m in claim.members])
            self.ledger.finish(claim)
        self.books_agree_with_the_truth()
        sheet = balance(self.ledger.counts())
        assert sheet.problems == ()
        assert sheet.at_rest


LedgerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLedgerModel = LedgerMachine.TestCase
