"""Athena's JSON protocol over HTTP on loopback: `python -m lakegate.local.athena.server --port N`.

What is not about queries (workgroups, catalogs, tags) is passed on to the laptop's AWS unchanged, so that a workgroup
made by the template is the one that queries here run in. The process finds that AWS in `AWS_ENDPOINT_URL`; it must not see
`AWS_ENDPOINT_URL_ATHENA`, which points to itself.

With `--enforce-iam` nothing is done for a caller that the AWS says it may not do (`authorization.py`); what is read and written then is with
the administrator's credentials of this process.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from lakegate.local.athena.authorization import Caller, Check, object_check, workgroup_check
from lakegate.local.athena.executions import Executions
from lakegate.local.athena.failures import InvalidRequestError
from lakegate.local.athena.results import PAGE_ROWS

HEALTH_PATH = "/_lakegate/health"
MAX_REQUEST_BYTES = 1024 * 1024
PASS_ON_TIMEOUT_S = 30
_TARGET = "AmazonAthena."
log = logging.getLogger("lakegate.athena")


class AthenaServer(ThreadingHTTPServer):
    """The server; its handlers share the executions and know where everything else is passed on to."""

    daemon_threads = True
    # A burst of clients waits for the accept loop instead of being refused.
    request_queue_size = 128

    def __init__(self, port: int, upstream: str, *, enforces_iam: bool = False) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.executions = Executions()
        self.upstream = upstream
        self.enforces_iam = enforces_iam
        self.actions: dict[str, Callable[[dict[str, Any], Caller | None], dict[str, Any]]] = {
            "StartQueryExecution": lambda request, caller: {"QueryExecutionId": self.executions.start(request, caller)},
            "GetQueryExecution": lambda request, _: {
                "QueryExecution": self.executions.get(request["QueryExecutionId"]).describe()
            },
            "BatchGetQueryExecution": self._batch_get,
            "GetQueryResults": lambda request, _: self.executions.results(
                request["QueryExecutionId"], request.get("NextToken"), request.get("MaxResults", PAGE_ROWS)
            ),
            "StopQueryExecution": self._stop,
            "ListQueryExecutions": self._list,
        }

    def checks(self, action: str, request: dict[str, Any]) -> list[Check]:
        """Return what the caller must be allowed for this action to begin."""
        ids = [request["QueryExecutionId"]] if "QueryExecutionId" in request else request.get("QueryExecutionIds", [])
        known = [execution for execution in map(self.executions.find, ids) if execution is not None]
        groups = {execution.workgroup for execution in known} or {request.get("WorkGroup", "primary")}
        checks = [workgroup_check(action, group) for group in sorted(groups)]
        if action == "GetQueryResults":
            checks += [object_check("s3:GetObject", each.written.location) for each in known if each.written]
        return checks

    def _batch_get(self, request: dict[str, Any], _caller: Caller | None) -> dict[str, Any]:
        found: list[dict[str, Any]] = []
        missing: list[dict[str, str]] = []
        for execution_id in request["QueryExecutionIds"]:
            try:
                found.append(self.executions.get(execution_id).describe())
            except InvalidRequestError as error:
                missing.append(
                    {"QueryExecutionId": execution_id, "ErrorCode": "INTERNAL_FAILURE", "ErrorMessage": str(error)}
                )
        return {"QueryExecutions": found, "UnprocessedQueryExecutionIds": missing}

    def _stop(self, request: dict[str, Any], _caller: Caller | None) -> dict[str, Any]:
        self.executions.stop(request["QueryExecutionId"])
        return {}

    def _list(self, request: dict[str, Any], _caller: Caller | None) -> dict[str, Any]:
        ids = self.executions.ids(request.get("WorkGroup", "primary"))
        start, limit = int(request.get("NextToken", 0)), request.get("MaxResults", 50)
        answer: dict[str, Any] = {"QueryExecutionIds": ids[start : start + limit]}
        if start + limit < len(ids):
            answer["NextToken"] = str(start + limit)
        return answer


class _Handler(BaseHTTPRequestHandler):
    """One connection; kept alive, as boto3 expects."""

    protocol_version = "HTTP/1.1"
    server: AthenaServer  # pyright: ignore[reportIncompatibleVariableOverride]  # narrowed: only AthenaServer uses it

    def do_GET(self) -> None:  # the name http.server calls
        if self.path == HEALTH_PATH:
            self._answer(200, {"status": "ok"})
        else:
            self._answer(404, {"message": "Athena's API takes POST requests"})

    def do_POST(self) -> None:  # the name http.server calls
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_REQUEST_BYTES:
            self.close_connection = True
            self._answer(413, {"__type": "InvalidRequestException", "Message": "The request is too large"})
            return
        body = self.rfile.read(length)
        action = self.headers.get("X-Amz-Target", "").removeprefix(_TARGET)
        handler = self.server.actions.get(action)
        if handler is None:
            self._pass_on(action, body)
            return
        try:
            request, caller = json.loads(body or b"{}"), None
            if self.server.enforces_iam:
                caller = Caller(self.server.upstream, tuple(self.headers.items()), body.decode())
                refused = caller.refusal(self.server.checks(action, request))
                if refused is not None:
                    self._answer(400, {"__type": refused.code, "Message": refused.message})
                    return
            self._answer(200, handler(request, caller))
        except InvalidRequestError as error:
            self._answer(400, _invalid_request(str(error)))
        except (KeyError, ValueError, TypeError) as error:
            self._answer(400, _invalid_request(f"The request is malformed: {error!r}"))
        except Exception as error:  # a door: a fault of ours must reach the client as an answer
            log.exception("%s failed", action)
            self._answer(500, {"__type": "InternalServerException", "Message": repr(error)})

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name http.server gives it
        """Keep silent: queries are logged where they fail."""

    def _pass_on(self, action: str, body: bytes) -> None:
        headers = {
            name: value for name, value in self.headers.items() if name.lower() not in ("content-length", "connection")
        }
        request = urllib.request.Request(self.server.upstream, data=body, headers=headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=PASS_ON_TIMEOUT_S) as response:
                status, content = response.status, response.read()
        except urllib.error.HTTPError as error:
            status, content = error.code, error.read()
        except OSError as error:
            self._answer(503, {"__type": "InternalServerException", "Message": f"{self.server.upstream}: {error}"})
            return
        if action == "GetWorkGroup" and status == 200:
            content = _complete_work_group(content)
        self._send(status, content)

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        self._send(status, json.dumps(content).encode())

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
        self.end_headers()
        self.wfile.write(content)


def _invalid_request(message: str) -> dict[str, Any]:
    return {"__type": "InvalidRequestException", "AthenaErrorCode": "INVALID_INPUT", "Message": message}


def _complete_work_group(content: bytes) -> bytes:
    """Add what AWS always says of a workgroup and ministack leaves out for `primary`; awswrangler reads it."""
    answer = json.loads(content)
    configuration = answer.setdefault("WorkGroup", {}).setdefault("Configuration", {})
    configuration.setdefault("EnforceWorkGroupConfiguration", False)
    configuration.setdefault("ResultConfiguration", {})
    return json.dumps(answer).encode()


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="the laptop's Athena")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--enforce-iam", action="store_true", help="ask the AWS beside it what each caller may")
    arguments = parser.parse_args()
    logging.basicConfig(
        level=os.environ.get("LOG_LEVEL", "INFO"), format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    upstream = os.environ.get("AWS_ENDPOINT_URL")
    if not upstream or os.environ.get("AWS_ENDPOINT_URL_ATHENA"):
        sys.exit(
            "Set AWS_ENDPOINT_URL to the laptop's AWS, and leave AWS_ENDPOINT_URL_ATHENA out: this is that server."
        )
    server = AthenaServer(arguments.port, upstream, enforces_iam=arguments.enforce_iam)

    def stop(_number: int, _frame: object) -> None:
        # From another thread: shutdown() waits for the loop that this handler interrupts.
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    log.info("serving Athena on http://127.0.0.1:%d, everything else from %s", arguments.port, upstream)
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    # Queries that still run are not waited for: their clients see the connection end.
    os._exit(0)


if __name__ == "__main__":
    main()
