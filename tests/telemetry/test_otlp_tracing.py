"""Traces over the wire: a sensor's tick, a run and its reading process, each a process of its own, come together in a real receiver."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lakegate.settings import repository_root
from pipelines.errors import ConfigurationError
from pipelines.telemetry.tracing import NO_TRACER, Moment, Span, root_of, trace_of
from resources.environment import Deployment, client
from resources.telemetry_tracing import FLUSH_S, tracer_of
from tests.cli.command import GOOD, ORDERS, lakegate
from tests.telemetry.otlp_receiver import receiving

NOW = datetime(2026, 3, 1, 12, 0, 0, 123457, tzinfo=UTC)

TICK = """
import sys, pathlib, time
from pipelines.contracts.loading import load_datasets
from pipelines.intake.dispatching import dispatch
from pipelines.intake.receiving import receive
from resources.assembly import open_gate
from resources.environment import Deployment
gate = open_gate(Deployment.from_environment(), load_datasets(pathlib.Path(sys.argv[1])))
until = time.monotonic() + 60
while time.monotonic() < until:
    receive(gate, wait_s=1, budget_s=10)
    mine = [x for x in dispatch(gate, lambda keys: {}).launches if x.dataset == sys.argv[2]]
    if mine:
        print(mine[0].batches[0])
        break
gate.tracer.flush()
"""
RUN = """
import sys, pathlib
from pipelines.contracts.loading import load_datasets
from pipelines.ingest import ingest_batch
from resources.assembly import open_gate
from resources.environment import Deployment
gate = open_gate(Deployment.from_environment(), load_datasets(pathlib.Path(sys.argv[1])))
[dataset] = gate.datasets.datasets
gate.tables.ensure(dataset)
with gate.reader() as reader:
    print(ingest_batch(gate, reader, dataset, sys.argv[2], "run-1").sentence())
