"""Telling lineage to a file and to a server: what arrives, and what a run hears when nothing does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipelines.lineage.news import BatchNews
from resources.openlineage import MAX_WAITING, OpenLineageSink, is_configured, open_client
from tests.ingest.world import World, orders, orders_key
from tests.lineage.told import Told, names

pytestmark = pytest.mark.usefixtures("unconfigured")


@pytest.fixture
def unconfigured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """An environment in which nobody asked for lineage; what the client adds to it goes too."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("OPENLINEAGE")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield
    for name in [name for name in os.environ if name.startswith("OPENLINEAGE") and name not in before]:
        del os.environ[name]


@dataclass
class Receiver:
    """A lineage server on loopback: keeps what it is sent, and answers as told."""

    url: str = ""
    status: int = 201
    hold: threading.Event = field(default_factory=threading.Event)
    received: list[tuple[str, Mapping[str, str], dict[str, Any]]] = field(default_factory=list)

    @property
    def kinds(self) -> list[str]:
        return [event["eventType"] for _, _, event in self.received]


@contextmanager
def receiving() -> Iterator[Receiver]:
    told = Receiver()
    told.hold.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.received.append((self.path, dict(self.headers), json.loads(body)))
            told.hold.wait(30)
            self.send_response(told.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield told
    finally:
        told.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as told:
        yield told


def news() -> list[BatchNews]:
    told = Told()
    world = World(lineage=told)
    world.put(orders_key("a"), orders(1))
    world.settle_down()
    return told.news


def sink(connect: Callable[[], Any] = open_client, **changes: float) -> OpenLineageSink:
    return OpenLineageSink(names(), connect, **changes)


def tell_all(to: OpenLineageSink, times: int = 1) -> None:
    for one in news() * times:
        to.tell(one)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "waited 20 s in vain"
        time.sleep(0.01)


# ---- whether, and to whom


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"OPENLINEAGE_URL": "http://somewhere"}, True),
        ({"OPENLINEAGE_URL": ""}, False),
        ({"OPENLINEAGE__TRANSPORT__TYPE": "file"}, True),
        ({"OPENLINEAGE__TRANSPORT": '{"type": "file"}'}, True),
        ({"OPENLINEAGE_NAMESPACE": "mine"}, False),
        ({"OPENLINEAGE_CONFIG": "/no/such/file.yml"}, False),
        ({"OPENLINEAGE_URL": "http://somewhere", "OPENLINEAGE_DISABLED": "True"}, False),
    ],
)
def test_lineage_is_told_only_where_somebody_asked_for_it(
    environment: dict[str, str], expected: bool, tmp_path: Path
) -> None:
    assert is_configured(environment, tmp_path) is expected


def test_a_file_in_any_of_the_usual_places_asks_for_it(tmp_path: Path) -> None:
    (tmp_path / "openlineage.yml").write_text("transport: {type: noop}\n")
    assert is_configured({}, tmp_path)
    assert is_configured({"OPENLINEAGE_CONFIG": str(tmp_path / "openlineage.yml")}, tmp_path / "elsewhere")
    home = tmp_path / "home"
    (home / ".openlineage").mkdir(parents=True)
    (home / ".openlineage" / "openlineage.yml").write_text("transport: {type: noop}\n")
    assert is_configured({"HOME": str(home)}, tmp_path / "elsewhere")


def test_without_it_the_library_is_not_even_imported() -> None:
    asked = (
        "import sys, resources.assembly as a\nfrom pathlib import Path\n"
        "assert a.lineage_sink(None, None, None, {}) is None\n"
        "print([m for m in sys.modules if m == 'openlineage' or m.startswith('openlineage.')])"
    )
    root = Path(__file__).resolve().parents[2]
    said = subprocess.run(
        [sys.executable, "-c", asked],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert said.stdout.strip() == "[]"


# ---- to a file


def test_events_are_appended_to_a_file_in_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "file")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__LOG_FILE_PATH", str(file))
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__APPEND", "true")
    to = sink()
    tell_all(to, 2)
    assert to.settle() == ()
    events = [json.loads(line) for line in file.read_text().splitlines()]
    assert [event["eventType"] for event in events] == ["START", "COMPLETE"] * 2


def test_a_file_that_cannot_be_written_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "openlineage.yml"
    config.write_text(f"transport: {{type: file, log_file_path: {tmp_path}/no/such/folder/e.jsonl, append: true}}\n")
    monkeypatch.setenv("OPENLINEAGE_CONFIG", str(config))
    to = sink()
    tell_all(to)
    (said, *_) = to.settle()
    assert "not delivered: RuntimeError: Failed to write to log file" in said
    assert "https://docs.example.com/lineage.md" in said


# ---- to a server


