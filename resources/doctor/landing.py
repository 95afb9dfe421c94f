"""The landing bucket: ours, versioned, and heard by the queue in whichever way its events take."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.wiring.diagnosis import Finding
from pipelines.wiring.event_patterns import lets_through, s3_event
from pipelines.wiring.notifications import WATCHED_EVENTS, Configuration, Notifications, Target, covers
from pipelines.wiring.policies import Sender
from resources.doctor.looking import Look, Stopped, ask, stoppable
from resources.environment import client, region

__all__ = ["Way", "look_at_bucket", "look_at_notifications", "look_at_versions", "queue_arn", "ways"]

_PREFIX = "landing/"
_SAMPLE = "landing/orders/2026-01-31.csv"
_NEEDED, _GOOD = WATCHED_EVENTS[:2], WATCHED_EVENTS[2:]
_SETUP = "`lakegate setup --plan --repair` shows what differs, `lakegate setup --apply --repair` puts it back"


@dataclass(frozen=True, slots=True)
class Way:
    """One way that events take from the bucket to the queue, with the events that take it; `broken` says why they do not."""

    name: str
    sender: Sender
    events: tuple[str, ...]
    broken: str = ""


@stoppable
def look_at_bucket(at: Look) -> Finding:
    """Whether it is there, is ours and in our region."""
    bucket = at.deployment.landing_bucket
    missing = Finding.wrong(
        f"there is no bucket {bucket}",
        "the landing bucket",
        "check LAKEGATE_LANDING_BUCKET; `lakegate setup` makes a bucket",
    )
    foreign = Finding.wrong(
        f"{bucket} is not this account's, or these credentials may not look at it",
        "a bucket of this account",
        "check the bucket's name and owner: nothing is read from another account's bucket. If it is yours, s3:ListBucket is missing",
    )
    found = ask(
        client("s3").head_bucket,
        "s3:ListBucket",
        {"404": missing, "NoSuchBucket": missing, "403": foreign, "AccessDenied": foreign},
        Bucket=bucket,
        ExpectedBucketOwner=at.account,
    )
    where = found.get("BucketRegion") or region()
    if where != region():
        return Finding.wrong(
            f"it is in {where}", region(), "a bucket tells a queue of its own region only: run Lakegate there"
        )
    return Finding.ok(f"ours, in {where}")


@stoppable
def look_at_versions(at: Look) -> Finding:
    """Whether the bucket keeps versions."""
    bucket = at.deployment.landing_bucket
    status = ask(
        client("s3").get_bucket_versioning, "s3:GetBucketVersioning", Bucket=bucket, ExpectedBucketOwner=at.account
    ).get("Status", "")
    if status == "Enabled":
        return Finding.ok("kept")
    return Finding.wrong(
        f"versioning is {status or 'off'}",
        "Enabled: or a file could change between its event and our read, and events without a version are not taken",
        "aws s3api put-bucket-versioning --bucket $LAKEGATE_LANDING_BUCKET --versioning-configuration Status=Enabled",
    )


@stoppable
def look_at_notifications(at: Look) -> Finding:
    """Whether what comes and goes under landing/ is told to the queue, once."""
    found = tuple(ways(at))
    working = [way for way in found if not way.broken]
    missing = [event for event in _NEEDED if not any(_hears(way, event) for way in working)]
    if missing:
        broken = "; ".join(f"{way.name}: {way.broken}" for way in found if way.broken)
        return Finding.wrong(
            f"the queue does not hear of {', '.join(missing)} under {_PREFIX}" + (f" ({broken})" if broken else ""),
            "every object that is created or removed there is told, directly, through a topic or a rule",
            f"{_SETUP}; then `lakegate sweep` finds what came meanwhile",
        )
    names = ", ".join(way.name for way in working)
    if len(working) > 1 and any(sum(_hears(way, event) for way in working) > 1 for event in _NEEDED):
        return Finding.warning(
            f"each event comes more than once: {names}",
            "one way",
            "nothing is lost, and each is counted once; take one of them away",
        )
    lacking = [event for event in _GOOD if not any(_hears(way, event) for way in working)]
    if lacking:
        return Finding.warning(
            f"{names}; not told: {', '.join(lacking)}",
            "files that come back from an archive, or go by a lifecycle rule, are told too",
            f"{_SETUP}; until then the nightly sweep finds them",
        )
    return Finding.ok(names)


def ways(at: Look) -> Iterator[Way]:
    """Every way from the bucket to the queue, also those that are broken.

    Raises:
        Stopped: these credentials may not look.
    """
    bucket = at.deployment.landing_bucket
    answer = ask(
        client("s3").get_bucket_notification_configuration,
        "s3:GetBucketNotification",
        Bucket=bucket,
        ExpectedBucketOwner=at.account,
    )
    notifications, queue = Notifications.parse(answer), queue_arn(at)
    from_bucket = Sender("s3.amazonaws.com", f"arn:{queue.split(':')[1]}:s3:::{bucket}", at.account)
    direct = [one for one in notifications.configurations if one.target is Target.QUEUE and one.arn == queue]
    if direct:
        yield Way("direct", from_bucket, *_events(direct))
    topics: dict[str, list[Configuration]] = {}
    for one in notifications.configurations:
        if one.target is Target.TOPIC:
            topics.setdefault(one.arn, []).append(one)
    for topic, ones in topics.items():
        unsubscribed = _unsubscribed(topic, queue, ours=topic.endswith(f":{at.stack}-landing-events"))
        if unsubscribed is not None:
            events, narrow = _events(ones)
            yield Way("through SNS", Sender("sns.amazonaws.com", topic, None), events, narrow or unsubscribed)
    if notifications.eventbridge and (rule := _rule(at, queue)):
        yield rule


def queue_arn(at: Look) -> str:
    """The ARN of the queue of events."""
    gone = Finding.wrong(
        "there is no queue of events",
        "the queue",
        "check LAKEGATE_QUEUE_URL; `lakegate setup --apply --repair` makes it",
    )
    return str(
        ask(
            client("sqs").get_queue_attributes,
            "sqs:GetQueueAttributes",
            dict.fromkeys(("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"), gone),
            QueueUrl=at.deployment.queue_url,
            AttributeNames=["QueueArn"],
        )["Attributes"]["QueueArn"]
    )


def _hears(way: Way, event: str) -> bool:
    return any(covers(heard, event) for heard in way.events)


def _events(ones: list[Configuration]) -> tuple[tuple[str, ...], str]:
    """The events of those configurations that reach all of landing/, and what is wrong with the others."""
    whole = [one for one in ones if _PREFIX.startswith(one.prefix) and not one.suffix]
    narrow = [f"{one.id} is for {one.prefix}*{one.suffix} only" for one in ones if one not in whole]
    return tuple(event for one in whole for event in one.events), "" if whole else "; ".join(narrow)


def _unsubscribed(topic: str, queue: str, *, ours: bool) -> str | None:
    """Why the queue does not hear the topic, empty when it does; None when it is somebody else's topic."""
    sns: Any = client("sns")
    gone = Finding.wrong(f"the topic {topic.rsplit(':', 1)[-1]} is gone", "the topic that the bucket sends to", _SETUP)
    page: dict[str, str] = {}
    try:
        while True:
            answer = ask(
                sns.list_subscriptions_by_topic,
                "sns:ListSubscriptionsByTopic",
                {"NotFound": gone},
                TopicArn=topic,
                **page,
            )
            if any(one["Protocol"] == "sqs" and one["Endpoint"] == queue for one in answer["Subscriptions"]):
                return ""
            if not answer.get("NextToken"):
                return "the queue has no subscription to the topic" if ours else None
            page = {"NextToken": answer["NextToken"]}
    except Stopped:
        if ours:
            raise
        return None  # what others' topics do is none of our business


