"""How a metric of the catalogue is called, and under which labels it is told, by each exporter. Pure."""

import itertools
from collections.abc import Iterator

from pipelines.telemetry.metrics import LABELS, Kind, Metric

__all__ = ["cloudwatch_unit", "dimension_sets", "prometheus_name"]

_PROMETHEUS = {"s": "seconds", "By": "bytes"}
_CLOUDWATCH = {"s": "Seconds", "By": "Bytes"}


def prometheus_name(metric: Metric) -> str:
    """The name as OpenTelemetry's rule makes it: without dots, with the unit, and with `_total` where it only grows."""
    name, unit = metric.name.replace(".", "_"), _PROMETHEUS.get(metric.unit, "")
    name = name if not unit or name.endswith(f"_{unit}") else f"{name}_{unit}"
    return f"{name}_total" if metric.kind is Kind.COUNTER else name


def cloudwatch_unit(metric: Metric) -> str:
    """The unit as CloudWatch names it."""
    return _CLOUDWATCH.get(metric.unit, "Count")


def dimension_sets(metric: Metric) -> Iterator[tuple[str, ...]]:
    """The parts of its labels under which CloudWatch is told, from none to all; a label that means nothing by itself never alone."""
    for size in range(len(metric.labels) + 1):
        for part in itertools.combinations(metric.labels, size):
            if all(not LABELS[name].within or LABELS[name].within in part for name in part):
                yield part
