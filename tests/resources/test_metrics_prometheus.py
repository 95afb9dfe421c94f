"""Metrics for Prometheus: one sum over processes that live and processes that have ended, in names that OpenTelemetry's rule makes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pipelines.telemetry import metrics as m
from pipelines.telemetry.metrics import CATALOGUE, Kind
from pipelines.telemetry.names import prometheus_name
from resources import telemetry_prometheus
from resources.telemetry_metrics import OtelMeter, metrics_settings
from resources.telemetry_prometheus import FolderCollector

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "metrics"


def process(folder: Path) -> OtelMeter:
    """A meter as a process of its own would have."""
    settings = metrics_settings({"LAKEGATE_METRICS": "prometheus", "LAKEGATE_METRICS_DIR": str(folder)})
    assert settings is not None
    return OtelMeter(settings)


def export(meter: OtelMeter) -> None:
    """Have it write its file now."""
    assert meter._working is not None
    meter._working.readers[0].collect()


def families(text: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text)}


def scraped(folder: Path) -> Samples:
    """What Prometheus would read, by its own parser."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(FolderCollector(folder))
    return samples_of(generate_latest(registry).decode())


def samples_of(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families(text).values()
        for sample in family.samples
    }


ORDERS = (("dataset", "orders"),)
READ = ("lakegate_rows_read_total", ORDERS)


def test_processes_are_added_up_those_that_ended_among_them(folder: Path) -> None:
    one, other = process(folder), process(folder)
    one.tell((m.ROWS_READ.of(3, dataset="orders"), m.FILE_LAG.of(4, dataset="orders")))
    other.tell((m.ROWS_READ.of(4, dataset="orders"), m.FILE_LAG.of(50, dataset="orders")))
    export(one)
    export(other)
    assert scraped(folder)[READ] == 7

    one.close()
    other.tell((m.ROWS_READ.of(10, dataset="orders"),))
    export(other)
    for _ in range(2):
        found = scraped(folder)
        assert found[READ] == 17
        assert found["lakegate_file_lag_seconds_count", ORDERS] == 2
        assert found["lakegate_file_lag_seconds_sum", ORDERS] == 54
        assert found["lakegate_file_lag_seconds_bucket", (*ORDERS, ("le", "5.0"))] == 1
        assert found["lakegate_file_lag_seconds_bucket", (*ORDERS, ("le", "+Inf"))] == 2
    other.close()
    assert scraped(folder)[READ] == 17


def test_no_file_is_kept_for_a_process_that_has_ended(folder: Path) -> None:
    for _ in range(5):
        run = process(folder)
        run.tell((m.ROWS_READ.of(1, dataset="orders"),))
        run.close()
    # Each that begins takes those in that have ended; nobody has to serve them for that.
    assert len(list(folder.glob("*.json"))) <= 2
    assert scraped(folder)[READ] == 5
    assert sorted(path.name for path in folder.iterdir()) == ["ended.json", "folder.lock"]


def test_a_process_that_was_killed_is_kept_too(folder: Path) -> None:
    script = """
import os, time
from pipelines.telemetry.metrics import ROWS_READ
from resources.telemetry_metrics import meter_of
meter = meter_of(os.environ)
meter.tell((ROWS_READ.of(6, dataset="orders"),))
meter.flush()
time.sleep(60)
"""
    named = {**os.environ, "LAKEGATE_METRICS": "prometheus", "LAKEGATE_METRICS_DIR": str(folder)}
    with subprocess.Popen([sys.executable, "-c", script], env=named) as child:
        ends = time.monotonic() + 60
        while not (folder.is_dir() and scraped(folder)):
            assert time.monotonic() < ends
            time.sleep(0.05)
        child.send_signal(signal.SIGKILL)
    assert scraped(folder)[READ] == 6
    assert [path.name for path in folder.glob("*.json")] == ["ended.json"]


