"""The channels of alerts: an SNS topic and a webhook, as the environment names them; and their Dagster resource.

| variable                        |                                                                                        |
|---------------------------------|----------------------------------------------------------------------------------------|
| `LAKEGATE_ALERT_TOPIC`          | the ARN of an SNS topic                                                                |
| `LAKEGATE_ALERT_WEBHOOK`        | the address that a JSON document is posted to; `https://`, or `http://` on loopback    |
| `LAKEGATE_ALERT_WEBHOOK_SECRET` | with it, each post is signed                                                           |

A topic's ARN holds an account id, a webhook's address is often itself a secret: neither is ever logged. The clients of AWS are imported
where they are used: whoever loads the definitions needs none. Dagster resolves the annotations of resources: none are imported from the future.
"""

import hashlib
import hmac
import http.client
import ipaddress
import json
import os
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import dagster as dg

from pipelines.alerting.conditions import short, without_account
from pipelines.errors import ConfigurationError, PermanentError, ThrottledError, TransientError
from pipelines.ports import AlertChannel, AlertMessage

__all__ = ["AlertsResource", "SnsChannel", "WebhookChannel", "channels_of"]

WEBHOOK_TIMEOUT_S = 8.0
_TOPIC, _WEBHOOK, _SECRET = "LAKEGATE_ALERT_TOPIC", "LAKEGATE_ALERT_WEBHOOK", "LAKEGATE_ALERT_WEBHOOK_SECRET"
_ANSWER_SHOWN = 200


def channels_of(environment: Mapping[str, str]) -> list[AlertChannel]:
    """The channels that the environment names. Makes no connection.

    Raises ConfigurationError: a value is no topic, or no address that may be used; the message does not repeat the address.
    """
    channels: list[AlertChannel] = []
    if topic := environment.get(_TOPIC):
        channels.append(SnsChannel(topic))
    if address := environment.get(_WEBHOOK):
        channels.append(WebhookChannel(address, environment.get(_SECRET) or None))
    return channels


class AlertsResource(dg.ConfigurableResource):
    """The channels of alerts that the environment names."""

    def channels(self) -> list[AlertChannel]:
        """Made anew for each tick; none where the environment names none. Raises ConfigurationError."""
        return channels_of(os.environ)


