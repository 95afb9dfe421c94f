"""Counts what is asked of AWS: a proxy on loopback before the laptop's AWS, which every client of every process goes through.

Counted at the wire, because boto3, obstore, Arrow and Celery each send requests of their own. Of a request it keeps the service, the
operation, its bytes and the dollars' units, nothing else. The proxy asks DynamoDB to say what capacity each request consumed,
as DynamoDB does on AWS: read and write request units are what it bills, not requests.
"""

import http.client
import json
import re
import sys
import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

__all__ = ["Asked", "CountingProxy", "operation_of"]

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding"})
_READS = frozenset({"BatchGetItem", "GetItem", "Query", "TransactGetItems"})
_WRITES = frozenset({"DeleteItem", "PutItem", "TransactWriteItems", "UpdateItem"})
_READ_UNIT_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Asked:
    """How often one operation was asked for: requests, bytes sent and received, DynamoDB's read and write request units."""

    requests: float = 0
    sent_bytes: float = 0
    received_bytes: float = 0
    read_units: float = 0
    write_units: float = 0

    def __add__(self, other: "Asked") -> "Asked":
        """Both together."""
        return Asked(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: "Asked") -> "Asked":
        """What is in this and not in the other, which came before it."""
        return self + other * -1

    def __mul__(self, times: float) -> "Asked":
        """So many times as much."""
        return Asked(*(mine * times for mine in astuple(self)))

    @property
    def at_least_none(self) -> "Asked":
        """Where more was taken off than there was, nothing."""
        return Asked(*(max(0.0, mine) for mine in astuple(self)))