def _rule(at: Look, queue: str) -> Way | None:
    """The way through the template's rule; None where there is no such rule."""
    name, events = f"{at.stack}-landing-events", client("events")
    nothing = Finding.skipped("no rule")
    try:
        rule = ask(events.describe_rule, "events:DescribeRule", {"ResourceNotFoundException": nothing}, Name=name)
        targets = ask(events.list_targets_by_rule, "events:ListTargetsByRule", Rule=name)["Targets"]
    except Stopped as stopped:
        if stopped.finding is nothing:
            return None
        raise
    pattern: Mapping[str, Any] = json.loads(rule.get("EventPattern") or "{}")
    heard = {
        kind: lets_through(pattern, s3_event(kind, at.deployment.landing_bucket, _SAMPLE, at.account))
        for kind in ("created", "removed", "restored")
    }
    names = {
        "created": WATCHED_EVENTS[:1],
        "removed": (WATCHED_EVENTS[1], WATCHED_EVENTS[3]),
        "restored": WATCHED_EVENTS[2:3],
    }
    passing = tuple(event for kind, let in heard.items() if let is not False for event in names[kind])
    broken = ""
    if rule.get("State") != "ENABLED":
        broken = f"the rule {name} is {str(rule.get('State')).lower()}"
    elif not any(target["Arn"] == queue for target in targets):
        broken = f"the rule {name} does not send to the queue"
    elif not passing:
        broken = f"the rule {name} is about something else"
    return Way("through EventBridge", Sender("events.amazonaws.com", rule["Arn"], None), passing, broken)
