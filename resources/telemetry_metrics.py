"""The meter behind the port, on OpenTelemetry's SDK: what is told is added up in memory, and exported in the background.

`LAKEGATE_METRICS` names the exporters (`emf`, `prometheus`, `otlp`, separated by commas); without it there is no meter, and nothing of
OpenTelemetry is imported. Memory is bounded by the number of series, not by what happens: labels that are not of the catalogue's
kind are refused here.
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import ConfigurationError, LakegateError
from pipelines.telemetry.metrics import CATALOGUE, NAMESPACE, NO_METER, Kind, Meter, Metric, Record

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider

    from resources.telemetry_push import PushReader

__all__ = ["EXPORTERS", "LabelGuard", "MetricsSettings", "OtelMeter", "meter_of", "metrics_settings"]

EXPORTERS = ("emf", "prometheus", "otlp")
EXPORT_EVERY_S = 60.0
_LEAST_S = {"emf": 5.0, "prometheus": 1.0, "otlp": 5.0}
"""How long an exporter rests at least between two exports, however often it is asked: a tick ends every few seconds."""
_LEAVE_S = 3.0
"""How long a process waits at its end for what is not exported yet."""
_VALUE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_MOST_VALUES = 500
_REFUSED, _OTHER = "refused", "other"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """Which exporters there are, and what they need to know. `emf_file` None means standard output."""

    exporters: tuple[str, ...]
    namespace: str
    stack: str
    emf_file: Path | None
    folder: Path | None
    every_s: float


def metrics_settings(environment: Mapping[str, str]) -> MetricsSettings | None:
    """The settings in `LAKEGATE_METRICS` and its companions; None where no exporter is named.

    Raises ConfigurationError for an exporter there is not, and for `prometheus` without a folder.
    """
    said = [name.strip() for name in environment.get("LAKEGATE_METRICS", "").split(",") if name.strip()]
    if not said:
        return None
    if unknown := [name for name in said if name not in EXPORTERS]:
        raise ConfigurationError(
            f"LAKEGATE_METRICS names {', '.join(map(repr, unknown))}: say any of {', '.join(EXPORTERS)}, separated by commas"
        )
    return MetricsSettings(
        exporters=tuple(name for name in EXPORTERS if name in said),
        namespace=environment.get("LAKEGATE_METRICS_NAMESPACE") or NAMESPACE,
        stack=environment.get("LAKEGATE_STACK") or "lakegate",
        emf_file=Path(file) if (file := environment.get("LAKEGATE_EMF_FILE")) else None,
        folder=metrics_folder(environment) if "prometheus" in said else None,
        every_s=_every_s(environment),
    )


def metrics_folder(environment: Mapping[str, str]) -> Path:
    """Where processes put what Prometheus is served: `LAKEGATE_METRICS_DIR`, on a laptop else `metrics` in its folder.

    Raises ConfigurationError when neither is set.
    """
    if said := environment.get("LAKEGATE_METRICS_DIR"):
        return Path(said)
    if home := environment.get("LAKEGATE_HOME"):
        return Path(home) / "metrics"
    raise ConfigurationError(
        "LAKEGATE_METRICS_DIR is not set: name a folder that all processes of this machine can write to; "
        "`lakegate metrics serve` reads it for Prometheus"
    )


def _every_s(environment: Mapping[str, str]) -> float:
    said = environment.get("OTEL_METRIC_EXPORT_INTERVAL", "")
    if not said:
        return EXPORT_EVERY_S
    if not said.isdigit() or int(said) < 1000:
        raise ConfigurationError(
            f"OTEL_METRIC_EXPORT_INTERVAL is {said!r}: say a number of milliseconds, 1000 or more (default 60000)"
        )
    return int(said) / 1000


def meter_of(environment: Mapping[str, str]) -> Meter:
    """The one meter of this process for these settings; no meter where none is asked for.

    Raises ConfigurationError for wrong settings, or where OpenTelemetry is not installed.
    """
    settings = metrics_settings(environment)
    return NO_METER if settings is None else _meter(settings)


@lru_cache(maxsize=4)
def _meter(settings: MetricsSettings) -> OtelMeter:
    from importlib.util import find_spec

    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        raise ConfigurationError(
            "LAKEGATE_METRICS is set, and OpenTelemetry is not installed: pip install lakegate[telemetry]"
        )
    return OtelMeter(settings)


class LabelGuard:
    """Lets through only label values that can be no key, path, id or message, and only so many of each label."""

    def __init__(self, most: int = _MOST_VALUES) -> None:
        """At most so many values of one label; what comes after them is counted as `other`."""
        self._most = most
        self._known: dict[str, set[str]] = {}

    def labels(self, record: Record) -> Mapping[str, str]:
        """The record's labels, fit to be shown. Raises ValueError for labels that are not the metric's."""
        if record.labels.keys() != set(record.metric.labels):
            raise ValueError(f"{record.metric.name} has no labels {', '.join(record.labels)}")
        return {name: self._value(name, value) for name, value in record.labels.items()}

    def _value(self, name: str, value: str) -> str:
        known = self._known.setdefault(name, set())
        if value in known:
            return value
        if not _VALUE.fullmatch(value):
            return _REFUSED
        if len(known) >= self._most:
            return _OTHER
        known.add(value)
        return value


@dataclass(slots=True)
class _Working:
    """What a meter has in the process that it was begun in."""

    pid: int
    provider: MeterProvider
    readers: list[PushReader]
    instruments: dict[str, Callable[[float, Any], None]]


class OtelMeter:
    """Measurements on their way to the exporters. Begins with the first one; in a forked process it begins anew."""

    def __init__(self, settings: MetricsSettings) -> None:
        """Import and start nothing yet."""
        self._settings = settings
        self._guard = LabelGuard()
        self._lock = threading.Lock()
        self._working: _Working | None = None

    def tell(self, records: Iterable[Record]) -> None:
        """Add measurements up. What is raised while they are made is a fault of the ledger's, or is logged."""
        try:
            instruments = self._begun().instruments
            # All first: what is asked of the ledger takes a while, and no export may see half of it.
            for record in list(records):
                instruments[record.metric.name](record.value, self._guard.labels(record))
        except LakegateError:
            raise
        except Exception:  # noqa: BLE001 - the last door: no fault in counting may stop the work that is counted
            _log.exception("a measurement was lost: this is a fault of Lakegate, the work itself went on")

    def flush(self) -> None:
        """Have every exporter export soon. Does not wait."""
        if (working := self._working) is not None and working.pid == os.getpid():
            for reader in working.readers:
                reader.wake()

    def close(self, within_s: float = _LEAVE_S) -> None:
        """Export what is left, for at most so long, and end."""
        with self._lock:
            working, self._working = self._working, None
        if working is None or working.pid != os.getpid():
            return
        for reader in working.readers:
            reader.leave()
        ends = time.monotonic() + within_s
        for reader in working.readers:
            reader.shutdown(1000 * max(0.0, ends - time.monotonic()))

    def _begun(self) -> _Working:
        working = self._working
        if working is not None and working.pid == os.getpid():
            return working
        with self._lock:
            if self._working is None or self._working.pid != os.getpid():
                self._working = _begin(self._settings)
                atexit.register(self.close)
            return self._working


