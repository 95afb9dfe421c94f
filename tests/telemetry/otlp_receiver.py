"""A receiver of OTLP over HTTP: decodes what OpenTelemetry's own protocol buffers say, and keeps the spans."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True)
class Received:
    """One span as it came over the wire."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    error: str
    service: str
    pid: int
    attributes: dict[str, Any]
    events: tuple[str, ...]
    links: tuple[str, ...]


@dataclass
class Receiver:
    """`url` is what OTEL_EXPORTER_OTLP_ENDPOINT takes."""

    url: str
    spans: list[Received] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def take(self, body: bytes, headers: dict[str, str]) -> None:
        self.bodies.append(body)
        self.headers.append(headers)
        self.spans.extend(_decoded(ExportTraceServiceRequest.FromString(body)))

    def wait_for(self, condition: Callable[[list[Received]], bool], limit_s: float = 30) -> list[Received]:
        """Every span, once enough have come."""
        deadline = time.monotonic() + limit_s
        while not condition(self.spans):
            assert time.monotonic() < deadline, [s.name for s in self.spans]
            time.sleep(0.05)
        return list(self.spans)


def _decoded(request: ExportTraceServiceRequest) -> Iterator[Received]:
    for of in request.resource_spans:
        resource = {a.key: _value(a.value) for a in of.resource.attributes}
        for scope in of.scope_spans:
            for span in scope.spans:
                yield Received(
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    span.status.message if span.status.code == 2 else "",
                    resource.get("service.name", ""),
                    resource.get("process.pid", 0),
                    {a.key: _value(a.value) for a in span.attributes},
                    tuple(e.name for e in span.events),
                    tuple(link.trace_id.hex() for link in span.links),
                )


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))


@contextmanager
def receiving(answer: int = 200, delay_s: float = 0.0) -> Generator[Receiver]:
    """A receiver on a free port of this machine, which answers with this status after so long."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            stopped.wait(delay_s)
            if answer == 200 and self.path == "/v1/traces":
                receiver.take(body, dict(self.headers.items()))
            said = ExportTraceServiceResponse().SerializeToString()
            self.send_response(answer if self.path == "/v1/traces" else 404)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's
            pass

    stopped = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()
