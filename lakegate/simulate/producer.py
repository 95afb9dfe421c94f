"""The producer, the landing bucket as it sees it, and the messages that tell of it: late, doubled, or not at all."""

import json
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from urllib.parse import quote_plus

from lakegate.simulate.engine import Engine
from lakegate.simulate.schedule import Put, Remove, Restore
from lakegate.simulate.truth import Truth
from pipelines.intake.objects import ObjectVersion, Sequencer
from resources.memory import MemoryEventQueue, MemoryObjectStore

__all__ = ["BUCKET", "Producer"]

BUCKET = "landing-bucket"


@dataclass(slots=True)
class _Landed:
    """An object version in the bucket; `gone` when it was deleted for good."""

    version: ObjectVersion
    gone: bool = False


class Producer:
    """Puts and deletes objects at once; the messages come when they come."""

    def __init__(self, engine: Engine, objects: MemoryObjectStore, queue: MemoryEventQueue, truth: Truth) -> None:
        """Has put nothing yet."""
        self._engine, self._objects, self._queue, self._truth = engine, objects, queue, truth
        self._landed: list[_Landed] = []
        self._markers: list[ObjectVersion] = []

    @property
    def versions(self) -> list[ObjectVersion]:
        """Every version ever put."""
        return [landed.version for landed in self._landed]

    def put(self, put: Put) -> None:
        """Put an object, and have its messages come."""
        version = ObjectVersion(
            bucket=BUCKET,
            key=f"landing/files/{put.key}.csv",
            version_id=f"{put.key}{put.number}",
            sequencer=self._sequencer(),
            size_bytes=len(put.content),
            etag="e",
            landed_at=self._engine.clock(),
        )
        self._landed.append(_Landed(version))
        self._objects.put_version(version, put.content.encode())
        self._truth.put(version, put.content)
        told = f"({put.number}) puts {version.version_id}: {put.content or 'zero bytes'}"
        self._announce(told, version, "ObjectCreated:Put", put.deliveries)

    def remove(self, remove: Remove) -> None:
        """Delete a key, or its newest version for good."""
        key = f"landing/files/{remove.key}.csv"
        newest = next((it for it in reversed(self._landed) if it.version.key == key and not it.gone), None)
        if remove.marker:
            marker = ObjectVersion(
                BUCKET, key, f"{remove.key}{remove.number}-marker", self._sequencer(), 0, "", self._engine.clock()
            )
            self._objects.put_marker(marker)
            self._markers.append(marker)
            self._truth.hidden(marker)
            told = f"({remove.number}) deletes {remove.key} (a delete marker)"
            self._announce(told, marker, "ObjectRemoved:DeleteMarkerCreated", remove.deliveries)
        elif newest is not None:
            newest.gone = True
            self._objects.remove_version(newest.version)
            self._truth.gone(newest.version)
            told = f"({remove.number}) deletes the version {newest.version.version_id} for good"
            self._announce(told, newest.version, "ObjectRemoved:Delete", remove.deliveries)

    def restore(self, restore: Restore) -> None:
        """Delete the newest delete marker of a key."""
        key = f"landing/files/{restore.key}.csv"
        marker = next((marker for marker in reversed(self._markers) if marker.key == key), None)
        if marker is not None:
            self._markers.remove(marker)
            self._objects.remove_version(marker)
            self._truth.shown(marker)
            told = f"({restore.number}) deletes the delete marker of {restore.key}"
            self._announce(told, marker, "ObjectRemoved:Delete", restore.deliveries)

    def _sequencer(self) -> Sequencer:
        # As S3's: epoch seconds above 32 bits of their own.
        moment = self._engine.clock().timestamp()
        return Sequencer((int(moment) << 32) | int(moment % 1 * (1 << 32)))

    def _announce(self, told: str, version: ObjectVersion, event: str, deliveries: tuple[float, ...]) -> None:
        lost = ", and its event is lost" if not deliveries else ""
        self._engine.tell("producer", told + lost)
        body = _event_body(version, event, self._sequencer(), self._engine.clock())
        for number, delay in enumerate(deliveries):
            self._engine.at(self._engine.now_s + delay, partial(self._deliver, body, version.version_id, number))

    def _deliver(self, body: str, version_id: str, number: int) -> None:
        self._engine.tell("queue", f"the event of {version_id} arrives{' again' if number else ''}")
        self._queue.send(body)


def _event_body(version: ObjectVersion, event: str, sequencer: Sequencer, at: datetime) -> str:
    """S3's own notification."""
    thing = {
        "key": quote_plus(version.key, safe="/"),
        "size": version.size_bytes,
        "eTag": version.etag,
        "versionId": version.version_id,
        "sequencer": f"{sequencer.number:X}",
    }
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventTime": at.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "eventName": event,
        "s3": {"bucket": {"name": version.bucket}, "object": thing},
    }
    return json.dumps({"Records": [record]})
