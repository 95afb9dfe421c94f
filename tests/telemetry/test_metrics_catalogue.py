"""The catalogue holds together, and a measurement fits it."""

import re
from dataclasses import fields

import pytest

from pipelines.accounting.states import Outcome
from pipelines.intake.sweep_report import DatasetSweep
from pipelines.reports import FileEnding, Stage
from pipelines.telemetry import metrics
from pipelines.telemetry.metrics import CATALOGUE, LABELS, NO_METER, Kind, Metric


def test_every_metric_of_the_module_is_in_the_catalogue_once() -> None:
    defined = [value for value in vars(metrics).values() if isinstance(value, Metric)]
    assert sorted(m.name for m in defined) == sorted(m.name for m in CATALOGUE)
    assert len({m.name for m in CATALOGUE}) == len(CATALOGUE)


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda m: m.name)
def test_a_metric_says_all_that_exporters_and_readers_need(metric: Metric) -> None:
    assert re.fullmatch(r"lakegate(\.[a-z_]+)+", metric.name)
    assert set(metric.labels) <= LABELS.keys()
    assert re.fullmatch(r"s|By|\{[a-z]+\}", metric.unit)
    assert metric.meaning.endswith(".")
    assert metric.watch.endswith(".")
    assert bool(metric.bounds) == (metric.kind is Kind.HISTOGRAM)
    assert list(metric.bounds) == sorted(set(metric.bounds))


def test_labels_name_the_values_that_the_code_has() -> None:
    assert set(LABELS["outcome"].values) == {ending.value for ending in FileEnding}
    assert set(LABELS["state"].values) == {outcome.value for outcome in Outcome}
    assert set(LABELS["stage"].values) == {stage.value for stage in Stage}
    assert set(LABELS["kind"].values) <= {field.name for field in fields(DatasetSweep)}
    for label in LABELS.values():
        assert label.count > 0
        assert all(re.fullmatch(r"[A-Za-z0-9_.:-]{1,64}", value) for value in label.values)


def test_a_measurement_with_other_labels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"lakegate\.files\.settled has the labels dataset, outcome"):
        metrics.FILES_SETTLED.of(1, dataset="flights")
    with pytest.raises(ValueError, match="key"):
        metrics.DEAD_LETTERS.of(1, key="landing/flights/a.csv")


def test_nobody_looks_at_measurements_that_nobody_wants() -> None:
    def never() -> "metrics.Iterable[metrics.Record]":
        raise AssertionError("measured")
        yield

    NO_METER.tell(never())
    NO_METER.flush()
