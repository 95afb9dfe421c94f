"""Metrics for CloudWatch: lines in the embedded metric format, on standard output or in a file.

After AWS's page "Specification: Embedded metric format": a metric's value is a number or an array of at most 100 numbers, a line has
at most 100 metrics and 1 MB. CloudWatch does not add up over dimensions by itself, so each value is told under every part of
its labels, down to none: what grows, and each value of a histogram, in the same line; what a gauge comes to is worked out here.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from opentelemetry.sdk.metrics import Counter, Histogram
from opentelemetry.sdk.metrics import _Gauge as Gauge  # pyright: ignore[reportPrivateUsage]  # it has no other name
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    HistogramDataPoint,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
)

from pipelines.telemetry.metrics import CATALOGUE, Kind, Metric, Total
from pipelines.telemetry.names import cloudwatch_unit, dimension_sets

__all__ = ["EmfExporter", "Point", "emf_documents", "values_of"]

_METRICS_A_LINE = 100
_VALUES_A_METRIC = 100
_MOST_VALUES = 1000
"""Values of one histogram that are told at a time: of more, so many that stand for all."""
_BY_NAME = {metric.name: metric for metric in CATALOGUE}
_DELTA = AggregationTemporality.DELTA

Labels = tuple[tuple[str, str], ...]
Point = tuple[Metric, Labels, Sequence[float]]
"""A metric, its labels in the catalogue's order, and its values: one, or a histogram's."""


class EmfExporter(MetricExporter):
    """Writes one line for each set of labels."""

    def __init__(self, namespace: str, stack: str, file: Path | None = None) -> None:
        """`file` is opened for each export, so that it may be moved away; without it, lines go to standard output."""
        super().__init__(preferred_temporality={Counter: _DELTA, Histogram: _DELTA, Gauge: _DELTA})
        self._namespace, self._stack, self._file = namespace, stack, file

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any) -> MetricExportResult:  # noqa: ARG002 - the SDK calls it so
        """Write what was measured since the last export. Raises OSError when it cannot be written; it is lost then."""
        points = _points(metrics_data)
        documents = emf_documents(points, self._namespace, {"deployment": self._stack}, time.time_ns() // 1_000_000)
        lines = b"".join(json.dumps(document, separators=(",", ":")).encode() + b"\n" for document in documents)
        if lines:
            self._write(lines)
        return MetricExportResult.SUCCESS

    def _write(self, lines: bytes) -> None:
        if self._file is None:
            _write_all(1, lines)
            return
        opened = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            _write_all(opened, lines)
        finally:
            os.close(opened)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:  # noqa: ARG002 - the SDK calls it so
        """Nothing is held back."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        """Nothing is open."""


def _write_all(opened: int, lines: bytes) -> None:
    while lines:
        lines = lines[os.write(opened, lines) :]


def _points(metrics_data: MetricsData) -> Iterator[Point]:
    for of_resource in metrics_data.resource_metrics:
        for of_scope in of_resource.scope_metrics:
            for found in of_scope.metrics:
                metric = _BY_NAME[found.name]
                for point in found.data.data_points:
                    attributes = point.attributes or {}
                    labels = tuple((name, str(attributes[name])) for name in metric.labels)
                    if isinstance(point, HistogramDataPoint):
                        yield metric, labels, values_of(point)
                    elif isinstance(point, NumberDataPoint):
                        yield metric, labels, (point.value,)


def values_of(point: HistogramDataPoint) -> list[float]:
    """Values that stand for a histogram's: as many in each bucket as it counts, in its middle, within what was measured.

    Of more than a thousand, a share of each bucket, at least one.
    """
    if point.count == 1:
        return [point.sum]
    lowest = [point.min, *point.explicit_bounds]
    highest = [*point.explicit_bounds, point.max]
    share = min(1.0, _MOST_VALUES / point.count) if point.count else 1.0
    values: list[float] = []
    for low, high, count in zip(lowest, highest, point.bucket_counts, strict=True):
        if count:
            middle = (max(low, point.min) + min(high, point.max)) / 2
            values += [middle] * max(1, round(count * share))
    return values


def emf_documents(
    points: Iterable[Point], namespace: str, properties: dict[str, str], at_ms: int
) -> Iterator[dict[str, Any]]:
    """The documents that tell these points, each to be written as one line."""
    for sets, labels, told in _grouped(points):
        units = [{"Name": metric.name, "Unit": cloudwatch_unit(metric)} for metric, _ in told]
        values = {metric.name: part[0] if len(part) == 1 else part for metric, part in told}
        directive = {"Namespace": namespace, "Dimensions": sets, "Metrics": units}
        yield {"_aws": {"Timestamp": at_ms, "CloudWatchMetrics": [directive]}, **properties, **dict(labels), **values}


Told = tuple[Metric, list[float]]


def _grouped(points: Iterable[Point]) -> Iterator[tuple[list[list[str]], Labels, list[Told]]]:
    """Points with the same labels and the same dimension sets, in pieces that fit a line: sets, labels, metrics."""
    groups: dict[tuple[tuple[tuple[str, ...], ...], Labels], list[list[Told]]] = {}
    for sets, labels, metric, values in _dimensioned(points):
        for number, start in enumerate(range(0, len(values), _VALUES_A_METRIC)):
            # The values beyond the first hundred go into a line of their own: a line names each metric once.
            lines = groups.setdefault((sets, labels), [])
            if len(lines) <= number:
                lines.append([])
            lines[number].append((metric, [float(v) for v in values[start : start + _VALUES_A_METRIC]]))
    for (sets, labels), lines in groups.items():
        for told in lines:
            for start in range(0, len(told), _METRICS_A_LINE):
                yield [list(names) for names in sets], labels, told[start : start + _METRICS_A_LINE]


def _dimensioned(
    points: Iterable[Point],
) -> Iterator[tuple[tuple[tuple[str, ...], ...], Labels, Metric, Sequence[float]]]:
    """Each point with the dimension sets that it is told under, and the totals of gauges."""
    gauges: dict[tuple[str, Labels], list[float]] = {}
    for metric, labels, values in points:
        if metric.kind is not Kind.GAUGE:
            yield tuple(dimension_sets(metric)), labels, metric, values
            continue
        for part in dimension_sets(metric):
            of_part = tuple((name, value) for name, value in labels if name in part)
            gauges.setdefault((metric.name, of_part), []).extend(values)
    for (name, labels), values in gauges.items():
        metric = _BY_NAME[name]
        total = max(values) if metric.total is Total.MAX else sum(values)
        yield (tuple(label for label, _ in labels),), labels, metric, [total]
