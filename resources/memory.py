"""The ports in memory: what `convert`, the simulator and the tests run on. Held to the same behaviour suites as AWS's.

They keep to AWS's limits and answers wherever the core could come to rely on them, and go wrong only when asked to.
"""

import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import assert_never

from pipelines.errors import ObjectGoneError, PermanentError
from pipelines.intake.objects import ObjectVersion
from pipelines.ports import (
    Absent,
    Change,
    Check,
    Condition,
    Delete,
    Equals,
    Item,
    ItemKey,
    ItemValue,
    LessThan,
    ListedVersion,
    OneOf,
    Page,
    Present,
    Put,
    QueueMessage,
    Refused,
    Update,
    Written,
)

__all__ = ["MemoryEventQueue", "MemoryItemStore", "MemoryObjectStore"]

_MAX_CHANGES = 100
_MAX_ITEM_BYTES = 400_000
_CHUNK_BYTES = 4 * 1024 * 1024
_SEPARATOR = "\x1f"


class MemoryItemStore:
    """Items in a dictionary. One lock makes each write one step; items given out are copies.

    Sort keys are kept in order, so that a query costs what it returns and not what its partition holds.
    """

    def __init__(self) -> None:
        """Begins empty."""
        self._lock = threading.RLock()
        self._partitions: dict[str, dict[str, dict[str, ItemValue]]] = {}
        self._sorted: dict[str, list[str]] = {}
        self._due: dict[str, list[tuple[str, ItemKey]]] = {}

    def get(self, keys: Sequence[ItemKey]) -> Mapping[ItemKey, Item]:
        """The items that exist, by key."""
        with self._lock:
            return {key: _copy(item) for key in keys if (item := self._find(key)) is not None}

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
        with self._lock:
            partition, names = self._partitions.get(pk, {}), self._sorted.get(pk, [])
            first = bisect_left(names, prefix)
            last = bisect_left(names, True, key=lambda sk: sk > prefix and not sk.startswith(prefix))
            if upto is not None:
                last = min(last, bisect_right(names, upto))
            if start is not None and descending:
                last = min(last, bisect_left(names, start))
            elif start is not None:
                first = max(first, bisect_right(names, start))
            rest = last - first - limit
            taken = (
                names[max(first, last - limit) : last][::-1] if descending else names[first : min(last, first + limit)]
            )
            return Page(tuple(_copy(partition[sk]) for sk in taken), taken[-1] if taken and rest > 0 else None)

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
        with self._lock:
            listed = self._due.get(due_pk, [])
            first = 0 if since is None else bisect_left(listed, since, key=lambda place: place[0])
            last = len(listed) if upto is None else bisect_right(listed, upto, key=lambda place: place[0])
            if start is not None:
                due_sk, pk, sk = start.split(_SEPARATOR)
                here = due_sk, ItemKey(pk, sk)
                first, last = (first, bisect_left(listed, here)) if descending else (bisect_right(listed, here), last)
            taken = listed[max(first, last - limit) : last][::-1] if descending else listed[first:last][:limit]
            end = _SEPARATOR.join((taken[-1][0], taken[-1][1].pk, taken[-1][1].sk)) if taken else None
            return Page(tuple(_copy(self._find(key) or {}) for _, key in taken), end if last - first > limit else None)

    def scan(self, *, limit: int = 1000, start: str | None = None) -> Page:
        """Every item once, by its place."""
        with self._lock:
            places = sorted(ItemKey(pk, sk) for pk, part in self._partitions.items() for sk in part)
            after = [p for p in places if start is None or (p.pk, p.sk) > tuple(start.split(_SEPARATOR))]
            taken = after[:limit]
            more = f"{taken[-1].pk}{_SEPARATOR}{taken[-1].sk}" if len(after) > limit else None
            return Page(tuple(_copy(self._find(place) or {}) for place in taken), more)

    def write(self, changes: Sequence[Change]) -> Written | Refused:
        """Make all changes or none."""
        if not 0 < len(changes) <= _MAX_CHANGES:
            raise PermanentError(f"a transaction takes 1 to {_MAX_CHANGES} changes, not {len(changes)}")
        if len({change.key for change in changes}) != len(changes):
            raise PermanentError("a transaction may change an item only once")
        with self._lock:
            refused = tuple(
                position
                for position, change in enumerate(changes)
                if not all(_holds(condition, self._find(change.key)) for condition in change.conditions)
            )
            if refused:
                return Refused(refused)
            made = [(change.key, self._after(change)) for change in changes if not isinstance(change, Check)]
            for key, item in made:
                self._store(key, item)
            return Written()

    def items(self) -> Mapping[ItemKey, Item]:
        """Everything, for tests and the simulator: no adapter of AWS can do this."""
        with self._lock:
            return {ItemKey(pk, sk): _copy(i) for pk, part in self._partitions.items() for sk, i in part.items()}

    # ---- helpers

    def _find(self, key: ItemKey) -> dict[str, ItemValue] | None:
        return self._partitions.get(key.pk, {}).get(key.sk)

    def _after(self, change: Put | Update | Delete) -> dict[str, ItemValue] | None:
        match change:
            case Put():
                item = _copy(change.item)
            case Delete():
                return None
            case Update():
                item = _copy(self._find(change.key) or {})
                item.update(deepcopy(dict(change.set_)))
                for name, number in change.add.items():
                    before = item.get(name, 0)
                    if not isinstance(before, int) or isinstance(before, bool):
                        raise PermanentError(f"{name} of {change.key} is no number: nothing can be added to it")
                    item[name] = before + number
                for name in change.remove:
                    item.pop(name, None)
            case _ as never:
                assert_never(never)
        item["pk"], item["sk"] = change.key.pk, change.key.sk
        if _size(item) > _MAX_ITEM_BYTES:
            raise PermanentError(f"the item {change.key} is larger than {_MAX_ITEM_BYTES} bytes")
        return item

    def _store(self, key: ItemKey, item: dict[str, ItemValue] | None) -> None:
        before = self._find(key)
        if before is not None and "due_pk" in before and "due_sk" in before:
            listed = self._due[str(before["due_pk"])]
            del listed[bisect_left(listed, (str(before["due_sk"]), key))]
        if item is None:
            if before is not None:
                del self._partitions[key.pk][key.sk]
                names = self._sorted[key.pk]
                del names[bisect_left(names, key.sk)]
            return
        if before is None:
            insort(self._sorted.setdefault(key.pk, []), key.sk)
        self._partitions.setdefault(key.pk, {})[key.sk] = item
        if "due_pk" in item and "due_sk" in item:
            insort(self._due.setdefault(str(item["due_pk"]), []), (str(item["due_sk"]), key))


