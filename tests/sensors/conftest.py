"""The stage of the assets' tests: what the sensor asks for is executed by the same definitions."""

from collections.abc import Iterator

import dagster as dg
import pytest

from tests.assets.stage import Stage, staged


@pytest.fixture
def stage() -> Iterator[Stage]:
    with dg.DagsterInstance.ephemeral() as instance, staged(instance) as found:
        yield found
