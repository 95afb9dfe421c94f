"""An advisory service of our own: answers like OSV, of packages and versions that a test makes vulnerable."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class AdvisoryServer:
    """`known` says which ids a package and version have; `broken` which packages it fails for; `knows_nothing` answers all with {}."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], list[str]] = {}
        self.broken: set[str] = set()
        self.knows_nothing = False
        self.asked: list[tuple[str, str]] = []
        self.url = ""

    def answer(self, query: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        name, version = query["package"]["name"], query["version"]
        self.asked.append((name, version))
        if name in self.broken:
            return 500, {}
        ids = ["PYSEC-0-1"] if (name, version) == ("jinja2", "2.4.1") else self.known.get((name, version), [])
        if self.knows_nothing or not ids:
            return 200, {}
        affected = {
            "package": {"name": name, "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}],
        }
        return 200, {"vulns": [{"id": ids[0], "aliases": ids[1:], "summary": "bad", "affected": [affected]}]}


@contextmanager
def advisory_server() -> Iterator[AdvisoryServer]:
    """Listen on loopback until the end."""
    known = AdvisoryServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, document = known.answer(query)
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    known.url = f"http://127.0.0.1:{server.server_port}/v1/query"
    try:
        yield known
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
