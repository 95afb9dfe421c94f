"""A stage for each test: a Dagster instance in memory over a deployment in memory."""

from collections.abc import Iterator

import dagster as dg
import pytest

from tests.assets.stage import Stage, staged


@pytest.fixture
def stage() -> Iterator[Stage]:
    with dg.DagsterInstance.ephemeral() as instance, staged(instance) as found:
        yield found
