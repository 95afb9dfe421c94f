"""Reads one file in this process: from chunks of bytes to batches and a summary. Bad input never raises.

The order of things: decompression, encoding, blocks, cells, values, rules. A stop on the way becomes a violation here, and
only here.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from pipelines.contracts.model import CsvFormat, Dataset
from pipelines.reading.collector import Collector, StopReading
from pipelines.reading.csv_blocks import BLOCK_BYTES
from pipelines.reading.csv_reader import CsvReader
from pipelines.reading.decompression import Content
from pipelines.reading.diagnosis import likely_causes
from pipelines.reading.encoding import Text
from pipelines.reading.json_lines import JsonLinesReader
from pipelines.reading.json_reader import JsonArrayReader
from pipelines.reading.rejects import RowRejects
from pipelines.reading.rows import Plan, RowJudge
from pipelines.reading.stream_fault import StreamFault
from pipelines.reading.summary import ChunkSource, ReadRequest, ReadSummary, RowSink
from pipelines.reading.violations import Rule, Sample

__all__ = ["InProcessReader", "summary_of_fault"]

_MAX_PLANS = 64


class _FormatReader(Protocol):
    rows_broken: int

    @property
    def source_columns(self) -> tuple[str, ...]: ...

    @property
    def new_columns(self) -> Mapping[str, str]: ...

    def read(self) -> None: ...


class InProcessReader:
    """Implements `FileReader` in this process: for tests, and inside the child that `ChildReader` starts."""

    def __init__(self, block_bytes: int = BLOCK_BYTES) -> None:
        """Read in blocks of about `block_bytes`."""
        self._block_bytes = block_bytes
        self._plans: dict[int, Plan] = {}

    def plan(self, dataset: Dataset) -> Plan:
        """The compiled contract of a dataset, kept for the next file. Raises ConfigurationError."""
        plan = self._plans.get(id(dataset))
        if plan is None or plan.dataset is not dataset:
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            plan = self._plans[id(dataset)] = Plan(dataset)
        return plan

    def read(self, request: ReadRequest, chunks: ChunkSource, sink: RowSink) -> ReadSummary:
        """Read all that `chunks()` yields; rows go to `sink`, faults into the summary. See `FileReader.read`.

        Raises ConfigurationError when the contract itself cannot be compiled.
        """
        started = time.perf_counter()
        plan = self.plan(request.dataset)
        rejects = RowRejects(plan.dataset, sink.reject)
        collector = Collector(rows_apart=rejects.active)
        limit = plan.limits.object_bytes
        if request.size_bytes is not None and request.size_bytes > limit:
            collector.add(Rule.OBJECT_SIZE, None, [Sample(None, None, f"{request.size_bytes:,} bytes")],
                          f"at most {limit:,} bytes")  # fmt: skip
            return _summary(collector, None, None, None, complete=False, started=started)
        content = Content(chunks(), plan.limits)
        judge = RowJudge(plan, request.key_values, collector, sink.write, request.landed_at, rejects)
        reader = self._reader(plan, content, collector, judge, rejects, request.delimiter)
        try:
            complete = _read(reader, collector)
            rows = judge.rows_read + reader.rows_broken
            if complete:
                rejects.finish(collector, rows)
            judge.finish(rows if complete else None)
            judge.evidence.head = content.head
            summary = _summary(collector, content, judge, reader, complete=complete, started=started)
            return replace(summary, likely_causes=likely_causes(plan.dataset, summary, judge.evidence))
        finally:
            judge.close()

    def _reader(
        self,
        plan: Plan,
        content: Content,
        collector: Collector,
        judge: RowJudge,
        rejects: RowRejects,
        delimiter: str | None,
    ) -> _FormatReader:
        form = plan.dataset.format
        text = Text(content, form.encoding)
        if isinstance(form, CsvFormat):
            return CsvReader(plan, text, collector, judge, rejects, self._block_bytes, delimiter)
        if form.type == "jsonl":
            return JsonLinesReader(plan, text, collector, judge, rejects, self._block_bytes)
        return JsonArrayReader(plan, text, collector, judge, rejects, self._block_bytes)


def _read(reader: _FormatReader, collector: Collector) -> bool:
    """Whether the file was read to its end."""
    try:
        reader.read()
    except StreamFault as fault:
        collector.add(
            fault.rule,
            None,
            [Sample(fault.line, fault.byte_offset, fault.found)],
            fault.expected,
            detail=fault.detail,
        )
        return False
    except StopReading:
        return False
    return True


def _summary(
    collector: Collector,
    content: Content | None,
    judge: RowJudge | None,
    reader: _FormatReader | None,
    *,
    complete: bool,
    started: float,
) -> ReadSummary:
    broken = 0 if reader is None else reader.rows_broken
    nulls: Mapping[str, int] = {} if judge is None else judge.null_counts
    return ReadSummary(
        rows_read=(0 if judge is None else judge.rows_read) + broken,
        rows_bad=(0 if judge is None else judge.rows_bad) + broken,
        read_complete=complete,
        violations=collector.violations(),
        violations_total=collector.rejecting + collector.rejecting_rows,
        violations_of_rows=collector.rejecting_rows,
        warnings=collector.warnings(),
        compressed_bytes=0 if content is None else content.compressed_bytes,
        content_bytes=0 if content is None else content.content_bytes,
        compression=None if content is None else content.compression,
        source_columns=() if reader is None else reader.source_columns,
        null_counts=dict(nulls),
        seconds=time.perf_counter() - started,
        rescued={} if judge is None else judge.rescued.by_column,
        new_columns={} if reader is None else dict(reader.new_columns),
        wider_types={} if judge is None else judge.wider_types,
        delimiter=reader.delimiter if isinstance(reader, CsvReader) else None,
        delimiter_score=reader.delimiter_score if isinstance(reader, CsvReader) else None,
    )


def summary_of_fault(rule: Rule, found: str, expected: str, seconds: float) -> ReadSummary:
    """The summary of a file whose reader did not live to write one."""
    collector = Collector()
    collector.add(rule, None, [Sample(None, None, found)], expected)
    started = time.perf_counter() - seconds
    return _summary(collector, None, None, None, complete=False, started=started)
