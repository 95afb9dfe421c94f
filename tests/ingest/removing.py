"""What S3 tells when objects are deleted: the bodies of its notifications, sent as a producer's deletions would send them."""

from __future__ import annotations

import json
from urllib.parse import quote_plus

from pipelines.intake.objects import ObjectVersion
from tests.ingest.world import BUCKET, ORDERS, ORDERS_BY_ROWS, World, dataset

RETRACTING = dataset(ORDERS + "on_delete: retract\n")
RETRACTING_BY_ROWS = dataset(ORDERS_BY_ROWS + "on_delete: retract\n")


def removal_body(name: str, key: str, version_id: str, number: int, at: str = "2026-03-01T12:00:00.000Z") -> str:
    """S3's own notification of a removal: `number` is its place in the order of events."""
    thing = {"key": quote_plus(key, safe="/"), "versionId": version_id, "sequencer": f"{number << 64:X}"}
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventTime": at,
        "eventName": name,
        "s3": {"bucket": {"name": BUCKET}, "object": thing},
    }
    return json.dumps({"Records": [record]})


class Deletions:
    """Deletes in a world's bucket, and makes the messages S3 would send; `send` says when they come."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._number = 1000

    def hide(self, key: str, *, below: int | None = None) -> tuple[str, str]:
        """Put a delete marker above everything (or above the version numbered `below`); its id and the message."""
        self._number += 1
        number = self._number if below is None else below
        # Half a step above the version: between it and the next.
        marker = f"m{self._number}"
        body = removal_body("ObjectRemoved:DeleteMarkerCreated", key, marker, number)
        if below is not None:
            told = json.loads(body)
            told["Records"][0]["s3"]["object"]["sequencer"] = f"{(below << 64) + 1:X}"
            body = json.dumps(told)
        return marker, body

    def show(self, key: str, marker: str) -> str:
        """Delete a delete marker; the message."""
        self._number += 1
        return removal_body("ObjectRemoved:Delete", key, marker, self._number)

    def delete(self, version: ObjectVersion, name: str = "ObjectRemoved:Delete") -> str:
        """Delete one version for good; the message."""
        self._number += 1
        self.world.store.remove_version(version)
        return removal_body(name, version.key, version.version_id, self._number)

    def send(self, *bodies: str) -> None:
        for body in bodies:
            self.world.queue.send(body)