def _begin(settings: MetricsSettings) -> _Working:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.resources import Resource

    resource = Resource.create(
        {
            "service.name": "lakegate",
            "service.version": version("lakegate"),
            # Sums of several processes are told apart by it. It says nothing of the machine.
            "service.instance.id": uuid.uuid4().hex,
            "deployment.environment.name": settings.stack,
        }
    )
    readers = [_reader(name, settings) for name in settings.exporters]
    provider = MeterProvider(metric_readers=readers, resource=resource, shutdown_on_exit=False)
    meter = provider.get_meter("lakegate")
    instruments = {metric.name: _instrument(meter, metric) for metric in CATALOGUE}
    for reader in readers:
        reader.start()
    return _Working(os.getpid(), provider, readers, instruments)


def _instrument(meter: Any, metric: Metric) -> Callable[[float, Any], None]:
    match metric.kind:
        case Kind.COUNTER:
            return meter.create_counter(metric.name, metric.unit, metric.meaning).add
        case Kind.GAUGE:
            return meter.create_gauge(metric.name, metric.unit, metric.meaning).set
        case Kind.HISTOGRAM:
            return meter.create_histogram(
                metric.name, metric.unit, metric.meaning, explicit_bucket_boundaries_advisory=metric.bounds
            ).record


def _reader(name: str, settings: MetricsSettings) -> PushReader:
    from resources.telemetry_push import PushReader

    least_s, every_s = _LEAST_S[name], settings.every_s
    if name == "emf":
        from resources.telemetry_emf import EmfExporter

        exporter: Any = EmfExporter(settings.namespace, settings.stack, settings.emf_file)
    elif name == "prometheus":
        from resources.telemetry_prometheus import FolderExporter

        assert settings.folder is not None  # noqa: S101 - metrics_settings saw to it
        exporter, every_s = FolderExporter(settings.folder), min(15.0, every_s)
    else:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

        # What it would say at each try is said once, by the reader.
        logging.getLogger("opentelemetry.exporter.otlp.proto.http.metric_exporter").setLevel(logging.CRITICAL)
        exporter = OTLPMetricExporter()
    return PushReader(name, exporter, every_s=every_s, least_s=least_s)
