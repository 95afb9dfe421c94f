"""The laptop's AWS for every test that needs one: started once for each test process, on free ports, in a temporary folder.

`local_aws` is the environment of a running AWS without Lakegate's stack; it is also set in `os.environ`, so that boto3 finds
it. `deployment` is the stack, deployed once. Tests share both: they use names of their own instead of cleaning up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
TEMPLATE = REPOSITORY / "infra" / "lakegate.yaml"
# What the template cannot have on a laptop: TLS on loopback. The ledger may go with its temporary folder.
LAPTOP_PARAMETERS = {"RequireTls": "false", "LedgerDeletionProtection": "false"}
LOCAL_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture(scope="session")
def local_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """Start ministack, yield the environment in which clients reach it, stop it."""
    from lakegate.local.ministack import START_LIMIT_S, ministack_command, ministack_is_healthy, ministack_url
    from lakegate.local.processes import ProcessRunner, free_port

    home = tmp_path_factory.mktemp("local-aws")
    runner = ProcessRunner(home)
    port = free_port()
    environment = {**LOCAL_CREDENTIALS, "AWS_ENDPOINT_URL": ministack_url(port)}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"):
            patch.delenv(name, raising=False)
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            runner.start(
                ministack_command(port, home / "ministack"),
                lambda: ministack_is_healthy(port),
                within_s=START_LIMIT_S,
            )
            yield environment
        finally:
            for name in runner.names():
                runner.stop(name)


@pytest.fixture(scope="session")
def deployment(local_aws: Mapping[str, str]):
    """Deploy the template into the local AWS once; return the `Deployment`."""
    from resources.deployment import deploy

    return deploy("lakegate", TEMPLATE, LAPTOP_PARAMETERS).deployment
