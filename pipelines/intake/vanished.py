"""The days of the ledger against what a sweep listed of them: equal in number, or looked through version by version.

A day that counts more than was listed has versions that are gone. Its versions are read from the ledger and their keys listed once
more; what is not there is gone, and recorded as removed. Since a version that is gone never comes back, a day whose two numbers
are those of an earlier proof is not looked through again.
"""

import os.path
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from pipelines.accounting.entries import VersionRef
from pipelines.accounting.keys import NO_DATASET
from pipelines.accounting.removals import removal_of
from pipelines.accounting.states import State
from pipelines.accounting.sweeps import SweptDay
from pipelines.contracts.model import Dataset
from pipelines.gate import Gate
from pipelines.intake.sweep_report import SweepReport
from pipelines.printable import printable

__all__ = ["Day", "compare_days"]

Day = tuple[str | None, date]
_AT_ONCE = 1000
_MOST_HELD = 50_000
"""Versions of days that are looked through together: each group lists their keys once."""
_LOOKS = 3
_LOOK_AGAIN_S = 2.0
"""The ledger's index may lag a moment behind what was registered last."""


def compare_days(
    gate: Gate,
    report: SweepReport,
    dataset: Dataset | None,
    listed: Mapping[Day, int],
    *,
    correct: bool,
    pause: Callable[[float], None],
) -> list[SweptDay]:
    """Compare every day's count in the ledger with what was listed of it; tell the report. The days proved to lack versions."""
    counted = _counts(gate, dataset)
    names = sorted({name for name, _ in [*counted, *listed]}, key=lambda name: name or "")
    proved: list[SweptDay] = []
    for name in names:
        known = gate.ledger.swept_days(name)
        differ: dict[date, int] = {}
        for day in sorted(day for of, day in {*counted, *listed} if of == name):
            objects, found, before = counted.get((name, day), 0), listed.get((name, day), 0), known.get(day)
            report.days += 1
            if objects == found:
                continue
            if before is not None and (before.objects, before.listed) == (objects, found):
                report.of(name).gone += objects - found
            else:
                differ[day] = objects
        for days in _groups(differ):
            proved += _DaysOf(gate, report, name, days, correct=correct, pause=pause).look()
    return proved


def _counts(gate: Gate, dataset: Dataset | None) -> dict[Day, int]:
    return {(line.dataset, line.landing_day): line.objects for line in gate.ledger.counts(dataset and dataset.name)}


def _groups(days: Mapping[date, int]) -> Iterator[list[date]]:
    group: list[date] = []
    size = 0
    for day, objects in days.items():
        if group and size + objects > _MOST_HELD:
            yield group
            group, size = [], 0
        group.append(day)
        size += objects
    if group:
        yield group


@dataclass(slots=True)
class _Held:
    """What the ledger holds of a day, and which of it the bucket still has."""

    versions: int = 0
    gone: list[VersionRef] = field(default_factory=list[VersionRef])


class _DaysOf:
    """Some days of a dataset, looked through version by version."""

    def __init__(
        self,
        gate: Gate,
        report: SweepReport,
        dataset: str | None,
        days: Sequence[date],
        *,
        correct: bool,
        pause: Callable[[float], None],
    ) -> None:
        self._gate = gate
        self._report = report
        self._dataset = dataset
        self._days = days
        self._correct = correct
        self._pause = pause

    def look(self) -> list[SweptDay]:
        """Find what is gone, and tell where counters and entries of the ledger differ."""
        before = self._objects()
        held = self._held()
        for _ in range(_LOOKS - 1):
            if all(held[day].versions >= before[day] for day in self._days):
                break
            self._pause(_LOOK_AGAIN_S)
            held = self._held()
        after = self._objects()
        proved: list[SweptDay] = []
        for day in self._days:
            found = held[day]
            self._record(found.gone)
            if found.versions == after[day]:
                proved.append(SweptDay(self._dataset, day, found.versions, found.versions - len(found.gone)))
            elif before[day] != after[day]:
                self._report.under_way += 1
            else:
                counts = f"the ledger counts {after[day]:,} objects, but holds {found.versions:,} {'entry' if found.versions == 1 else 'entries'}"
                self._report.differ(self._dataset, f"{self._dataset or 'no dataset'}, {day.isoformat()}: {counts}")
        return proved

    def _objects(self) -> dict[date, int]:
        lines = self._gate.ledger.counts(self._dataset or NO_DATASET, min(self._days))
        found = {line.landing_day: line.objects for line in lines}
        return {day: found.get(day, 0) for day in self._days}

    def _held(self) -> dict[date, _Held]:
        """Read the days' entries, then list their keys: an entry that is not listed then is gone, whatever lands meanwhile."""
        gate, held = self._gate, {day: _Held() for day in self._days}
        there: dict[VersionRef, date] = {}
        prefix: str | None = None
        for refs in _parts(gate.ledger.versions_of_days(self._dataset, self._days)):
            for entry in gate.ledger.entries_of(refs):
                if entry.dataset == self._dataset and entry.landing_day in held:
                    there[entry.ref] = entry.landing_day
                    held[entry.landing_day].versions += 1
                    key = entry.version.key
                    prefix = key if prefix is None else os.path.commonprefix((prefix, key))  # noqa: RUF071 - of characters, as S3 takes a prefix
        if prefix is not None:
            for one in gate.store.list_versions(gate.landing_bucket, prefix):
                if not one.is_marker:
                    there.pop(VersionRef(one.version.object_id, one.version.version_id), None)
        for ref, day in there.items():
            held[day].gone.append(ref)
        return held

    def _record(self, gone: Sequence[VersionRef]) -> None:
        ledger, report = self._gate.ledger, self._report
        report.of(self._dataset).gone += len(gone)
        for refs in _parts(gone):
            recorded = ledger.recorded_gone(refs)
            for entry in ledger.entries_of(refs):
                # Recorded, and not yet on the entry: whoever recorded it died before he did what follows from it.
                if entry.ref in recorded and entry.object_removed:
                    continue
                version = entry.version
                if entry.state is not State.GONE:
                    named = f"{printable(version.key)} (version {printable(version.version_id)})"
                    report.find("missing", self._dataset, named)
                if self._correct:
                    removal = replace(
                        removal_of(entry), at=report.started_at, reason="gone from the bucket, a sweep found"
                    )
                    ledger.removed(removal, self._gate.retracting)


def _parts(refs: Sequence[VersionRef]) -> Iterator[Sequence[VersionRef]]:
    for start in range(0, len(refs), _AT_ONCE):
        yield refs[start : start + _AT_ONCE]
