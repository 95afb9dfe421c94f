"""Metrics for Prometheus, of all processes of a machine together: each writes its own sums into a folder, one server adds them up.

    <id>.json     what one process has counted since it began, and the gauges it set, with the moment
    <id>.lock     locked by that process as long as it lives
    ended.json    what processes that have ended had counted, so that no sum ever goes down and no file is kept for each of them

Short-lived runs cannot be asked by Prometheus, and of many long-lived ones a server would have to know each. A lock, unlike a process id,
says that a process lives also where the folder is shared by containers.
"""

import contextlib
import fcntl
import json
import os
import time
import uuid
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from opentelemetry.sdk.metrics import Counter, Histogram
from opentelemetry.sdk.metrics import _Gauge as Gauge  # pyright: ignore[reportPrivateUsage]  # it has no other name
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    HistogramDataPoint,
    MetricExporter,
    MetricExportResult,
    MetricsData,
)

from pipelines.telemetry.metrics import CATALOGUE, Kind, Metric
from pipelines.telemetry.names import prometheus_name

__all__ = ["FolderCollector", "FolderExporter"]

_BY_NAME = {metric.name: metric for metric in CATALOGUE}
_ENDED = "ended.json"

Labels = tuple[str, ...]
"""Values of the labels, in the order of the catalogue."""


@dataclass(slots=True)
class _State:
    """What was measured, by metric and labels: sums, histograms as [sum, count of each bucket …], gauges as (moment, value)."""

    sums: dict[str, dict[Labels, float]] = field(default_factory=dict[str, dict[Labels, float]])
    histograms: dict[str, dict[Labels, list[float]]] = field(default_factory=dict[str, dict[Labels, list[float]]])
    gauges: dict[str, dict[Labels, tuple[float, float]]] = field(
        default_factory=dict[str, dict[Labels, tuple[float, float]]]
    )
    folded: list[str] = field(default_factory=list[str])
    """Of ended processes: whose numbers are in here already, should their files still be there."""

    def add(self, other: "_State") -> None:
        """Take another's numbers in. Of a gauge, what was set last counts."""
        for name, sums in other.sums.items():
            mine = self.sums.setdefault(name, {})
            for labels, value in sums.items():
                mine[labels] = mine.get(labels, 0.0) + value
        for name, histograms in other.histograms.items():
            held = self.histograms.setdefault(name, {})
            for labels, numbers in histograms.items():
                before = held.get(labels)
                # With other buckets than a release before: those numbers cannot be added up, the newer ones stay.
                same = before is not None and len(before) == len(numbers)
                held[labels] = [a + b for a, b in zip(before or (), numbers, strict=True)] if same else numbers
        for name, gauges in other.gauges.items():
            known = self.gauges.setdefault(name, {})
            for labels, stamped in gauges.items():
                known[labels] = max(stamped, known.get(labels, stamped))

    def dump(self) -> bytes:
        """As a file holds it."""
        parts = {"sums": self.sums, "histograms": self.histograms, "gauges": self.gauges}
        listed = {
            part: {name: [[list(labels), value] for labels, value in found.items()] for name, found in named.items()}
            for part, named in parts.items()
        }
        return json.dumps({**listed, "folded": self.folded}, separators=(",", ":")).encode()

    @classmethod
    def load(cls, path: Path) -> "_State":
        """What a file holds; nothing, where there is none. Metrics that this release does not know are left out."""
        try:
            raw: dict[str, Any] = json.loads(path.read_bytes())
        except FileNotFoundError:
            return cls()
        return cls(
            sums=_named(raw["sums"]),
            histograms=_named(raw["histograms"]),
            gauges={
                name: {labels: (at, value) for labels, (at, value) in found.items()}
                for name, found in _named(raw["gauges"]).items()
            },
            folded=raw["folded"],
        )


def _named(raw: Mapping[str, list[list[Any]]]) -> dict[str, dict[Labels, Any]]:
    return {
        name: {tuple(labels): value for labels, value in found if len(labels) == len(_BY_NAME[name].labels)}
        for name, found in raw.items()
        if name in _BY_NAME
    }


