"""Tables of one catalog, as the behaviour suites of tables ask them, whatever keeps them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.contracts.model import Dataset
from pipelines.ports import Committed, Conflict, SourceVersion, TableCommit, TableSnapshot
from resources.iceberg import IcebergTables
from resources.memory_tables import MemoryTables
from tests.publication.samples import row, source, stage

Rows = Sequence[Mapping[str, Any]]
AnyTables = IcebergTables | MemoryTables
Connect = Callable[[], AnyTables]


@dataclass
class World:
    """Tables of one catalog, made anew by `connect` as another worker would."""

    connect: Connect
    scratch: Path
    of: Dataset
    epochs: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tables = self.connect()
        self.tables.ensure(self.of)

    def change(
        self,
        batch_id: str,
        files: Mapping[SourceVersion, Rows],
        removes: Sequence[SourceVersion] = (),
        base: TableSnapshot | None = None,
        tables: AnyTables | None = None,
        **staging: Any,
    ) -> TableCommit:
        epoch = self.epochs[batch_id] = self.epochs.get(batch_id, 0) + 1
        schema = (tables or self.tables).file_schema(self.of)
        staged = stage(self.of, files, self.scratch, batch_id, epoch, schema=schema, **staging)
        base = base or (tables or self.tables).current(self.of)
        return TableCommit(batch_id, staged, tuple(files), tuple(removes), base)

    def publish(
        self, batch_id: str, files: Mapping[SourceVersion, Rows], removes: Sequence[SourceVersion] = (), **more: Any
    ) -> Committed:
        committed = self.tables.commit(self.of, self.change(batch_id, files, removes, **more))
        assert isinstance(committed, Committed)
        return committed

    @property
    def iceberg(self) -> IcebergTables:
        """The tables, where they are Iceberg's; else the test has nothing to look at."""
        if not isinstance(self.tables, IcebergTables):
            pytest.skip("asks what only Iceberg's tables have")
        return self.tables

    def summary(self) -> Mapping[str, str]:
        snapshot = self.iceberg.load(self.of).current_snapshot()
        assert snapshot is not None
        assert snapshot.summary is not None
        return snapshot.summary.additional_properties

    def arrow(self) -> pa.Table:
        if isinstance(self.tables, MemoryTables):
            return self.tables.rows(self.of)
        return self.tables.load(self.of).scan().to_arrow()

    def ids(self) -> dict[tuple[str, str], list[int]]:
        """The ids in the table by source, which is what most tests compare."""
        found: dict[tuple[str, str], list[int]] = {}
        for one in self.arrow().select(["_source_file", "_source_version", "id"]).to_pylist():
            found.setdefault((one["_source_file"], one["_source_version"]), []).append(one["id"])
        return {key: sorted(ids) for key, ids in found.items()}


def rows_after_a_late_commit(
    world: World, later: Callable[[World], World], late_row: Mapping[str, Any]
) -> dict[int, dict[str, Any]]:
    """Rows by id after a worker staged a file, the table grew and was published to by another, and the first committed then.

    It loses against the table it planned for, and wins against the one it finds.
    """
    change = world.change("b1", {source("a"): [row(1), row(2)]})
    after = later(world)
    after.publish("b2", {source("b"): [late_row]})
    assert world.tables.commit(world.of, change) == Conflict()
    committed = world.tables.commit(world.of, replace(change, base=world.tables.current(world.of)))
    assert isinstance(committed, Committed)
    return {one["id"]: one for one in after.arrow().to_pylist()}
