"""Merging with a bucket's notifications: nothing of others is lost, what S3 or reason forbids is refused, twice changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.wiring.notifications import WATCHED_EVENTS, Configuration, Notifications, Target, overlap
from pipelines.wiring.planning import Delivery, Output, Refused, Wanted, Wiring, configuration_id, plan_wiring

QUEUE, TOPIC = "arn:aws:sqs:eu-west-1:123456789012:q", "arn:aws:sns:eu-west-1:123456789012:t"
OURS = configuration_id("prod")


def wanted(delivery: Delivery = Delivery.DIRECT, **more: Any) -> Wanted:
    return Wanted(OURS, "theirs", delivery, TOPIC if delivery is Delivery.SNS else QUEUE, **more)


def other(
    prefix: str = "", suffix: str = "", events: tuple[str, ...] = ("s3:ObjectCreated:*",), name: str = "x"
) -> Configuration:
    return Configuration(
        name, Target.FUNCTION, "arn:aws:lambda:eu-west-1:123456789012:function:f", events, prefix, suffix
    )


def planned(existing: Notifications, how: Wanted | None = None, versioning: str = "Enabled") -> Wiring:
    plan = plan_wiring(existing, versioning, how or wanted())
    assert isinstance(plan, Wiring), plan
    return plan


def reasons(existing: Notifications, how: Wanted | None = None, versioning: str = "Enabled") -> list[str]:
    plan = plan_wiring(existing, versioning, how or wanted())
    assert isinstance(plan, Refused), plan
    return [f"{reason.found}; {reason.todo}" for reason in plan.reasons]


EVENTS = st.sampled_from(
    [
        *WATCHED_EVENTS, "s3:ObjectCreated:Put", "s3:ObjectCreated:Copy", "s3:ObjectRemoved:Delete", "s3:ObjectRestore:*",
        "s3:ObjectTagging:*", "s3:Replication:*",
    ]
)  # fmt: skip
PARTS = st.sampled_from(
    ["", "l", "landing/", "landing/a", "landing", "other/", "ünï/", "landing/ünï", ".csv", "v", ".json", "🙂"]
)
CONFIGURATIONS = st.builds(
    Configuration,
    id=st.uuids().map(str),
    target=st.sampled_from(Target),
    arn=st.sampled_from([QUEUE, TOPIC]),
    events=st.lists(EVENTS, min_size=1, max_size=3, unique=True).map(tuple),
    prefix=PARTS,
    suffix=PARTS,
)
EXISTING = st.builds(
    Notifications, st.lists(CONFIGURATIONS, max_size=5, unique_by=lambda one: one.id).map(tuple), st.booleans()
).map(lambda made: Notifications.parse(made.document()))
WANTED = st.sampled_from(Delivery).map(wanted)


@given(EXISTING, WANTED)
def test_no_configuration_of_others_is_ever_lost_or_changed(existing: Notifications, how: Wanted) -> None:
    plan = plan_wiring(existing, "Enabled", how)
    if isinstance(plan, Refused):
        assert plan.reasons
        return
    after = plan.after.document()
    for section, listed in existing.document().items():
        if section == "EventBridgeConfiguration":
            assert section in after
            continue
        for one in listed:
            assert one in after[section]
    assert plan.removed == ()


@given(EXISTING, WANTED)
def test_planning_twice_changes_nothing(existing: Notifications, how: Wanted) -> None:
    plan = plan_wiring(existing, "Enabled", how)
    if isinstance(plan, Wiring):
        again = planned(Notifications.parse(plan.after.document()), how)
        assert not again.changes
        assert again.after.document() == plan.after.document()


@given(EXISTING, WANTED)
def test_taking_ours_out_again_gives_back_what_was(existing: Notifications, how: Wanted) -> None:
    plan = plan_wiring(existing, "Enabled", how)
    if isinstance(plan, Wiring):
        rest = Notifications(tuple(one for one in plan.after.configurations if one.id != OURS), existing.eventbridge)
        assert rest.same_as(existing)


@given(EXISTING, WANTED, WANTED)
def test_another_way_of_delivery_takes_the_place_of_the_first(
    existing: Notifications, first: Wanted, second: Wanted
) -> None:
    plan = plan_wiring(existing, "Enabled", first)
    if isinstance(plan, Wiring) and isinstance(then := plan_wiring(plan.after, "Enabled", second), Wiring):
        ours = [one for one in then.after.configurations if one.id == OURS]
        assert ours == ([second.configuration] if second.configuration else [])
        assert [one for one in then.after.configurations if one.id != OURS] == list(existing.configurations)


@given(EXISTING, WANTED)
def test_what_is_planned_never_overlaps_and_all_that_is_wanted_is_heard(existing: Notifications, how: Wanted) -> None:
    """Against a second, plain reading of S3's rule: some key that both would match, for some event that both want."""
    plan = plan_wiring(existing, "Enabled", how)
    ours = how.configuration
    clashes = [one for one in existing.configurations if ours is not None and _some_key_is_told_twice(one, ours)]
    assert isinstance(plan, Refused) == bool(clashes)
    if isinstance(plan, Wiring):
        assert ours is None or any(one.meaning == ours.meaning for one in plan.after.configurations)
        assert plan.after.eventbridge == (existing.eventbridge or ours is None)