gate.tracer.flush()
"""


def span(name: str, **more: object) -> Span:
    trace_id = trace_of("b1")
    return Span(name, trace_id, root_of(trace_id), None, NOW, NOW + timedelta(microseconds=5), **more)  # type: ignore[arg-type]


def process(code: str, *arguments: object, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, **environment},
        cwd=repository_root(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.aws
def test_tick_run_and_reader_are_one_trace_in_a_receiver_and_lakegate_trace_names_it(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"orders_{uuid.uuid4().hex[:8]}"
    (tmp_path / f"{name}.yaml").write_text(ORDERS.replace("orders", name))
    keys = [f"landing/{name}/2026-02-01.csv"]
    client("s3").put_object(Bucket=deployment.landing_bucket, Key=keys[0], Body=GOOD)
    with receiving() as receiver:
        collector = {
            **deployment.to_environment(),
            "LAKEGATE_TRACES": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        }
        batch_id = process(TICK, tmp_path, name, environment=collector)
        assert "1 loaded" in process(RUN, tmp_path, batch_id, environment=collector)
        spans = receiver.wait_for(
            lambda s: any(x.name == "lakegate.batch" and x.trace_id == trace_of(batch_id) for x in s)
        )
    mine = [s for s in spans if s.trace_id == trace_of(batch_id)]
    by_name = {s.name: s for s in mine}
    root = by_name["lakegate.batch"]
    assert root.parent_id == ""
    ids = {s.span_id for s in mine}
    assert all(s.parent_id in ids for s in mine if s is not root)
    # Two processes told of it, and what the reading process said stands below the file that it read.
    assert by_name["event"].pid == by_name["plan"].pid != by_name["attempt"].pid == root.pid
    assert by_name["reader"].parent_id == by_name["read"].span_id
    assert by_name["read"].parent_id == by_name["attempt"].span_id
    assert {by_name[n].parent_id for n in ("event", "wait", "plan", "queue", "attempt")} == {root.span_id}
    in_order = ["event", "wait", "queue", "read", "commit"]
    assert [s.name for s in sorted((by_name[n] for n in in_order), key=lambda s: (s.start_ns, s.end_ns))] == in_order
    assert by_name["event"].start_ns == root.start_ns
    assert root.end_ns >= max(s.end_ns for s in mine)

    monkeypatch.setenv("LAKEGATE_DATASETS", str(tmp_path))
    monkeypatch.setenv("LAKEGATE_TRACE_URL", "https://traces.example/trace/{trace_id}?tab=spans")
    assert f"its trace: https://traces.example/trace/{trace_of(batch_id)}?tab=spans" in lakegate("trace", keys[0]).out
    told = lakegate("trace", keys[0], "--json").json
    assert told["versions"][0]["trace_id"] == trace_of(batch_id)
    assert {r["trace_id"] for r in told["history"] if r["to"] in ("planned", "committed")} == {trace_of(batch_id)}


def test_a_span_comes_as_it_was_recorded() -> None:
    with receiving() as receiver:
        tracer = tracer_of({"LAKEGATE_TRACES": "otlp"} | endpoint(receiver.url))
        moment = Moment("tried again", NOW, {"n": 1})
        tracer.record([span("commit", attributes={"a": 1, "b": "lone \ud800 surrogate"}, moments=(moment,), links=(trace_of("b0"),), error="no")])  # fmt: skip
        tracer.flush()
        [got] = receiver.wait_for(bool)
    assert (got.trace_id, got.span_id, got.parent_id) == (trace_of("b1"), root_of(trace_of("b1")), "")
    assert (got.start_ns % 1_000_000_000, got.end_ns - got.start_ns) == (123_457_000, 5_000)
    assert got.attributes == {"a": 1, "b": "lone \\ud800 surrogate"}
    assert (got.events, got.links, got.error) == (("tried again",), (trace_of("b0"),), "no")


def test_where_spans_go_and_how_many_is_said_by_the_standard_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "gate-of-ours")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=trial")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=aviation")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        one, other = (tracer_of({"LAKEGATE_TRACES": "otlp", **os.environ}) for _ in range(2))
        ids = [trace_of(f"batch {n}") for n in range(400)]
        wanted = [i for i in ids if one.wants(i)]
        assert 60 < len(wanted) < 140
        assert wanted == [i for i in ids if other.wants(i)]
        one.record([Span("x", i, root_of(i), None, NOW, NOW) for i in wanted])
        one.flush()
        got = receiver.wait_for(lambda s: len(s) == len(wanted))
    assert {s.service for s in got} == {"gate-of-ours"}
    assert receiver.headers[0]["x-team"] == "aviation"


def test_a_collector_that_is_not_there_costs_a_run_two_seconds_once(caplog: pytest.LogCaptureFixture) -> None:
    with receiving(delay_s=60) as silent:
        tracer = tracer_of({"LAKEGATE_TRACES": "otlp"} | endpoint(silent.url))
        started = time.monotonic()
        tracer.record([span("commit")] * 5000)  # more than the queue has room for
        assert time.monotonic() - started < 3
        for _ in range(5):
            tracer.flush()
        assert time.monotonic() - started < 3 + FLUSH_S
    assert len([r for r in caplog.records if "Queue full" in r.message]) < 10


def test_a_collector_that_refuses_is_no_fault_of_a_run() -> None:
    with receiving(answer=400) as refusing:
        tracer = tracer_of({"LAKEGATE_TRACES": "otlp"} | endpoint(refusing.url))
        tracer.record([span("commit")])
        tracer.flush()
    assert refusing.spans == []


def test_a_span_that_cannot_be_sent_is_no_fault_of_a_run_either(caplog: pytest.LogCaptureFixture) -> None:
    tracer = tracer_of({"LAKEGATE_TRACES": "otlp"} | endpoint("http://127.0.0.1:9"))
    tracer.record([Span("commit", "no hexadecimal number", "neither", None, NOW, NOW)])
    assert "1 spans could not be recorded" in caplog.text


def test_traces_are_off_unless_asked_for_and_what_is_unknown_is_refused() -> None:
    assert tracer_of({}) is NO_TRACER
    assert tracer_of({"LAKEGATE_TRACES": "off"}) is NO_TRACER
    assert tracer_of({"LAKEGATE_TRACES": "otlp", "OTEL_SDK_DISABLED": "true"}) is NO_TRACER
    with pytest.raises(ConfigurationError, match="LAKEGATE_TRACES is 'zipkin': it must be otlp or off"):
        tracer_of({"LAKEGATE_TRACES": "zipkin"})


def test_nothing_of_opentelemetry_is_imported_where_traces_are_off(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom resources.assembly import open_gate\nfrom resources.environment import Deployment\n"
        "from pipelines.contracts.loading import DatasetCatalog\n"
        "open_gate(Deployment('l','p','q','u','d','r','t','g','w','us-east-1'), DatasetCatalog(()))\n"
        "print([name for name in sys.modules if name.split('.')[0] == 'opentelemetry'])"
    )
    keys = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "us-east-1", "LAKEGATE_TRACES": "off"}
    assert process(code, environment=keys) == "[]"


def endpoint(url: str) -> dict[str, str]:
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = url
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": url}


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK reads the environment of its process."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
