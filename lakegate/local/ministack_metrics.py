"""What AWS puts into CloudWatch without being asked, in place of ministack, which does not; loaded by the launcher.

Two things: the metrics of queues, as SQS publishes them each minute, and the metrics in log lines of the embedded metric format,
as CloudWatch Logs extracts them. The lines stand in a file here: on a laptop there is no log group that processes write to. How a
line is read: "Specification: Embedded metric format" in the CloudWatch User Guide. Nothing here imports Lakegate.
"""

import asyncio
import contextlib
import json
import logging
import time
from pathlib import Path
from typing import Any

COLLECT_S = 5.0
"""AWS publishes the metrics of a queue each minute. Here more often, so that an alarm with short periods can be tried."""
ROTATE_BYTES = 4 * 1024 * 1024
FORGOTTEN_S = 3 * 3600
_READ_BYTES = 1024 * 1024

log = logging.getLogger("lakegate.ministack.metrics")


class Metrics:
    """Collects the metrics of one ministack: `cloudwatch` and `sqs` are its modules, `emf_file` need not exist yet.

    With a higher `speed` it collects more often.
    """

    def __init__(self, cloudwatch: Any, sqs: Any, emf_file: Path, speed: float) -> None:
        self._cloudwatch = cloudwatch
        self._sqs = sqs
        self._file = emf_file
        self._pause_s = max(COLLECT_S / speed, 0.5)
        self._offset = 0
        self._rest = b""

    async def run(self, stop: asyncio.Event) -> None:
        """Collect again and again until `stop` is set."""
        while not stop.is_set():
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stop.wait(), self._pause_s)
            self.collect_queues()
            while self.extract():
                await asyncio.sleep(0)

    def collect_queues(self) -> None:
        """Publish how many messages each queue of each account holds, and how old the oldest is."""
        from ministack.core.responses import request_scope  # pyright: ignore[reportMissingImports]

        now = time.time()
        for (account, region, _), queue in list(self._sqs._queues._data.items()):
            messages = queue["messages"]
            waiting = [message.get("sent_at", now) for message in messages]
            visible = sum(message.get("visible_at", 0) <= now for message in messages)
            delayed = sum(message.get("visible_at", 0) > now and not message["receive_count"] for message in messages)
            values = {
                "ApproximateNumberOfMessagesVisible": (visible, "Count"),
                "ApproximateNumberOfMessagesNotVisible": (len(messages) - visible - delayed, "Count"),
                "ApproximateNumberOfMessagesDelayed": (delayed, "Count"),
                "ApproximateAgeOfOldestMessage": (now - min(waiting) if waiting else 0, "Seconds"),
            }
            with request_scope(account, region):
                for name, (value, unit) in values.items():
                    self._store("AWS/SQS", name, {"QueueName": queue["name"]}, now, unit, value)

    def extract(self) -> bool:
        """Take what was appended to the file, a megabyte at most; say whether there is more of it."""
        try:
            with self._file.open("rb") as stream:
                size = stream.seek(0, 2)
                if size < self._offset:  # somebody emptied it
                    self._offset, self._rest = 0, b""
                stream.seek(self._offset)
                read = stream.read(_READ_BYTES)
        except FileNotFoundError:
            return False
        self._offset += len(read)
        *lines, self._rest = (self._rest + read).split(b"\n")
        for line in lines:
            self._extract_line(line)
        if self._offset < size:
            return True
        if size > ROTATE_BYTES and not self._rest and self._file.stat().st_size == size:
            # Whoever appends goes on at the new end. On AWS a log group forgets by age.
            self._file.write_bytes(b"")
            self._offset = 0
        return False

    def _extract_line(self, line: bytes) -> None:
        try:
            document = json.loads(line)
            told = document["_aws"]
            at = float(told["Timestamp"]) / 1000
            if at < time.time() - FORGOTTEN_S:
                return
            for directive in told["CloudWatchMetrics"]:
                for names in directive["Dimensions"] or [[]]:
                    dimensions = {name: str(document[name]) for name in names}
                    for metric in directive["Metrics"]:
                        # A metric that is declared and has no value is left out, as CloudWatch Logs does.
                        if (value := document.get(metric["Name"])) is not None:
                            unit = metric.get("Unit", "None")
                            self._store(directive["Namespace"], metric["Name"], dimensions, at, unit, value)
        except (KeyError, TypeError, ValueError) as error:
            # Lines of other kinds are no metrics; CloudWatch Logs passes over them too.
            log.info("a line of %s holds no metrics: %r", self._file, error)

    def _store(self, namespace: str, name: str, dimensions: dict[str, str], at: float, unit: str, value: Any) -> None:
        single, values, counts = value, None, None
        if isinstance(value, list):
            single, values = None, [float(one) for one in value]
        elif isinstance(value, dict):
            single, values, counts = None, value["Values"], value.get("Counts")
        else:
            single = float(value)
        self._cloudwatch._store_datum(namespace, name, dimensions, at, unit, single, values, counts, None)
