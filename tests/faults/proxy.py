"""A small HTTP proxy on loopback before the local AWS, which misbehaves on purpose, by rules.

A rule names a service, an operation and a part of the request (its path or body), says at which of the matching requests it
begins and how often it strikes, or with what seeded probability; and what happens then. Everything else goes through as it came:
path, headers (`Host` among them), body. `log` holds what was asked and what was done about it, in order.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, assert_never
from urllib.parse import parse_qs, urlsplit

__all__ = [
    "Answer",
    "Call",
    "Cut",
    "FaultyAws",
    "Meddle",
    "Rule",
    "Silence",
    "Truncate",
    "conflict",
    "denied",
    "failed",
    "precondition_failed",
    "throttled",
    "unavailable",
]

_TARGETS = {"DynamoDB_20120810": "dynamodb", "AWSGlue": "glue", "AmazonSQS": "sqs", "AmazonAthena": "athena"}
_SCOPE = re.compile(r"Credential=[^/]+/\d{8}/[^/]+/([^/]+)/aws4_request")


@dataclass(frozen=True)
class Call:
    """One request, as far as rules look at it."""

    service: str
    operation: str
    path: str
    body: bytes
    range: str = ""


# ---- what happens to a request --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """An error in the service's own format; with `applied`, after the server did what was asked."""

    status: int
    code: str
    applied: bool = False
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Cut:
    """The connection is closed: before the request reaches the server, or (`applied`) instead of its answer."""

    applied: bool = False


@dataclass(frozen=True)
class Silence:
    """No answer comes before the client has given up; `applied`: the server did what was asked."""

    applied: bool = False
    longest_s: float = 30


@dataclass(frozen=True)
class Truncate:
    """The answer announces its whole length and ends after this share of it; with `reset` the connection is torn down."""

    share: float = 0.5
    reset: bool = False


@dataclass(frozen=True)
class Meddle:
    """Something is done to the world just before the request goes through."""

    do: Callable[[], object]


Fault = Answer | Cut | Silence | Truncate | Meddle


def throttled(service: str) -> Answer:
    """Say "slower" as the service says it."""
    return {
        "s3": Answer(503, "SlowDown"),
        "dynamodb": Answer(400, "ProvisionedThroughputExceededException"),
        "glue": Answer(400, "ThrottlingException"),
        "sqs": Answer(400, "RequestThrottled"),
        "athena": Answer(400, "TooManyRequestsException"),
    }[service]


def failed(*, applied: bool = False) -> Answer:
    """An internal error; nobody knows whether the request took effect."""
    return Answer(500, "InternalError", applied)


def unavailable() -> Answer:
    """Not now."""
    return Answer(503, "ServiceUnavailable")


def denied() -> Answer:
    """Nobody gave the permission."""
    return Answer(403, "AccessDenied")


def conflict() -> Answer:
    """Another request on the same thing is under way."""
    return Answer(409, "OperationAborted")


def precondition_failed() -> Answer:
    """What the request relied on does not hold."""
    return Answer(412, "PreconditionFailed")


@dataclass
class Rule:
    """Requests that match are numbered from 1; the fault strikes `times` of them (None: all) from number `nth` on.

    With `probability` each of those is struck or spared by a generator of its own, from `seed`.
    """

    fault: Fault
    service: str | None = None
    operation: str | None = None
    contains: str = ""
    nth: int = 1
    times: int | None = 1
    probability: float = 1.0
    seed: int = 0
    seen: int = 0
    struck: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def strikes(self, call: Call) -> bool:
        """Whether this request is struck; counts it."""
        matches = (
            self.service in (None, call.service)
            and self.operation in (None, call.operation)
            and (self.contains in call.path or self.contains.encode() in call.body)
        )
        if not matches:
            return False
        self.seen += 1
        if self.seen < self.nth or (self.times is not None and self.struck >= self.times):
            return False
        if self.probability < 1 and self._random.random() >= self.probability:
            return False
        self.struck += 1
        return True


