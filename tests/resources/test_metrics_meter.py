"""The meter: what it refuses, what it costs when nobody wants it, and that no exporter can hold up the work."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from pipelines.errors import ConfigurationError, TransientError
from pipelines.telemetry import metrics as m
from pipelines.telemetry.metrics import NO_METER, Record
from resources.telemetry_metrics import LabelGuard, OtelMeter, meter_of, metrics_settings
from tests.ingest.world import World, orders, orders_key


def meter_for(**environment: str) -> OtelMeter:
    settings = metrics_settings(environment)
    assert settings is not None
    return OtelMeter(settings)


# ---- settings


def test_without_an_exporter_there_is_no_meter_and_nothing_of_opentelemetry_is_imported(tmp_path: Path) -> None:
    script = """
import os, sys
from resources.telemetry_metrics import meter_of
from pipelines.telemetry.metrics import DEAD_LETTERS
import resources.assembly, resources.environment, resources.gate, sensors.ticking
meter = meter_of(os.environ)
meter.tell((DEAD_LETTERS.of(1),)); meter.flush()
resources.environment.client("sqs")
print([name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter", "prometheus_client"))])
"""
    named = {name: value for name, value in os.environ.items() if not name.startswith(("LAKEGATE_", "OTEL_"))}
    said = subprocess.run(
        [sys.executable, "-c", script],
        env={**named, "AWS_REGION": "us-east-1", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert said.stdout.splitlines()[-1] == "[]"


def test_settings_that_cannot_be_meant_are_refused() -> None:
    assert meter_of({}) is NO_METER
    assert meter_of({"LAKEGATE_METRICS": " , "}) is NO_METER
    with pytest.raises(ConfigurationError, match="'statsd': say any of emf, prometheus, otlp"):
        metrics_settings({"LAKEGATE_METRICS": "emf,statsd"})
    with pytest.raises(ConfigurationError, match="LAKEGATE_METRICS_DIR is not set"):
        metrics_settings({"LAKEGATE_METRICS": "prometheus"})
    with pytest.raises(ConfigurationError, match="OTEL_METRIC_EXPORT_INTERVAL is '5s'"):
        metrics_settings({"LAKEGATE_METRICS": "emf", "OTEL_METRIC_EXPORT_INTERVAL": "5s"})
    found = metrics_settings({"LAKEGATE_METRICS": "otlp, emf", "LAKEGATE_METRICS_NAMESPACE": "Ours"})
    assert found is not None
    assert (found.exporters, found.namespace, found.stack) == (("emf", "otlp"), "Ours", "lakegate")


def test_a_process_has_one_meter_for_the_same_settings(tmp_path: Path) -> None:
    said = {"LAKEGATE_METRICS": "emf", "LAKEGATE_EMF_FILE": str(tmp_path / "a")}
    assert meter_of(said) is meter_of(dict(said))


# ---- labels


@pytest.mark.parametrize(
    "value",
    ["landing/flights/2024-01-01.csv", "s3://bucket", "two words", "", "é", "a\nb", "x" * 65, "name=ann@example.org"],
)
def test_no_label_can_be_a_key_a_path_or_a_message(value: str) -> None:
    assert LabelGuard().labels(m.ROWS_READ.of(1, dataset=value)) == {"dataset": "refused"}


def test_labels_that_are_not_the_metrics_are_refused() -> None:
    with pytest.raises(ValueError, match="no labels key"):
        LabelGuard().labels(Record(m.ROWS_READ, 1, {"key": "a"}))


def test_only_so_many_values_of_a_label_are_told_apart() -> None:
    guard = LabelGuard(most=2)
    told = [guard.labels(m.ROWS_READ.of(1, dataset=name))["dataset"] for name in ("a", "b", "c", "a")]
    assert told == ["a", "b", "other", "a"]


def test_a_fault_in_counting_is_logged_and_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    meter = meter_for(LAKEGATE_METRICS="emf", LAKEGATE_EMF_FILE=str(tmp_path / "emf.jsonl"))

    def wrong() -> Iterator[Record]:
        yield m.ROWS_READ.of(1, dataset="orders")
        raise KeyError("landing/secret.csv")

    meter.tell(wrong())
    meter.tell((Record(m.ROWS_READ, 1, {"key": "a"}),))
    meter.close()
    assert caplog.text.count("a measurement was lost") == 2


def test_a_fault_of_the_ledger_while_measuring_is_the_callers(tmp_path: Path) -> None:
    meter = meter_for(LAKEGATE_METRICS="emf", LAKEGATE_EMF_FILE=str(tmp_path / "emf.jsonl"))

    def blind() -> Iterator[Record]:
        raise TransientError("no ledger")
        yield

    with pytest.raises(TransientError):
        meter.tell(blind())
    meter.close()


# ---- forks and ends


def test_a_forked_process_counts_for_itself(tmp_path: Path) -> None:
    folder = tmp_path / "metrics"
    meter = meter_for(LAKEGATE_METRICS="prometheus", LAKEGATE_METRICS_DIR=str(folder))
    meter.tell((m.ROWS_READ.of(10, dataset="orders"),))
    child = os.fork()
    if child == 0:
        meter.tell((m.ROWS_READ.of(1, dataset="orders"),))
        meter.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    meter.close()
    from resources.telemetry_prometheus import FolderCollector

    [rows] = [family for family in FolderCollector(folder).collect() if family.name == "lakegate_rows_read"]
    assert [sample.value for sample in rows.samples] == [11.0]


def test_a_process_that_ends_exports_what_is_left(tmp_path: Path) -> None:
    file = tmp_path / "emf.jsonl"
    script = """
import os
from pipelines.telemetry.metrics import DEAD_LETTERS
from resources.telemetry_metrics import meter_of
meter_of(os.environ).tell((DEAD_LETTERS.of(7),))
"""
    subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "LAKEGATE_METRICS": "emf", "LAKEGATE_EMF_FILE": str(file)},
        timeout=60,
        check=True,
    )
    assert '"lakegate.dead_letters":7.0' in file.read_text()


# ---- collectors


class Collector:
    """A receiver of OTLP over HTTP: decodes what comes, or answers nothing at all (`silent`)."""

    def __init__(self, *, silent: bool = False) -> None:
        self.requests: list[ExportMetricsServiceRequest] = []
        self.asked = threading.Event()
        self.release = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.asked.set()
                if silent:
                    collector.release.wait(60)
                    return
                assert self.path == "/v1/metrics"
                collector.requests.append(ExportMetricsServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.end_headers()
                self.wfile.write(ExportMetricsServiceResponse().SerializeToString())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.release.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.close()


def test_a_receiver_of_otlp_is_told_names_units_labels_and_who_measured(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    meter = meter_for(LAKEGATE_METRICS="otlp", LAKEGATE_STACK="staging")
    world = World(meter=meter)
    world.put(orders_key("0900"), orders(1, 2))
    world.settle_down()
    meter.close()

    [request] = collector.requests
    [of_resource] = request.resource_metrics
    told = {attribute.key: attribute.value.string_value for attribute in of_resource.resource.attributes}
    assert (told["service.name"], told["deployment.environment.name"]) == ("lakegate", "staging")
    assert told["service.version"]
    assert not {"host.name", "cloud.account.id"} & told.keys()
    found = {metric.name: metric for metric in of_resource.scope_metrics[0].metrics}
    assert set(found) <= {metric.name for metric in m.CATALOGUE}
    [loaded] = found["lakegate.rows.loaded"].sum.data_points
    assert (found["lakegate.rows.loaded"].unit, loaded.as_int or loaded.as_double) == ("{row}", 2)
    assert [(a.key, a.value.string_value) for a in loaded.attributes] == [("dataset", "orders")]
    [lag] = found["lakegate.file.lag"].histogram.data_points
    assert tuple(lag.explicit_bounds) == m.FILE_LAG.bounds
    assert b"0900" not in request.SerializeToString()


def test_a_collector_that_never_answers_holds_up_no_batch_and_is_named_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    collector = Collector(silent=True)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    meter = meter_for(LAKEGATE_METRICS="otlp")
    try:
        meter.tell((m.DEAD_LETTERS.of(1),))
        meter.flush()
        assert collector.asked.wait(20)  # from now on the exporter hangs
        world = World(meter=meter)
        for number in range(20):
            world.put(orders_key(f"{number:04}"), orders(number))
        began = time.perf_counter()
        world.settle_down()
        meter.flush()
        took_s = time.perf_counter() - began
        assert took_s < 1.0 or took_s < 3 * _without_meter_s(), f"{took_s:.2f} s with a silent collector"
        with caplog.at_level(logging.WARNING):
            _wait_for(lambda: "do not get out by otlp" in caplog.text)
            meter.flush()
            began = time.perf_counter()
            meter.close(within_s=0.5)
            assert time.perf_counter() - began < 5
        assert caplog.text.count("do not get out") == 1
    finally:
        collector.close()


def _without_meter_s() -> float:
    world = World()
    for number in range(20):
        world.put(orders_key(f"{number:04}"), orders(number))
    began = time.perf_counter()
    world.settle_down()
    return time.perf_counter() - began


def test_a_collector_that_comes_back_is_told_all_that_was_counted(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData

    from resources import telemetry_push

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    failures = iter([ConnectionError("down"), MetricExportResult.FAILURE])
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    real = OTLPMetricExporter.export

    def flaky(self: OTLPMetricExporter, metrics_data: MetricsData, **given: object) -> MetricExportResult:
        answer = next(failures, None)
        if isinstance(answer, Exception):
            raise answer
        return answer or real(self, metrics_data, **given)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(OTLPMetricExporter, "export", flaky)
    reader = telemetry_push.PushReader("otlp", OTLPMetricExporter(), every_s=0.05, least_s=0)
    from opentelemetry.sdk.metrics import MeterProvider

    counter = MeterProvider([reader], shutdown_on_exit=False).get_meter("lakegate").create_counter("c")
    counter.add(5)
    reader.start()
    _wait_for(lambda: bool(collector.requests))
    reader.shutdown()
    told = [record.message for record in caplog.records if "get out" in record.message]
    assert told[0].startswith("metrics do not get out by otlp (ConnectionError: down)")
    assert told[1:] == ["metrics get out by otlp again"]
    [point] = collector.requests[0].resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points
    assert point.as_int == 5


def _wait_for(happened: object, limit_s: float = 30.0) -> None:
    ends = time.monotonic() + limit_s
    while not happened():  # pyright: ignore[reportCallIssue]
        assert time.monotonic() < ends, "it did not happen"
        time.sleep(0.02)
