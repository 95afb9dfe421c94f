"""A webhook's other end: a real HTTP server on loopback that answers as it is told and keeps what it was sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Webhook:
    """`status` and `headers` are answered after `wait_s`; with `drip`, a byte of a header each tenth of a second, for ever."""

    port: int = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    answer: bytes = b"ok"
    wait_s: float = 0.0
    drip: bool = False
    took: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/secret-token"


@contextmanager
def webhook() -> Iterator[Webhook]:
    """Serve until the context ends."""
    told = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            told.took.append((self.path, dict(self.headers.items()), self.rfile.read(length)))
            told.closing.wait(told.wait_s)
            try:
                if told.drip:
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                    while not told.closing.is_set():
                        self.wfile.write(b"x")
                        time.sleep(0.1)
                self.send_response(told.status)
                for name, value in told.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(told.answer)
            except OSError:
                return  # the sender did not wait

        def do_GET(self) -> None:
            told.took.append((self.path, dict(self.headers.items()), b"GET"))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        told.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
