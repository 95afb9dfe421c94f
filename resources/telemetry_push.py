"""Exports what a process has measured, in a thread of its own: on the clock, soon after it is woken, and once more at the end.

Whoever measures never waits for an exporter: a collector that is down or silent costs this thread's time and nobody else's. Of a
trouble that lasts one line is logged, and one when it is over.
"""

import logging
import threading
import time
from typing import Any

from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricReader, MetricsData

__all__ = ["PushReader"]

_log = logging.getLogger(__name__)


class PushReader(MetricReader):
    """One exporter and its thread."""

    def __init__(self, name: str, exporter: MetricExporter, *, every_s: float, least_s: float) -> None:
        """Export every `every_s` seconds, or when woken, with a rest of at least `least_s` between two exports."""
        super().__init__(
            preferred_temporality=exporter._preferred_temporality,  # pyright: ignore[reportPrivateUsage]  # as the SDK's own readers do
            preferred_aggregation=exporter._preferred_aggregation,  # pyright: ignore[reportPrivateUsage]
        )
        self._name = name
        self._exporter = exporter
        self._every_s, self._least_s = every_s, least_s
        self._woken, self._leaving = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"metrics-{name}", daemon=True)
        self._in_trouble = False

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Have it export soon."""
        self._woken.set()

    def leave(self) -> None:
        """Have it export once more and end."""
        self._leaving.set()
        self._woken.set()

    def shutdown(self, timeout_millis: float = 3000, **_: Any) -> None:
        """Wait for the last export, for so long at most: what a silent collector does not take by then is lost."""
        self.leave()
        self._thread.join(timeout_millis / 1000)
        self._exporter.shutdown(timeout_millis=0)

    def _run(self) -> None:
        exported_at = float("-inf")
        while not self._leaving.is_set():
            self._woken.wait(self._every_s)
            self._leaving.wait(max(0.0, exported_at + self._least_s - time.monotonic()))
            self._woken.clear()
            self._export()
            exported_at = time.monotonic()

    def _export(self) -> None:
        try:
            self.collect()
        except Exception as error:  # noqa: BLE001 - the thread's door: an exporter's fault must not end it
            self._note(f"{type(error).__name__}: {error}")

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any) -> None:
        if self._exporter.export(metrics_data, timeout_millis=timeout_millis) is MetricExportResult.SUCCESS:
            self._note(None)
        else:
            self._note("it took none; the exporter's own log says more at level DEBUG")

    def _note(self, trouble: str | None) -> None:
        if trouble is not None and not self._in_trouble:
            _log.warning(
                "metrics do not get out by %s (%s); the work goes on, and this is said once while it lasts",
                self._name,
                trouble,
            )
        elif trouble is None and self._in_trouble:
            _log.warning("metrics get out by %s again", self._name)
        self._in_trouble = trouble is not None
