"""Tells lineage to whoever is configured to hear it, by OpenLineage's own client.

Configured as OpenLineage is everywhere: `OPENLINEAGE_URL`, `OPENLINEAGE__TRANSPORT__…`, or a file `openlineage.yml`. Without any of
these there is no sink, nothing is imported and nothing is told. A worker never waits for a server: news is kept in a short queue and
sent by a thread. What fails is left out and said; a server that does not answer is left alone for a minute.
"""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pipelines.lineage.describe import describe
from pipelines.lineage.naming import LineageNames
from pipelines.lineage.news import BatchNews
from pipelines.printable import printable

if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import RunEvent

__all__ = ["Emitter", "OpenLineageSink", "is_configured", "open_client"]

SETTLE_S = 5.0
"""How long a run waits at its end, at most, for what it told to be sent."""
REST_S = 60.0
"""How long a server that failed is left alone."""
MAX_WAITING = 200
"""Batches told of that may wait to be sent; what comes on top is left out, and said."""
TIMEOUT_S = 3.0
"""How long one answer over HTTP is waited for, unless the configuration says otherwise."""
_REASON_LIMIT = 300
_log = logging.getLogger(__name__)


class Emitter(Protocol):
    """What sends an event: OpenLineage's client."""

    def emit(self, event: "RunEvent") -> None:
        """Send it. Raises what went wrong."""
        ...


def is_configured(environment: Mapping[str, str], here: Path) -> bool:
    """Whether somebody wants to hear of lineage: asked in the places in which OpenLineage's client looks, without importing it."""
    if environment.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true":
        return False
    if environment.get("OPENLINEAGE_URL") or any(name.startswith("OPENLINEAGE__TRANSPORT") for name in environment):
        return True
    home = environment.get("HOME")
    files = [here / "openlineage.yml"]
    if said := environment.get("OPENLINEAGE_CONFIG"):
        files.append(Path(said))
    if home:
        files.append(Path(home) / ".openlineage" / "openlineage.yml")
    return any(file.is_file() for file in files)


def open_client() -> "OpenLineageClient":
    """OpenLineage's client as it is configured, with less patience for HTTP than its own where none is configured."""
    from openlineage.client import OpenLineageClient
    from openlineage.client.transport.http import HttpTransport

    client = OpenLineageClient()
    transport = client.transport
    if isinstance(transport, HttpTransport):
        said: Mapping[str, Any] = client.config.transport or {}
        if "timeout" not in said:
            transport.timeout = TIMEOUT_S
        if "retry" not in said:
            transport.config.retry = {**transport.config.retry, "total": 1, "connect": 1, "read": 1}
    return client


class OpenLineageSink:
    """Passes on what it is told, in order, from a thread of its own that begins with the first news. Safe to share between threads."""

    def __init__(
        self,
        names: LineageNames,
        connect: Callable[[], Emitter] = open_client,
        *,
        settle_s: float = SETTLE_S,
        rest_s: float = REST_S,
    ) -> None:
        """`connect` makes the client when the first event is sent, and again after it failed."""
        self._names = names
        self._connect = connect
        self._settle_s = settle_s
        self._rest_s = rest_s
        self._client: Emitter | None = None
        self._changed = threading.Condition()
        self._waiting: deque[BatchNews] = deque()
        self._sending = False
        self._overdue = False
        self._rests_until = 0.0
        self._left_out: Counter[str] = Counter()
        self._thread: threading.Thread | None = None

    def tell(self, news: BatchNews) -> None:
        """Take the news, unless too much waits already or the server is left alone."""
        with self._changed:
            if time.monotonic() < self._rests_until:
                self._left_out[f"it was left alone for {self._rest_s:.0f} s after a failure"] += 1
            elif len(self._waiting) >= MAX_WAITING:
                self._left_out[f"{MAX_WAITING} were waiting to be sent already"] += 1
            else:
                self._waiting.append(news)
                # A process that was forked has this object, and no thread.
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._send_all, name="openlineage", daemon=True)
                    self._thread.start()
                self._changed.notify_all()

    def settle(self) -> tuple[str, ...]:
        """Wait at most five seconds until all is sent, then one sentence for each reason for which events were left out."""
        with self._changed:
            rests = time.monotonic() < self._rests_until
            patience = 0.0 if rests else self._settle_s
            if not self._changed.wait_for(self._is_idle, patience) and not rests:
                self._overdue = self._sending
                self._give_up(f"no answer came within {self._settle_s:.0f} s", len(self._waiting) + self._sending)
            told = tuple(
                f"{count:,} OpenLineage {'event was' if count == 1 else 'events were'} not delivered: {reason}. The data and its "
                f"books are not affected, and these events are not sent again. What to do: {self._names.links.page('lineage.md')}"
                for reason, count in self._left_out.items()
            )
            self._left_out.clear()
        return told

    def _is_idle(self) -> bool:
        return not self._waiting and not self._sending

    def _give_up(self, reason: str, events: int) -> None:
        self._left_out[reason] += events
        self._waiting.clear()
        self._rests_until = time.monotonic() + self._rest_s
        _log.warning("Lineage is not told for %.0f s: %s", self._rest_s, reason)

    def _send_all(self) -> None:
        while True:
            with self._changed:
                self._sending = self._overdue = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting)
                news = self._waiting.popleft()
                self._sending = True
            try:
                self._send(news)
            except Exception as error:  # noqa: BLE001 - a door: whatever a transport raises, ingestion goes on
                reason = f"{type(error).__name__}: {printable(str(error))}"
                self._client = None
                with self._changed:
                    # What was waited for too long is counted already.
                    self._give_up(reason[:_REASON_LIMIT], len(self._waiting) + (not self._overdue))

    def _send(self, news: BatchNews) -> None:
        from resources.openlineage_events import run_event

        event = run_event(describe(news, self._names))
        if self._client is None:
            self._client = self._connect()
        self._client.emit(event)
