"""The laptop's AWS for every test that needs one: started once for each test process, on free ports, in a temporary folder.

`local_aws` is the environment of a running AWS and Athena without Lakegate's stack; it is also set in `os.environ`, so that
every client finds it. `deployment` is the stack, deployed once. Tests share both: they use names of their own instead of
cleaning up.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lakegate.local.laptop import Laptop
    from resources.environment import Deployment


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
