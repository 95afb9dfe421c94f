"""Hands out the sessions of the stack's roles on loopback, as ECS does to containers: `python -m lakegate.local.role_credentials --port N`.

`GET /role/<name>` with the role's token answers `{"AccessKeyId", "SecretAccessKey", "Token", "Expiration", "RoleArn"}`. The process runs
with the laptop's administrator credentials and finds the secret its tokens are made from in LAKEGATE_ROLE_SECRET.
Source: Amazon ECS Developer Guide, "Amazon ECS task IAM role", container credentials.
"""

from __future__ import annotations

import argparse
import hmac
import json
import logging
import os
import signal
import sys
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from lakegate.local.roles import SECRET_VARIABLE, Role, token_of
from resources.environment import client

HEALTH_PATH = "/_lakegate/health"
SESSION_S = 3600
# SDKs ask again 5 to 15 minutes before the end: what is handed out must last longer than that.
REUSE_WHILE_LEFT = timedelta(minutes=30)
log = logging.getLogger("lakegate.roles")


class RoleServer(ThreadingHTTPServer):
    """The server; one session a role is handed to all who ask, until its second half."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, stack_name: str, secret: str) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self._stack_name = stack_name
        self._secret = secret
        self._lock = threading.Lock()
        self._sessions: dict[Role, dict[str, Any]] = {}

    def is_token(self, role: Role, shown: str) -> bool:
        """Whether the caller showed the role's token; takes as long for a wrong one."""
        return hmac.compare_digest(token_of(self._secret, role).encode(), shown.encode("utf-8", "replace"))

    def session(self, role: Role) -> dict[str, Any]:
        """Return credentials of the role in the form of ECS's answer.

        Raises:
            ClientError, BotoCoreError: AWS refuses, cannot be reached, or has no such stack.
            KeyError: the stack has no such role.
        """
        with self._lock:
            known = self._sessions.get(role)
            if known is None or known["Expiration"] - datetime.now(UTC) < REUSE_WHILE_LEFT:
                known = self._sessions[role] = self._assume(role)
        return {
            "AccessKeyId": known["AccessKeyId"],
            "SecretAccessKey": known["SecretAccessKey"],
            "Token": known["SessionToken"],
            "Expiration": f"{known['Expiration']:%Y-%m-%dT%H:%M:%SZ}",
            "RoleArn": known["RoleArn"],
        }

    def _assume(self, role: Role) -> dict[str, Any]:
        [stack] = client("cloudformation").describe_stacks(StackName=self._stack_name)["Stacks"]
        arn = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}[role.output]
        answer = client("sts").assume_role(
            RoleArn=arn, RoleSessionName=f"lakegate-{role.value}", DurationSeconds=SESSION_S
        )
        return {**answer["Credentials"], "RoleArn": arn}


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: RoleServer  # pyright: ignore[reportIncompatibleVariableOverride]  # narrowed: only RoleServer uses it

    def do_GET(self) -> None:  # the name http.server calls
        if self.path == HEALTH_PATH:
            self._answer(200, {"status": "ok"})
            return
        role = next((role for role in Role if self.path == f"/role/{role.value}"), None)
        if role is None:
            self._answer(404, {"code": "NotFound", "message": "there is no such role"})
        elif not self.server.is_token(role, self.headers.get("Authorization", "")):
            self._answer(401, {"code": "Unauthorized", "message": f"this is not the token of the role {role.value}"})
        else:
            self._hand_out(role)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name http.server gives it
        """Keep silent: what fails is logged where it fails."""

    def _hand_out(self, role: Role) -> None:
        try:
            self._answer(200, self.server.session(role))
        except (ClientError, BotoCoreError, KeyError) as error:
            log.warning("no session of the role %s: %s", role.value, error)
            self._answer(503, {"code": "NoSession", "message": f"the role {role.value} cannot be taken now: {error}"})

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="credentials of the stack's roles, for a laptop's processes")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--stack", required=True)
    arguments = parser.parse_args()
    logging.basicConfig(
        level=os.environ.get("LOG_LEVEL", "INFO"), format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    secret = os.environ.get(SECRET_VARIABLE)
    if not secret:
        sys.exit(f"{SECRET_VARIABLE} is not set: it is what the roles' tokens are made from.")
    server = RoleServer(arguments.port, arguments.stack, secret)

    def stop(_number: int, _frame: object) -> None:
        # From another thread: shutdown() waits for the loop that this handler interrupts.
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    server.serve_forever(poll_interval=0.1)
    server.server_close()


if __name__ == "__main__":
    main()
