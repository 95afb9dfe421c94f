"""A process dies, or stops, exactly at the point that the environment names, and nothing is touched where it names none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from pipelines.errors import ConfigurationError
from pipelines.ports import Absent, Check, ItemKey, Put, Update
from resources.assembly import open_gate
from resources.crash_points import CrashPoints
from resources.dynamodb import DynamoItemStore
from resources.environment import Deployment
from resources.memory import MemoryItemStore, MemoryObjectStore

PROCESS = textwrap.dedent(
    """
    import os
    from resources.crash_points import CrashPoints
    from resources.memory import MemoryEventQueue

    points = CrashPoints(os.environ)
    queue = points.around("queue", MemoryEventQueue(lambda: 0.0))
    for _ in range(3):
        queue.send("a message")
        queue.receive(0)
    print("lives")
    """
)


def run(**environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS], env=os.environ | environment, stdout=subprocess.PIPE, cwd=Path.cwd()
    )


@pytest.mark.parametrize(
    ("at", "passed"),
    [
        ("before:queue.receive", ["before:queue.send", "after:queue.send", "before:queue.receive SIGKILL"]),
        ("before:queue.send:2", ["before:queue.send", "after:queue.send", "before:queue.receive", "after:queue.receive",
                                 "before:queue.send SIGKILL"]),
        ("any:2", ["before:queue.send", "after:queue.send SIGKILL"]),
    ],
)  # fmt: skip
def test_it_dies_at_the_point_that_is_named(tmp_path: Path, at: str, passed: list[str]) -> None:
    log = tmp_path / "passed"
    process = run(LAKEGATE_CRASH_AT=at, LAKEGATE_CRASH_LOG=str(log))
    assert process.wait(60) == -signal.SIGKILL
    assert log.read_text().splitlines() == [f"{process.pid} {point}" for point in passed]


def test_it_stops_and_goes_on_when_it_is_woken(tmp_path: Path) -> None:
    process = run(LAKEGATE_STOP_AT="after:queue.send:3")
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    assert psutil.Process(process.pid).status() == psutil.STATUS_STOPPED
    process.send_signal(signal.SIGCONT)
    assert process.communicate(timeout=60)[0] == b"lives\n"


def test_a_point_in_a_file_is_for_the_first_process_that_takes_it(tmp_path: Path) -> None:
    point = tmp_path / "point"
    point.write_text("after:queue.send:2\n")
    assert run(LAKEGATE_CRASH_AT=f"@{point}").wait(60) == -signal.SIGKILL
    second = run(LAKEGATE_CRASH_AT=f"@{point}")
    assert second.communicate(timeout=60)[0] == b"lives\n"


@pytest.mark.parametrize("at", ["", "after:queue.send:9", "after:queue.something else"])
def test_it_lives_where_the_point_is_not_passed(at: str) -> None:
    assert run(LAKEGATE_CRASH_AT=at).communicate(timeout=60)[0] == b"lives\n"


def test_writes_of_the_ledger_are_named_by_what_they_say(tmp_path: Path) -> None:
    log = tmp_path / "passed"
    ledger = CrashPoints({"LAKEGATE_CRASH_LOG": str(log)}).around("ledger", MemoryItemStore())
    batch, version = ItemKey("batch#1", "batch"), ItemKey("object#1", "version#1")
    ledger.write([Put(ItemKey("slots#a", "2024-01-01"), {}), Put(batch, {"state": "claimed"})])
    ledger.write([Update(batch, set_={"lease_until": "2024"})])
    ledger.write([Check(ItemKey("batch#2", "batch"), (Absent(),)), Put(version, {"state": "committed"})])
    ledger.write([Put(ItemKey("datasets", "a"), {})])
    said = [line.split()[1] for line in log.read_text().splitlines()]
    assert [point for point in said if point.startswith("after:")] == [
        "after:ledger.batch-claimed",
        "after:ledger.lease",
        "after:ledger.file-committed",
        "after:ledger.datasets",
    ]


def test_what_streams_is_a_step_until_its_end(tmp_path: Path) -> None:
    log = tmp_path / "passed"
    store = CrashPoints({"LAKEGATE_CRASH_LOG": str(log)}).around("store", MemoryObjectStore())
    store.put_bytes("b", "k", b"", "")
    keys = store.list_keys("b", "")
    assert "after:store.list_keys" not in log.read_text()
    assert list(keys) == ["k"]
    assert "after:store.list_keys" in log.read_text()


def test_nothing_is_wrapped_where_the_environment_asks_for_nothing() -> None:
    store = MemoryObjectStore()
    assert CrashPoints({}).around("store", store) is store


# ---- the gate


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """A deployment that nobody calls."""
    values: Mapping[str, str] = {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    for name in ("LAKEGATE_CRASH_AT", "LAKEGATE_STOP_AT", "LAKEGATE_CRASH_LOG", "LAKEGATE_LEASE_S"):
        monkeypatch.delenv(name, raising=False)
    return Deployment(
        "l", "p", "q", "https://queue", "https://dlq", "https://runs", "ledger", "glue", "work group", "eu-west-1"
    )


def test_the_lease_is_the_one_that_is_configured(nowhere: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.contracts.loading import DatasetCatalog

    assert open_gate(nowhere, DatasetCatalog(())).ledger.lease_s == 30
    monkeypatch.setenv("LAKEGATE_LEASE_S", "2.5")
    assert open_gate(nowhere, DatasetCatalog(())).ledger.lease_s == 2.5
    for wrong in ("", "0", "soon", "1e9", "nan"):
        monkeypatch.setenv("LAKEGATE_LEASE_S", wrong)
        with pytest.raises(ConfigurationError, match=r"LAKEGATE_LEASE_S is .*from 1 to 900"):
            open_gate(nowhere, DatasetCatalog(()))


def test_when_a_dataset_is_paused_is_configured(nowhere: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.contracts.loading import DatasetCatalog

    monkeypatch.setenv("LAKEGATE_PAUSE_AFTER", "20")
    monkeypatch.setenv("LAKEGATE_PAUSE_WAIT_S", "60")
    policy = open_gate(nowhere, DatasetCatalog(())).ledger.pauses.policy
    assert (policy.faults, policy.first_wait_s) == (20, 60)
    monkeypatch.setenv("LAKEGATE_PAUSE_AFTER", "never")
    with pytest.raises(ConfigurationError, match="LAKEGATE_PAUSE_AFTER is 'never': say after how many batches"):
        open_gate(nowhere, DatasetCatalog(()))


def test_the_ports_of_a_gate_are_bare_in_production(nowhere: Deployment) -> None:
    from pipelines.accounting.format_guard import FormatGuard
    from pipelines.contracts.loading import DatasetCatalog
    from pipelines.reading import spare
    from resources.iceberg import IcebergTables
    from resources.s3 import S3ObjectStore
    from resources.sqs import SqsEventQueue

    gate = open_gate(nowhere, DatasetCatalog(()))
    assert (type(gate.store), type(gate.tables), type(gate.queue), gate.reader) == (
        S3ObjectStore, IcebergTables, SqsEventQueue, spare.take
    )  # fmt: skip
    guard = gate.ledger._settlement._books.store
    assert type(guard) is FormatGuard
    assert type(guard._store) is DynamoItemStore
