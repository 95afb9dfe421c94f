"""Checks side by side: one that fails, raises or hangs hides no other, and what makes no sense without it says so."""

from __future__ import annotations

import threading
import time

import pytest

from lakegate.cli.doctor import exit_code
from lakegate.cli.output import Exit
from pipelines.errors import TransientError
from pipelines.wiring.diagnosis import Check, Diagnosis, Finding, Verdict, examine

WRONG = Finding.wrong("it is broken", "whole", "mend it")


def fine() -> Finding:
    return Finding.ok("fine")


def raising(error: Exception) -> Finding:
    raise error


def test_a_check_that_fails_hides_no_other_and_stops_what_needs_it() -> None:
    found = examine(
        [
            Check("a", lambda: WRONG),
            Check("b", fine),
            Check("c", fine, ("a",)),
            Check("d", fine, ("c",)),
            Check("e", fine, ("b",)),
        ]
    )
    assert [one.name for one in found] == ["a", "b", "c", "d", "e"]
    assert [one.finding.verdict.value for one in found] == ["wrong", "ok", "skipped", "skipped", "ok"]
    assert found[2].finding.found == "not looked at, because of: a"
    assert found[3].finding.found == "not looked at, because of: c"


def test_what_was_left_out_and_a_warning_stop_nothing() -> None:
    found = examine(
        [
            Check("a", lambda: Finding.skipped("nothing there")),
            Check("b", lambda: Finding.warning("w", "x", "y")),
            Check("c", fine, ("a", "b")),
        ]
    )
    assert found[2].finding.verdict is Verdict.OK


@pytest.mark.parametrize(
    ("error", "said"),
    [(TransientError("S3 is away"), "S3 is away"), (KeyError("x"), "the check itself failed: KeyError")],
)
def test_a_check_that_raises_could_not_look(error: Exception, said: str) -> None:
    found = examine([Check("a", lambda: raising(error)), Check("b", fine), Check("c", fine, ("a",))])
    assert found[0].finding.verdict is Verdict.UNKNOWN
    assert said in found[0].finding.found
    assert [one.finding.verdict.value for one in found[1:]] == ["ok", "skipped"]


def test_a_check_that_hangs_is_left_behind_and_the_others_are_heard() -> None:
    never = threading.Event()

    def hanging() -> Finding:
        never.wait(30)
        return fine()

    began = time.monotonic()
    found = examine(
        [Check("a", hanging), Check("b", fine), Check("c", fine, ("a",)), Check("d", fine, ("b",))], limit_s=0.3
    )
    assert time.monotonic() - began < 5
    assert [one.finding.verdict.value for one in found] == ["unknown", "ok", "skipped", "ok"]
    assert "no answer in" in found[0].finding.found
    never.set()


def test_checks_run_side_by_side() -> None:
    both = threading.Barrier(2, timeout=10)

    def meeting() -> Finding:
        both.wait()
        return fine()

    assert all(one.finding.verdict is Verdict.OK for one in examine([Check("a", meeting), Check("b", meeting)]))


def test_checks_that_wait_for_each_other_are_refused_and_an_unknown_need_is_none() -> None:
    with pytest.raises(ValueError, match="wait for each other: a, b"):
        examine([Check("a", fine, ("b",)), Check("b", fine, ("a",))])
    assert examine([Check("a", fine, ("left out",))])[0].finding.verdict is Verdict.OK


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ({"a": Verdict.OK, "b": Verdict.SKIPPED, "c": Verdict.WARNING}, Exit.GOOD),
        ({"a": Verdict.OK, "b": Verdict.WRONG, "c": Verdict.UNKNOWN}, Exit.BAD_DATA),
        ({"a": Verdict.OK, "b": Verdict.UNKNOWN}, Exit.SYSTEM),
        ({"credentials": Verdict.WRONG, "b": Verdict.WRONG}, Exit.SYSTEM),
    ],
)
def test_what_could_not_be_looked_at_is_never_good(verdicts: dict[str, Verdict], code: Exit) -> None:
    assert exit_code([Diagnosis(name, Finding(verdict, ""), 0) for name, verdict in verdicts.items()]) == code