def _copy(item: Mapping[str, ItemValue]) -> dict[str, ItemValue]:
    return {name: deepcopy(v) if isinstance(v, list | dict) else v for name, v in item.items()}


def _size(value: ItemValue | Mapping[str, ItemValue]) -> int:
    """About what DynamoDB counts: UTF-8 lengths of names and texts."""
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, list):
        return sum(_size(v) + 1 for v in value)
    if isinstance(value, Mapping):
        return sum(len(name) + _size(v) + 1 for name, v in value.items())
    return 8


def _holds(condition: Condition, item: Mapping[str, ItemValue] | None) -> bool:
    match condition:
        case Absent(attribute=name):
            return item is None or (name is not None and name not in item)
        case Present():
            return item is not None
        case Equals(attribute=name, value=wanted):
            return item is not None and name in item and _same(item[name], wanted)
        case OneOf(attribute=name, values=values):
            return item is not None and item.get(name) in values
        case LessThan(attribute=name, value=bound):
            found = item.get(name) if item is not None else None
            if item is None or name not in item:
                return True
            if isinstance(found, str) and isinstance(bound, str):
                return found < bound
            if isinstance(found, int) and isinstance(bound, int) and not isinstance(found, bool):
                return found < bound
            return False
        case _ as never:
            assert_never(never)


