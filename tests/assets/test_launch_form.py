"""The form of a table's runs: which files of the selected days are processed, and what a wrong entry comes to."""

import re
from typing import Any

import dagster as dg
import pytest

from assets.launch_form import WhichFiles
from tests.assets.stage import Stage, days, departures, key

DAY, NEXT = "2024-02-01", "2024-02-02"


@pytest.fixture
def loaded(stage: Stage) -> Stage:
    stage.world.put(key(DAY, "a"), departures(1))
    stage.world.put(key(DAY, "b"), departures(2))
    stage.world.put(key(NEXT), departures(3))
    stage.world.settle_down()
    return stage


def read(stage: Stage, **config: Any) -> tuple[list[str], str]:
    """The keys that a run of both days read, and its log."""
    done = stage.run(days(DAY, NEXT), config=config)
    assert done.success
    log = "\n".join(entry.user_message for entry in stage.instance.all_logs(done.run_id))
    return sorted(re.findall(r"'(landing/\S+)': loaded", log)), log


def test_as_it_is_the_form_means_every_file(loaded: Stage) -> None:
    assert read(loaded)[0] == [key(DAY, "a"), key(DAY, "b"), key(NEXT)]


def test_keys_choose_files_of_the_selected_days(loaded: Stage) -> None:
    assert read(loaded, keys=[key(DAY, "b")])[0] == [key(DAY, "b")]


def test_without_force_what_is_current_is_left_and_the_log_says_so(loaded: Stage) -> None:
    found, log = read(loaded, force=False)
    assert found == []
    assert "3 of the files were judged by today's contract already and stay as they are" in log


def test_a_mistyped_key_fails_the_run_with_what_to_do_and_changes_nothing(loaded: Stage) -> None:
    done = loaded.run({"dagster/partition": DAY}, config={"keys": ["landing/typo.csv"]}, raises=False)
    assert not done.success
    [event] = done.get_step_failure_events()
    said = event.step_failure_data.user_failure_data
    assert said is not None
    assert "The ledger knows no object under landing/typo.csv. Keys are written as in the bucket" in (
        said.description or ""
    )
    assert set(loaded.world.outcomes().values()) == {"loaded"}


def test_a_field_that_the_form_does_not_have_is_refused_by_the_page(loaded: Stage) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError, match="key"):
        loaded.run({"dagster/partition": DAY}, config={"key": ["a"]})


def test_every_field_is_explained() -> None:
    assert all(field.description for field in WhichFiles.model_fields.values())
