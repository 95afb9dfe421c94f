"""What a sweep came to, as a value: numbers by dataset, what was put right, what does not agree. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

__all__ = ["DatasetSweep", "SweepReport"]

_MOST_NAMED = 20


@dataclass(slots=True)
class DatasetSweep:
    """What was found of one dataset (None: of what no dataset claims), in object versions.

    `listed` = `known` + `registered` + `young`. `removed` were hidden by a delete marker, `restored` were shown again, `missing` were
    deleted for good, each without an event that told. `gone` counts all that the ledger holds and the bucket does not.
    """

    dataset: str | None
    listed: int = 0
    known: int = 0
    registered: int = 0
    young: int = 0
    removed: int = 0
    restored: int = 0
    missing: int = 0
    gone: int = 0


@dataclass(slots=True)
class SweepReport:
    """What a sweep came to. `findings` name what events had not told, `problems` where bucket and ledger do not agree now.

    Of each kind of finding the first twenty are named. `days` counts the days of datasets that were compared, `under_way` those whose
    numbers moved while they were.
    """

    started_at: datetime
    corrects: bool = True
    datasets: dict[str | None, DatasetSweep] = field(default_factory=dict[str | None, DatasetSweep])
    findings: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    differences: dict[str | None, list[str]] = field(default_factory=dict[str | None, list[str]])
    days: int = 0
    under_way: int = 0

    def of(self, dataset: str | None) -> DatasetSweep:
        """The line of a dataset."""
        return self.datasets.setdefault(dataset, DatasetSweep(dataset))

    def listed_of(self, dataset: str | None) -> int:
        """Versions listed of a dataset."""
        line = self.datasets.get(dataset)
        return line.listed if line is not None else 0

    def find(self, kind: str, dataset: str | None, what: str) -> None:
        """Count a finding, and name it if few of its kind were named."""
        line = self.of(dataset)
        setattr(line, kind, getattr(line, kind) + 1)
        named = self.findings.setdefault(kind, [])
        if len(named) < _MOST_NAMED:
            named.append(what)

    def differ(self, dataset: str | None, what: str) -> None:
        """Tell what cannot be put right here."""
        self.differences.setdefault(dataset, []).append(what)

    def total(self, name: str) -> int:
        """A number of `DatasetSweep`, over all datasets."""
        return sum(getattr(line, name) for line in self.datasets.values())

    @property
    def corrections(self) -> int:
        """Versions of which events had not told enough."""
        return sum(self.total(kind) for kind in _UNTOLD)

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything in which bucket and ledger do not agree now; empty when they do."""
        return tuple(self._problems())

    def _problems(self) -> Iterator[str]:
        for told in self.differences.values():
            yield from told
        if not self.corrects:
            for kind, named in self.findings.items():
                yield from (f"{what} {_PROBLEM[kind]}" for what in named)
                if more := self.total(kind) - len(named):
                    yield f"{more:,} more versions like this: {_PROBLEM[kind]}"

    def sentence(self) -> str:
        """The report in one sentence, without what there was none of."""
        told = f"listed {_counted(self.total('listed'), 'version')}: {self.total('known'):,} known"
        for kind, words in _UNTOLD.items():
            if number := self.total(kind):
                told += f", {number:,} {words}"
        if young := self.total("young"):
            told += f", {young:,} too young, left to their events"
        if not self.corrects and self.corrections:
            told += " (nothing was changed)"
        moving = f"; {_counted(self.under_way, 'day')} moved meanwhile" if self.under_way else ""
        if problems := len(self.problems):
            return f"{told}{moving}; {_counted(problems, 'difference')} between bucket and ledger"
        return f"{told}{moving}; bucket and ledger agree on {_counted(self.days - self.under_way, 'day')}"


_UNTOLD = {
    "registered": "that no event had told of",
    "removed": "deleted without an event",
    "restored": "back without an event",
    "missing": "gone for good without an event",
}
_PROBLEM = {
    "registered": "is in the bucket, but not in the ledger: run `lakegate sweep`",
    "removed": "is deleted (a delete marker hides it), but not in the ledger: run `lakegate sweep`",
    "restored": "is in the bucket, but deleted in the ledger: run `lakegate sweep`",
    "missing": "is in the ledger, but gone from the bucket: run `lakegate sweep`",
}


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
