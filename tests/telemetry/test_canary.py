"""Row contents, secrets and account ids appear nowhere but where they are asked for: canaries in files and environment, looked for in all that is told.

One process is the whole road over the local AWS, with JSON logs, traces, metrics, lineage and a webhook for alerts; faults of every kind are among the files.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from lakegate.settings import repository_root
from pipelines.accounting.states import Trigger
from pipelines.contracts.loading import load_datasets
from pipelines.gate import Gate
from pipelines.intake.dead_letters import DeadLetterKind, discard
from pipelines.intake.replay import Asked
from resources.assembly import open_gate
from resources.environment import Deployment, client
from tests.cli.command import ORDERS, lakegate
from tests.cli.settling import settle
from tests.resources.webhook_server import webhook
from tests.telemetry.otlp_receiver import receiving

pytestmark = pytest.mark.aws

ROW = "rowcanary7f3a"
HEADER = "headercanary9c1b"
KEY = "keycanary4e2d"
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "secretcanary-aws-1d7e",
    "AWS_SESSION_TOKEN": "secretcanary-token-5b0c",
    "LAKEGATE_ALERT_WEBHOOK_SECRET": "secretcanary-webhook-8a44",
    "OPENLINEAGE_API_KEY": "secretcanary-lineage-6f19",
    "OTEL_EXPORTER_OTLP_HEADERS": "authorization=secretcanary-otlp-77e0",
    "LAKEGATE_TEST_POSTGRES": "postgresql+psycopg2://lakegate:secretcanary-postgres-2c5d@db:5432/dagster",
}
HOOK = "secret-token"
JSON_LINES = """
name: {name}
description: Events.
landing: {{key: "landing/{name}/{{day:%Y-%m-%d}}/*.jsonl", day: day, start: 2026-01-01}}
format: {{type: jsonl}}
columns:
  day: {{type: date, from: key}}
  id: {{type: bigint, nullable: false}}
  note: {{type: string, allowed: [a, b]}}
  at: {{type: timestamp, format: iso8601, zone: UTC}}
