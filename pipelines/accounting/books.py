"""Access to the item store for the ledger's operations: reading values, writing transactions, unknown outcomes.

A write whose outcome is unknown is sent again as it was. Every write of the ledger but the count of duplicates is
conditional on what it replaces, so the second one is refused when the first was applied; a refused operation reads again
and decides from what is there. Nothing is guessed.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

from pipelines.accounting.entries import BatchRecord, Head, LedgerEntry, RetryPolicy, VersionRef
from pipelines.accounting.items import decode_batch, decode_entry, decode_head
from pipelines.accounting.keys import batch_key, entry_key, head_key
from pipelines.errors import TransientError
from pipelines.ports import Change, Clock, Item, ItemStore, Refused, Written

__all__ = ["Books"]

_WRITE_ATTEMPTS = 4
_FIRST_PAUSE_S = 0.2


class Books:
    """The item store as the operations use it."""

    def __init__(
        self,
        store: ItemStore,
        clock: Clock,
        new_id: Callable[[], str],
        policy: RetryPolicy,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """`pause` waits between attempts of a write; the simulator passes one that does not."""
        self.store = store
        self.clock = clock
        self.new_id = new_id
        self.policy = policy
        self._pause = pause

    def now(self) -> datetime:
        """The present moment."""
        return self.clock()

    def write(self, changes: Sequence[Change]) -> Written | Refused:
        """Make all changes or none; sent again while the outcome is unknown. Raises TransientError when it stays so."""
        for attempt in range(_WRITE_ATTEMPTS):
            try:
                return self.store.write(changes)
            except TransientError:
                if attempt + 1 == _WRITE_ATTEMPTS:
                    raise
                self._pause(_FIRST_PAUSE_S * 2**attempt)
        raise AssertionError

    def entries(self, refs: Iterable[VersionRef]) -> dict[VersionRef, LedgerEntry]:
        """The entries that exist."""
        wanted = {entry_key(ref): ref for ref in refs}
        found = self.store.get(list(wanted)) if wanted else {}
        return {wanted[key]: decode_entry(item) for key, item in found.items()}

    def entries_and_heads(
        self, refs: Sequence[VersionRef], object_ids: Iterable[str]
    ) -> tuple[dict[VersionRef, LedgerEntry], dict[str, Head]]:
        """Entries and heads, read together."""
        entry_keys = {entry_key(ref): ref for ref in refs}
        head_keys = {head_key(object_id): object_id for object_id in object_ids}
        found = self.store.get([*entry_keys, *head_keys])
        entries = {ref: decode_entry(found[key]) for key, ref in entry_keys.items() if key in found}
        return entries, {object_id: decode_head(object_id, found.get(key)) for key, object_id in head_keys.items()}

    def batch(self, batch_id: str) -> BatchRecord | None:
        """The batch, if there is one."""
        key = batch_key(batch_id)
        item = self.store.get([key]).get(key)
        return decode_batch(item) if item is not None else None

    def batches(self, batch_ids: Sequence[str]) -> dict[str, BatchRecord]:
        """The batches that exist."""
        keys = {batch_key(batch_id): batch_id for batch_id in batch_ids}
        found = self.store.get(list(keys)) if keys else {}
        return {keys[key]: decode_batch(item) for key, item in found.items()}

    def query(self, pk: str, prefix: str = "", *, descending: bool = False) -> Iterator[Item]:
        """All items of one partition whose sort key has the prefix, page by page."""
        start: str | None = None
        while True:
            page = self.store.query(pk, prefix=prefix, start=start, descending=descending)
            yield from page.items
            if page.next is None:
                return
            start = page.next

    def listed(self, partition: str, since: str | None = None, *, descending: bool = False) -> Iterator[LedgerEntry]:
        """Entries that the sparse index lists under a partition, in its order; it may lag a moment behind."""
        start: str | None = None
        while True:
            page = self.store.query_due(partition, since=since, start=start, descending=descending)
            yield from map(decode_entry, page.items)
            if page.next is None:
                return
            start = page.next

    def listed_page(
        self,
        partition: str,
        *,
        limit: int,
        since: str | None,
        upto: str | None,
        start: str | None,
        descending: bool,
    ) -> tuple[list[LedgerEntry], str | None]:
        """At most `limit` of these entries, and where to go on; None at the end."""
        page = self.store.query_due(partition, since=since, upto=upto, limit=limit, start=start, descending=descending)
        return [decode_entry(item) for item in page.items], page.next

    def versions(self, object_id: str) -> list[LedgerEntry]:
        """Every version of a key, lowest first."""
        found = [decode_entry(item) for item in self.query(f"object#{object_id}", "version#")]
        return sorted(found, key=lambda entry: entry.order)
