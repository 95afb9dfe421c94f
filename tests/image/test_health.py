"""What a container's health check finds."""

from __future__ import annotations

import http.server
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2_grpc

from lakegate.health import POSTGRES_VARIABLE, code_server, password_is_taken, web_server, workers
from lakegate.local.processes import free_port
from lakegate.workers.notes import say_ready
from tests.postgres import execute, postgres_server


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres_server() as address:
        yield address


def test_a_rotated_password_makes_unhealthy_and_a_postgres_that_is_away_does_not(server: str) -> None:
    execute(server, "CREATE USER dagster PASSWORD 'first'")
    address = server.replace("lakegate:s3cret%2Fpass%20word", "dagster:first")
    said = {POSTGRES_VARIABLE: address.replace("postgresql://", "postgresql+psycopg2://")}
    assert password_is_taken(said) is None
    execute(server, "ALTER USER dagster PASSWORD 'second'")
    sentence = password_is_taken(said) or ""
    assert "rotated" in sentence
    assert "first" not in sentence
    assert password_is_taken({POSTGRES_VARIABLE: f"postgresql://u:p@127.0.0.1:{free_port()}/d"}) is None
    assert password_is_taken({}) is None


def test_the_pages_are_asked_for(tmp_path: Path) -> None:
    assert "does not answer" in (web_server(free_port()) or "")

    class Pages(http.server.BaseHTTPRequestHandler):
        status = 200

        def do_GET(self) -> None:
            self.send_response(self.status if self.path == "/server_info" else 404)
            self.end_headers()

        def log_message(self, *args: object) -> None:  # it writes to stderr else
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as pages:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        assert web_server(pages.server_port) is None
        Pages.status = 500
        assert web_server(pages.server_port) is not None
        pages.shutdown()


def test_the_code_server_is_asked_by_grpcs_own_question() -> None:
    port = free_port()
    assert "does not answer" in (code_server(port) or "")
    servicer = health.HealthServicer()
    running = grpc.server(ThreadPoolExecutor(max_workers=2))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, running)
    running.add_insecure_port(f"127.0.0.1:{port}")
    running.start()
    try:
        servicer.set("DagsterApi", 1)
        assert code_server(port) is None
        servicer.set("DagsterApi", 2)
        assert "does not serve" in (code_server(port) or "")
    finally:
        running.stop(0).wait()


def test_workers_are_healthy_once_one_has_warmed_up(tmp_path: Path) -> None:
    assert workers(tmp_path) is not None
    say_ready(tmp_path)
    assert workers(tmp_path) is None
    ready = tmp_path / "ready"
    ready.write_text(ready.read_text().replace(str(os.getpid()), "2"))
    assert workers(tmp_path) is not None
