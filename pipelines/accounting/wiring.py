"""Which tests of the wiring came through: whoever takes a test object's event out of the queue writes it down here."""

from datetime import datetime

from pipelines.accounting.books import Books
from pipelines.accounting.items import FORMAT
from pipelines.accounting.keys import iso, parse_iso
from pipelines.ports import Absent, Delete, ItemKey, Put

__all__ = ["WiringTests"]


class WiringTests:
    """Writes down, reads and forgets."""

    def __init__(self, books: Books) -> None:
        """Works on the books given."""
        self._books = books

    def arrived(self, test_id: str) -> None:
        """Remember that the event of a test object came out of the queue. Repeatable; the first time counts."""
        item = {"format": FORMAT, "arrived_at": iso(self._books.now())}
        self._books.write([Put(_key(test_id), item, (Absent(),))])

    def arrival(self, test_id: str) -> datetime | None:
        """When it came; None while it has not."""
        key = _key(test_id)
        item = self._books.store.get([key]).get(key)
        return None if item is None else parse_iso(str(item["arrived_at"]))

    def forget(self, test_id: str) -> None:
        """Take the mark away, when the test is over. Repeatable."""
        self._books.write([Delete(_key(test_id))])


def _key(test_id: str) -> ItemKey:
    return ItemKey(f"wiring#{test_id}", "test")
