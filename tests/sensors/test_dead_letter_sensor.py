"""The dead-letter sensor, evaluated as the daemon does it: what people see, and that nothing is told twice."""

from typing import Any

import dagster as dg
import pytest

from assets.dead_letters import CHECK, KEY, build_dead_letters
from tests.assets.stage import OpenGate, Stage, departures, key
from tests.ingest.world import event_body

SCRIPT = "landing/departures/2024-02-01/`|<script>alert(1)</script>|[x](http://x).csv"


def tick(stage: Stage, cursor: str | None = None) -> Any:
    with dg.build_sensor_context(
        instance=stage.instance,
        repository_def=stage.repository,
        cursor=cursor,
        resources={"gate": OpenGate(stage.gate)},
    ) as context:
        return stage.repository.get_sensor_def("dead_letter_sensor").evaluate_tick(context)


def told(found: Any) -> tuple[dg.AssetMaterialization, dg.AssetCheckEvaluation]:
    [seen, verdict] = found.asset_events
    assert (seen.asset_key, verdict.asset_key, verdict.check_name) == (KEY, KEY, CHECK)
    return seen, verdict


def test_each_reason_is_a_line_of_the_table_and_the_check_is_red(stage: Stage) -> None:
    version = stage.world.put(key("2024-02-01"), departures(1), events=0)
    stage.world.dead_letters.send(event_body(version, stage.world.clock()))
    stage.world.dead_letters.send("not an event: secret")
    stage.world.dead_letters.send("not one either")
    seen, verdict = told(tick(stage))
    assert seen.description == "3 dead letters: 1 not_registered, 2 not_understood. See `lakegate dlq list`."
    table = str(seen.metadata["reasons"].value)
    rows = table.splitlines()[2:]
    assert [row.split(" | ")[:3] for row in rows] == [
        ["| not\\_registered", "1", "2024-03-10 12:00:00"],
        ["| not\\_understood", "2", "2024-03-10 12:00:00"],
    ]
    assert "landing/departures/2024\\-02\\-01/a\\.csv" in rows[0]
    assert "secret" not in table
    assert (verdict.passed, verdict.severity) == (False, dg.AssetCheckSeverity.ERROR)


def test_what_strangers_write_breaks_no_table(stage: Stage) -> None:
    version = stage.world.put(SCRIPT, departures(1), events=0)
    stage.world.dead_letters.send(event_body(version, stage.world.clock()))
    seen, _ = told(tick(stage))
    [row] = str(seen.metadata["reasons"].value).splitlines()[2:]
    assert "<script" not in row
    assert "\\`\\|&lt;script\\>" in row
    assert row.replace("\\|", "").count("|") == 6


def test_nothing_new_is_told_while_nothing_has_changed(stage: Stage) -> None:
    first = tick(stage)
    seen, verdict = told(first)
    assert (seen.description, verdict.passed) == ("There are no dead letters.", True)
    assert tick(stage, first.cursor).skip_message == "0 dead letters, as before"
    stage.world.dead_letters.send("not an event")
    second = tick(stage, first.cursor)
    assert not told(second)[1].passed
    again = tick(stage, second.cursor)
    assert (again.asset_events, again.cursor, again.skip_message) == ([], second.cursor, "1 dead letter, as before")
    [message] = stage.world.dead_letters.receive(0)
    stage.world.dead_letters.delete([message.receipt])
    assert told(tick(stage, second.cursor))[1].passed


def test_letters_in_other_hands_are_no_all_clear(stage: Stage) -> None:
    stage.world.dead_letters.send("not an event")
    first = tick(stage)
    stage.world.dead_letters.receive(0)
    hidden = tick(stage, first.cursor)
    assert hidden.asset_events == []
    assert "in other hands" in hidden.skip_message


def test_bodies_are_not_logged(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.world.dead_letters.send("not an event: secret")
    tick(stage)
    assert "secret" not in caplog.text


def test_the_check_run_by_hand_repeats_what_the_sensor_saw(stage: Stage) -> None:
    stage.world.dead_letters.send("not an event")
    _, check = build_dead_letters()

    def run() -> Any:
        return check(dg.build_asset_check_context(instance=stage.instance))

    assert (run().passed, run().description) == (False, "the dead-letter sensor has not looked yet: is it running?")
    seen, _ = told(tick(stage))
    stage.instance.report_runless_asset_event(seen)
    assert (run().passed, run().description) == (False, seen.description)
