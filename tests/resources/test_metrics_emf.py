"""Lines for CloudWatch: they hold to the format's specification, and add up to what was measured."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from pipelines.telemetry import metrics as m
from pipelines.telemetry.metrics import Metric
from resources.telemetry_emf import emf_documents
from resources.telemetry_metrics import OtelMeter, metrics_settings
from tests.ingest.world import BAD, World, orders, orders_key

UNITS = {"Seconds", "Bytes", "Count"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "emf.jsonl"


@pytest.fixture
def meter(file: Path) -> OtelMeter:
    settings = metrics_settings({"LAKEGATE_METRICS": "emf", "LAKEGATE_EMF_FILE": str(file)})
    assert settings is not None
    return OtelMeter(settings)


def documents(file: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in file.read_text().splitlines()]
    for document in found:
        hold_to_specification(document)
    return found


def hold_to_specification(document: dict[str, Any]) -> None:
    """What AWS's page "Specification: Embedded metric format" demands, and its JSON schema."""
    assert len(json.dumps(document)) <= 256 * 1024
    about = document["_aws"]
    assert type(about["Timestamp"]) is int
    assert about["CloudWatchMetrics"]
    for directive in about["CloudWatchMetrics"]:
        assert directive.keys() == {"Namespace", "Dimensions", "Metrics"}
        assert 1 <= len(directive["Namespace"]) <= 255
        assert len(directive["Dimensions"]) >= 1
        assert 1 <= len(directive["Metrics"]) <= 100
        names = [metric["Name"] for metric in directive["Metrics"]]
        assert len(set(names)) == len(names)
        for dimensions in directive["Dimensions"]:
            assert len(dimensions) <= 9
            for name in dimensions:
                assert isinstance(document[name], str)
                assert re.fullmatch(r"[\x20-\x7e]{1,255}", document[name])
        for metric in directive["Metrics"]:
            assert metric.keys() <= {"Name", "Unit"}
            assert 1 <= len(metric["Name"]) <= 255
            assert metric["Unit"] in UNITS
            value = document[metric["Name"]]
            assert isinstance(value, float) or (isinstance(value, list) and 1 <= len(value) <= 100)
            assert all(isinstance(one, float) for one in (value if isinstance(value, list) else [value]))


Series = dict[tuple[str, tuple[str, ...]], list[float]]


def series(found: list[dict[str, Any]]) -> Series:
    """The values that CloudWatch would take, by metric and dimensions."""
    taken: Series = defaultdict(list)
    for document in found:
        for directive in document["_aws"]["CloudWatchMetrics"]:
            for dimensions in directive["Dimensions"]:
                for metric in directive["Metrics"]:
                    value = document[metric["Name"]]
                    labels = tuple(f"{name}={document[name]}" for name in dimensions)
                    taken[metric["Name"], labels] += value if isinstance(value, list) else [value]
    return taken


def test_what_a_day_tells_holds_to_the_specification_and_adds_up(meter: OtelMeter, file: Path) -> None:
    world = World(meter=meter)
    for number in range(5):
        world.put(orders_key(f"09{number:02}"), orders(number))
    world.put(orders_key("1000"), BAD)
    world.settle_down()
    meter.close()

    found = series(documents(file))

    settled = "lakegate.files.settled"
    assert sum(found[settled, ()]) == sum(found[settled, ("dataset=orders",)]) == 6
    assert sum(found[settled, ("outcome=quarantined",)]) == 1
    assert sum(found[settled, ("dataset=orders", "outcome=loaded")]) == 5
    assert len(found["lakegate.file.lag", ()]) == 5
    assert sum(found["lakegate.rows.loaded", ()]) == 5
    assert "0900" not in file.read_text()


def test_each_export_tells_what_is_new(meter: OtelMeter, file: Path) -> None:
    for number in (3, 4):
        meter.tell((m.ROWS_READ.of(number, dataset="orders"),))
        meter._working.readers[0].collect()
    meter.close()
    assert series(documents(file))["lakegate.rows.read", ()] == [3.0, 4.0]


