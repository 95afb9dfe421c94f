"""The door to the item store: nothing that a newer release wrote is given out or changed, whatever kind of item it is.

    deployment     release     the newest release that wrote here, the formats of its items and tables, and what all items were brought to

Each release that is new to a ledger says so there before its first write. Every process looks there before its own first
write, and every five minutes from then on: so an older process stops, also one that was running when the newer one came. The look
goes along with a read that is made anyway, wherever there is one.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from pipelines.accounting.keys import iso
from pipelines.formats import LEDGER_FORMAT, RELEASE, TABLE_FORMAT, require_readable
from pipelines.ports import (
    Absent,
    Change,
    Clock,
    Equals,
    Item,
    ItemKey,
    ItemStore,
    LessThan,
    Page,
    Present,
    Put,
    Refused,
    Update,
    Written,
)

__all__ = ["DEPLOYMENT", "FormatGuard"]

DEPLOYMENT = ItemKey("deployment", "release")
_LOOK_EVERY = timedelta(minutes=5)
_MOST_KEYS = 100
"""Keys that DynamoDB reads in one request: one more would cost a request of its own."""


class FormatGuard:
    """An item store behind that door. `reads` and `reads_tables` are the newest formats that this release knows."""

    def __init__(
        self,
        store: ItemStore,
        clock: Clock,
        release: str = RELEASE,
        reads: int = LEDGER_FORMAT,
        reads_tables: int = TABLE_FORMAT,
    ) -> None:
        """Looks at nothing yet."""
        self._store = store
        self._clock = clock
        self._release = release
        self._reads = reads
        self._reads_tables = reads_tables
        self._looked_at: datetime | None = None
        self._is_announced = False
        self._seen: Item | None = None

    def get(self, keys: Sequence[ItemKey]) -> Mapping[ItemKey, Item]:
        """The items that exist, by key."""
        looks = self._looks_now() and 0 < len(keys) < _MOST_KEYS and DEPLOYMENT not in keys
        found = self._store.get([*keys, DEPLOYMENT] if looks else keys)
        if looks:
            self._look(found.get(DEPLOYMENT))
            found = {key: item for key, item in found.items() if key != DEPLOYMENT}
        self._check(found.values())
        return found

    def query(
        self,
        pk: str,
        *,
        prefix: str = "",
        upto: str | None = None,
        limit: int = 1000,
        start: str | None = None,
        descending: bool = False,
    ) -> Page:
        """Items of one partition in sort-key order: those whose sort key has the prefix and is at most `upto`."""
        page = self._store.query(pk, prefix=prefix, upto=upto, limit=limit, start=start, descending=descending)
        self._check(page.items)
        return page

    def query_due(
        self,
        due_pk: str,
        *,
        since: str | None = None,
        upto: str | None = None,
        limit: int = 1000,
        start: str | None = None,
        descending: bool = False,
    ) -> Page:
        """Items whose `due_pk` equals this, in `due_sk` order from `since` up to `upto`."""
        page = self._store.query_due(due_pk, since=since, upto=upto, limit=limit, start=start, descending=descending)
        self._check(page.items)
        return page

    def write(self, changes: Sequence[Change]) -> Written | Refused:
        """Make all changes or none, unless the ledger has gone over to a newer release."""
        if self._looks_now():
            self._look(self._store.get([DEPLOYMENT]).get(DEPLOYMENT))
        if not self._is_announced:
            self._announce()
        return self._store.write(changes)

    # ---- for migrations

    def written_by(self) -> str | None:
        """The newest release that said it writes here; None for a ledger that has seen none but 0.1.0."""
        self._look(self._store.get([DEPLOYMENT]).get(DEPLOYMENT))
        return None if self._seen is None else str(self._seen["release"])

    def migrated_to(self) -> int:
        """The format that no item is older than, as `written_by` saw it last."""
        return _migrated(self._seen)

    def announce(self) -> None:
        """Say that this release writes from now on, if nobody has said so. Repeatable."""
        self.written_by()
        if not self._is_announced:
            self._announce()

    def record_migrated(self, form: int) -> None:
        """Say that no item is older than this format. Repeatable."""
        self._store.write(
            [Update(DEPLOYMENT, set_={"migrated": form}, conditions=(Present(), LessThan("migrated", form)))]
        )

    # ---- helpers

    def _looks_now(self) -> bool:
        return self._looked_at is None or self._clock() - self._looked_at >= _LOOK_EVERY

    def _look(self, item: Item | None) -> None:
        if item is not None:
            require_readable("this ledger", item.get("format"), self._reads, item.get("release"))
            require_readable("this deployment's tables", item.get("tables"), self._reads_tables, item.get("release"))
        self._seen = item
        self._is_announced = item is not None and _number(str(item["release"])) >= _number(self._release)
        self._looked_at = self._clock()

    def _announce(self) -> None:
        """Say that this release writes from now on. Whoever comes second looks again."""
        since, migrated = iso(self._clock()), _migrated(self._seen)
        formats = {"format": self._reads, "tables": self._reads_tables, "migrated": migrated}
        said = {**formats, "release": self._release, "since": since}
        same = Absent() if self._seen is None else Equals("release", str(self._seen["release"]))
        if isinstance(self._store.write([Put(DEPLOYMENT, said, (same,))]), Refused):
            self._look(self._store.get([DEPLOYMENT]).get(DEPLOYMENT))
        else:
            self._is_announced = True

    def _check(self, items: Iterable[Item]) -> None:
        for item in items:
            if item.get("format") != self._reads:
                require_readable(f"the ledger's item {item['pk']} {item['sk']}", item.get("format"), self._reads)


def _migrated(item: Item | None) -> int:
    return 1 if item is None else int(str(item["migrated"]))


def _number(release: str) -> tuple[int, ...]:
    """A release as numbers that compare: 0.10.0 is newer than 0.9.1."""
    return tuple(int(part) if part.isdecimal() else 0 for part in release.split("."))
