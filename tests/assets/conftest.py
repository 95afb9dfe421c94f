"""A stage for each test: a Dagster instance in memory over a deployment in memory."""

from collections.abc import Iterator

import dagster as dg
import pytest

from tests.assets.stage import DEPARTURES, Stage, staged


@pytest.fixture
def stage() -> Iterator[Stage]:
    with dg.DagsterInstance.ephemeral() as instance, staged(instance) as found:
        yield found


@pytest.fixture
def stage_growing() -> Iterator[Stage]:
    """The same, where files bring columns and wider numbers, and what fits nowhere is rescued."""
    growing = DEPARTURES + "schema: {new_columns: add, missing_columns: allow, type_changes: widen_or_rescue}\n"
    with dg.DagsterInstance.ephemeral() as instance, staged(instance, growing) as found:
        yield found


@pytest.fixture
def stage_by_rows() -> Iterator[Stage]:
    """The same, where a bad row is rejected by itself."""
    by_rows = DEPARTURES + "rows: {on_bad: quarantine_rows, max_bad: 50%}\n"
    with dg.DagsterInstance.ephemeral() as instance, staged(instance, by_rows) as found:
        yield found
