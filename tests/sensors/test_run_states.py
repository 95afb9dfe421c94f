"""Dagster's run states in our own words, and which run counts when a launch has several."""

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from assets.keys import LAUNCH_TAG
from pipelines.intake.dispatching import RunState
from sensors.landing import run_states

Status = dg.DagsterRunStatus
# Dagster lets no run be queued without one.
ORIGIN = RemoteJobOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("lakegate"), "__repository__"), "job")


@dg.op
def nothing() -> None: ...


@dg.job
def job() -> None:
    nothing()


@pytest.fixture
def instance() -> dg.DagsterInstance:
    return dg.DagsterInstance.ephemeral()


def make(instance: dg.DagsterInstance, status: Status, launch: str | None = None) -> str:
    tags = {LAUNCH_TAG: launch} if launch else None
    return instance.create_run_for_job(job, status=status, tags=tags, remote_job_origin=ORIGIN).run_id


@pytest.mark.parametrize("status", list(Status))
def test_every_state_of_dagster_has_a_word_of_ours(instance: dg.DagsterInstance, status: Status) -> None:
    make(instance, status, "launch")
    expected = {
        Status.NOT_STARTED: RunState.NOT_STARTED,
        Status.QUEUED: RunState.WAITING,
        Status.STARTING: RunState.WAITING,
        Status.MANAGED: RunState.WAITING,
        Status.STARTED: RunState.STARTED,
        Status.CANCELING: RunState.STARTED,
        Status.SUSPENDED: RunState.WAITING,
        Status.SUCCESS: RunState.SUCCEEDED,
        Status.FAILURE: RunState.FAILED,
        Status.CANCELED: RunState.FAILED,
    }
    assert run_states(instance, ["launch"]) == {"launch": expected[status]}


def test_a_launch_without_a_run_is_left_out(instance: dg.DagsterInstance) -> None:
    make(instance, Status.STARTED, "other")
    assert run_states(instance, ["launch"]) == {}


def test_without_launches_nothing_is_asked(instance: dg.DagsterInstance) -> None:
    make(instance, Status.STARTED, "other")
    assert run_states(instance, []) == {}


@pytest.mark.parametrize("order", [1, -1])
def test_of_several_runs_of_a_launch_the_liveliest_counts(instance: dg.DagsterInstance, order: int) -> None:
    for status in [Status.FAILURE, Status.STARTED, Status.QUEUED][::order]:
        make(instance, status, "launch")
    assert run_states(instance, ["launch"]) == {"launch": RunState.STARTED}


def test_a_run_that_planned_for_itself_is_found_by_its_id(instance: dg.DagsterInstance) -> None:
    mine = make(instance, Status.STARTED)
    make(instance, Status.FAILURE, "launch")
    assert run_states(instance, [mine, "launch"]) == {mine: RunState.STARTED, "launch": RunState.FAILED}


def test_more_launches_than_one_question_holds_are_all_answered(instance: dg.DagsterInstance) -> None:
    launches = [f"launch-{number:03}" for number in range(205)]
    for launch in (launches[0], launches[-1]):
        make(instance, Status.SUCCESS, launch)
    assert run_states(instance, launches) == dict.fromkeys((launches[0], launches[-1]), RunState.SUCCEEDED)