"""


def spoilt() -> dict[str, bytes]:
    """Files of orders with a canary in a cell, each broken in its own way, by what is wrong."""
    good = f"id,amount,note\n1,1.50,{ROW}\n".encode()
    return {
        "good": good,
        "type": f"id,amount,note\n{ROW},1.50,a\n2,{ROW},b\n".encode(),
        "twice": f"id,amount,note\n1,1.50,{ROW}\n1,1.50,{ROW}\n".encode(),
        "cells": f"id,amount,note\n1,1.50,a,{ROW},{ROW}\n".encode(),
        "quote": f'id,amount,note\n1,1.50,"{ROW}\n2,1,b\n'.encode(),
        "encoding": f"id,amount,note\n1,1.50,{ROW}".encode() + b"\xff\xfe\n",
        "header": f"id,amount,{HEADER}\n1,1.50,{ROW}\n".encode(),
        "no_header": f"1,1.50,{ROW}\n2,2.50,{ROW}\n".encode(),
        "nul": f"id,amount,note\n1,1.50,{ROW}\0\n".encode(),
        "gzip": b"\x1f\x8b\x08\x00" + ROW.encode() * 9,
    }


def spoilt_json() -> dict[str, bytes]:
    return {
        "allowed": f'{{"id": 1, "note": "{ROW}"}}\n'.encode(),
        "syntax": f'{{"id": 1, "note": "{ROW}\n'.encode(),
        "repeated": f'{{"id": 1, "id": 2, "note": "{ROW}"}}\n'.encode(),
        "time": f'{{"id": 1, "at": "{ROW}"}}\n'.encode(),
        "name": f'{{"id": 1, "{HEADER}": "{ROW}"}}\n'.encode(),
        "type": f'{{"id": "{ROW}", "note": {{"x": "{ROW}"}}}}\n'.encode(),
    }


@dataclass
class Told:
    """All that anybody was told, by where."""

    account: str
    places: dict[str, str] = field(default_factory=dict)

    def where(self, canary: str, *, beside: tuple[str, ...] = ()) -> dict[str, str]:
        """The places that have it, each with what stands around it."""
        found = {}
        for place, text in self.places.items():
            at = text.casefold().find(canary.casefold())
            if at >= 0 and place not in beside:
                found[place] = text[max(0, at - 200) : at + 100]
        return found


@contextmanager
def environment(**more: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(more)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="module")
def told(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("canary")
    datasets = folder / "datasets"
    datasets.mkdir()
    tail = uuid.uuid4().hex[:6]
    names = {kind: f"{kind}_{tail}" for kind in ("orders", "parts", "events", "denied")}
    many = 'landing: {key: "landing/orders/{day:%Y-%m-%d}/*.csv*", day: day, start: 2026-01-01}'
    csv = ORDERS.replace('landing: {key: "landing/orders/{day:%Y-%m-%d}.csv", day: day, start: 2026-01-01}', many)
    assert csv != ORDERS
    by_rows = csv + "rows: {on_bad: quarantine_rows, max_bad: 90%}\n"
    for kind, text in (("orders", csv), ("parts", by_rows), ("denied", csv)):
        (datasets / f"{names[kind]}.yaml").write_text(text.replace("orders", names[kind]))
    (datasets / f"{names['events']}.yaml").write_text(JSON_LINES.format(name=names["events"]))
    files = {
        f"landing/{names[k]}/2026-02-01/{KEY}-{n}.csv": c for k in ("orders", "parts") for n, c in spoilt().items()
    }
    files |= {f"landing/{names['events']}/2026-02-01/{n}.jsonl": c for n, c in spoilt_json().items()}
    files[f"landing/{names['denied']}/2026-02-01/{KEY}.csv"] = spoilt()["good"]
    files[f"landing/nobodys-{tail}/{KEY}.csv"] = spoilt()["good"]
    for key, content in files.items():
        client("s3").put_object(Bucket=deployment.landing_bucket, Key=key, Body=content)
    account = client("sts").get_caller_identity()["Account"]
    assert account in deployment.landing_bucket
    client("sqs").send_message(QueueUrl=deployment.dlq_url, MessageBody=json.dumps({"what": ROW, "Records": "none"}))
    found = Told(account)
    with receiving() as receiver, webhook() as hook:
        road = {
            **deployment.to_environment(), **SECRETS,
            "CANARY_ACCOUNT": account,
            "LAKEGATE_DATASETS": str(datasets),
            "LAKEGATE_LOG": "json", "LAKEGATE_LOG_LEVEL": "DEBUG",
            "LAKEGATE_TRACES": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "LAKEGATE_METRICS": "emf", "LAKEGATE_EMF_FILE": str(folder / "emf.jsonl"),
            "LAKEGATE_ALERT_WEBHOOK": hook.address,
            "OPENLINEAGE__TRANSPORT__TYPE": "file",
            "OPENLINEAGE__TRANSPORT__LOG_FILE_PATH": str(folder / "lineage.jsonl"),
            "OPENLINEAGE__TRANSPORT__APPEND": "true",
        }  # fmt: skip
        with environment(**road):
            command = [sys.executable, "-m", "tests.telemetry.canary_road", str(folder), names["denied"], "2"]
            done = subprocess.run(command, cwd=repository_root(), capture_output=True, text=True, timeout=280)
            assert done.returncode == 0, done.stderr[-4000:]
            gate = open_gate(deployment, load_datasets(datasets))
            outcomes = {
                key: [e.outcome.value for e in gate.ledger.entries(deployment.landing_bucket, key)] for key in files
            }
            _expect(outcomes, names)
            for command_line in (
                ("status",), ("failed", "list"), ("quarantine", "list"), ("dlq", "list"), ("alerts",),
                ("pause", names["orders"], "--reason", "a trial"), ("pauses", names["orders"]), ("audit", "list"),
                *((("trace", key)) for key in list(files)[:12]),
            ):  # fmt: skip
                answer = lakegate(*command_line)
                place = "cli trace" if command_line[0] == "trace" else f"cli {' '.join(command_line[:2])}"
                found.places[place] = found.places.get(place, "") + answer.out + answer.err
        deadline = time.monotonic() + 20
        while not receiver.spans and time.monotonic() < deadline:
            time.sleep(0.1)
        found.places |= {
            "stdout": done.stdout,
            "logs": done.stderr,
            "traces": repr(receiver.spans),
            "alerts": b"\n".join(body for _, _, body in hook.took).decode(),
            "metrics": (folder / "emf.jsonl").read_text(),
            "lineage": (folder / "lineage.jsonl").read_text(),
            "dagster": (folder / "dagster.json").read_text(),
        }
    _tidy(gate, names, [key for key in files if names["denied"] in key])
    return found


def _tidy(gate: Gate, names: dict[str, str], refused: list[str]) -> None:
    """Other tests share the deployment: nothing is left waiting, paused or among the dead letters."""
    gate.ledger.pauses.resume(names["orders"], "the canary")
    refs = [entry.ref for key in refused for entry in gate.ledger.entries(gate.landing_bucket, key)]
    gate.ledger.make_due(refs, Trigger.REPLAY, "it may be loaded now")
    settle(gate, refused)
    discard(gate, Asked("the canary", "it was a trial"), most=100, kind=DeadLetterKind.NOT_UNDERSTOOD)


def _expect(outcomes: dict[str, list[str]], names: dict[str, str]) -> None:
    """The road was walked, and every fault was met."""
    of: dict[str, set[str]] = {}
    for key, found in outcomes.items():
        of.setdefault(key.split("/")[1], set()).update(found)
    assert of[names["orders"]] == {"loaded", "quarantined"}, outcomes
    assert of[names["parts"]] == {"loaded", "quarantined"}, outcomes
    assert "quarantined" in of[names["events"]], outcomes
    assert of[names["denied"]] == {"pending"}, outcomes


ASKED = ("cli quarantine list", "cli trace")
"""Whoever gives these commands asks what stands in a file: a fault is shown with the value found."""


def test_there_is_something_to_look_through(told: Told) -> None:
    for place, text in told.places.items():
        if place not in ("stdout", "cli failed list"):
            assert len(text) > 50, place
    logged = told.places["logs"].splitlines()
    assert [line for line in logged if not line.startswith('{"') or not line.endswith("}")] == []
    lines = [json.loads(line) for line in logged]
    assert {"batch", "trace_id", "run_id", "dataset", "file"} <= {name for line in lines for name in line}
    assert "AccessDeniedException" in told.places["dagster"]
    assert told.where(KEY, beside=("stdout",)).keys() >= {"logs", "traces", "alerts", "dagster"}


def test_what_stands_in_rows_is_nowhere_unless_it_is_asked_for(told: Told) -> None:
    assert told.where(ROW, beside=ASKED) == {}
    assert told.where(ROW).keys() & set(ASKED)


def test_headers_of_files_are_in_no_log_no_trace_and_no_metric(told: Told) -> None:
    found = told.where(HEADER)
    assert not found.keys() & {"logs", "traces", "metrics", "stdout"}, found


def test_no_key_is_in_a_metric(told: Told) -> None:
    assert "metrics" not in told.where(KEY)


def test_secrets_are_nowhere(told: Told) -> None:
    for name in SECRETS:
        secret = SECRETS[name].removeprefix("authorization=")
        assert told.where(secret) == {}, name
    assert told.where("secretcanary") == {}
    assert told.where(HOOK) == {}


NAMES_BUCKETS = ("lineage", "dagster", "cli quarantine list", "cli trace")
"""Here the real names of buckets are the point: datasets of OpenLineage, and links to reports. The template puts the account into them."""


def test_account_ids_are_nowhere_but_in_the_names_of_buckets_where_those_are_asked_for(told: Told) -> None:
    assert told.where(told.account, beside=NAMES_BUCKETS) == {}
    for place in NAMES_BUCKETS:
        text = told.places[place]
        for part in ("landing", "processed", "quarantine"):
            text = text.replace(f"lakegate-{part}-{told.account}", "")
        assert told.account not in text, (place, Told("", {place: text}).where(told.account))