class SnsChannel:
    """A standard SNS topic.

    People who subscribe by e-mail get the text, all others the JSON document; a filter policy may use the message's attributes.
    """

    name = "sns"

    def __init__(self, topic: str) -> None:
        """`topic` is its ARN. Raises ConfigurationError for what is none."""
        parts = topic.split(":")
        if len(parts) != 6 or parts[0] != "arn" or parts[2] != "sns" or not parts[5]:
            raise ConfigurationError(f"{_TOPIC} is not the ARN of an SNS topic (arn:aws:sns:<region>:<account>:<name>)")
        self._topic = topic
        self.place = f"topic {parts[5]}"

    def send(self, message: AlertMessage) -> None:
        """Publish."""
        document = json.dumps(message.document, ensure_ascii=False, separators=(",", ":"))
        per_protocol = {"default": document, "email": message.text, "sms": message.subject}
        attributes = {
            name: {"DataType": "String.Array", "StringValue": json.dumps(list(values), ensure_ascii=False)}
            for name, values in message.attributes.items()
        }
        self._call(
            "publishing to",
            "publish",
            Subject=message.subject,
            Message=json.dumps(per_protocol, ensure_ascii=False),
            MessageStructure="json",
            MessageAttributes=attributes,
        )

    def subscriptions(self) -> int:
        """How many have subscribed and confirmed it. Raises TransientError, PermanentError."""
        answer = self._call("asking for the subscriptions of", "get_topic_attributes")
        return int(answer["Attributes"].get("SubscriptionsConfirmed", 0))

    def _call(self, doing: str, operation: str, **arguments: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        from resources.environment import as_lakegate_error, client

        try:
            return getattr(client("sns"), operation)(TopicArn=self._topic, **arguments)
        except (ClientError, BotoCoreError) as error:
            known = as_lakegate_error(error, f"{doing} the {self.place}")
            # Not chained: what boto3 says names the topic.
            raise type(known)(without_account(str(known).replace(self._topic, self.place)), code=known.code) from None


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    beginning: str


class WebhookChannel:
    """An address that takes a JSON document by POST.

    The document has a `text` beside it, which Slack and Mattermost show. With a secret, the header `X-Lakegate-Signature` is
    `t=<seconds>,v1=<hex>`: the HMAC-SHA256 of `<seconds>.<body>`. Redirects are not followed. An answer in 2xx means: taken.
    """

    name = "webhook"

    def __init__(self, address: str, secret: str | None = None, timeout_s: float = WEBHOOK_TIMEOUT_S) -> None:
        """`timeout_s` is for everything, from connecting to the status of the answer. Raises ConfigurationError."""
        scheme, host, self.place = _parts(address)
        self._is_loopback = _is_loopback(host)
        if scheme == "http" and not self._is_loopback:
            raise ConfigurationError(
                f"{_WEBHOOK} must begin with https://; http:// is for this machine's own addresses"
            )
        self._address, self._secret, self._timeout_s = address, secret, timeout_s

    def send(self, message: AlertMessage) -> None:
        """Post it."""
        body = json.dumps({"text": message.chat, **message.document}, separators=(",", ":")).encode()
        headers = {"Content-Type": "application/json", "User-Agent": "lakegate", "X-Lakegate-Id": message.id}
        if self._secret:
            headers["X-Lakegate-Signature"] = signature(self._secret, int(time.time()), body)
        request = urllib.request.Request(self._address, data=body, headers=headers, method="POST")  # noqa: S310 - the scheme was looked at
        answer = self._post(request)
        said = f"answered {answer.status}" + (f": {answer.beginning}" if answer.beginning else "")
        if answer.status == 429:
            raise ThrottledError(f"it {said}", code="429")
        if answer.status >= 500:
            raise TransientError(f"it {said}", code=str(answer.status))
        if 300 <= answer.status < 400:
            raise PermanentError(f"it {said}, a redirect, which is not followed: set {_WEBHOOK} to where it leads")
        if not 200 <= answer.status < 300:
            raise PermanentError(f"it {said}: check {_WEBHOOK}", code=str(answer.status))

    def _post(self, request: urllib.request.Request) -> _Answer:
        deadline = _Deadline(self._timeout_s)
        proxies = urllib.request.ProxyHandler({}) if self._is_loopback else urllib.request.ProxyHandler()
        opener = urllib.request.OpenerDirector()
        for handler in (proxies, _Http(deadline), _Https(deadline)):
            opener.add_handler(handler)
        try:
            with deadline, opener.open(request, timeout=self._timeout_s) as response:
                status = int(response.status)
                if deadline.is_over:
                    raise TimeoutError  # cut off amid the headers
                # Of an answer that is good nothing more is needed.
                beginning = "" if 200 <= status < 300 else response.read(_ANSWER_SHOWN).decode("utf-8", "replace")
                return _Answer(status, short(" ".join(beginning.split()), _ANSWER_SHOWN))
        except (OSError, http.client.HTTPException) as error:
            if deadline.is_over or isinstance(error, TimeoutError) or isinstance(_cause(error), TimeoutError):
                raise TransientError(f"no answer within {self._timeout_s:g} seconds", code="Timeout") from None
            raise TransientError(f"no connection: {_cause(error)}", code="NoConnection") from None


def signature(secret: str, seconds: int, body: bytes) -> str:
    """What the header `X-Lakegate-Signature` holds for a body posted at that time."""
    signed = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={signed}"


def _parts(address: str) -> tuple[str, str, str]:
    """Scheme, host, and the host with its port."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    if parts.scheme not in ("http", "https") or not host or parts.username or not address.isprintable():
        raise ConfigurationError(
            f"{_WEBHOOK} must be an address like https://host/path, without a user ({_SECRET} signs instead)"
        )
    return parts.scheme, host, host if port is None else f"{host}:{port}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _cause(error: BaseException) -> BaseException:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return reason if isinstance(reason, BaseException) else error


class _Deadline:
    """Cuts a connection off when its time is over: a time-out of a socket starts anew with each byte."""

    def __init__(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._socket: socket.socket | None = None
        self.is_over = False

    def watch(self, connected: socket.socket) -> None:
        self._socket = connected
        if self.is_over:
            self._cut()

    def _cut(self) -> None:
        self.is_over = True
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it is closed already

    def __enter__(self) -> "_Deadline":
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


class _Http(urllib.request.HTTPHandler):
    def __init__(self, deadline: _Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        deadline = self._deadline

        class Connection(http.client.HTTPConnection):
            def connect(self) -> None:
                super().connect()
                deadline.watch(self.sock)

        return self.do_open(Connection, req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, deadline: _Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        deadline = self._deadline

        class Connection(http.client.HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                deadline.watch(self.sock)

        return self.do_open(Connection, req)
