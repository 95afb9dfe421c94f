"""Puts suites through the reader: in its child process, where a crash or a hang is seen as what it is."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from pipelines.reading.child import ChildReader, FileToRead
from pipelines.reading.summary import ReadRequest
from tests.conformance.all_suites import SUITES
from tests.conformance.cases import Case, Ending, Read, Tally, ending
from tests.conformance.suite import Suite
from tests.reading.support import RowList


def run_case(reader: ChildReader, case: Case) -> Ending:
    """Read one case and compare it with what it says."""
    sink = RowList()
    request = ReadRequest(case.contract, None, case.key_values)
    started = time.monotonic()
    [summary] = reader.read_many([FileToRead(request, lambda: [case.content], sink)])
    return ending(case, Read(sink.rows, summary, time.monotonic() - started))


def run_suite(reader: ChildReader, suite: Suite) -> Tally:
    """Every case of a suite; one that is not at hand is said to be missing."""
    missing = suite.missing()
    if missing:
        return Tally(suite.name, missing=missing)
    return Tally(suite.name, list(suite.endings(lambda case: run_case(reader, case))))


def run(suites: Sequence[Suite] = SUITES) -> Iterable[Tally]:
    """The tallies of the suites, each as soon as it is there."""
    with ChildReader() as reader:
        for suite in suites:
            yield run_suite(reader, suite)
