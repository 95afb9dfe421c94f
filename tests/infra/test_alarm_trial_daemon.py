"""Alarms tried with Dagster's own daemon: a day with its runs raises none; `kill -9` and what waits meanwhile raise theirs.

Minutes long, so part of `make proof` (LAKEGATE_ALL_ALARMS=1) and not of `make test`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lakegate.local.laptop import Laptop
from pipelines.contracts.loading import load_datasets
from resources.assembly import open_gate
from resources.environment import Deployment
from tests.infra.alarm_trial import Trial
from tests.road.road import DATASETS, Road, environment_kept

pytestmark = [
    pytest.mark.aws,
    pytest.mark.daemon,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        not os.environ.get("LAKEGATE_ALL_ALARMS"), reason="minutes long: LAKEGATE_ALL_ALARMS=1, make proof"
    ),
]

SPEED = 3
"""A minute is twenty seconds: a tick that waits for messages takes as long."""
OBJECTIVE = {"OldestFileSeconds": "90"}
WITHIN_S = 600


@pytest.fixture
def road(tmp_path: Path) -> Iterator[Road]:
    laptop = Laptop(tmp_path, any_port=True, alarm_speed=SPEED, parameters=OBJECTIVE)
    with environment_kept():
        os.environ["LAKEGATE_DATASETS"] = str(DATASETS)
        try:
            environment = laptop.start() | {"LAKEGATE_DATASETS": str(DATASETS), "LAKEGATE_METRICS": "emf"}
            deployment = Deployment.from_environment(environment)
            yield Road(laptop, environment, deployment, open_gate(deployment, load_datasets(DATASETS)))
        finally:
            laptop.stop()


def test_a_day_with_the_daemon_raises_none_and_its_death_is_told(road: Road, tmp_path: Path) -> None:
    (tmp_path / "trial").mkdir()
    trial = Trial.start(road.deployment, tmp_path / "trial")
    road.start_dagster()

    def wait(holds: Callable[[], bool], what: str) -> float:
        return trial.until(holds, what, ticking=False, within_s=WITHIN_S)

    wait(lambda: "daemon-silent" not in trial.raised(), "the first tick")

    # ---- a normal day: four files, one of them bad
    for number in range(4):
        road.put(f"landing/visits/2026-02-0{number + 1}/a.csv", b"id\n1\n" if number else b"id\nnone\n")
    road.await_rest(4)
    calm = time.monotonic() + 60
    wait(lambda: bool(trial.raised()) or time.monotonic() > calm, "a calm minute")
    assert trial.raised() == set()
    trial.told.clear()

    # ---- a producer sends nonsense
    for number in range(8):
        road.put(f"landing/visits/2026-02-01/bad{number}.csv", b"id\nnone\n")
    wait(lambda: "quarantine-rate" in trial.raised(), "the quarantine rate")

    # ---- kill -9, and a file lands meanwhile: it waits in the queue, where nobody but SQS counts
    assert road.kill_the_daemon() > 0
    killed = time.monotonic()
    road.put("landing/visits/2026-02-09/late.csv", b"id\n1\n")
    wait(lambda: {"daemon-silent", "file-waits"} <= trial.raised(), "silence, and a file that waits")
    assert time.monotonic() - killed >= 90
    road.start_dagster()
    wait(lambda: not trial.raised(), "all is well again")
    told = [(name, state) for name, state, _ in trial.told]
    for name in ("quarantine-rate", "daemon-silent", "file-waits"):
        assert [state for of, state in told if of == name] == ["ALARM", "OK"], told