class FolderExporter(MetricExporter):
    """Keeps the file of this process up to date; the first export makes it."""

    def __init__(self, folder: Path) -> None:
        """`folder` is made if need be."""
        # A gauge is told only when it was set anew: so what is written beside it is the moment of that.
        super().__init__(
            preferred_temporality={
                Counter: AggregationTemporality.CUMULATIVE,
                Histogram: AggregationTemporality.CUMULATIVE,
                Gauge: AggregationTemporality.DELTA,
            }
        )
        self._folder = folder
        self._id = uuid.uuid4().hex
        self._state = _State()
        self._lock: IO[bytes] | None = None

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any) -> MetricExportResult:  # noqa: ARG002 - the SDK calls it so
        """Write the file anew. Raises OSError when it cannot be written; the next one holds everything again."""
        self._note(metrics_data)
        if self._lock is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            with _holding(self._folder):
                self._lock = (self._folder / f"{self._id}.lock").open("wb")
                fcntl.flock(self._lock, fcntl.LOCK_EX)
                _fold(self._folder)
        _write(self._folder / f"{self._id}.json", self._state)
        return MetricExportResult.SUCCESS

    def _note(self, metrics_data: MetricsData) -> None:
        now = time.time()
        for of_resource in metrics_data.resource_metrics:
            for of_scope in of_resource.scope_metrics:
                for found in of_scope.metrics:
                    metric = _BY_NAME[found.name]
                    for point in found.data.data_points:
                        labels = tuple(str((point.attributes or {})[name]) for name in metric.labels)
                        if isinstance(point, HistogramDataPoint):
                            numbers = [point.sum, *(float(count) for count in point.bucket_counts)]
                            self._state.histograms.setdefault(metric.name, {})[labels] = numbers
                        elif metric.kind is Kind.GAUGE:
                            self._state.gauges.setdefault(metric.name, {})[labels] = (now, float(point.value))  # pyright: ignore[reportAttributeAccessIssue]  # a number's point
                        else:
                            self._state.sums.setdefault(metric.name, {})[labels] = float(point.value)  # pyright: ignore[reportAttributeAccessIssue]  # a number's point

    def force_flush(self, timeout_millis: float = 10_000) -> bool:  # noqa: ARG002 - the SDK calls it so
        """Nothing is held back."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:  # noqa: ARG002 - the SDK calls it so
        """Let go of the file: whoever looks next adds it to those that have ended."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None


class FolderCollector:
    """What `prometheus_client` is given: all processes of a folder, added up at each scrape."""

    def __init__(self, folder: Path) -> None:
        """`folder` is where processes write; it is made if need be."""
        self._folder = folder

    def collect(self) -> Iterator[Any]:
        """Every metric with its samples. Gauges that nobody has set for so long that they say nothing any more are left out."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with _holding(self._folder):
            state = _fold(self._folder)
            for path in sorted(self._folder.glob("*.json")):
                if path.name != _ENDED:
                    state.add(_State.load(path))
        yield from _families(state, time.time())


def _families(state: _State, now: float) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    for metric in CATALOGUE:
        name, about = prometheus_name(metric), metric.meaning
        match metric.kind:
            case Kind.COUNTER:
                family: Any = CounterMetricFamily(name, about, labels=metric.labels)
                for labels, value in sorted(state.sums.get(metric.name, {}).items()):
                    family.add_metric(labels, value)
            case Kind.GAUGE:
                family = GaugeMetricFamily(name, about, labels=metric.labels)
                for labels, (at, value) in sorted(state.gauges.get(metric.name, {}).items()):
                    if now - at <= metric.valid_s:
                        family.add_metric(labels, value)
            case Kind.HISTOGRAM:
                family = HistogramMetricFamily(name, about, labels=metric.labels)
                for labels, (total, *counts) in sorted(state.histograms.get(metric.name, {}).items()):
                    family.add_metric(labels, list(_cumulative(metric, counts)), sum_value=total)
        if family.samples:
            yield family


def _cumulative(metric: Metric, counts: Iterable[float]) -> Iterator[tuple[str, float]]:
    so_far = 0.0
    for bound, count in zip((*(f"{float(b)}" for b in metric.bounds), "+Inf"), counts, strict=True):
        so_far += count
        yield bound, so_far


# ---- the folder ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _holding(folder: Path) -> Generator[None]:
    """Only one at a time adds up what has ended."""
    with (folder / "folder.lock").open("wb") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def _fold(folder: Path) -> _State:
    """Take the files of processes that have ended into `ended.json`; what that holds then. Stopped anywhere, it goes on the next time."""
    ended = _State.load(folder / _ENDED)
    for name in ended.folded:
        _remove(folder, name)
    gone = [path.stem for path in sorted(folder.glob("*.lock")) if path.name != "folder.lock" and _has_ended(path)]
    if gone:
        for name in gone:
            ended.add(_State.load(folder / f"{name}.json"))
        ended.folded = gone
        _write(folder / _ENDED, ended)
        for name in gone:
            _remove(folder, name)
    return ended


def _remove(folder: Path, name: str) -> None:
    # The lock last: a file without one would never be looked at again.
    (folder / f"{name}.json").unlink(missing_ok=True)
    (folder / f"{name}.lock").unlink(missing_ok=True)


def _has_ended(lock: Path) -> bool:
    with lock.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


def _write(path: Path, state: _State) -> None:
    beside = path.with_suffix(".new")
    beside.write_bytes(state.dump())
    os.replace(beside, path)
