"""A store that fails on demand, and the look at every entry that only a store in memory allows."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipelines.accounting.changes import counts_for
from pipelines.accounting.items import decode_entry
from pipelines.errors import TransientError
from pipelines.ports import Change, Item, ItemKey, Page, Refused, Written
from resources.memory import MemoryItemStore


class Died(BaseException):
    """The process is gone."""


class FragileStore:
    """A store that does something at its n-th call: dies before or after it, or loses the answer."""

    def __init__(self, inner: MemoryItemStore, at: int = -1, how: str = "") -> None:
        self.inner = inner
        self.at = at
        self.how = how
        self.calls = 0

    def _call(self, call: Callable[[], Any], *, writes: bool) -> Any:
        number, self.calls = self.calls, self.calls + 1
        if number != self.at:
            return call()
        if self.how == "before":
            raise Died
        if self.how == "unapplied" and writes:
            raise TransientError("no answer, and nothing was written")
        result = call()
        if self.how == "after":
            raise Died
        if self.how == "applied" and writes:
            raise TransientError("no answer, but it was written")
        return result

    def get(self, keys: Sequence[ItemKey]) -> Mapping[ItemKey, Item]:
        return self._call(lambda: self.inner.get(keys), writes=False)

    def query(self, pk: str, **how: Any) -> Page:
        return self._call(lambda: self.inner.query(pk, **how), writes=False)

    def query_due(self, due_pk: str, **how: Any) -> Page:
        return self._call(lambda: self.inner.query_due(due_pk, **how), writes=False)

    def write(self, changes: Sequence[Change]) -> Written | Refused:
        return self._call(lambda: self.inner.write(changes), writes=True)


def assert_counters_are_sums(store: MemoryItemStore) -> None:
    """The counters, against every entry looked at one by one: only a store in memory can be asked for all."""
    entries = [decode_entry(item) for key, item in store.items().items() if key.sk.startswith("version#")]
    sums: dict[str, int] = {"duplicates": sum(e.duplicates for e in entries)}
    for entry in entries:
        for name, number in counts_for(entry).items():
            sums[name] = sums.get(name, 0) + number
    counted: dict[str, int] = {}
    for key, item in store.items().items():
        if key.pk.startswith("counts#"):
            for name, number in item.items():
                if isinstance(number, int) and name != "format":
                    counted[name] = counted.get(name, 0) + number
    assert {n: v for n, v in counted.items() if v} == {n: v for n, v in sums.items() if v}
