"""The soak's producer: three datasets, files at a steady rate, and what each table must hold in the end.

Some files are replaced (A, then B, then A again), some are bad as a whole, some have bad rows, some are removed. Everything comes
from the seed, but for the moment at which it comes.
"""

import json
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

__all__ = ["CONTRACTS", "DATASETS", "Producer", "Put"]

DATASETS = ("clean", "lines", "dirty")
_COLUMNS = """\
  day: {type: date, from: key}
  id: {type: bigint, nullable: false}
  amount: {type: double, nullable: false}
  note: {type: string, max_length: 40}
partition_by: [day]
"""
CONTRACTS = {
    "clean": """\
name: clean
description: Small clean files, whose rows go when their object goes.
landing: {key: "landing/clean/{day:%Y-%m-%d}/*.csv", day: day, start: 2024-01-01}
format: {type: csv}
on_delete: retract
columns:
"""
    + _COLUMNS,
    "lines": """\
name: lines
description: Small files of JSON Lines.
landing: {key: "landing/lines/{day:%Y-%m-%d}/*.jsonl", day: day, start: 2024-01-01}
format: {type: jsonl}
columns:
"""
    + _COLUMNS,
    "dirty": """\
name: dirty
description: Files with some bad rows, which go to a table of their own.
landing: {key: "landing/dirty/{day:%Y-%m-%d}/*.csv", day: day, start: 2024-01-01}
format: {type: csv}
rows: {on_bad: quarantine_rows, max_bad: 20%}
columns:
"""
    + _COLUMNS,
}
_ROWS = 100
_DAYS = 3
_REPLACED, _BAD, _REMOVED = 0.08, 0.05, 0.03
_OLD_ENOUGH_S = 30.0


@dataclass(frozen=True, slots=True)
class Put:
    """One object version that was put: `rows` is what the table must hold of it, if it serves; None: it must be rejected."""

    dataset: str
    key: str
    version_id: str
    at: float
    rows: int | None
    rejected: int
    id_sum: int


@dataclass
class Producer:
    """Puts files until stopped, from a thread of its own. A fault of the store is tried again: a producer has patience."""

    store: Any
    bucket: str
    rate: float
    seed: int
    puts: list[Put] = field(default_factory=list[Put])
    removed: dict[str, float] = field(default_factory=dict[str, float])
    retries: int = 0

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._again: list[tuple[str, str, int]] = []
        self._next_id = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Put no more; returns when the last is there."""
        self._stopping.set()
        self._thread.join()

    def serving(self) -> dict[str, dict[str, Put]]:
        """By dataset and key, the version whose rows must be in the table at rest."""
        found: dict[str, dict[str, Put]] = {dataset: {} for dataset in DATASETS}
        for put in self.puts:
            if put.rows is not None:
                found[put.dataset][put.key] = put
        for key in self.removed:
            found["clean"].pop(key, None)
        return found

    def kinds(self) -> Counter[str]:
        """How many files of each kind were put."""
        versions = Counter(put.key for put in self.puts)
        return Counter(
            files=len(self.puts),
            replaced=sum(n - 1 for n in versions.values()),
            bad=sum(put.rows is None for put in self.puts),
            removed=len(self.removed),
        )

    def _run(self) -> None:
        began, step = time.monotonic(), 0
        while not self._stopping.wait(max(0.0, began + step / self.rate - time.monotonic())):
            step += 1
            self._one(step)

    def _one(self, step: int) -> None:
        chance = self._rng.random()
        if self._again and chance < _REPLACED:
            self._put(*self._again.pop(0))
        elif chance < _REPLACED + _REMOVED:
            self._remove()
        else:
            dataset = self._rng.choice(DATASETS)
            day = 1 + self._rng.randrange(_DAYS)
            ending = "jsonl" if dataset == "lines" else "csv"
            key = f"landing/{dataset}/2024-01-{day:02d}/part-{step:06d}.{ending}"
            self._put(dataset, key, self._next_id)
            if self._rng.random() < _REPLACED / 2:  # B, then A's very bytes again
                self._again += [(dataset, key, self._next_id), (dataset, key, self._next_id - _ROWS)]

    def _put(self, dataset: str, key: str, first_id: int) -> None:
        self._next_id = max(self._next_id, first_id + _ROWS)
        rng = random.Random(first_id)
        is_bad = rng.random() < _BAD
        wrong = set(rng.sample(range(_ROWS), rng.randrange(5))) if dataset == "dirty" else set[int]()
        ids = range(first_id, first_id + _ROWS)
        good = [i for i in ids if i - first_id not in wrong]
        body = _jsonl(ids, is_bad) if dataset == "lines" else _csv(ids, wrong, is_bad)
        answer = self._patiently(lambda: self.store.put_object(Bucket=self.bucket, Key=key, Body=body))
        rows, rejected, total = (None, 0, 0) if is_bad else (len(good), len(wrong), sum(good))
        self.puts.append(Put(dataset, key, answer["VersionId"], time.time(), rows, rejected, total))

    def _remove(self) -> None:
        old = [p for p in self.puts[-2000:] if p.dataset == "clean" and time.time() - p.at > _OLD_ENOUGH_S]
        waiting = {key for _, key, _ in self._again}
        free = [p.key for p in old if p.key not in self.removed and p.key not in waiting]
        if free:
            key = self._rng.choice(free)
            self._patiently(lambda: self.store.delete_object(Bucket=self.bucket, Key=key))
            self.removed[key] = time.time()

    def _patiently(self, ask: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        for pause_s in (1, 2, 4, 8, 16, 32):
            try:
                return ask()
            except (BotoCoreError, ClientError):
                self.retries += 1
                time.sleep(pause_s)
        return ask()


def _csv(ids: range, wrong: set[int], is_bad: bool) -> bytes:
    lines = ["id,amount,note"]
    for number, one in enumerate(ids):
        amount = "much" if number in wrong else f"{one % 997}.25"
        lines.append(f"{one},{amount},row {one}")
    if is_bad:
        lines[len(lines) // 2] += ',one cell "too many'
    return ("\n".join(lines) + "\n").encode()


def _jsonl(ids: range, is_bad: bool) -> bytes:
    lines = [json.dumps({"id": one, "amount": one % 997 + 0.25, "note": f"row {one}"}) for one in ids]
    if is_bad:
        lines[len(lines) // 2] = "{no JSON"
    return ("\n".join(lines) + "\n").encode()


def moment(at: float) -> str:
    """A moment for people."""
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}"
