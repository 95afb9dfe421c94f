"""Runs on warm workers with the real daemon: what killing does, what a changed contract does, and what is left behind."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from lakegate.local.laptop import WORKSPACE
from lakegate.workers.notes import Note, notes
from tests.road.road import Road, environment_kept

pytestmark = pytest.mark.daemon

CONTRACT = """\
name: visits
description: Files of visits; some are long enough to be killed in the middle of.
landing: {key: "landing/visits/{day:%Y-%m-%d}/*.csv", day: day, start: 2024-01-01}
format: {type: csv}
columns:
  day: {type: date, from: key}
  id: {type: bigint, nullable: false}
  note: {type: string, nullable: false}
partition_by: [day]
"""
STRICTER = CONTRACT.replace("id: {type: bigint, nullable: false}", "id: {type: bigint, nullable: false, max: 1000}")
IN_PROOF = pytest.mark.skipif(os.environ.get("LAKEGATE_ALL_DEATHS") != "1", reason="in `make proof`")
_BUSY_LIMIT_S = 240.0
"""On a machine at rest it takes a sixth of that."""
_ROWS_LONG = 1_500_000
_ROWS_A_BLOCK = 100_000
"""Rows are repeated beyond that."""


class Warm:
    """The road with warm workers and one dataset."""

    def __init__(self, road: Road, datasets: Path) -> None:
        self.road, self.datasets = road, datasets
        self.folder = road.laptop.home / "workers"
        self._put = 0

    def put(self, rows: int, first: int = 1) -> str:
        self._put += 1
        key = f"landing/visits/2024-01-{self._put:02d}/{self._put}.csv"
        block = min(rows, _ROWS_A_BLOCK)
        lines = b"".join(b"%d,a note of some length to be read\n" % (first + row) for row in range(block))
        self.road.put(key, b"id,note\n" + lines * (rows // block))
        return key

    def outcome(self, key: str) -> str:
        """What became of the key, once something did."""
        self.road.wait(
            lambda: self.road.outcomes(key) and self.road.outcomes(key) != ["pending"], within_s=_BUSY_LIMIT_S
        )
        return self.road.outcomes(key)[0]

    def at_work(self, key: str) -> Note:
        """The process that has claimed the key's batch."""
        bucket = self.road.deployment.landing_bucket

        def found() -> Note | None:
            entries = self.road.gate.ledger.entries(bucket, key)
            batches = self.road.gate.ledger.live_batches("visits")
            claimed = [b for b in batches if entries and b.batch_id == entries[0].batch_id and b.lease_until]
            mine = [note for note in notes(self.folder) if claimed and note.run_id == claimed[0].owner]
            return mine[0] if mine else None

        return self.road.wait(found)

    def processes(self) -> list[int]:
        """The worker's processes, its main one among them."""
        [keeper] = [s.pid for s in self.road.laptop.status() if s.name == "workers"]
        return sorted(
            p.pid for p in psutil.Process(keeper).children(recursive=True) if "celery" in " ".join(p.cmdline())
        )


@pytest.fixture(scope="module")
def whole_warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    home = tmp_path_factory.mktemp("warm")
    datasets = home / "datasets"
    datasets.mkdir()
    (datasets / "visits.yaml").write_text(CONTRACT)
    with environment_kept():
        road = Road.start(home / "laptop", datasets)
        try:
            road.start_dagster(WORKSPACE, warm_workers=True)
        except BaseException:
            road.laptop.stop()
            raise
    try:
        yield Warm(road, datasets)
    finally:
        with environment_kept():
            road.laptop.stop()
    assert road.left_behind() == []


@pytest.fixture
def warm(whole_warm: Warm) -> Iterator[Warm]:
    with environment_kept():
        os.environ.update(whole_warm.road.environment)
        yield whole_warm


def _kill_the_group(note: Note) -> None:
    os.killpg(os.getpgid(note.pid), signal.SIGKILL)


def _kill_the_process(note: Note) -> None:
    os.kill(note.pid, signal.SIGKILL)


def _kill_the_main_process(note: Note) -> None:
    os.kill(os.getpgid(note.pid), signal.SIGKILL)


@pytest.mark.parametrize(
    "kill",
    [
        _kill_the_group,
        pytest.param(_kill_the_process, marks=IN_PROOF),
        pytest.param(_kill_the_main_process, marks=IN_PROOF),
    ],
)
def test_a_worker_that_is_killed_at_work_is_replaced_and_its_file_is_processed_within_a_minute(
    warm: Warm, kill: Callable[[Note], None]
) -> None:
    key = warm.put(_ROWS_LONG)
    note = warm.at_work(key)
    kill(note)
    killed_at = time.monotonic()
    assert warm.outcome(key) == "loaded"
    took_s = time.monotonic() - killed_at
    if os.getloadavg()[0] < 2 * (os.cpu_count() or 1):
        assert took_s < 60
    assert warm.road.rows(f"SELECT count(*) AS n FROM visits WHERE _source_file = '{key}'") == [{"n": _ROWS_LONG}]
    warm.road.wait(lambda: not list(notes(warm.folder)))


@IN_PROOF
def test_a_run_never_uses_an_old_contract_after_its_file_has_changed(warm: Warm) -> None:
    """Each process has run the job before, and would have it ready still."""
    before = warm.processes()
    for _ in range(3):
        assert warm.outcome(warm.put(1, first=2000)) == "loaded"
    (warm.datasets / "visits.yaml").write_text(STRICTER)
    try:
        outcomes = [warm.outcome(warm.put(1, first=2000)) for _ in range(3)]
    finally:
        (warm.datasets / "visits.yaml").write_text(CONTRACT)
    assert outcomes == ["quarantined"] * 3
    assert warm.outcome(warm.put(1, first=2000)) == "loaded"
    assert warm.processes() == before


@IN_PROOF
def test_a_run_that_a_person_terminates_ends_and_its_process_takes_the_next(warm: Warm) -> None:
    with warm.road.instance() as instance:
        launcher = instance.run_launcher
        key = warm.put(6 * _ROWS_LONG)  # it takes up to three seconds until a run is interrupted
        note = warm.at_work(key)
        assert launcher.terminate(note.run_id)

        def ended() -> bool:
            run = instance.get_run_by_id(note.run_id)
            return run is not None and run.is_finished

        warm.road.wait(ended)
        run = instance.get_run_by_id(note.run_id)
        assert run is not None
        assert run.status.value == "CANCELED"
    assert warm.outcome(key) == "loaded"  # its files are due again, and another run takes them
    assert note.is_alive
