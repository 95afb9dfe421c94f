"""The producer of the crash proofs: drops good, bad and corrected files into a real bucket, and knows what has to come of them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resources.environment import Deployment, client

DATASETS: Mapping[str, str] = {
    "orders": """
name: orders
description: Orders of a shop, some files a day; a bad row condemns its file.
owner: team:sales
landing: {key: "landing/orders/{day:%Y-%m-%d}/*.csv", day: day, start: 2026-01-01}
format: {type: csv}
columns:
  day: {type: date, from: key}
  id: {type: bigint, nullable: false}
  amount: {type: int}
partition_by: [day]
primary_key: [id]
""",
    "payments": """
name: payments
description: Payments, in partitions by what the rows say; bad rows are rejected one by one.
owner: team:sales
landing: {key: "landing/payments/{day:%Y-%m-%d}/*.csv", day: day, start: 2026-01-01}
format: {type: csv}
columns:
  day: {type: date, from: key}
  id: {type: bigint, nullable: false}
  amount: {type: int}
partition_by: [amount]
rows: {on_bad: quarantine_rows, max_bad: 60%}
""",
    "clicks": """
name: clicks
description: Clicks; what arrives on a day is of that day. One file has many rows of few partitions.
owner: team:web
landing: {key: "landing/clicks/*.csv", start: 2026-01-01}
format: {type: csv}
columns:
  id: {type: bigint, nullable: false}
  amount: {type: int}
""",
}
REJECTS_ROWS = frozenset({"payments"})
DAYS = ("2026-02-01", "2026-02-02", "2026-02-09")
POISON = "a message that is no event"


def write_datasets(folder: Path) -> Path:
    """The dataset files, in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in DATASETS.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


@dataclass(frozen=True)
class Dropped:
    """One object version: what it holds, and whether the contract takes it."""

    dataset: str
    key: str
    version_id: str
    content: bytes
    good: tuple[tuple[int, int], ...]
    """(id, amount) of the rows that are in order."""
    bad: int

    @property
    def is_accepted(self) -> bool:
        """Whether the file as a whole is loaded."""
        return not self.bad or self.dataset in REJECTS_ROWS


@dataclass
class Producer:
    """Everything that was ever dropped, in order, by key. The same seed drops the same files."""

    deployment: Deployment
    rng: random.Random
    files_a_day: int = 4
    dropped: dict[str, list[Dropped]] = field(default_factory=dict)
    duplicates: int = 0
    _number: int = 0

    # ---- what it does

    def drop(self) -> Dropped:
        """Land one object: new, sent again with other rows, with the rows of an older version (A, B, A), or damaged."""
        dataset = self.rng.choice(list(DATASETS))
        name = f"part-{self.rng.randrange(self.files_a_day)}"
        key = (
            f"landing/clicks/{name}.csv"
            if dataset == "clicks"
            else f"landing/{dataset}/{self.rng.choice(DAYS)}/{name}.csv"
        )
        before = self.dropped.setdefault(key, [])
        if len(before) > 1 and self.rng.random() < 0.25:
            old = before[-2]
            return self.put(dataset, key, old.content, old.good, old.bad)
        self._number += 1
        good = tuple((self._number * 100 + n, self.rng.randrange(3)) for n in range(self.rng.randrange(2, 6)))
        return self.write(dataset, key, good, bad=1 if self.rng.random() < 0.3 else 0)

    def write(self, dataset: str, key: str, good: tuple[tuple[int, int], ...], bad: int = 0) -> Dropped:
        """Land an object of these rows, bad ones behind them."""
        lines = [f"{number},{amount}" for number, amount in good] + ["none,0"] * bad
        return self.put(dataset, key, ("\n".join(["id,amount", *lines]) + "\n").encode(), good, bad)

    def put(self, dataset: str, key: str, content: bytes, good: tuple[tuple[int, int], ...], bad: int) -> Dropped:
        """Land an object of these bytes."""
        answer = client("s3").put_object(Bucket=self.deployment.landing_bucket, Key=key, Body=content)
        one = Dropped(dataset, key, answer["VersionId"], content, good, bad)
        self.dropped.setdefault(key, []).append(one)
        return one

    def tell_again(self) -> int:
        """Send some of the events that wait in the queue a second time, word for word, as S3 may do."""
        answer = client("sqs").receive_message(
            QueueUrl=self.deployment.queue_url, MaxNumberOfMessages=3, VisibilityTimeout=0
        )
        events = [m["Body"] for m in answer.get("Messages", ()) if '"Records"' in m["Body"]]
        for body in events:
            self.send(body)
        self.duplicates += len(events)
        return len(events)

    def send(self, body: str) -> None:
        """Put a message into the queue."""
        client("sqs").send_message(QueueUrl=self.deployment.queue_url, MessageBody=body)

    # ---- what has to come of it

    def versions(self) -> list[Dropped]:
        """Every version."""
        return [one for versions in self.dropped.values() for one in versions]

    def serving(self) -> list[Dropped]:
        """Of each key the highest version that the contract takes."""
        served = (next((v for v in reversed(versions) if v.is_accepted), None) for versions in self.dropped.values())
        return [one for one in served if one is not None]

    def rows(self, dataset: str) -> Counter[tuple[Any, ...]]:
        """(key, version, line, id, amount) of each row that has to be in the table, once."""
        return Counter(
            (one.key, one.version_id, line, number, amount)
            for one in self.serving()
            if one.dataset == dataset
            for line, (number, amount) in enumerate(one.good, start=2)
        )

    def rejected(self, dataset: str) -> Counter[tuple[Any, ...]]:
        """(key, version, line) of each row that has to be in the table beside it."""
        return Counter(
            (one.key, one.version_id, len(one.good) + 2 + n)
            for one in self.serving()
            if one.dataset == dataset and dataset in REJECTS_ROWS
            for n in range(one.bad)
        )

    def outcomes(self) -> dict[tuple[str, str], str]:
        """(key, version) to the outcome it has to have."""
        found: dict[tuple[str, str], str] = {}
        for key, versions in self.dropped.items():
            top = max((i for i, v in enumerate(versions) if v.is_accepted), default=-1)
            for i, one in enumerate(versions):
                found[key, one.version_id] = "superseded" if i < top else "loaded" if i == top else "quarantined"
        return found
