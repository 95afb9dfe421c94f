"""Sends spans by OpenTelemetry's own SDK, over OTLP (HTTP, protobuf), to whatever collector the standard variables name.

On with `LAKEGATE_TRACES=otlp`; else nothing of OpenTelemetry is imported. Where spans go, under which service name and how many of
them is said by `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`,
`OTEL_TRACES_SAMPLER` and their like. A worker never waits for a collector: spans wait in a bounded queue and a thread sends them;
what finds no room, or nobody who takes it, is left out.
"""

import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.errors import ConfigurationError
from pipelines.telemetry.tracing import NO_TRACER, Attribute, Span, Tracer

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.trace import Link, SpanContext

__all__ = ["OtlpTracer", "tracer_of"]

FLUSH_S = 2.0
"""How long the end of a run waits, at most, for its spans to be sent."""
REST_S = 60.0
"""How long no run waits after one waited in vain."""
TIMEOUT_S = 3.0
"""How long one answer of the collector is waited for, unless OTEL_EXPORTER_OTLP_TIMEOUT says otherwise."""
_log = logging.getLogger(__name__)
_TIMEOUTS = ("OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT")


def tracer_of(environment: Mapping[str, str], part: str = "lakegate") -> Tracer:
    """The tracer that `LAKEGATE_TRACES` asks for: `otlp`, or `off` (the default). `part` is the service's name, unless OTEL_SERVICE_NAME is set.

    Raises ConfigurationError for anything else.
    """
    said = environment.get("LAKEGATE_TRACES") or "off"
    if said not in ("off", "otlp"):
        raise ConfigurationError(f"LAKEGATE_TRACES is {said!r}: it must be otlp or off")
    if said == "off" or environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return NO_TRACER
    return OtlpTracer(_provider(environment, part))


def _provider(environment: Mapping[str, str], part: str) -> "TracerProvider":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # It warns of each attempt that failed, many times a minute.
    logging.getLogger(OTLPSpanExporter.__module__).addFilter(_SELDOM)
    named = {} if environment.get("OTEL_SERVICE_NAME") else {"service.name": part}
    resource = Resource.create({**named, "process.pid": os.getpid()})
    provider = TracerProvider(resource=resource, id_generator=_given_ids(), shutdown_on_exit=False)
    timeout = None if any(environment.get(name) for name in _TIMEOUTS) else TIMEOUT_S
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=timeout)))
    return provider


class OtlpTracer:
    """Implements `Tracer`. Safe to share between threads."""

    def __init__(self, provider: "TracerProvider") -> None:
        """`provider` takes its ids from those that spans have, and is flushed."""
        self._provider = provider
        self._tracer = provider.get_tracer("lakegate")
        self._resting_until = 0.0

    def wants(self, trace_id: str) -> bool:
        """Ask the sampler, by the trace's id alone: every process comes to the same."""
        from opentelemetry.sdk.trace.sampling import Decision

        result = self._provider.sampler.should_sample(None, int(trace_id, 16), "lakegate.batch")
        return result.decision is Decision.RECORD_AND_SAMPLE

    def record(self, spans: Sequence[Span]) -> None:
        """Give spans to the queue."""
        try:
            self._record(spans)
        except Exception:  # noqa: BLE001  # whatever the SDK objects to is no reason to fail a batch that may be published already
            _log.exception("%d spans could not be recorded", len(spans))

    def _record(self, spans: Sequence[Span]) -> None:
        from opentelemetry.context import Context
        from opentelemetry.trace import NonRecordingSpan, Status, StatusCode, set_span_in_context

        for span in spans:
            _GIVEN.say(span)
            parent = Context()
            if span.parent_id is not None:
                parent = set_span_in_context(NonRecordingSpan(_context(span.trace_id, span.parent_id)), Context())
            made = self._tracer.start_span(
                span.name,
                context=parent,
                attributes=_plain(span.attributes),
                links=[_link(trace_id) for trace_id in span.links],
                start_time=_ns(span.start),
            )
            for moment in span.moments:
                made.add_event(moment.name, _plain(moment.attributes), _ns(moment.at))
            if span.error is not None:
                made.set_status(Status(StatusCode.ERROR, span.error))
            made.end(_ns(span.end))

    def flush(self) -> None:
        """Wait up to two seconds until the queue is sent; not at all for a minute after that was in vain."""
        if time.monotonic() < self._resting_until:
            return
        # The SDK's own flush knows no end.
        waiting = threading.Thread(target=self._provider.force_flush, name="trace-flush", daemon=True)
        waiting.start()
        waiting.join(FLUSH_S)
        if waiting.is_alive():
            self._resting_until = time.monotonic() + REST_S


class _Given(threading.local):
    """The ids that the next span of this thread has: what the SDK takes for its source of random ones."""

    trace_id = 0
    span_id = 0

    def say(self, span: Span) -> None:
        self.trace_id, self.span_id = int(span.trace_id, 16), int(span.span_id, 16)


_GIVEN = _Given()


def _given_ids() -> "IdGenerator":
    from opentelemetry.sdk.trace.id_generator import IdGenerator

    class Given(IdGenerator):
        def generate_trace_id(self) -> int:
            return _GIVEN.trace_id

        def generate_span_id(self) -> int:
            return _GIVEN.span_id

    return Given()


class _Seldom(logging.Filter):
    """Lets one warning a minute through."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - the base class's
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + REST_S
        return True


_SELDOM = _Seldom()


def _context(trace_id: str, span_id: str) -> "SpanContext":
    from opentelemetry.trace import SpanContext, TraceFlags

    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _link(trace_id: str) -> "Link":
    from opentelemetry.trace import Link

    from pipelines.telemetry.tracing import root_of

    return Link(_context(trace_id, root_of(trace_id)))


def _plain(attributes: Mapping[str, Attribute]) -> dict[str, Attribute]:
    """Attributes that UTF-8 can hold: a key of an object may hold what it cannot."""
    return {
        name: value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
        for name, value in attributes.items()
    }


def _ns(moment: datetime) -> int:
    # A float of seconds has no room for microseconds.
    return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1_000
