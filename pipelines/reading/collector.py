"""Gathers what is wrong with one file: one violation per rule and column, exact counts, few samples, whole sentences."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipelines.printable import printable
from pipelines.reading.violations import MAX_SAMPLES, MAX_VIOLATIONS, Rule, Sample, Violation

__all__ = ["MAX_FOUND", "MAX_RAW", "REJECT", "REJECT_ROW", "Collector", "StopReading", "capped", "shown"]

REJECT, REJECT_ROW = "reject", "reject_row"
"""Severities of breaches that reject the file, or only the row they are in."""
_REJECTING = (REJECT, REJECT_ROW)
MAX_FOUND = 256
"""Characters of found text that a violation or sample keeps."""
MAX_RAW = 1_000
"""Characters of a record's raw text that a sample keeps."""
_MAX_SHOWN = 80
_MAX_KINDS = 1_000
"""Kinds of breaches that are told apart: many more than are listed, and few enough to hold. Of others the number is known."""


class StopReading(Exception):  # noqa: N818 - it is no error: the fault is already among the violations
    """Reading cannot go on behind a fault that has been collected: the file's alignment or its limits are gone."""


def capped(text: str, most: int = MAX_FOUND) -> str:
    """At most `most` characters of a text, an ellipsis in place of the rest."""
    return text if len(text) <= most else text[: most - 1] + "…"


def shown(text: str) -> str:
    """A text from a file as it may stand in a sentence: quoted, one line, control characters escaped, short."""
    short = text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"
    return json.dumps(printable(short), ensure_ascii=False).replace("\\\\", "\\")


@dataclass(slots=True)
class _Breaches:
    expected: str
    detail: str | None
    first: Sample
    count: int = 0
    samples: list[Sample] = field(default_factory=list[Sample])


def _place(sample: Sample) -> tuple[int, int]:
    return sample.line or 0, sample.byte_offset or 0


_Kind = tuple[Rule, str | None, str | None, str]