def test_events_are_posted_as_the_standard_says(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    monkeypatch.setenv("OPENLINEAGE_URL", receiver.url)
    monkeypatch.setenv("OPENLINEAGE_API_KEY", "sesame")
    to = sink()
    tell_all(to)
    assert to.settle() == ()
    assert receiver.kinds == ["START", "COMPLETE"]
    path, headers, event = receiver.received[1]
    assert path == "/api/v1/lineage"
    assert headers["Content-Type"] == "application/json"
    assert headers["Authorization"] == "Bearer sesame"
    assert event["job"]["name"] == "ingest_orders"


def test_a_server_with_a_fault_is_said_with_its_answer(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    receiver.status = 500
    monkeypatch.setenv("OPENLINEAGE_URL", receiver.url)
    to = sink()
    tell_all(to)
    (said, *_) = to.settle()
    assert "500" in said
    assert "The data and its books are not affected" in said
    assert len(receiver.received) <= 4  # one more try each: nobody waits for a server that is down


def test_an_answer_that_refuses_is_said(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    receiver.status = 403
    monkeypatch.setenv("OPENLINEAGE_URL", receiver.url)
    to = sink()
    tell_all(to)
    assert "403" in to.settle()[0]


def test_a_server_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as gone:
        url = gone.url
    monkeypatch.setenv("OPENLINEAGE_URL", url)
    to = sink()
    tell_all(to)
    (said, *_) = to.settle()
    assert "refused" in said
    assert to.settle() == ()  # said once


def test_a_server_that_does_not_answer_holds_a_run_for_seconds_and_the_next_not_at_all(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    receiver.hold.clear()
    monkeypatch.setenv("OPENLINEAGE_URL", receiver.url)
    to = sink(settle_s=0.3)
    told = news()
    began = time.monotonic()
    for one in told:
        to.tell(one)
    assert time.monotonic() - began < 1  # telling never waits
    (said,) = to.settle()
    assert said.startswith("2 OpenLineage events were not delivered: no answer came within 0 s")
    for one in told:
        to.tell(one)
    again = time.monotonic()
    (said,) = to.settle()
    assert said.startswith("2 OpenLineage events were not delivered: it was left alone for 60 s")
    assert time.monotonic() - again < 1
    assert time.monotonic() - began < 4


def test_a_server_that_is_well_again_is_told_again(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    receiver.status = 503
    monkeypatch.setenv("OPENLINEAGE_URL", receiver.url)
    to = sink(rest_s=0.01)
    tell_all(to)
    assert to.settle()
    receiver.status, receiver.received[:] = 201, []
    time.sleep(0.05)
    tell_all(to)
    assert to.settle() == ()
    assert receiver.kinds == ["START", "COMPLETE"]


def test_what_the_configuration_says_of_patience_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "http")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__URL", "http://127.0.0.1:1")
    client: Any = open_client()
    assert (client.transport.timeout, client.transport.config.retry["total"]) == (3.0, 1)
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TIMEOUT", "9")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__RETRY", '{"total": 4}')
    client = open_client()
    assert (client.transport.timeout, client.transport.config.retry["total"]) == (9, 4)


def test_a_configuration_that_is_wrong_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "pigeon")
    to = sink()
    tell_all(to)
    assert "pigeon" in to.settle()[0]


# ---- the queue


class Slow:
    """A client that sends when it is let."""

    def __init__(self) -> None:
        self.may, self.sent = threading.Event(), 0

    def emit(self, event: object) -> None:
        self.may.wait(30)
        self.sent += 1


def test_what_waits_is_bounded_and_the_rest_is_said() -> None:
    slow = Slow()
    to = sink(lambda: slow)
    (one, *_) = news()
    for _ in range(MAX_WAITING + 50):
        to.tell(one)
    slow.may.set()
    (said,) = to.settle()
    assert f"{MAX_WAITING} were waiting to be sent already" in said
    assert MAX_WAITING <= slow.sent <= MAX_WAITING + 1


def test_one_sink_serves_many_threads() -> None:
    slow = Slow()
    slow.may.set()
    to = sink(lambda: slow)
    (one, *_) = news()
    threads = [threading.Thread(target=lambda: [to.tell(one) for _ in range(10)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert to.settle() == ()
    assert slow.sent == 80


def test_a_process_forked_while_an_event_is_sent_has_a_thread_of_its_own(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    monkeypatch.setenv("OPENLINEAGE_URL", receiver.url)
    to = sink()
    told = news()
    receiver.hold.clear()
    to.tell(told[0])
    until(lambda: receiver.kinds == ["START"])
    child = os.fork()
    if child == 0:
        to.tell(told[1])
        os._exit(len(to.settle()))
    until(lambda: receiver.kinds == ["START", "COMPLETE"])
    receiver.hold.set()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert to.settle() == ()
