"""`lakegate sweep` against the laptop's AWS: events are taken from the queue unread, and the sweep makes up for them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from lakegate.local.laptop import TEMPLATE, TEMPLATE_PARAMETERS
from lakegate.settings import sweep_settings
from pipelines.errors import ConfigurationError
from resources.deployment import deploy
from resources.environment import Deployment, client
from tests.cli.command import GOOD, ORDERS, inside, lakegate


@pytest.fixture(scope="module")
def own(local_aws: object) -> Deployment:
    """A stack of its own: what a sweep registers stays pending, and other tests wait for theirs to come to rest."""
    stack = f"sweep{uuid.uuid4().hex[:8]}"
    return deploy(stack, TEMPLATE, {**TEMPLATE_PARAMETERS, "GlueDatabaseName": stack}).deployment


@pytest.fixture
def name(own: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A dataset of its own."""
    name = f"orders_{uuid.uuid4().hex[:8]}"
    (tmp_path / f"{name}.yaml").write_text(ORDERS.replace("orders", name))
    for variable, value in {**own.to_environment(), "LAKEGATE_DATASETS": str(tmp_path)}.items():
        monkeypatch.setenv(variable, value)
    with inside(tmp_path):
        yield name


@pytest.mark.aws
def test_a_sweep_registers_records_and_then_finds_nothing(
    name: str, own: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEGATE_SWEEP_GRACE_MINUTES", "0")
    s3 = client("s3")
    keys = [f"landing/{name}/2026-02-0{day}.csv" for day in (1, 2, 3)]
    versions = [s3.put_object(Bucket=own.landing_bucket, Key=key, Body=GOOD)["VersionId"] for key in keys]
    looked = lakegate("sweep", "--dataset", name, "--dry-run")
    assert looked.code == 1
    assert f"differs: {keys[0]} (version {versions[0]}) is in the bucket, but not in the ledger" in looked.out
    answer = lakegate("sweep", "--dataset", name)
    assert answer.code == 0
    assert f"registered; no event had told of: {keys[0]} (version {versions[0]})" in answer.out
    assert answer.out.endswith(
        "Listed 3 versions: 0 known, 3 that no event had told of; bucket and ledger agree on 3 days.\n"
    )
    s3.delete_object(Bucket=own.landing_bucket, Key=keys[0])
    s3.delete_object(Bucket=own.landing_bucket, Key=keys[1], VersionId=versions[1])
    told = lakegate("sweep", "--dataset", name, "--json").json
    assert (told["listed"], told["known"], told["removed"], told["missing"]) == (2, 2, 1, 1)
    again = lakegate("sweep", "--dataset", name, "--json").json
    assert (again["removed"], again["missing"], again["gone"], again["problems"]) == (0, 0, 1, [])


@pytest.mark.aws
def test_orphans_are_looked_for_when_asked(name: str) -> None:
    answer = lakegate("sweep", "--orphans", "--json")
    told = answer.json["orphans"]
    assert (told["orphans"], told["removed"]) == (0, 0)
    assert told["sentence"].startswith("looked at ")
    assert "Looked at " in lakegate("sweep", "--remove-orphans").out


@pytest.mark.parametrize("options", [("--orphans", "-d", "orders"), ("--remove-orphans", "--dry-run")])
def test_options_that_exclude_each_other_are_misuse(options: tuple[str, ...]) -> None:
    assert lakegate("sweep", *options).code == 2


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LAKEGATE_SWEEP_GRACE_MINUTES", "soon"),
        ("LAKEGATE_SWEEP_GRACE_MINUTES", "-1"),
        ("LAKEGATE_SWEEP_GRACE_MINUTES", "nan"),
        ("LAKEGATE_ORPHAN_GRACE_HOURS", "0.5"),
        ("LAKEGATE_REMOVE_ORPHANS", "yes"),
    ],
)
def test_a_wrong_setting_is_named(variable: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=variable):
        sweep_settings({variable: value})
