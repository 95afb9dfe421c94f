"""What may be wrong, as alerts speak of it. Values and their sentences only; no row contents, no account ids.

A condition is found anew at each look, so nothing has to be counted between two looks.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from pipelines.printable import printable

__all__ = ["MOST_ITEMS", "Condition", "Item", "Kind", "Look", "Severity", "counted", "short", "without_account"]

MOST_ITEMS = 10
"""Files, runs or problems that a condition names."""
_LONGEST_NAME = 160


class Severity(StrEnum):
    """`warning`: goes on by itself, or is the producer's to mend; `error`: waits for a person; `critical`: the promise is in doubt."""

    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for what comes first in a digest."""
        return (Severity.CRITICAL, Severity.ERROR, Severity.WARNING).index(self)


class Kind(StrEnum):
    """What sort of thing is wrong.

    `over` says that it is not any more. `stands`: it stays until a person acts, and is told again without news. `wait`: it is told
    only once it has lasted so long.
    """

    over: str
    stands: bool
    wait: timedelta

    def __new__(cls, code: str, over: str, stands: bool, wait_minutes: int = 0) -> "Kind":
        """Build a member from its code and what is said of it."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.over = over
        member.stands = stands
        member.wait = timedelta(minutes=wait_minutes)
        return member

    QUARANTINE = "quarantine", "none of the files is in quarantine any more", False
    FAILED_FILES = "failed_files", "none of the files is failed any more", True
    PAUSED = "paused", "it goes on", True
    RUN_FAILURE = "run_failure", "runs succeed again", False
    CHECK_FAILED = "check_failed", "the check passes again", True
    DEAD_LETTERS = "dead_letters", "no dead letter is left", True
    MISSING_EVENTS = "missing_events", "the latest sweep found no file that no event had told of", False
    BOOKS = "books", "the books add up again", True
    BROKEN_DATASET = "broken_dataset", "its dataset file is loaded again", True
    BLIND = "blind", "the sensor sees again what is wrong", True, 5
    DEAF_CHANNEL = "deaf_channel", "the channel takes alerts again", True, 10
    TEST = "test", "the test is over", False


@dataclass(frozen=True, slots=True)
class Item:
    """A file, a run or a problem that a condition names. `name` comes from strangers: escaped and cut, in one line."""

    name: str
    line: int | None = None
    column: str | None = None
    id: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that is wrong now, of one dataset (None: of the deployment) and for one reason.

    `headline` is a few words without the dataset's name; `happened` and `todo` are sentences. `count` says how many there are;
    with `is_capped`, at least so many. `newest` is the moment of the newest of them. `items` are the newest, at most ten.
    """

    kind: Kind
    dataset: str | None
    reason: str
    severity: Severity
    headline: str
    happened: str
    todo: str
    since: datetime
    count: int = 1
    is_capped: bool = False
    newest: datetime | None = None
    owner: str | None = None
    items: tuple[Item, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def key(self) -> str:
        """By which it is known from one look to the next."""
        return f"{self.kind}|{self.dataset or ''}|{self.reason}"


@dataclass(frozen=True, slots=True)
class Look:
    """What is wrong now. Of what `unsure` names (kinds, and the dataset where only one is meant), nobody can say that it is over."""

    conditions: tuple[Condition, ...]
    unsure: frozenset[tuple[Kind, str | None]] = frozenset()

    def __or__(self, other: "Look") -> "Look":
        """Both looks together."""
        return Look((*self.conditions, *other.conditions), self.unsure | other.unsure)

    def is_unsure(self, kind: Kind, dataset: str | None) -> bool:
        """Whether conditions of this kind and dataset may be there unseen."""
        return (kind, None) in self.unsure or (kind, dataset) in self.unsure


def counted(number: int, noun: str, *, is_capped: bool = False) -> str:
    """`1 file`, `2 batches`, `1,000 files or more`."""
    plural = f"{noun}es" if noun.endswith("ch") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}{' or more' if is_capped else ''}"


def short(text: str, most: int = _LONGEST_NAME) -> str:
    """Text from strangers in one line of at most `most` characters, with nothing in it that cannot be printed."""
    shown = printable(text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


_ACCOUNT = re.compile(r"(?<![0-9A-Za-z])\d{12}(?![0-9A-Za-z])")


def without_account(text: str) -> str:
    """The text of an error, with what may be an account id (twelve digits that stand alone) left out."""
    return _ACCOUNT.sub("…", text)
