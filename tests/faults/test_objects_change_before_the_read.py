"""An object is removed, hidden or replaced between its event and the moment it is read, on the local AWS."""

from __future__ import annotations

import pytest

from pipelines.intake.objects import ObjectVersion
from resources.environment import client
from tests.faults.aws_world import AwsWorld
from tests.faults.proxy import FaultyAws, Meddle, Rule
from tests.ingest.world import BAD, orders

pytestmark = pytest.mark.aws


def before_the_read(aws: FaultyAws, do: object) -> None:
    """Let this happen once, just before the first request that reads `a` goes through."""
    assert callable(do)
    aws.reset(Rule(Meddle(do), "s3", "GetObject", "/a.csv"))


def delete(version: ObjectVersion, *, whole: bool) -> None:
    """Delete the version itself (`whole`), or put a delete marker above it."""
    of = {"VersionId": version.version_id} if whole else {}
    client("s3").delete_object(Bucket=version.bucket, Key=version.key, **of)


def test_a_version_that_is_gone_is_accounted_for_and_stops_no_other(world: AwsWorld, aws: FaultyAws) -> None:
    gone = world.put("a", orders(1, 2))
    world.put("b", orders(3))
    before_the_read(aws, lambda: delete(gone, whole=True))
    world.settle_down()
    assert aws.struck() == 1
    world.assert_right([3], ["removed", "loaded"])


def test_a_delete_marker_hides_nothing_from_a_read_by_version(world: AwsWorld, aws: FaultyAws) -> None:
    hidden = world.put("a", orders(1, 2))
    before_the_read(aws, lambda: delete(hidden, whole=False))
    world.settle_down()
    assert aws.struck() == 1
    world.assert_right([1, 2], ["loaded"])


@pytest.mark.parametrize(
    ("newer", "ids", "outcomes"),
    [
        (orders(7), [7], ["superseded", "loaded"]),
        (BAD, [1, 2], ["loaded", "quarantined"]),
    ],
    ids=["by a good one", "by a bad one"],
)
def test_a_version_replaced_before_it_is_read_is_read_as_it_was(
    world: AwsWorld, aws: FaultyAws, newer: bytes, ids: list[int], outcomes: list[str]
) -> None:
    world.put("a", orders(1, 2))
    before_the_read(aws, lambda: world.put("a", newer))
    world.settle_down()
    assert aws.struck() == 1
    world.assert_right(ids, outcomes)
