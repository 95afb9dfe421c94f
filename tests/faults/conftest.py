"""The proxy before the local AWS, and clients that are impatient enough for tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from resources import environment
from tests.faults.aws_world import AwsWorld
from tests.faults.proxy import FaultyAws

IMPATIENT_S = 2


@pytest.fixture(scope="session")
def proxy(local_aws: dict[str, str]) -> Iterator[FaultyAws]:
    with FaultyAws(local_aws["AWS_ENDPOINT_URL"]) as faulty:
        yield faulty


@pytest.fixture
def aws(proxy: FaultyAws, monkeypatch: pytest.MonkeyPatch) -> FaultyAws:
    """The proxy without rules; every client of the test goes through it."""
    proxy.reset()
    monkeypatch.setattr(environment, "READ_TIMEOUT_S", IMPATIENT_S)
    # Throttled requests wait for seconds in botocore; what is tested is that they are sent again, not how long it takes.
    monkeypatch.setattr(
        "botocore.retries.standard.ExponentialBackoff._DEFAULT_BACKOFF_CONFIG",
        {"throttling_base_scale": 0.02, "non_throttling_base_scale": 0.02},
    )
    # Clients are kept for an environment: this makes others.
    monkeypatch.setenv("AWS_LAKEGATE_TEST", "faults")
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    return proxy


@pytest.fixture
def world(deployment: environment.Deployment, aws: FaultyAws) -> AwsWorld:
    """A world of its own, behind the proxy."""
    return AwsWorld.make(deployment)
