"""What happens around a run in a worker process, told as Celery tells it."""

import os
from pathlib import Path

import dagster as dg
import pytest
from celery import signals
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import pack_value

from lakegate.workers import execution, warmth
from lakegate.workers.lost import MESSAGE, report_lost
from lakegate.workers.notes import FOLDER_VARIABLE, notes
from pipelines.reading import spare
from tests.assets.stage import DEPARTURES


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "datasets"
    folder.mkdir()
    (folder / "departures.yaml").write_text(DEPARTURES)
    monkeypatch.setenv("LAKEGATE_DATASETS", str(folder))
    (tmp_path / "notes").mkdir()
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "notes"))
    monkeypatch.setattr(spare, "prepare", lambda: None)
    return folder


def test_a_run_is_noted_from_its_begin_to_its_end(datasets: Path, tmp_path: Path) -> None:
    repository = RepositoryPythonOrigin("python", ModuleCodePointer("lakegate.definitions", "defs"))
    arguments = ExecuteRunArgs(
        job_origin=JobPythonOrigin("ingest_departures", repository), run_id="run-1", instance_ref=None
    )
    execution.connect()
    told = {"kwargs": {"execute_job_args_packed": pack_value(arguments)}, "args": (), "task": None}
    signals.task_prerun.send(sender=None, task_id="task-1", **told)
    [note] = notes(tmp_path / "notes")
    assert (note.run_id, note.pid, note.is_alive) == ("run-1", os.getpid(), True)
    signals.task_postrun.send(sender=None, task_id="task-1", retval=None, state="SUCCESS", **told)
    assert list(notes(tmp_path / "notes")) == []


def test_dagster_forgets_the_job_it_holds_when_a_dataset_file_changes_and_only_then(datasets: Path) -> None:
    def described() -> str:
        warmth.refresh()
        job = ReconstructableJob(
            ReconstructableRepository.for_module("lakegate.definitions", "defs"), "ingest_departures"
        )
        return job.get_definition().asset_layer.get(dg.AssetKey(["departures"])).description or ""

    first = described()
    assert described() is first
    path = datasets / "departures.yaml"
    path.write_text(DEPARTURES.replace("description: ", "description: Changed. ", 1))
    assert "Changed. " not in first
    assert "Changed. " in described()


def test_a_lost_run_is_marked_failed_once_and_one_that_ended_is_left_alone() -> None:
    @dg.job
    def empty() -> None: ...

    with dg.DagsterInstance.ephemeral() as instance:
        ended = empty.execute_in_process(instance=instance).dagster_run
        lost = instance.create_run_for_job(empty)
        assert report_lost(instance, [ended.run_id, lost.run_id, "never-heard-of"]) == [lost.run_id]
        assert report_lost(instance, [lost.run_id]) == []
        found = instance.get_run_by_id(lost.run_id)
        assert found is not None
        assert found.status is dg.DagsterRunStatus.FAILURE
        assert MESSAGE in [e.message for e in instance.all_logs(lost.run_id)]
