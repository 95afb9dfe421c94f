"""The laptop's AWS for every test that needs one: started once for each test process, on free ports, in a temporary folder.

`local_aws` is the environment of a running AWS and Athena without Lakegate's stack; it is also set in `os.environ`, so that
every client finds it. `deployment` is the stack, deployed once. Tests share both: they use names of their own instead of
cleaning up.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

# How fast a machine makes examples says nothing about the product: a busy one is no failure.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
# `make test` looks at the same examples each time: what was green stays green until the code changes.
settings.register_profile("test", _PATIENT, derandomize=True)
settings.load_profile("test")
# `make proof` and `make fuzz` look for new ones, and at more of them. What a test sets for itself stays.
settings.register_profile("proof", _PATIENT, max_examples=1000)

# A developer's own database is no place for the tests' runs; a test that wants a server sets it for itself.
os.environ.pop("LAKEGATE_DAGSTER_POSTGRES", None)

if TYPE_CHECKING:
    from lakegate.local.laptop import Laptop
    from resources.environment import Deployment
    from tests.road.road import Road


@pytest.fixture(scope="session")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """A laptop on free ports with nothing started; whatever was started in it is stopped at the end."""
    from lakegate.local.laptop import Laptop

    laptop = Laptop(tmp_path_factory.mktemp("laptop"), any_port=True)
    before = dict(os.environ)
    try:
        yield laptop
    finally:
        laptop.stop()
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="session")
def local_aws(laptop: Laptop) -> Mapping[str, str]:
    """Start AWS and Athena; return the environment in which clients reach them."""
    return laptop.start_aws()


@pytest.fixture(scope="session")
def deployment(laptop: Laptop, local_aws: Mapping[str, str]) -> Deployment:
    """Deploy the template into the local AWS; return the names of what it made."""
    from resources.environment import Deployment

    return Deployment.from_environment(laptop.start())


@pytest.fixture(scope="session")
def whole_road(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Road]:
    """A laptop of its own with Dagster's daemon and web server, and the first files at rest; nothing of it is left behind.

    Use it through `road`: a test process has one environment, and this laptop's is set only while a test is on the road.
    """
    from tests.road.first_files import road_with_first_files

    with road_with_first_files(tmp_path_factory.mktemp("road")) as road:
        yield road


@pytest.fixture
def road(whole_road: Road) -> Iterator[Road]:
    """The whole road, with its environment set."""
    from tests.road.road import environment_kept

    with environment_kept():
        os.environ.update(whole_road.environment)
        yield whole_road


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give all files that need the daemon to one worker: it is started once, and never twice on one small machine."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class OneRoad(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "tests/road" if nodeid.startswith(("tests/road/", "tests/ui/")) else super()._split_scope(nodeid)

    return OneRoad(config, log)
