"""Traces as values: what a span says, the port that takes finished ones, and the ids, which follow from the batch's own.

A trace is one batch from its files' events to its end. Its id, and that of its first span, are hashes of the batch's id, which is
made once and never again: so whoever plans, works on or takes back a batch names the same trace without asking anybody, a step that is done
twice tells of the same span twice, and nothing here is random. Batches have ids whether anybody collects traces or not: logs go by them.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

__all__ = ["NO_TRACER", "Attribute", "Moment", "Span", "Tracer", "root_of", "span_of", "trace_of", "traceparent_of"]

Attribute = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened within a span."""

    name: str
    at: datetime
    attributes: Mapping[str, Attribute] = field(default_factory=dict[str, Attribute])


@dataclass(frozen=True, slots=True)
class Span:
    """A finished piece of work: when, within which trace and under which span. Times are aware, UTC.

    `trace_id` is 32 hexadecimal digits, `span_id` and `parent_id` are 16; without a parent it is its trace's first. `links` are the ids of
    traces that this one goes on from. `error` is one printable line, without row contents.
    """

    name: str
    trace_id: str
    span_id: str
    parent_id: str | None
    start: datetime
    end: datetime
    attributes: Mapping[str, Attribute] = field(default_factory=dict[str, Attribute])
    moments: tuple[Moment, ...] = ()
    links: tuple[str, ...] = ()
    error: str | None = None


class Tracer(Protocol):
    """Where finished spans go."""

    def wants(self, trace_id: str) -> bool:
        """Whether spans of this trace are collected: the same answer in every process."""
        ...

    def record(self, spans: Sequence[Span]) -> None:
        """Take finished spans, to pass them on later. Neither waits nor raises."""
        ...

    def flush(self) -> None:
        """Wait for what was recorded to be passed on, but not for long."""
        ...


class _NoTracer:
    def wants(self, trace_id: str) -> bool:  # noqa: ARG002 - the protocol's
        return False

    def record(self, spans: Sequence[Span]) -> None:
        pass

    def flush(self) -> None:
        pass


NO_TRACER: Tracer = _NoTracer()
"""Where nobody collects traces."""


def trace_of(batch_id: str) -> str:
    """The id of a batch's trace."""
    return _hash(f"trace {batch_id}", 32)


def root_of(trace_id: str) -> str:
    """The id of a trace's first span."""
    return _hash(f"root {trace_id}", 16)


def span_of(trace_id: str, *of: object) -> str:
    """The id of the span that these words tell from all others of its trace."""
    return _hash(f"span {trace_id} {' '.join(map(str, of))}", 16)


def traceparent_of(trace_id: str, span_id: str | None = None) -> str:
    """A place in a trace as W3C Trace Context writes it: below its first span, unless another is said."""
    return f"00-{trace_id}-{span_id or root_of(trace_id)}-01"


def _hash(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:digits]
