"""Bringing a ledger from older formats to this release's: pure steps in order, over every item there is, a page at a time.

A step says what becomes of one item from one format to the next. An item that is in the newest format already is left alone, so
a migration that died goes on by being started again, and two at once do no harm. Each write is conditional on all that was read of
the item: what a running process changes meanwhile is looked at again. This is the one place that scans the ledger.

There is no step yet: the ledger of 0.1.0 is of format 1, and so is this release's. docs/upgrading.md says how to add one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pipelines.accounting.books import Books
from pipelines.errors import PermanentError, TransientError
from pipelines.formats import LEDGER_FORMAT, require_readable
from pipelines.ports import Condition, Equals, Item, ItemKey, ItemScan, ItemValue, Update, Written

__all__ = ["STEPS", "ItemReport", "Step", "kind_of", "migrate_items", "pending_steps"]

_PAGE = 1_000
_AT_ONCE = 25
"""Items written together: an item of the outbox may have 60 kB, and DynamoDB takes 4 MB in one transaction."""
_ROUNDS = 20
_EXAMPLES = 3
_PLACE = ("pk", "sk")


@dataclass(frozen=True, slots=True)
class Step:
    """From format `to - 1` to `to`. `change` gets the kind of an item and the item, and returns all its attributes afterwards.

    It is pure, and works on an item of any age within its format. `says` tells people what it does.
    """

    to: int
    says: str
    change: Callable[[str, Item], Mapping[str, ItemValue]]


STEPS: tuple[Step, ...] = ()
"""Every step there ever was, in order."""


@dataclass(slots=True)
class ItemReport:
    """Items by kind and by the format they were found in; where some of those stand that a step is for; how many were changed."""

    found: dict[str, Counter[int]] = field(default_factory=dict[str, Counter[int]])
    examples: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    changed: int = 0

    @property
    def items(self) -> int:
        """How many there are."""
        return sum(counts.total() for counts in self.found.values())

    def older(self, reads: int = LEDGER_FORMAT) -> int:
        """How many were found in an older format."""
        return sum(n for counts in self.found.values() for form, n in counts.items() if form < reads)


def kind_of(item: Item) -> str:
    """Which kind of item it is: `object/version`, `batch/members`, `slots`, … (the table in `accounting/keys.py`)."""
    pk, sk = str(item["pk"]), str(item["sk"])
    name = pk.partition("#")[0]
    several = name in ("object", "batch", "breaker") or pk == "outbox"
    return f"{name}/{sk.partition('#')[0]}" if several else name


def pending_steps(written: int, steps: Sequence[Step] = STEPS) -> tuple[Step, ...]:
    """The steps that a ledger of that format still needs."""
    return tuple(step for step in steps if step.to > written)


def migrate_items(items: ItemScan, books: Books, steps: Sequence[Step] = STEPS, *, apply: bool) -> ItemReport:
    """Look at every item; with `apply` bring the older ones to the newest format. Holds a page at a time.

    Raises NewerFormatError when an item is newer than the last step; TransientError when items change too often or the store
    cannot be reached: starting again goes on.
    """
    newest = max((step.to for step in steps), default=LEDGER_FORMAT)
    report = ItemReport()
    start: str | None = None
    while True:
        page = items.scan(limit=_PAGE, start=start)
        older: list[Item] = []
        for item in page.items:
            form = _format_of(item, newest)
            kind = kind_of(item)
            report.found.setdefault(kind, Counter())[form] += 1
            if form < newest:
                older.append(item)
                examples = report.examples.setdefault(kind, [])
                if len(examples) < _EXAMPLES:
                    examples.append(f"{item['pk']} {item['sk']}")
        if apply:
            for first in range(0, len(older), _AT_ONCE):
                report.changed += _bring(books, older[first : first + _AT_ONCE], steps, newest)
        if page.next is None:
            return report
        start = page.next


def migrated(item: Item, steps: Iterable[Step]) -> dict[str, ItemValue]:
    """The item after the steps that it still needs."""
    after = dict(item)
    for step in steps:
        if step.to > int(str(after["format"])):
            after = {**step.change(kind_of(after), after), "format": step.to}
    if any(after.get(name) != item[name] for name in _PLACE):
        raise PermanentError(
            f"a step of the migration moves the item {item['pk']} {item['sk']}: steps change items in place"
        )
    return after


def _bring(books: Books, older: Sequence[Item], steps: Sequence[Step], newest: int) -> int:
    """Write some items in the newest format; how many were changed here."""
    if isinstance(books.write([_update(item, migrated(item, steps)) for item in older]), Written):
        return len(older)
    return sum(_bring_one(books, item, steps, newest) for item in older)


def _bring_one(books: Books, item: Item, steps: Sequence[Step], newest: int) -> bool:
    """The same for one that somebody may be changing; False when it has gone, or another migration has brought it."""
    key = ItemKey(str(item["pk"]), str(item["sk"]))
    for _ in range(_ROUNDS):
        found = books.store.get([key]).get(key)
        if found is None or _format_of(found, newest) == newest:
            return False
        if isinstance(books.write([_update(found, migrated(found, steps))]), Written):
            return True
    raise TransientError(f"the item {key.pk} {key.sk} changes too often to be migrated; start the migration again")


def _update(before: Item, after: Mapping[str, ItemValue]) -> Update:
    return Update(
        ItemKey(str(before["pk"]), str(before["sk"])),
        set_={name: value for name, value in after.items() if name not in before or before[name] != value},
        remove=tuple(name for name in before if name not in after),
        conditions=tuple(_as_read(before)),
    )


def _as_read(item: Item) -> Iterable[Condition]:
    """That nothing of the item has changed: each thing it says in one word or number, its revision and state among them."""
    return (Equals(name, value) for name, value in item.items() if name not in _PLACE and isinstance(value, str | int))


def _format_of(item: Item, newest: int) -> int:
    return require_readable(f"the ledger's item {item['pk']} {item['sk']}", item.get("format"), newest)