class Collector:
    """The violations of one file while it is read."""

    def __init__(self, *, rows_apart: bool = False) -> None:
        """Begin with nothing wrong. `rows_apart`: a bad row is rejected by itself, and its file goes on."""
        self._kinds: dict[_Kind, _Breaches] = {}
        self._rejecting: dict[str, int] = dict.fromkeys(_REJECTING, 0)
        self.row_severity = REJECT_ROW if rows_apart else REJECT
        """The severity of what is wrong with a single row."""

    @property
    def rejecting(self) -> int:
        """How many breaches reject the file: 0 as long as its rows may be emitted."""
        return self._rejecting[REJECT]

    @property
    def rejecting_rows(self) -> int:
        """How many breaches reject no more than their row."""
        return self._rejecting[REJECT_ROW]

    def add(
        self,
        rule: Rule,
        column: str | None,
        samples: Sequence[Sample],
        expected: str,
        *,
        count: int | None = None,
        detail: str | None = None,
        severity: str = REJECT,
        expectation: str | None = None,
    ) -> None:
        """Add `count` breaches (by default one a sample) of which `samples` are the first, in file order.

        `detail` is a sentence about the likely cause, kept from the first breach. With `severity` `warn` or `block`
        the breach never rejects; with `reject_row` it rejects its row and not the file.
        """
        number = len(samples) if count is None else count
        if severity in self._rejecting:
            self._rejecting[severity] += number
        kind = (rule, column, expectation, severity)
        breaches = self._kinds.get(kind)
        if breaches is None:
            if len(self._kinds) >= _MAX_KINDS or not samples:
                return
            breaches = self._kinds[kind] = _Breaches(expected, detail, samples[0])
        elif samples and _place(samples[0]) < _place(breaches.first):
            breaches.first, breaches.expected, breaches.detail = samples[0], expected, detail
        breaches.count += number
        if not samples:
            return
        breaches.samples += [self._kept(s) for s in samples[:MAX_SAMPLES]]
        breaches.samples.sort(key=_place)
        del breaches.samples[MAX_SAMPLES:]

    def _kept(self, sample: Sample) -> Sample:
        raw = capped(sample.raw, MAX_RAW) if sample.raw else None
        return Sample(sample.line, sample.byte_offset, capped(sample.found), raw)

    def room(self, rule: Rule, column: str | None, severity: str = REJECT, expectation: str | None = None) -> int:
        """How many more samples this kind of breach would keep; where it is 0, `add` needs a count only."""
        breaches = self._kinds.get((rule, column, expectation, severity))
        if breaches is None:
            return MAX_SAMPLES if len(self._kinds) < _MAX_KINDS else 0
        return MAX_SAMPLES - len(breaches.samples)

    def keeps(self, rule: Rule, column: str | None, byte_offset: int, severity: str = REJECT) -> bool:
        """Whether a sample at this place would be kept: there is room, or it stands before one that is there."""
        breaches = self._kinds.get((rule, column, None, severity))
        if breaches is None or len(breaches.samples) < MAX_SAMPLES:
            return self.room(rule, column, severity) > 0
        return byte_offset < (breaches.samples[-1].byte_offset or 0)

    def wanted(self, rule: Rule, column: str | None, severity: str = REJECT, expectation: str | None = None) -> int:
        """How many samples to give for a block: at least one, because a breach found later may stand earlier in the block."""
        return max(1, self.room(rule, column, severity, expectation))

    def withdraw(self, rule: Rule, column: str) -> None:
        """Forget the breaches of a rule in a column: a better explanation is going to be added in their place."""
        for kind in [k for k in self._kinds if k[0] is rule and k[1] == column and k[3] in _REJECTING]:
            self._rejecting[kind[3]] -= self._kinds.pop(kind).count

    def violations(self) -> tuple[Violation, ...]:
        """What rejects the file or rows of it, by first line; at most MAX_VIOLATIONS."""
        return self._listed(rejecting=True)

    def warnings(self) -> tuple[Violation, ...]:
        """Breaches of expectations that do not reject, by first line; at most MAX_VIOLATIONS."""
        return self._listed(rejecting=False)

    def _listed(self, *, rejecting: bool) -> tuple[Violation, ...]:
        chosen = [(kind, b) for kind, b in self._kinds.items() if (kind[3] in _REJECTING) is rejecting]
        chosen.sort(key=lambda pair: _place(pair[1].first))
        return tuple(self._violation(kind, b) for kind, b in chosen[:MAX_VIOLATIONS])

    def _violation(self, kind: _Kind, breaches: _Breaches) -> Violation:
        rule, column, expectation, severity = kind
        first = breaches.first
        return Violation(
            rule=rule,
            column=column,
            line=first.line,
            byte_offset=first.byte_offset,
            found=capped(first.found),
            expected=breaches.expected,
            count=breaches.count,
            message=self._message(rule, breaches),
            samples=tuple(breaches.samples),
            severity=severity,
            expectation=expectation,
        )

    def _message(self, rule: Rule, breaches: _Breaches) -> str:
        """A sentence complete in itself but for the place: whoever shows it puts `file:line:column:` before it."""
        first = breaches.first
        parts = [f"{rule.meaning}: found {shown(first.found)}, expected {breaches.expected}."]
        if breaches.detail:
            parts.append(breaches.detail)
        if breaches.count > 1:
            also = list(dict.fromkeys(str(s.line) for s in breaches.samples if s.line not in (None, first.line)))[:4]
            where = (
                f" (also on line {', '.join(also)}{', …' if breaches.count > len(also) + 1 else ''})" if also else ""
            )
            parts.append(f"{breaches.count:,} times in this file{where}.")
        parts.append(f"{rule.remedy[0].upper()}{rule.remedy[1:]}.")
        return " ".join(parts)
