"""A landing bucket in memory that tells its events as S3 does, or does not: what a sweep is there to find."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

from pipelines.accounting.entries import LedgerEntry
from pipelines.intake.objects import ObjectVersion, Sequencer
from pipelines.intake.receiving import receive
from tests.ingest.world import BUCKET, World, event_body


@dataclass
class LandingBucket:
    """Producers' calls; each is told to the queue unless `told` is false. Sequencers are S3's: seconds, then what S3 likes."""

    world: World = field(default_factory=World)
    calls: int = 0

    def put(self, key: str, content: bytes = b"id\n1\n", *, told: bool = True) -> ObjectVersion:
        version = self._version(key, len(content))
        self.world.store.put_version(version, content)
        if told:
            self.world.queue.send(event_body(version, version.landed_at))
        return version

    def hide(self, key: str, *, told: bool = True) -> ObjectVersion:
        """Delete a key: a delete marker."""
        marker = self._version(key, 0)
        self.world.store.put_marker(marker)
        if told:
            self._tell(marker, "ObjectRemoved:DeleteMarkerCreated")
        return marker

    def remove(self, version: ObjectVersion, *, told: bool = True) -> None:
        """Delete a version, or a delete marker, for good."""
        self.world.store.remove_version(version)
        if told:
            self._tell(replace(self._version(version.key, 0), version_id=version.version_id), "ObjectRemoved:Delete")

    def receive(self) -> None:
        receive(self.world.gate(), wait_s=0, budget_s=60)

    def entries(self) -> dict[str, LedgerEntry]:
        return {entry.version.version_id: entry for entry in self.world.entries()}

    def _version(self, key: str, size: int) -> ObjectVersion:
        self.calls += 1
        moment = self.world.clock().replace(microsecond=0)
        number = (int(moment.timestamp()) << 32) + self.calls
        return ObjectVersion(BUCKET, key, f"v{self.calls}", Sequencer(number), size, "e", moment)

    def _tell(self, version: ObjectVersion, name: str) -> None:
        body: dict[str, Any] = json.loads(event_body(version, version.landed_at))
        body["Records"][0]["eventName"] = name
        for absent in ("size", "eTag"):
            del body["Records"][0]["s3"]["object"][absent]
        self.world.queue.send(json.dumps(body))
