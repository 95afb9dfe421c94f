"""Looking into the books: what is due, what lives, what a key went through, the counters. Changes nothing, scans nothing."""

from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime

from pipelines.accounting.batches import Batches
from pipelines.accounting.books import Books
from pipelines.accounting.day_counts import DayCounts, contract_counts
from pipelines.accounting.entries import (
    BatchRecord,
    Head,
    HistoryRecord,
    LedgerEntry,
    Removal,
    VersionRef,
)
from pipelines.accounting.items import decode_entry, decode_head, decode_history, decode_removal
from pipelines.accounting.keys import (
    COUNT_SHARDS,
    NO_DATASET,
    due_partitions,
    head_key,
    iso,
    parse_iso,
    version_removal_key,
)
from pipelines.accounting.states import BatchState, Outcome, State
from pipelines.accounting.transitions import registered
from pipelines.accounting.waiting import Look, Waiting, waiting
from pipelines.intake.objects import object_id
from pipelines.ports import Item, ThreadPools

__all__ = ["Queries"]

_MOST_READ = 20_000
"""Index items read for one answer of `due`: the backlog of busy days must not make a tick endless."""

_LOOKED_AT = 200
_PARALLEL_QUERIES = 8


class Queries:
    """What planner, doors and people ask the ledger."""

    def __init__(self, books: Books, batches: Batches, pools: ThreadPools = ThreadPoolExecutor) -> None:
        """Works on the books given."""
        self._books = books
        self._pools = pools
        self._batches = batches

    # ---- work

    def due(self, dataset: str, limit: int = 5000, busy: Collection[date] = ()) -> list[LedgerEntry]:
        """Up to `limit` versions that wait to be planned and may be now, by landing day; none of the `busy` days."""
        now = self._books.now()
        found: list[LedgerEntry] = []
        partitions = due_partitions(dataset)
        for partition in partitions:
            share = limit // len(partitions) + 1
            taken = 0
            for read, entry in enumerate(self._books.listed(partition), start=1):
                if entry.landing_day not in busy and (entry.next_at is None or entry.next_at <= now):
                    found.append(entry)
                    taken += 1
                if taken >= share or read >= _MOST_READ // len(partitions):
                    break
        return sorted(found, key=lambda e: (e.landing_day, e.next_at or e.changed_at, e.ref))[:limit]

    def waiting(self, dataset: str, look: Look) -> Waiting:
        """What may be planned now, by lane: as much as a look needs, whatever lies beside it."""
        return waiting(self._books, dataset, look)

    def oldest_waiting(self, dataset: str) -> datetime | None:
        """When the oldest version landed that came by itself and waits for its first verdict; None when there is none.

        Cheap, and so not exact in a backlog: of what waits to be planned, the first of the earliest landing days are looked at.
        """
        pages = (self._books.store.query_due(partition, limit=_LOOKED_AT) for partition in due_partitions(dataset))
        found = [decode_entry(item).waits_since for page in pages for item in page.items]
        found += [record.oldest_at for record in self.live_batches(dataset)]
        return min((since for since in found if since is not None), default=None)

    def recent_outcomes(self, dataset: str | None, days: int) -> dict[Outcome, int]:
        """How many versions of the newest landing days are in each outcome: one query."""
        page = self._books.store.query(f"counts#{dataset or NO_DATASET}", limit=days * COUNT_SHARDS, descending=True)
        newest = sorted({str(item["landing_day"]) for item in page.items}, reverse=True)[:days]
        counts = dict.fromkeys(Outcome, 0)
        for item in page.items:
            for outcome in Outcome if item["landing_day"] in newest else ():
                number = item.get(outcome.value, 0)
                counts[outcome] += number if isinstance(number, int) else 0
        return counts

    def unrouted(self) -> Iterator[LedgerEntry]:
        """Versions that no dataset claims, oldest first."""
        return self._books.listed(due_partitions(None)[0])

    def live_batches(self, dataset: str) -> list[BatchRecord]:
        """The batches that hold a slot: planned, claimed, or dead ones somebody has to finish releasing."""
        ids = [str(item["batch_id"]) for item in self._books.query(f"slots#{dataset}")]
        found = self._books.batches(ids)
        return [found[batch_id] for batch_id in ids if batch_id in found]

    def batch(self, batch_id: str) -> BatchRecord | None:
        """One batch."""
        return self._books.batch(batch_id)

    def batches_of_run(self, run_key: str) -> list[BatchRecord]:
        """The batches that a run was asked to do, in the order of their ids."""
        ids = [str(item["batch_id"]) for item in self._books.query(f"run#{run_key}")]
        found = self._books.batches(ids)
        return [found[batch_id] for batch_id in ids if batch_id in found]

    def batches_of_day(self, dataset: str, day: date) -> list[BatchRecord]:
        """Every batch a day ever had, oldest first."""
        ids = [str(item["batch_id"]) for item in self._books.query(f"days#{dataset}", f"{day.isoformat()}#")]
        found = self._books.batches(ids)
        return [found[batch_id] for batch_id in ids if batch_id in found]

    def batch_entries(self, batch_id: str) -> list[LedgerEntry]:
        """The members of a batch as they are now."""
        record = self._books.batch(batch_id)
        members = self._batches.members(record) if record else []
        return self._shown(list(self._books.entries([m.ref for m in members]).values()))

    # ---- objects

    def entry(self, ref: VersionRef) -> LedgerEntry | None:
        """One version."""
        found = self._books.entries([ref]).get(ref)
        return self._shown([found])[0] if found else None

    def entries(self, bucket: str, key: str) -> list[LedgerEntry]:
        """Every version of a key, lowest first."""
        return self._shown(self._books.versions(object_id(bucket, key)))

    def entries_of(self, refs: Iterable[VersionRef]) -> list[LedgerEntry]:
        """These versions, as far as they are known."""
        return self._shown(list(self._books.entries(refs).values()))

    def versions_beside(self, refs: Collection[VersionRef]) -> dict[VersionRef, list[LedgerEntry]]:
        """For each of these versions, every version of its key, itself among them; keys are asked for in parallel."""
        object_ids = sorted({ref.object_id for ref in refs})
        with self._pools(_PARALLEL_QUERIES) as pool:
            found = dict(zip(object_ids, pool.map(self._books.versions, object_ids), strict=True))
        shown: dict[str, list[LedgerEntry]] = {}
        for entry in self._shown([entry for entries in found.values() for entry in entries]):
            shown.setdefault(entry.ref.object_id, []).append(entry)
        return {ref: shown.get(ref.object_id, []) for ref in refs}

    def head(self, bucket: str, key: str) -> Head:
        """What serves a key, and the highest version registered under it."""
        oid = object_id(bucket, key)
        stored = decode_head(oid, self._books.store.get([head_key(oid)]).get(head_key(oid)))
        latest = max((entry.order for entry in self._books.versions(oid)), default=None)
        return replace(stored, latest_order=latest)

    def removals(self, bucket: str, key: str) -> list[Removal]:
        """The removals of a key that hold now."""
        told = map(decode_removal, self._books.query(f"object#{object_id(bucket, key)}", "removal#"))
        return [removal for removal, lifted in told if not lifted]

    def recorded_gone(self, refs: Iterable[VersionRef]) -> set[VersionRef]:
        """Which of these versions are recorded as deleted for good."""
        wanted = {version_removal_key(ref): ref for ref in refs}
        found = self._books.store.get(list(wanted)) if wanted else {}
        return {wanted[key] for key, item in found.items() if not decode_removal(item)[0].marker}

    def history(self, bucket: str, key: str) -> list[HistoryRecord]:
        """Every change of state of a key's versions, in order of time; what their batches went through is woven in."""
        oid = object_id(bucket, key)
        entries = {entry.version.version_id: entry for entry in self._books.versions(oid)}
        records = [decode_history(item) for item in self._books.query(f"object#{oid}", "history#")]
        in_batches = {(r.version_id, r.batch_id) for r in records if r.batch_id}
        in_batches |= {(version, e.batch_id) for version, e in entries.items() if e.batch_id}
        for batch_id in sorted({batch_id for _, batch_id in in_batches if batch_id}):
            told = list(self._books.query(f"batch#{batch_id}", "history#"))
            for version, of_batch in sorted((v, b or "") for v, b in in_batches):
                if of_batch == batch_id:
                    records.extend(r for item in told if (r := _batch_record(item, version, batch_id)))
        for entry in entries.values():
            records.append(registered(entry))
        return sorted(_told_once(records), key=lambda r: (r.at, _rank(r)))

    def _shown(self, entries: list[LedgerEntry]) -> list[LedgerEntry]:
        """Entries as people see them: a planned version shows what its batch is doing."""
        ids = sorted({e.batch_id for e in entries if e.state is State.PLANNED and e.batch_id})
        batches = self._books.batches(ids)
        shown = {BatchState.CLAIMED: State.CLAIMED, BatchState.COMMITTING: State.COMMITTING}
        out: list[LedgerEntry] = []
        for entry in entries:
            batch = batches.get(entry.batch_id or "")
            if entry.state is State.PLANNED and batch is not None:
                entry = replace(entry, state=shown.get(batch.state, State.PLANNED))
            out.append(entry)
        return out

    # ---- overviews

    def datasets(self) -> list[str]:
        """Every dataset that ever had a file, by name."""
        names = (str(item["dataset"]) for item in self._books.query("datasets"))
        return [name for name in names if name != NO_DATASET]

    def quarantined(self, dataset: str | None = None) -> Iterator[LedgerEntry]:
        """Versions in quarantine that nothing has superseded, oldest first in each dataset."""
        return self._waiting("quarantine", dataset)

    def newly_quarantined(self, dataset: str, since: datetime) -> Iterator[LedgerEntry]:
        """Those of a dataset that came into quarantine since then, newest first."""
        return self._books.listed(f"quarantine#{dataset}", iso(since), descending=True)

    def newly_dead(self, dataset: str, since: datetime) -> Iterator[LedgerEntry]:
        """Those of a dataset whose attempts were used up since then, newest first."""
        return self._books.listed(f"dead#{dataset}", iso(since), descending=True)

    def dead(self, dataset: str | None = None) -> Iterator[LedgerEntry]:
        """Versions whose attempts are used up, oldest first in each dataset."""
        return self._waiting("dead", dataset)

    def archived(self, dataset: str | None = None) -> Iterator[LedgerEntry]:
        """Versions that wait for a restore."""
        return self._waiting("archived", dataset)

    def removed_unread(self, dataset: str) -> Iterator[LedgerEntry]:
        """Versions whose objects were removed before any batch had them."""
        return self._waiting("removed", dataset)

    def counts(
        self, dataset: str | None = None, since: date | None = None, month: date | None = None
    ) -> list[DayCounts]:
        """The counters of a dataset (None: of all, and of what no dataset claims), a line a day, from `since` on, or of a month."""
        names = [dataset] if dataset else [*self.datasets(), NO_DATASET]
        prefix = f"{month:%Y-%m}-" if month else ""
        out: list[DayCounts] = []
        for name in names:
            days: dict[date, dict[str, int]] = {}
            for item in self._books.query(f"counts#{name}", prefix, descending=True):
                day = date.fromisoformat(str(item["landing_day"]))
                if since is not None and day < since:
                    break
                numbers = days.setdefault(day, {})
                for counter, value in item.items():
                    if isinstance(value, int) and counter != "format":
                        numbers[counter] = numbers.get(counter, 0) + value
            out.extend(_day_counts(None if name == NO_DATASET else name, day, days[day]) for day in sorted(days))
        return out

    def _waiting(self, what: str, dataset: str | None) -> Iterator[LedgerEntry]:
        for name in [dataset] if dataset else self.datasets():
            yield from self._books.listed(f"{what}#{name}")


