"""What a conformance case is: a file, the contract somebody would write for it, and what the file says.

What a file says is decided by a slow reading that shares no code with the product: Python's own modules, the suite's own truth, or
a reference reader of these tests. The outcome is a comparison with that, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pipelines.contracts.model import Dataset
from pipelines.reading.summary import Accepted, Empty, ReadSummary, Rejected, judge
from pipelines.reading.violations import Rule, Violation
from tests.conformance.written import Written

Row = Mapping[str, Any]

PATIENCE_S = 30.0
"""No input of a suite may take longer than this."""


class Outcome(StrEnum):
    """How one case ended. Those in capitals must not happen."""

    EXACT = "exact"
    EMPTY = "empty"
    QUARANTINED = "quarantined"
    DECIDED = "by decision"
    SILENT = "SILENT"
    CRASH = "CRASH"
    HANG = "HANG"
    MISPLACED = "MISPLACED"
    FALSE = "FALSE"

    @property
    def is_wrong(self) -> bool:
        """Whether it must not happen."""
        return self.value.isupper()


@dataclass(frozen=True)
class Rows:
    """The file is good and says these rows; `decided` is the reason for which such a file is refused all the same."""

    rows: Sequence[Row]
    decided: str | None = None


@dataclass(frozen=True)
class Fault:
    """Where something is wrong: one of the rules, and line and column where the suite knows them."""

    rules: frozenset[str]
    line: int | None = None
    column: str | None = None


@dataclass(frozen=True)
class Broken:
    """The file is not what its format or contract says; each of `faults` must be named, beside whatever else is."""

    faults: Sequence[Fault] = ()


@dataclass(frozen=True)
class Either:
    """Nobody has decided whether the file is good. Accepted, it says these rows (None: it must be refused, or be empty)."""

    rows: Sequence[Row] | None = None


Says = Rows | Broken | Either


@dataclass(frozen=True)
class Case:
    """One file of a suite. Of the rows read, the columns that `says` speaks of are compared."""

    name: str
    content: bytes
    contract: Dataset
    says: Says
    key_values: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Read:
    """What the reader made of a case."""

    rows: Sequence[Row]
    summary: ReadSummary
    seconds: float


@dataclass(frozen=True)
class Ending:
    """A case's outcome and, in words, why."""

    case: str
    outcome: Outcome
    why: str = ""


def ending(case: Case, read: Read) -> Ending:
    """Compare what was read with what the file says."""
    outcome, why = _compare(case, read)
    return Ending(case.name, outcome, why)


def _compare(case: Case, read: Read) -> tuple[Outcome, str]:
    summary = read.summary
    rules = {v.rule for v in summary.violations}
    named = ", ".join(f"{v.rule}@{v.line}{f':{v.column}' if v.column else ''}" for v in summary.violations[:6])
    if rules & {Rule.READER_CRASH, Rule.READER_MEMORY}:
        return Outcome.CRASH, named
    if Rule.READER_TIME in rules or read.seconds > PATIENCE_S:
        return Outcome.HANG, f"{read.seconds:.0f} s"
    match judge(case.contract, summary):
        case Rejected():
            return _rejected(case.says, summary, named)
        case Accepted():
            return _accepted(case.says, read.rows)
        case Empty():
            if isinstance(case.says, Rows) and case.says.rows:
                return Outcome.SILENT, f"{len(case.says.rows)} rows were taken for none"
            if isinstance(case.says, Broken):
                return Outcome.SILENT, "a broken file was taken for an empty one"
            return Outcome.EMPTY, ""


def _rejected(says: Says, summary: ReadSummary, named: str) -> tuple[Outcome, str]:
    match says:
        case Rows():
            return (Outcome.DECIDED, says.decided) if says.decided else (Outcome.FALSE, named)
        case Either():
            return Outcome.QUARANTINED, ""
        case Broken():
            lost = [fault for fault in says.faults if not _is_named(fault, summary)]
            if lost:
                return Outcome.MISPLACED, f"said {named}; not said: {lost[:3]}"
            return Outcome.QUARANTINED, ""


def _is_named(fault: Fault, summary: ReadSummary) -> bool:
    return any(
        v.rule in fault.rules
        and (fault.column is None or v.column == fault.column)
        and (fault.line is None or fault.line in {v.line, *(s.line for s in v.samples)} or _is_beyond(fault.line, v))
        for v in summary.violations
    )


def _is_beyond(line: int, violation: Violation) -> bool:
    """Whether a place can only be counted: the violation's samples end before it."""
    return violation.count > len(violation.samples) and line > max(s.line or 0 for s in violation.samples)


def _accepted(says: Says, rows: Sequence[Row]) -> tuple[Outcome, str]:
    if isinstance(says, Broken):
        return Outcome.SILENT, "a broken file was accepted"
    if says.rows is None:
        return Outcome.SILENT, "accepted, and the reference has no reading of it"
    if isinstance(says, Rows) and says.decided:
        return Outcome.FALSE, f"it is accepted, though by decision it is refused: {says.decided}"
    difference = differing(rows, says.rows)
    return (Outcome.SILENT, difference) if difference else (Outcome.EXACT, "")


def differing(rows: Sequence[Row], said: Sequence[Row]) -> str | None:
    """The first difference in words, or None."""
    if len(rows) != len(said):
        return f"{len(rows)} rows for {len(said)}"
    for number, (row, wanted) in enumerate(zip(rows, said, strict=True)):
        for name, value in wanted.items():
            if not _is(row[name], value):
                return f"row {number}, {name}: {row[name]!r} for {value!r}"[:300]
    return None


def _is(found: Any, value: Any) -> bool:
    if isinstance(value, Written):
        return value.is_said_by(found)
    return type(found) is type(value) and found == value


@dataclass(frozen=True)
class Tally:
    """A suite's endings. `missing` says why it was not run."""

    suite: str
    endings: Sequence[Ending] = ()
    missing: str | None = None

    def count(self, *outcomes: Outcome) -> int:
        """How many cases ended so."""
        return sum(1 for end in self.endings if end.outcome in outcomes)

    @property
    def wrong(self) -> list[Ending]:
        """The cases that ended as none may."""
        return [end for end in self.endings if end.outcome.is_wrong]


def table(tallies: Iterable[Tally]) -> str:
    """The tallies, one suite a line."""
    columns = list(Outcome)
    tallies = list(tallies)
    lines = [["suite", "cases", *(c.value if c is not Outcome.FALSE else "false quarantine" for c in columns)]]
    lines += [
        [t.suite, t.missing] if t.missing else [t.suite, str(len(t.endings)), *(str(t.count(c)) for c in columns)]
        for t in tallies
    ]
    done = [t for t in tallies if not t.missing]
    total = [str(sum(t.count(c) for t in done)) for c in columns]
    lines.append(["all", str(sum(len(t.endings) for t in done)), *total])
    widths = [max(len(line[i]) for line in lines if len(line) > 2) for i in range(len(lines[0]))]
    widths[0] = max(len(line[0]) for line in lines)
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) if len(line) > 2 else c for c, w in zip(line[1:], widths[1:], strict=False))])
        for line in lines
    )  # fmt: skip
