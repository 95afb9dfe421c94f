"""The delimiter of a dataset whose contract says `auto`: told from its first accepted file, and pinned by whoever is first.

It is never written again: two workers that tell it from two files at once end with the same one. A dataset that declares
its delimiter asks for none of this.
"""

from pipelines.accounting.books import Books
from pipelines.accounting.items import FORMAT
from pipelines.accounting.keys import delimiter_key, iso
from pipelines.errors import TransientError
from pipelines.ports import Absent, Put, Written

__all__ = ["PinnedDelimiters"]


class PinnedDelimiters:
    """Reads and pins."""

    def __init__(self, books: Books) -> None:
        self._books = books

    def pinned(self, dataset: str) -> str | None:
        """The delimiter that the dataset's files are read with; None while no file has been accepted."""
        key = delimiter_key(dataset)
        item = self._books.store.get([key]).get(key)
        return None if item is None else str(item["delimiter"])

    def pin(self, dataset: str, delimiter: str) -> str:
        """Pin a delimiter unless one is pinned; the one that holds. Repeatable."""
        key, books = delimiter_key(dataset), self._books
        item = {"format": FORMAT, "delimiter": delimiter, "pinned_at": iso(books.now())}
        if isinstance(books.write([Put(key, item, (Absent(),))]), Written):
            return delimiter
        held = self.pinned(dataset)
        if held is None:
            raise TransientError(f"the delimiter of {dataset} could neither be pinned nor read; try again")
        return held