def _same(found: ItemValue, wanted: str | int | bool) -> bool:
    return type(found) is type(wanted) and found == wanted  # DynamoDB tells 1 from true


class MemoryEventQueue:
    """A queue that delivers at least once: what was received and not deleted comes again after its time.

    With `dead_letters`, a message received `max_receives` times goes there instead of being delivered once more.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        visibility_s: float = 60.0,
        dead_letters: "MemoryEventQueue | None" = None,
        max_receives: int = 5,
    ) -> None:
        """`clock` gives seconds; the simulator turns it by hand."""
        self._clock = clock
        self._visibility_s = visibility_s
        self._dead_letters = dead_letters
        self._max_receives = max_receives
        self._lock = threading.Lock()
        self._messages: dict[str, _Queued] = {}
        self._receipts: dict[str, str] = {}
        self._count = 0

    def send(self, body: str) -> None:
        """Put a message in."""
        self._send(body, self._clock())

    def _send(self, body: str, sent_at: float) -> None:
        with self._lock:
            self._count += 1
            self._messages[f"m{self._count:08d}"] = _Queued(body, sent_at)

    def receive(self, wait_s: float, limit: int = 10) -> Sequence[QueueMessage]:  # noqa: ARG002 - nothing comes by waiting
        """Up to ten messages; never waits, because nothing else would send meanwhile."""
        now, out = self._clock(), list[QueueMessage]()
        with self._lock:
            for message_id, queued in list(self._messages.items()):
                if len(out) >= min(limit, 10):
                    break
                if queued.visible_at > now:
                    continue
                if self._dead_letters is not None and queued.receives >= self._max_receives:
                    del self._messages[message_id]
                    self._dead_letters._send(queued.body, queued.sent_at)
                    continue
                queued.receives += 1
                queued.visible_at = now + self._visibility_s
                receipt = f"{message_id}/{queued.receives}"
                self._receipts[receipt] = message_id
                sent_at = datetime.fromtimestamp(queued.sent_at, UTC)
                out.append(QueueMessage(message_id, queued.body, receipt, queued.receives, sent_at))
        return out

    def put_back(self, receipts: Sequence[str]) -> None:
        """Let received messages be received again at once. A receipt too old to count is no error."""
        with self._lock:
            for receipt in receipts:
                message_id = self._receipts.get(receipt, "")
                queued = self._messages.get(message_id)
                if queued is not None and receipt == f"{message_id}/{queued.receives}":
                    queued.visible_at = self._clock()

    def delete(self, receipts: Sequence[str]) -> None:
        """Delete messages for good. A receipt too old to count is no error."""
        with self._lock:
            for receipt in receipts:
                message_id = self._receipts.pop(receipt, None)
                queued = self._messages.get(message_id or "")
                if queued is not None and receipt == f"{message_id}/{queued.receives}":
                    del self._messages[message_id or ""]

    def depth(self) -> int:
        """How many messages are in it, visible or not."""
        return len(self._messages)

    def __len__(self) -> int:
        """Messages not deleted, visible or not."""
        return len(self._messages)


class _Queued:
    def __init__(self, body: str, sent_at: float) -> None:
        self.body = body
        self.sent_at = sent_at
        self.receives = 0
        self.visible_at = float("-inf")


class MemoryObjectStore:
    """Buckets in dictionaries, with versions. `put_version` and `put_marker` play the producer."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Begins empty; `clock` says when what is put without a version was written."""
        self._lock = threading.Lock()
        self._clock = clock
        self._current: dict[tuple[str, str], bytes] = {}
        self._contents: dict[tuple[str, str, str], bytes] = {}
        self._listed: dict[tuple[str, str], list[ListedVersion]] = {}

    def put_version(self, version: ObjectVersion, content: bytes) -> None:
        """Land an object version."""
        with self._lock:
            self._contents[version.bucket, version.key, version.version_id] = content
            self._current[version.bucket, version.key] = content
            self._list(version, is_marker=False)

    def put_marker(self, marker: ObjectVersion) -> None:
        """Delete a key as S3 does where versions are kept: a marker hides what is there."""
        with self._lock:
            self._current.pop((marker.bucket, marker.key), None)
            self._list(marker, is_marker=True)

    def remove_version(self, version: ObjectVersion) -> None:
        """Delete a landed version, or a delete marker, for good."""
        with self._lock:
            self._contents.pop((version.bucket, version.key, version.version_id), None)
            place = version.bucket, version.key
            self._listed[place] = [
                one for one in self._listed.get(place, []) if one.version.version_id != version.version_id
            ]

    def read(self, version: ObjectVersion) -> Iterator[bytes]:
        """Stream the bytes of exactly this version, in chunks of at most 4 MiB."""
        content = self._contents.get((version.bucket, version.key, version.version_id))
        if content is None:
            raise ObjectGoneError(f"{version.uri} has no version {version.version_id} any more")
        for start in range(0, len(content), _CHUNK_BYTES):
            yield content[start : start + _CHUNK_BYTES]

    def copy(self, version: ObjectVersion, bucket: str, key: str) -> None:
        """Copy exactly this version to another place."""
        self.put_bytes(bucket, key, b"".join(self.read(version)), "application/octet-stream")

    def put_bytes(self, bucket: str, key: str, content: bytes, content_type: str) -> None:  # noqa: ARG002 - kept nowhere
        """Write a small object, in place of what was there: such buckets keep no versions."""
        with self._lock:
            self._current[bucket, key] = content
            self._listed.pop((bucket, key), None)
            self._list(ObjectVersion(bucket, key, "null", None, len(content), "", self._clock()), is_marker=False)

    def put_file(self, bucket: str, key: str, path: Path) -> None:
        """Upload a local file."""
        self.put_bytes(bucket, key, path.read_bytes(), "application/octet-stream")

    def get_bytes(self, bucket: str, key: str) -> bytes:
        """Read a small object whole."""
        content = self._current.get((bucket, key))
        if content is None:
            raise ObjectGoneError(f"s3://{bucket}/{key} does not exist")
        return content

    def list_keys(self, bucket: str, prefix: str) -> Iterator[str]:
        """The keys under a prefix, in order."""
        with self._lock:
            keys = sorted(key for name, key in self._current if name == bucket and key.startswith(prefix))
        yield from keys

    def delete(self, bucket: str, keys: Sequence[str]) -> None:
        """Remove objects; keys that do not exist are no error."""
        with self._lock:
            for key in keys:
                self._current.pop((bucket, key), None)
                self._listed.pop((bucket, key), None)

    def list_versions(self, bucket: str, prefix: str, start_after: str | None = None) -> Iterator[ListedVersion]:
        """Every version and delete marker under a prefix: by key, newest first within a key."""
        with self._lock:
            keys = [key for name, key in self._listed if name == bucket and key.startswith(prefix)]
        for key in sorted(keys, key=_utf8):
            if start_after is not None and _utf8(key) <= _utf8(start_after):
                continue
            with self._lock:
                listed = list(reversed(self._listed.get((bucket, key), [])))
            # S3 orders by the moment of writing; of two in one moment the later call is the newer.
            listed.sort(key=lambda one: one.version.landed_at, reverse=True)
            yield from (replace(one, is_latest=one is listed[0]) for one in listed)

    def uri(self, bucket: str, key: str) -> str:
        """The address of an object."""
        return f"memory://{bucket}/{key}"

    def _list(self, version: ObjectVersion, *, is_marker: bool) -> None:
        listed = ListedVersion(replace(version, sequencer=None), is_latest=True, is_marker=is_marker)
        self._listed.setdefault((version.bucket, version.key), []).append(listed)


def _utf8(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")