class CountingProxy:
    """Serves on a free port of loopback until closed, passes everything on to `upstream`, and counts."""

    def __init__(self, upstream: str) -> None:
        """`upstream`: the address of the laptop's AWS, as in `AWS_ENDPOINT_URL`."""
        self._counts: dict[tuple[str, str], Asked] = defaultdict(Asked)
        self._lock = threading.Lock()
        address = urlsplit(upstream)
        handler = type("Handler", (_Handler,), {"proxy": self, "upstream": (address.hostname, address.port)})
        self._server = _Server(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """What goes into `AWS_ENDPOINT_URL` in place of the upstream."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def counts(self) -> dict[tuple[str, str], Asked]:
        """By service and operation, since the beginning."""
        with self._lock:
            return dict(self._counts)

    def add(self, service: str, operation: str, asked: Asked) -> None:
        """Count."""
        with self._lock:
            self._counts[service, operation] += asked

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that was killed: its connection ends as it ends."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection, and the one to the upstream that belongs to it."""

    protocol_version = "HTTP/1.1"
    proxy: CountingProxy
    upstream: tuple[str, int]
    _onward: http.client.HTTPConnection | None = None

    def _pass_on(self) -> None:
        body = self._body()
        service, operation = operation_of(self.command, self.path, self.headers, body)
        asked = body
        if service == "dynamodb" and operation in _READS | _WRITES:
            asked = json.dumps({**json.loads(body), "ReturnConsumedCapacity": "TOTAL"}).encode()
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        headers["Content-Length"] = str(len(asked))
        answer = self._ask(asked, headers)
        content = answer.read()
        reads, writes = _units(operation, content) if service == "dynamodb" else (0.0, 0.0)
        self.proxy.add(service, operation, Asked(1, len(body), len(content), reads, writes))
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {*_HOP_BY_HOP, "content-length"}:
                self.send_header(name, value)
        # Of a HEAD the length says how long the object is.
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        try:
            self.wfile.write(content)
        except ConnectionError:
            # Whoever asked is gone: a worker that was stopped while it waited for a message.
            self.close_connection = True

    do_DELETE = do_GET = do_HEAD = do_POST = do_PUT = _pass_on  # noqa: N815  # the names http.server calls

    def _ask(self, body: bytes, headers: dict[str, str]) -> http.client.HTTPResponse:
        """Pass on; once more over a new connection, where the one kept open had been closed meanwhile."""
        for is_last in (False, True):
            if self._onward is None:
                self._onward = http.client.HTTPConnection(*self.upstream, timeout=120)
            try:
                self._onward.request(self.command, self.path, body, headers)
                return self._onward.getresponse()
            except (ConnectionError, http.client.HTTPException):
                self._onward.close()
                self._onward = None
                if is_last:
                    raise
        raise AssertionError

    def _body(self) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces: list[bytes] = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(pieces)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name http.server gives it
        """Keep silent."""


def operation_of(method: str, path: str, headers: Mapping[str, str], body: bytes) -> tuple[str, str]:
    """The service and the operation, by the names that AWS gives them."""
    signed = re.search(r"Credential=[^/,]+/[^/,]+/[^/,]+/([^/,]+)/", headers.get("Authorization") or "")
    service = signed.group(1) if signed else ""
    if target := headers.get("X-Amz-Target"):
        return service, target.rpartition(".")[2]
    if service == "s3":
        return service, _s3_operation(method, path, headers)
    form = dict(parse_qsl(body.decode("utf-8", "replace"))) if body[:1] not in (b"{", b"") else {}
    query = parse_qs(urlsplit(path).query)
    return service, form.get("Action") or query.get("Action", [f"{method} {path}"])[0]


def _s3_operation(method: str, path: str, headers: Mapping[str, str]) -> str:
    parts = urlsplit(path)
    asked = parse_qs(parts.query, keep_blank_values=True)
    has_key = "/" in parts.path.strip("/") or (parts.path.count("/") > 1 and not parts.path.endswith("/"))
    match method:
        case "PUT" if "x-amz-copy-source" in {name.lower() for name in headers}:
            return "CopyObject"
        case "PUT" if has_key:
            return "UploadPart" if "partNumber" in asked else "PutObject"
        case "POST" if "uploads" in asked:
            return "CreateMultipartUpload"
        case "POST" if "uploadId" in asked:
            return "CompleteMultipartUpload"
        case "POST" if "delete" in asked:
            return "DeleteObjects"
        case "GET" if has_key:
            return "GetObject"
        case "GET" if "versions" in asked:
            return "ListObjectVersions"
        case "GET" if "list-type" in asked or "prefix" in asked:
            return "ListObjectsV2"
        case "HEAD":
            return "HeadObject" if has_key else "HeadBucket"
        case "DELETE" if has_key:
            return "DeleteObject"
        case _:
            return f"{method} {sorted(asked)}"


def _units(operation: str, content: bytes) -> tuple[float, float]:
    """Read and write request units of one request: writes as DynamoDB says, reads by the size of what came (4 KiB a unit).

    A consistent read of an item costs a unit for each 4 KiB begun; so does a query for all it read together. The index is read
    eventually consistent, at half of that: counted whole, because the answer does not say which it was.
    """
    answer = json.loads(content or b"{}")
    if operation in _WRITES:
        said = answer.get("ConsumedCapacity") or []
        return 0.0, sum(float(each.get("CapacityUnits", 0)) for each in (said if isinstance(said, list) else [said]))
    if operation == "BatchGetItem":
        items = [item for found in answer.get("Responses", {}).values() for item in found]
        missing = max(0.0, _said(answer) - len(items))
        return sum(_begun(len(json.dumps(item))) for item in items) + missing, 0.0
    return float(_begun(sum(len(json.dumps(item)) for item in answer.get("Items", ())))), 0.0


def _said(answer: Mapping[str, Any]) -> float:
    said = answer.get("ConsumedCapacity") or []
    return sum(float(each.get("CapacityUnits", 0)) for each in (said if isinstance(said, list) else [said]))


def _begun(size: int) -> int:
    return max(1, -(-size // _READ_UNIT_BYTES))
