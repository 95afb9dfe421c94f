"""The way from value to item and back. Every item carries `format`, which `format_guard.py` checks; where items lie is `keys.py`.

What a later release of the same format adds is left alone: an item may hold attributes that nobody here knows.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from datetime import date, datetime
from typing import Any, cast

from pipelines.accounting.due_index import place_of
from pipelines.accounting.entries import (
    Batch,
    BatchRecord,
    BatchTimes,
    Facts,
    Head,
    HistoryRecord,
    LedgerEntry,
    Member,
    Reading,
    Removal,
    VersionRef,
)
from pipelines.accounting.keys import DUE_SHARDS, NO_DATASET, due_partitions, iso, parse_iso, short_version
from pipelines.accounting.states import DUE_STATES, BatchState, FaultKind, Lane, Outcome, State, Trigger
from pipelines.formats import LEDGER_FORMAT
from pipelines.intake.objects import ObjectVersion, Sequencer
from pipelines.ports import Item, ItemKey, ItemValue
from pipelines.telemetry.tracing import trace_of

__all__ = [
    "FORMAT",
    "batch_of",
    "decode_batch",
    "decode_entry",
    "decode_head",
    "decode_history",
    "decode_members",
    "decode_removal",
    "encode_batch",
    "encode_entry",
    "encode_head",
    "encode_history",
    "encode_reading",
    "encode_removal",
    "member_items",
]

FORMAT = LEDGER_FORMAT
_MEMBERS_ITEM_BYTES = 200_000
_PARTITIONS_KEPT = 50
_FACT_NAMES = tuple(field.name for field in fields(Facts))
_FACTS = frozenset(_FACT_NAMES)
_BATCH_TIMES = frozenset(field.name for field in fields(BatchTimes))


def _waiting(entry: LedgerEntry) -> tuple[str, str] | None:
    """Where the sparse index lists the entry, if anybody has to look at it."""
    tail = f"{entry.ref.object_id}#{short_version(entry.ref.version_id)}"
    changed = f"{iso(entry.changed_at)}#{tail}"
    if entry.state is State.UNROUTED:
        return due_partitions(None)[0], changed
    if entry.state in DUE_STATES:
        shard = entry.landing_day.toordinal() % DUE_SHARDS
        return f"due#{entry.dataset}#{shard:02d}", place_of(entry)
    if entry.outcome is Outcome.QUARANTINED:
        return f"quarantine#{entry.dataset or NO_DATASET}", changed
    if entry.outcome is Outcome.REMOVED:
        # What was in a batch is found under its day.
        return (f"removed#{entry.dataset or NO_DATASET}", changed) if entry.batch_id is None else None
    if entry.state is State.DEAD:
        return f"dead#{entry.dataset or NO_DATASET}", changed
    if entry.state is State.ARCHIVED:
        return f"archived#{entry.dataset or NO_DATASET}", changed
    return None


# ---- entries ------------------------------------------------------------------------------------------------------


def encode_entry(entry: LedgerEntry) -> dict[str, ItemValue]:
    """The entry as an item; attributes without a value are left out."""
    version = entry.version
    item: dict[str, ItemValue] = {
        "format": FORMAT,
        "bucket": version.bucket,
        "key": version.key,
        "version_id": version.version_id,
        "order": entry.order,
        "size": version.size_bytes,
        "etag": version.etag,
        "landed_at": iso(version.landed_at),
        "landing_day": entry.landing_day.isoformat(),
        "state": entry.state.value,
        "outcome": entry.outcome.value,
        "first_seen_at": iso(entry.first_seen_at),
        "changed_at": iso(entry.changed_at),
        "revision": entry.revision,
        "serving": entry.serving,
        "object_removed": entry.object_removed,
        "duplicates": entry.duplicates,
        "attempts": entry.attempts,
        "fault_times": entry.fault_times,
        "epoch": entry.epoch,
        "trigger": entry.trigger.value,
        "registered_by": entry.registered_by,
    }
    optional: dict[str, ItemValue] = {
        "sequencer": version.sequencer.sortable() if version.sequencer else None,
        "dataset": entry.dataset,
        "next_at": iso(entry.next_at) if entry.next_at else None,
        "batch_id": entry.batch_id,
        "error": entry.error,
        "restored": entry.restored or None,
        "fault": entry.fault.value if entry.fault else None,
        "facts": _encode_facts(entry.facts),
        "rejudged": _encode_facts(entry.rejudged),
        "given_up": list[ItemValue](entry.given_up) or None,
        "deferred": entry.deferred,
    }
    item.update({name: value for name, value in optional.items() if value is not None})
    if waiting := _waiting(entry):
        item["due_pk"], item["due_sk"] = waiting
    return item


def decode_entry(item: Item) -> LedgerEntry:
    """The entry an item holds."""
    raw: Mapping[str, Any] = item
    sequencer = raw.get("sequencer")
    return LedgerEntry(
        version=ObjectVersion(
            bucket=raw["bucket"],
            key=raw["key"],
            version_id=raw["version_id"],
            sequencer=Sequencer.parse(sequencer) if sequencer is not None else None,
            size_bytes=raw["size"],
            etag=raw["etag"],
            landed_at=parse_iso(raw["landed_at"]),
        ),
        order=raw["order"],
        dataset=raw.get("dataset"),
        landing_day=date.fromisoformat(raw["landing_day"]),
        state=State(raw["state"]),
        outcome=Outcome(raw["outcome"]),
        first_seen_at=parse_iso(raw["first_seen_at"]),
        changed_at=parse_iso(raw["changed_at"]),
        revision=raw["revision"],
        serving=raw["serving"],
        object_removed=raw["object_removed"],
        restored=raw.get("restored", False),
        duplicates=raw["duplicates"],
        attempts=raw["attempts"],
        fault=FaultKind(raw["fault"]) if "fault" in raw else None,
        fault_times=raw.get("fault_times", 0),
        next_at=parse_iso(raw["next_at"]) if "next_at" in raw else None,
        batch_id=raw.get("batch_id"),
        epoch=raw["epoch"],
        error=raw.get("error"),
        facts=_decode_facts(raw.get("facts")),
        rejudged=_decode_facts(raw.get("rejudged")),
        given_up=tuple(raw.get("given_up", ())),
        trigger=Trigger(raw["trigger"]),
        registered_by=raw["registered_by"],
        deferred=raw.get("deferred"),
    )


def _encode_facts(facts: Facts | None) -> dict[str, ItemValue] | None:
    if facts is None:
        return None
    item: dict[str, ItemValue] = {name: getattr(facts, name) for name in _FACT_NAMES}
    # Only a picture of where rows went; the table itself is the record.
    item["partitions"] = list[ItemValue](facts.partitions[:_PARTITIONS_KEPT])
    item["rules"] = list[ItemValue](facts.rules)
    return {name: value for name, value in item.items() if value is not None}


def _decode_facts(raw: Any) -> Facts | None:
    if raw is None:
        return None
    kept: dict[str, Any] = {**raw, "partitions": tuple(raw["partitions"]), "rules": tuple(raw.get("rules", ()))}
    return Facts(**{name: value for name, value in kept.items() if name in _FACTS})


# ---- heads, removals, batches, history ----------------------------------------------------------------------------


def encode_head(head: Head) -> dict[str, ItemValue]:
    """The head as an item."""
    item: dict[str, ItemValue] = {"format": FORMAT, "rejections": head.rejections, "revision": head.revision}
    optional = {
        "serving_version": head.serving_version,
        "serving_order": head.serving_order,
        "removed_order": head.removed_order,
        "removals": head.removals or None,
    }
    item.update({name: value for name, value in optional.items() if value is not None})
    return item


def decode_head(object_id: str, item: Item | None) -> Head:
    """The head an item holds; without one, a head that is not stored yet."""
    if item is None:
        return Head(object_id)
    raw: Mapping[str, Any] = item
    return Head(
        object_id,
        serving_version=raw.get("serving_version"),
        serving_order=raw.get("serving_order"),
        removed_order=raw.get("removed_order"),
        rejections=raw["rejections"],
        removals=raw.get("removals", False),
        revision=raw["revision"],
    )


def encode_removal(removal: Removal, *, lifted: bool) -> dict[str, ItemValue]:
    """A removal as an item; `lifted` is a delete marker that was itself deleted."""
    return {
        "format": FORMAT,
        "bucket": removal.bucket,
        "key": removal.key,
        "version_id": removal.version_id,
        "order": removal.order,
        "at": iso(removal.at),
        "marker": removal.marker,
        "reason": removal.reason,
        "lifted": lifted,
    }


def decode_removal(item: Item) -> tuple[Removal, bool]:
    """The removal an item holds, and whether it was lifted."""
    raw: Mapping[str, Any] = item
    names = ("bucket", "key", "version_id", "order", "marker", "reason")
    return Removal(**{name: raw[name] for name in names}, at=parse_iso(raw["at"])), raw["lifted"]


def encode_batch(record: BatchRecord) -> dict[str, ItemValue]:
    """The batch as an item."""
    item: dict[str, ItemValue] = {
        "format": FORMAT,
        "batch_id": record.batch_id,
        "dataset": record.dataset,
        "landing_day": record.landing_day.isoformat(),
        "run_key": record.run_key,
        "trigger": record.trigger.value,
        "member_count": record.member_count,
        "state": record.state.value,
        "created_at": iso(record.created_at),
        "epoch": record.epoch,
        "revision": record.revision,
    }
    optional: dict[str, ItemValue] = {
        "owner": record.owner,
        "lease_until": iso(record.lease_until) if record.lease_until else None,
        "snapshot_id": record.snapshot_id,
        "reason": record.reason,
        "trace_id": record.trace_id,
        "follows": list[ItemValue](record.follows) or None,
        "oldest_at": iso(record.oldest_at) if record.oldest_at else None,
        "lane": record.lane.value if record.lane else None,
        "size": record.size_bytes or None,
    }
    item.update({name: value for name, value in optional.items() if value is not None})
    return item


def decode_batch(item: Item) -> BatchRecord:
    """The batch an item holds."""
    raw: Mapping[str, Any] = item
    return BatchRecord(
        batch_id=raw["batch_id"],
        dataset=raw["dataset"],
        landing_day=date.fromisoformat(raw["landing_day"]),
        run_key=raw["run_key"],
        trigger=Trigger(raw["trigger"]),
        member_count=raw["member_count"],
        state=BatchState(raw["state"]),
        created_at=parse_iso(raw["created_at"]),
        epoch=raw["epoch"],
        owner=raw.get("owner"),
        lease_until=parse_iso(raw["lease_until"]) if "lease_until" in raw else None,
        snapshot_id=raw.get("snapshot_id"),
        reason=raw.get("reason"),
        revision=raw["revision"],
        trace_id=raw.get("trace_id"),
        follows=tuple(raw.get("follows", ())),
        oldest_at=parse_iso(raw["oldest_at"]) if "oldest_at" in raw else None,
        reading=_decode_reading(raw["reading"]) if "reading" in raw else None,
        lane=Lane(raw["lane"]) if "lane" in raw else None,
        size_bytes=raw.get("size", 0),
    )


def encode_reading(reading: Reading) -> dict[str, ItemValue]:
    """How far a file is, as a renewal writes it beside the lease; a batch that is claimed anew is without."""
    return {
        "object_id": reading.ref.object_id,
        "version_id": reading.ref.version_id,
        "bytes_read": reading.bytes_read,
        "size_bytes": reading.size_bytes,
        "rows": reading.rows,
        "at": iso(reading.at),
    }


def _decode_reading(raw: Mapping[str, Any]) -> Reading:
    ref = VersionRef(raw["object_id"], raw["version_id"])
    return Reading(ref, raw["bytes_read"], raw["size_bytes"], raw["rows"], parse_iso(raw["at"]))


def batch_of(batch: Batch, created_at: datetime) -> BatchRecord:
    """A planned batch as the ledger first keeps it."""
    return BatchRecord(
        batch_id=batch.batch_id,
        dataset=batch.dataset,
        landing_day=batch.landing_day,
        run_key=batch.run_key,
        trigger=batch.trigger,
        member_count=len(batch.members),
        state=BatchState.PLANNED,
        created_at=created_at,
        trace_id=trace_of(batch.batch_id),
        follows=batch.follows,
        oldest_at=batch.oldest_at,
        lane=batch.lane,
        size_bytes=batch.size_bytes,
    )


def member_items(batch_id: str, members: Sequence[Member]) -> Iterator[tuple[ItemKey, Item]]:
    """The list of members, in items small enough for the store (DynamoDB: 400 kB)."""
    piece: list[ItemValue] = []
    size = number = 0
    for member in members:
        length = len(member.ref.object_id) + len(member.ref.version_id.encode("utf-8", "surrogatepass")) + 40
        if piece and size + length > _MEMBERS_ITEM_BYTES:
            number += 1
            yield ItemKey(f"batch#{batch_id}", f"members#{number:04d}"), {"format": FORMAT, "members": piece}
            piece, size = [], 0
        piece.append([member.ref.object_id, member.ref.version_id, member.revision])
        size += length
    yield ItemKey(f"batch#{batch_id}", f"members#{number + 1:04d}"), {"format": FORMAT, "members": piece}


def decode_members(items: Iterable[Item]) -> Iterator[Member]:
    """The members listed in items, in order."""
    for item in items:
        members: Any = item["members"]
        for object_id, version_id, revision in members:
            yield Member(VersionRef(object_id, version_id), revision)


def encode_history(record: HistoryRecord) -> dict[str, ItemValue]:
    """A history record as an item."""
    item: dict[str, ItemValue] = {
        "format": FORMAT,
        "at": iso(record.at),
        "version_id": record.version_id,
        "to": record.to_state.value,
        "outcome": record.outcome.value,
        "reason": record.reason,
    }
    optional: dict[str, ItemValue] = {
        "from": record.from_state.value if record.from_state else None,
        "batch_id": record.batch_id,
        "run": record.run,
        "rows": record.rows,
        "milliseconds": record.milliseconds,
        "trace_id": record.trace_id,
        "facts": _encode_facts(replace(record.facts, partitions=())) if record.facts else None,
        "batch_times": cast("dict[str, ItemValue]", asdict(record.batch_times)) if record.batch_times else None,
    }
    item.update({name: value for name, value in optional.items() if value is not None})
    return item


def decode_history(item: Item) -> HistoryRecord:
    """The history record an item holds."""
    raw: Mapping[str, Any] = item
    return HistoryRecord(
        at=parse_iso(raw["at"]),
        version_id=raw["version_id"],
        from_state=State(raw["from"]) if "from" in raw else None,
        to_state=State(raw["to"]),
        outcome=Outcome(raw["outcome"]),
        batch_id=raw.get("batch_id"),
        run=raw.get("run"),
        reason=raw["reason"],
        rows=raw.get("rows"),
        milliseconds=raw.get("milliseconds"),
        trace_id=raw.get("trace_id"),
        facts=_decode_facts(raw.get("facts")),
        batch_times=_decode_times(raw["batch_times"]) if "batch_times" in raw else None,
    )


def _decode_times(raw: Mapping[str, Any]) -> BatchTimes:
    return BatchTimes(**{name: value for name, value in raw.items() if name in _BATCH_TIMES})
