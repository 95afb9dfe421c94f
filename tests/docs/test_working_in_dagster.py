"""The page on working in Dagster holds to the code: tags, order of the queue, forms, sensors, and pictures that are light."""

import re
from pathlib import Path

import dagster as dg
import pytest

from assets import run_tags
from assets.again import build_again_jobs
from assets.keys import LANE_TAG, LAUNCH_TAG, TRIGGER_TAG
from assets.launch_form import WhichFiles
from assets.tables import MAX_DAYS_PER_RUN
from lakegate.definitions import build_defs
from pipelines.accounting.states import Lane, Trigger
from pipelines.contracts.loading import DatasetCatalog
from pipelines.intake.lanes import LaneLimits
from pipelines.intake.planning import RunLimits
from resources.gate import GateResource
from sensors.pools import RUNS_PER_DATASET
from tests.assets.stage import DEPARTURES
from tests.ingest.world import dataset

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "working-in-dagster.md").read_text(encoding="utf-8")
PICTURES = re.findall(r"!\[[^\]]+\]\((images/[^)]+)\)", PAGE)


def rows(first_cell: str) -> list[list[str]]:
    """The table whose head begins with this cell."""
    table = PAGE.split(f"| {first_cell} |", 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_every_tag_of_a_run_is_in_the_table() -> None:
    tags = {
        run_tags.DATASET_TAG,
        run_tags.DAY_TAG,
        run_tags.BATCH_TAG,
        run_tags.TRACE_TAG,
        LAUNCH_TAG,
        LANE_TAG,
        TRIGGER_TAG,
    }
    assert {row[0].strip("`") for row in rows("tag")} == tags
    [triggers] = [row[2] for row in rows("tag") if row[0] == f"`{TRIGGER_TAG}`"]
    assert set(re.findall(r"`(\w+)`", triggers)) == {trigger.value for trigger in Trigger}


def test_the_order_of_the_queue_is_the_one_that_runs_are_tagged_with() -> None:
    written = [int(row[0]) for row in rows("priority")]
    short = int(run_tags.SHORT_RUN["dagster/priority"])
    assert written == sorted({short, *run_tags.PRIORITIES.values(), 0}, reverse=True)
    words = {int(row[0]): row[1] for row in rows("priority")}
    for lane in Lane:
        assert f"the lane `{lane}`" in words[run_tags.PRIORITIES[lane]]
    assert f"up to {MAX_DAYS_PER_RUN} days share one" in PAGE
    assert RUNS_PER_DATASET == 3, "the page says `room for three runs`"
    assert (LaneLimits().runs, LaneLimits().files) == (8, 4000), "the page says `eight runs, or 4,000 files`"
    assert (RunLimits().max_files, RunLimits().max_bytes) == (2000, 256 * 1024**2)


def test_the_form_has_the_fields_and_defaults_of_the_page() -> None:
    written = {row[0].strip("`"): row[1] for row in rows("field")}
    assert written == {"keys": "empty", "force": "true"}
    found = WhichFiles()
    assert (found.keys, found.force) == ([], True)
    assert set(WhichFiles.model_fields) == set(written)


def test_every_sensor_schedule_and_job_that_is_named_exists_and_none_is_left_out() -> None:
    catalog = DatasetCatalog((dataset(DEPARTURES),))
    defs = build_defs(catalog, GateResource(datasets_folder="nowhere"))
    named = {row[0].strip("`") for row in rows("name")}
    assert named == {s.name for s in (*(defs.sensors or ()), *(defs.schedules or ()))}
    for automation in (*(defs.sensors or ()), *(defs.schedules or ())):
        assert isinstance(automation, dg.SensorDefinition | dg.ScheduleDefinition)
        assert automation.description
        assert automation.default_status.value == "RUNNING"
    for job in build_again_jobs(catalog):
        assert f"`{job.name}`" in PAGE


@pytest.mark.parametrize("picture", PICTURES)
def test_a_picture_is_light_and_one_that_the_script_takes(picture: str) -> None:
    path = ROOT / "docs" / picture
    assert path.stat().st_size < 150_000
    assert f'"{path.stem}"' in (ROOT / "benchmarks" / "pictures.py").read_text()
