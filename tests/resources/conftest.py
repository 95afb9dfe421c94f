"""The tables that the behaviour suites run on: in memory, in SQLite over a folder, and in Glue with S3."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from resources.folder import folder_tables
from resources.memory_tables import MemoryTables
from tests.publication.samples import dataset
from tests.resources.table_world import Connect, World

KINDS = [pytest.param("memory"), pytest.param("folder"), pytest.param("glue", marks=pytest.mark.aws)]


@pytest.fixture(params=KINDS)
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Connect:
    if request.param == "memory":
        tables = MemoryTables()
        return lambda: tables
    if request.param == "folder":
        return lambda: folder_tables(tmp_path / "folder #1")
    deployment = request.getfixturevalue("deployment")
    from resources.iceberg import glue_tables
    from resources.s3 import S3ObjectStore

    return lambda: glue_tables(deployment, S3ObjectStore())


@pytest.fixture
def world(connect: Connect, tmp_path: Path) -> World:
    return World(connect, tmp_path / "scratch", dataset(f"flights_{uuid.uuid4().hex[:12]}"))