def _some_key_is_told_twice(one: Configuration, ours: Configuration) -> bool:
    longest = max(one.prefix, ours.prefix, key=len), max(one.suffix, ours.suffix, key=len)
    key = f"{longest[0]}-middle-{longest[1]}"
    both = all(key.startswith(c.prefix) and key.endswith(c.suffix) for c in (one, ours))
    names = ["Put", "Copy", "Post", "Delete", "DeleteMarkerCreated", "Completed"]
    happen = [
        f"s3:{family}:{name}"
        for family in ("ObjectCreated", "ObjectRemoved", "ObjectRestore", "LifecycleExpiration")
        for name in names
    ]
    return both and any(_hears(one, event) and _hears(ours, event) for event in happen)


def _hears(one: Configuration, event: str) -> bool:
    return any(event == wanted or (wanted.endswith("*") and event.startswith(wanted[:-1])) for wanted in one.events)


def test_what_is_new_is_one_configuration_of_ours_for_all_that_is_listened_to() -> None:
    plan = planned(Notifications())
    assert plan.after.document() == {
        "QueueConfigurations": [
            {
                "Id": "lakegate-prod",
                "QueueArn": QUEUE,
                "Events": list(WATCHED_EVENTS),
                "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "landing/"}]}},
            }
        ]
    }
    assert (len(plan.added), plan.removed, plan.kept, plan.changes) == (1, (), (), True)


def test_a_configuration_of_another_is_given_back_as_it_was_written() -> None:
    theirs = {
        "Id": "thumbnails",
        "LambdaFunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:f",
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {
            "Key": {"FilterRules": [{"Name": "Suffix", "Value": ".png"}, {"Name": "Prefix", "Value": "pictures/"}]}
        },
        "SomethingNew": True,
    }
    plan = planned(Notifications.parse({"LambdaFunctionConfigurations": [theirs], "EventBridgeConfiguration": {}}))
    assert plan.after.document()["LambdaFunctionConfigurations"] == [theirs]
    assert plan.after.eventbridge
    assert plan.notes == ("the bucket sends to EventBridge, too, which others may need: that stays on",)
    assert [one.id for one in plan.kept] == ["thumbnails"]


