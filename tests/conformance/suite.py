"""What a suite is: a name, where its files are, and the endings of its cases."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.cases import Case, Ending
from tests.reading.support import SHARED

ReadCase = Callable[[Case], Ending]


@dataclass(frozen=True)
class Suite:
    """`cases` makes the cases; `beyond` are endings that more than the reader takes part in. `folder` is looked for first."""

    name: str
    cases: Callable[[], Iterable[Case]] | None = None
    beyond: Callable[[], Iterable[Ending]] | None = None
    folder: Path | None = None
    is_shared: bool = True

    def missing(self) -> str | None:
        """Why the suite cannot be run, if so."""
        if self.folder is None or self.folder.exists():
            return None
        return f"not run: there is no {self.folder.name} in the shared data" if self.is_shared else "not run: not given"

    def endings(self, read: ReadCase) -> Iterable[Ending]:
        """Every case's ending."""
        if self.cases is not None:
            yield from map(read, self.cases())
        if self.beyond is not None:
            yield from self.beyond()


def conformance(folder: str) -> Path:
    """A suite's folder in the shared data."""
    return SHARED / "conformance" / folder


def feeds(folder: str) -> Path:
    """A feed's folder in the shared data."""
    return SHARED / "feeds" / folder
