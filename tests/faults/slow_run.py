"""A run in a process of its own that reads half of its file, says so, and goes no further: to be killed there."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

from pipelines.ingest import ingest_batch
from pipelines.intake.objects import ObjectVersion
from pipelines.reading.child import ChildReader
from resources.environment import Deployment
from resources.s3 import S3ObjectStore
from tests.faults.aws_world import CONTRACT, AwsWorld, Names
from tests.ingest.world import dataset

_PIECE_BYTES = 1 << 16


class HalfStore(S3ObjectStore):
    """Gives the first half of what it reads in small pieces, and then nothing."""

    def __init__(self, reader: ChildReader) -> None:
        super().__init__()
        self.reader = reader

    def read(self, version: ObjectVersion) -> Iterator[bytes]:
        """Stream half of it."""
        read = 0
        for chunk in super().read(version):
            for start in range(0, len(chunk), _PIECE_BYTES):
                if read >= version.size_bytes // 2:
                    sys.stdout.write(f"half {self.reader.pid}\n")
                    sys.stdout.flush()
                    time.sleep(600)
                yield (piece := chunk[start : start + _PIECE_BYTES])
                read += len(piece)


def main() -> None:
    """Work on the batch that the first argument names, in the world that it describes."""
    said = json.loads(sys.argv[1])
    world = AwsWorld(
        Deployment.from_environment(), Names(**said["names"]), dataset(CONTRACT.format(name=said["dataset"]))
    )
    with ChildReader() as reader:
        gate = replace(world.gate(), store=HalfStore(reader))
        gate.tables.ensure(world.of)
        ingest_batch(gate, reader, world.of, said["batch"], "run-killed")


if __name__ == "__main__":
    main()