@pytest.mark.parametrize(
    ("one", "clash"),
    [
        (other(), "s3:ObjectCreated:*"),
        (other("landing/"), "s3:ObjectCreated:*"),
        (other("landing/flights/"), "s3:ObjectCreated:*"),
        (other("land"), "s3:ObjectCreated:*"),
        (other(suffix=".csv"), "s3:ObjectCreated:*"),
        (other(events=("s3:ObjectCreated:Put",)), "s3:ObjectCreated:Put"),
        (other(events=("s3:ObjectRemoved:DeleteMarkerCreated",)), "s3:ObjectRemoved:DeleteMarkerCreated"),
        (other(events=("s3:ObjectRestore:*",)), "s3:ObjectRestore:Completed"),
    ],
)
def test_an_overlap_is_refused_with_the_other_configuration_and_the_ways_out(one: Configuration, clash: str) -> None:
    [reason] = reasons(Notifications((one,)))
    assert "configuration x sends" in reason
    assert f"overlaps with ours in {clash}" in reason
    assert "--delivery eventbridge" in reason
    assert not isinstance(plan_wiring(Notifications((one,)), "Enabled", wanted(Delivery.EVENTBRIDGE)), Refused)


@pytest.mark.parametrize(
    "one",
    [
        other("other/"),
        other("landing2/"),
        other("landing/", events=("s3:ObjectTagging:*", "s3:ObjectRestore:Post", "s3:Replication:*")),
        other("Landing/"),
    ],
)
def test_what_only_stands_beside_is_no_overlap(one: Configuration) -> None:
    assert planned(Notifications((one,))).kept == (one,)


def test_suffixes_that_differ_part_two_configurations_of_one_prefix() -> None:
    assert overlap(other("a/", ".csv"), other("a/", ".json")) == ()
    assert overlap(other("a/", "v"), other("a/b/", ".csv")) == ("s3:ObjectCreated:*",)


def test_another_stack_of_lakegate_is_not_pushed_aside() -> None:
    [reason] = reasons(Notifications((other("landing/", name="lakegate-staging"),)))
    assert "another stack of Lakegate (staging)" in reason


def test_every_reason_is_told_at_once() -> None:
    loops = (Output("Athena's results", "theirs", "landing/results/"),)
    assert len(reasons(Notifications((other(),)), wanted(outputs=loops), "Suspended")) == 3


@pytest.mark.parametrize("prefix", ["landing/", "landing/processed/", "", "land"])
@pytest.mark.parametrize("delivery", Delivery)
def test_an_output_under_what_is_watched_is_a_loop(prefix: str, delivery: Delivery) -> None:
    [reason] = reasons(Notifications(), wanted(delivery, outputs=(Output("the tables", "theirs", prefix),)))
    assert "without end" in reason
    assert f"s3://theirs/{prefix}" in reason


@pytest.mark.parametrize(
    "output", [Output("the tables", "theirs", "processed/"), Output("the tables", "elsewhere", "landing/")]
)
def test_an_output_beside_it_is_none(output: Output) -> None:
    assert planned(Notifications(), wanted(outputs=(output,))).changes


@pytest.mark.parametrize(("status", "shown"), [("", "versioning is off"), ("Suspended", "versioning is Suspended")])
def test_a_bucket_without_versions_is_refused_unless_they_may_be_switched_on(status: str, shown: str) -> None:
    [reason] = reasons(Notifications(), versioning=status)
    assert shown in reason
    assert "--enable-versioning" in reason
    plan = planned(Notifications(), wanted(enable_versioning=True), status)
    assert plan.enables_versioning
    assert "cannot be switched off again" in plan.notes[0]


def test_versioning_alone_is_a_change() -> None:
    wired = planned(Notifications()).after
    assert planned(wired, wanted(enable_versioning=True), "Suspended").changes
    assert not planned(wired).changes


def test_the_hundred_and_first_configuration_is_refused() -> None:
    many = tuple(other(f"p{n}/", name=f"c{n}") for n in range(100))
    [reason] = reasons(Notifications(many))
    assert "has 100 notification configurations" in reason
    assert planned(Notifications(many), wanted(Delivery.EVENTBRIDGE)).switches_eventbridge