@pytest.mark.parametrize("step", [(os, "replace"), (telemetry_prometheus, "_remove")], ids=["writing", "removing"])
def test_who_is_killed_while_adding_up_has_counted_nothing_twice(
    folder: Path, monkeypatch: pytest.MonkeyPatch, step: tuple[object, str]
) -> None:
    runs = [process(folder), process(folder)]
    for run in runs:
        run.tell((m.ROWS_READ.of(2, dataset="orders"),))
        export(run)
    for run in runs:
        run.close()

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(*step, die)
        with pytest.raises(KeyboardInterrupt):
            scraped(folder)
    assert scraped(folder)[READ] == 4
    assert scraped(folder)[READ] == 4


def test_of_a_gauge_what_was_set_last_counts_until_it_says_nothing_any_more(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_000_000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    old, new = process(folder), process(folder)
    new.tell((m.DEAD_LETTERS.of(1), m.BOOKS_DIFFERENCES.of(2)))
    export(new)
    now[0] += 10
    old.tell((m.DEAD_LETTERS.of(9),))
    export(old)
    now[0] += 10
    new.tell((m.DEAD_LETTERS.of(4),))
    export(new)
    now[0] += 10
    old.tell((m.ROWS_READ.of(1, dataset="orders"),))
    export(old)  # does not say the 9 again
    assert scraped(folder)["lakegate_dead_letters", ()] == 4
    now[0] += m.DEAD_LETTERS.valid_s + 1
    found = scraped(folder)
    assert ("lakegate_dead_letters", ()) not in found
    assert found["lakegate_books_differences", ()] == 2
    old.close()
    new.close()


def test_a_histogram_with_other_buckets_than_a_release_before_is_no_trouble(folder: Path) -> None:
    folder.mkdir()
    held = {"sums": {"gone.metric": [[[], 1]]}, "histograms": {"lakegate.queue.lag": [[[], [1.0, 1, 2]]]}, "gauges": {}}
    (folder / "ended.json").write_text(json.dumps({**held, "folded": []}))
    run = process(folder)
    run.tell((m.QUEUE_LAG.of(3),))
    run.close()
    assert scraped(folder)["lakegate_queue_lag_seconds_count", ()] == 1


def test_names_and_units_are_those_of_opentelemetrys_own_exporter(folder: Path) -> None:
    registry = CollectorRegistry()
    reader = PrometheusMetricReader(disable_target_info=True, scope_info_enabled=False, registry=registry)
    theirs = MeterProvider([reader], shutdown_on_exit=False).get_meter("lakegate")
    ours = process(folder)
    for metric in CATALOGUE:
        labels = dict.fromkeys(metric.labels, "x")
        match metric.kind:
            case Kind.COUNTER:
                theirs.create_counter(metric.name, metric.unit, metric.meaning).add(2, labels)
            case Kind.GAUGE:
                theirs.create_gauge(metric.name, metric.unit, metric.meaning).set(2, labels)
            case Kind.HISTOGRAM:
                bounds = [float(bound) for bound in metric.bounds]
                theirs.create_histogram(
                    metric.name, metric.unit, metric.meaning, explicit_bucket_boundaries_advisory=bounds
                ).record(2, labels)
        ours.tell((metric.of(2, **labels),))
    export(ours)
    expected = generate_latest(registry).decode()

    assert scraped(folder) == samples_of(expected)
    found = families(expected)
    for metric in CATALOGUE:
        family = found[prometheus_name(metric).removesuffix("_total")]
        assert family.documentation == metric.meaning
        assert family.type == metric.kind.value
    ours.close()


def test_the_command_serves_what_processes_write_and_listens_on_loopback(folder: Path) -> None:
    run = process(folder)
    run.tell((m.ROWS_READ.of(3, dataset="orders"),))
    export(run)
    command = [sys.executable, "-m", "lakegate.cli.main", "metrics", "serve", "--port", "0"]
    named = {**os.environ, "LAKEGATE_METRICS_DIR": str(folder), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, env=named, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            told = server.stdout.readline()
            address = told.split()[-1]
            assert address.startswith("http://127.0.0.1:")
            with urllib.request.urlopen(address, timeout=30) as answer:
                assert samples_of(answer.read().decode())[READ] == 3
        finally:
            server.send_signal(signal.SIGINT)
            assert server.wait(30) == 0
    run.close()