class FaultyAws:
    """The proxy: `url` is what goes into `AWS_ENDPOINT_URL`. A context manager, which ends it."""

    def __init__(self, upstream: str) -> None:
        """Listen on a free port of loopback; `upstream` is the address of the real one."""
        parts = urlsplit(upstream)
        self.upstream = (parts.hostname or "127.0.0.1", parts.port or 80)
        self.rules: list[Rule] = []
        self.log: list[tuple[Call, Fault | None]] = []
        self.lock = threading.Lock()
        self.closing = threading.Event()
        outer = self

        class Handler(_Handler):
            faulty = outer

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FaultyAws:
        return self

    def __exit__(self, *exc: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def reset(self, *rules: Rule) -> None:
        """Forget what was, and go by these rules."""
        with self.lock:
            self.rules, self.log = list(rules), []

    def calls(self, service: str, operation: str | None = None) -> list[Call]:
        """The requests of a service, in order."""
        with self.lock:
            return [c for c, _ in self.log if c.service == service and operation in (None, c.operation)]

    def struck(self) -> int:
        """How many requests a fault came to."""
        with self.lock:
            return sum(fault is not None for _, fault in self.log)

    def fault_for(self, call: Call) -> Fault | None:
        """The fault of the first rule that strikes."""
        with self.lock:
            fault = next((rule.fault for rule in self.rules if rule.strikes(call)), None)
            self.log.append((call, fault))
        return fault


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Cut connections are the point of it."""


class _Handler(BaseHTTPRequestHandler):
    faulty: FaultyAws
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the protocol's
        """Say nothing."""

    def handle_expect_100(self) -> bool:
        """Tell the client at once that its body is wanted."""
        went_on = super().handle_expect_100()
        self.wfile.flush()
        return went_on

    def _serve(self) -> None:
        body = self._body()
        call = _call(self.command, self.path, self.headers, body)
        fault = self.faulty.fault_for(call)
        match fault:
            case None:
                self._pass_on(*self._ask(body))
            case Meddle():
                fault.do()
                self._pass_on(*self._ask(body))
            case Answer():
                if fault.applied:
                    self._ask(body)
                self._say(call, fault)
            case Cut():
                if fault.applied:
                    self._ask(body)
                self._tear()
            case Silence():
                if fault.applied:
                    self._ask(body)
                self._wait(fault.longest_s)
                self._tear()
            case Truncate():
                self._pass_on(*self._ask(body), truncate=fault)
            case _ as never:
                assert_never(never)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve  # noqa: N815 - the protocol's

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            parts: list[bytes] = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _ask(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection(*self.faulty.upstream, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "expect", "connection"):
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    def _pass_on(self, answer: http.client.HTTPResponse, content: bytes, *, truncate: Truncate | None = None) -> None:
        self.send_response_only(answer.status, answer.reason)
        length = str(len(content))
        for name, value in answer.getheaders():
            if name.lower() == "content-length" and self.command == "HEAD":
                length = value
            elif name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        if answer.status not in (204, 304):
            self.send_header("Content-Length", length)
        self.end_headers()
        if truncate is not None:
            self.wfile.write(content[: int(len(content) * truncate.share)])
            self.wfile.flush()
            self._tear(reset=truncate.reset)
        elif self.command != "HEAD":
            self.wfile.write(content)

    def _say(self, call: Call, answer: Answer) -> None:
        if call.service == "s3":
            told = f"<?xml version='1.0'?><Error><Code>{answer.code}</Code><Message>by rule</Message></Error>".encode()
            kind = "application/xml"
        else:
            told = json.dumps(
                {"__type": answer.code, "message": "by rule", "Message": "by rule", **answer.more}
            ).encode()
            kind = "application/x-amz-json-1.0"
        self.send_response_only(answer.status, "by rule")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(told)

    def _wait(self, longest_s: float) -> None:
        """Until the client goes away, or the proxy does."""
        ends = time.monotonic() + longest_s
        self.connection.settimeout(0.05)
        while time.monotonic() < ends and not self.faulty.closing.is_set():
            try:
                if not self.connection.recv(1, socket.MSG_PEEK):
                    return
                time.sleep(0.02)
            except TimeoutError:
                continue
            except OSError:
                return

    def _tear(self, *, reset: bool = True) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            if reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)


def _call(method: str, path: str, headers: Any, body: bytes) -> Call:
    target, _, operation = (headers.get("X-Amz-Target") or "").partition(".")
    if operation:
        return Call(_TARGETS.get(target, target), operation, path, body)
    scope = _SCOPE.search(headers.get("Authorization") or "")
    service = scope.group(1) if scope else "?"
    operation = _s3_operation(method, path, headers) if service == "s3" else method
    return Call(service, operation, path, body, headers.get("Range") or "")


def _s3_operation(method: str, path: str, headers: Any) -> str:
    parts = urlsplit(path)
    asked = parse_qs(parts.query, keep_blank_values=True)
    has_key = "/" in parts.path.strip("/")
    if "uploads" in asked or "uploadId" in asked:
        steps = {
            "PUT": "UploadPart",
            "POST": "CreateMultipartUpload" if "uploads" in asked else "CompleteMultipartUpload",
        }
        return steps.get(method, "AbortMultipartUpload")
    match method:
        case "GET":
            return "GetObject" if has_key else "ListObjectsV2"
        case "PUT":
            return "CopyObject" if headers.get("x-amz-copy-source") else "PutObject"
        case "POST":
            return "DeleteObjects" if "delete" in asked else "PostObject"
        case "HEAD":
            return "HeadObject"
        case _:
            return "DeleteObject"