def test_the_total_of_a_gauge_is_a_maximum_or_a_sum_and_never_added_up_twice(meter: OtelMeter, file: Path) -> None:
    meter.tell(
        (
            m.OLDEST_UNCOMMITTED.of(50, dataset="orders"),
            m.OLDEST_UNCOMMITTED.of(7, dataset="clicks"),
            m.FILES.of(2, dataset="orders", state="failed"),
            m.FILES.of(3, dataset="clicks", state="failed"),
            m.FILES.of(40, dataset="clicks", state="loaded"),
        )
    )
    meter.close()
    found = series(documents(file))
    assert found["lakegate.files.oldest_uncommitted_age", ()] == [50.0]
    assert found["lakegate.files.oldest_uncommitted_age", ("dataset=clicks",)] == [7.0]
    assert found["lakegate.files", ("state=failed",)] == [5.0]
    assert found["lakegate.files", ("dataset=clicks",)] == [43.0]
    assert found["lakegate.files", ("dataset=clicks", "state=loaded")] == [40.0]


def test_a_gauge_that_nobody_set_again_is_not_told_again(meter: OtelMeter, file: Path) -> None:
    meter.tell((m.DEAD_LETTERS.of(3),))
    for _ in range(3):
        meter._working.readers[0].collect()
    meter.close()
    assert series(documents(file))["lakegate.dead_letters", ()] == [3.0]


@pytest.mark.parametrize("measured", [1, 2, 100, 101, 999])
def test_a_histogram_keeps_its_count_and_its_range(meter: OtelMeter, file: Path, measured: int) -> None:
    meter.tell(m.FILE_LAG.of(0.3 + number, dataset="orders") for number in range(measured))
    meter.close()
    values = series(documents(file))["lakegate.file.lag", ("dataset=orders",)]
    assert len(values) == measured
    assert min(values) >= 0.3
    assert max(values) <= 0.3 + measured - 1
    if measured == 1:
        assert values == [0.3]


def test_of_very_many_values_a_share_of_each_bucket_is_told(meter: OtelMeter, file: Path) -> None:
    meter.tell(m.QUEUE_LAG.of(0.5) for _ in range(30_000))
    meter.tell((m.QUEUE_LAG.of(4000),))
    meter.close()
    values = series(documents(file))["lakegate.queue.lag", ()]
    assert 1000 <= len(values) <= 1020
    assert max(values) > 3600


def test_a_line_has_at_most_a_hundred_metrics() -> None:
    many = [Metric(f"lakegate.x{n}", m.Kind.COUNTER, "s", (), "X.", "X.") for n in range(250)]
    found = list(emf_documents([(metric, (), [1.0]) for metric in many], "Lakegate", {}, 1))
    for document in found:
        hold_to_specification(document)
    assert [len(document["_aws"]["CloudWatchMetrics"][0]["Metrics"]) for document in found] == [100, 100, 50]


def test_without_a_file_lines_go_to_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    settings = metrics_settings({"LAKEGATE_METRICS": "emf", "LAKEGATE_METRICS_NAMESPACE": "Ours"})
    assert settings is not None
    meter = OtelMeter(settings)
    meter.tell((m.DEAD_LETTERS.of(1),))
    meter.close()
    [line] = capfd.readouterr().out.splitlines()
    assert json.loads(line)["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Ours"


def test_a_file_that_was_moved_away_is_made_anew(meter: OtelMeter, file: Path) -> None:
    meter.tell((m.DEAD_LETTERS.of(1),))
    meter._working.readers[0].collect()
    file.rename(file.with_suffix(".old"))
    meter.tell((m.DEAD_LETTERS.of(2),))
    meter.close()
    assert series(documents(file))["lakegate.dead_letters", ()] == [2.0]