def _day_counts(dataset: str | None, day: date, numbers: dict[str, int]) -> DayCounts:
    return DayCounts(
        dataset=dataset,
        landing_day=day,
        objects=numbers.get("objects", 0),
        outcomes={outcome: numbers.get(outcome.value, 0) for outcome in Outcome},
        duplicates=numbers.get("duplicates", 0),
        bytes=numbers.get("bytes", 0),
        serving_files=numbers.get("serving_files", 0),
        rows_read=numbers.get("rows_read", 0),
        rows_in_table=numbers.get("rows_in_table", 0),
        rows_rejected=numbers.get("rows_rejected", 0),
        quarantined_rows_read=numbers.get("quarantined_rows_read", 0),
        deferred=numbers.get("deferred", 0),
        contracts=contract_counts(numbers),
    )


def _batch_record(item: Item, version: str, batch_id: str) -> HistoryRecord | None:
    state = item.get("state")
    if state is None:
        return None
    run = item.get("run")
    return HistoryRecord(
        at=parse_iso(str(item["at"])),
        version_id=version,
        from_state=None,
        to_state=State(str(state)),
        outcome=Outcome.PENDING,
        batch_id=batch_id,
        run=str(run) if run is not None else None,
        reason=str(item.get("reason") or ""),
        trace_id=str(item["trace_id"]) if item.get("trace_id") else None,
    )


def _told_once(records: list[HistoryRecord]) -> list[HistoryRecord]:
    """A batch's later claims belong to the history of a version only until it was settled."""
    ended: dict[tuple[str, str], datetime] = {}
    for record in records:
        if record.batch_id and record.from_state is not None:
            place = record.version_id, record.batch_id
            ended[place] = max(record.at, ended.get(place, record.at))
    far = datetime.max.replace(tzinfo=UTC)
    return [
        r for r in records if r.from_state is not None or not r.batch_id or r.at <= ended.get((r.version_id, r.batch_id), far)
    ]  # fmt: skip


def _rank(record: HistoryRecord) -> int:
    """Order within one moment: a clock may stand still."""
    order = [State.UNROUTED, State.SEEN, State.PLANNED, State.CLAIMED, State.COMMITTING]
    return order.index(record.to_state) if record.to_state in order and record.from_state is None else len(order)
