"""The queue of events, who may send to it, what it gave up, and whether alerts reach anybody."""

import json
from collections.abc import Mapping

from pipelines.wiring.diagnosis import Finding
from pipelines.wiring.policies import may_send
from resources.doctor.landing import queue_arn, ways
from resources.doctor.looking import Look, ask, stoppable
from resources.environment import client

__all__ = ["look_at_alerts", "look_at_dead_letters", "look_at_queue", "look_at_queue_policy"]

_GONE = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")
_DAY_S = 86400
_TICK_S = 60
_SETUP = "`lakegate setup --plan --repair` shows what differs, `lakegate setup --apply --repair` puts it back"


@stoppable
def look_at_queue(at: Look) -> Finding:
    """Whether it is there, keeps messages long enough and gives up what cannot be taken."""
    attributes = _attributes(at.deployment.queue_url, "queue of events")
    dead = _attributes(at.deployment.dlq_url, "dead-letter queue")["QueueArn"]
    redrive = json.loads(attributes.get("RedrivePolicy") or "{}")
    if redrive.get("deadLetterTargetArn") != dead:
        return Finding.wrong(
            "what cannot be taken does not go to the dead-letter queue", "a redrive policy that names it",
            f"{_SETUP}; without it a message that nobody understands comes again until it is lost",
        )  # fmt: skip
    kept_s, hidden_s = int(attributes["MessageRetentionPeriod"]), int(attributes["VisibilityTimeout"])
    if kept_s < _DAY_S:
        return Finding.warning(
            f"messages are kept for {kept_s / 3600:.0f} hours",
            "4 days: a weekend without Dagster loses nothing",
            _SETUP,
        )
    if hidden_s < _TICK_S:
        return Finding.warning(
            f"a message that is taken comes again after {hidden_s} s", "60 s, as long as a tick may take", _SETUP
        )
    if int(redrive.get("maxReceiveCount", 0)) < 3:
        return Finding.warning(
            f"a message is given up after {redrive.get('maxReceiveCount')} attempts",
            "5: a fault of a minute must not cost it",
            _SETUP,
        )
    waiting = int(attributes.get("ApproximateNumberOfMessages", 0))
    return Finding.ok(f"keeps messages for {kept_s / _DAY_S:.0f} days; {waiting} waiting")


@stoppable
def look_at_queue_policy(at: Look) -> Finding:
    """Whether each way from the bucket may send to the queue, and nothing else of those services."""
    queue = queue_arn(at)
    policy = _attributes(at.deployment.queue_url, "queue of events").get("Policy")
    open_to: list[str] = []
    found = [way for way in ways(at) if not way.broken]
    if not found:
        return Finding.skipped("nothing sends to the queue: see notifications")
    for way in found:
        sending = may_send(policy, way.sender, "sqs:SendMessage", queue)
        if not sending.allowed:
            return Finding.wrong(
                f"{way.name}: the queue's policy does not let {way.sender.service} send: {sending.why}",
                f"sqs:SendMessage for {way.sender.service} where aws:SourceArn is the {'bucket' if 's3' in way.sender.service else 'sender'}'s",
                f"{_SETUP}; then `lakegate sweep` finds what came meanwhile",
            )
        if way.name == "through SNS":
            attributes = ask(
                client("sns").get_topic_attributes, "sns:GetTopicAttributes", TopicArn=way.sender.source_arn
            )["Attributes"]
            bucket = f"arn:{queue.split(':')[1]}:s3:::{at.deployment.landing_bucket}"
            from_bucket = type(way.sender)("s3.amazonaws.com", bucket, at.account)
            published = may_send(attributes.get("Policy"), from_bucket, "sns:Publish", way.sender.source_arn)
            if not published.allowed:
                return Finding.wrong(
                    f"through SNS: the topic's policy does not let the bucket publish: {published.why}",
                    "sns:Publish for s3.amazonaws.com where aws:SourceArn is the bucket's",
                    _SETUP,
                )
            open_to += published.open_to
        open_to += sending.open_to
    if open_to:
        return Finding.warning(
            f"{', '.join(dict.fromkeys(open_to))} does not say whose bucket, topic or rule may send",
            "aws:SourceArn and aws:SourceAccount: or anybody's bucket can fill the queue",
            _SETUP,
        )
    return Finding.ok("lets this bucket's events in, and no others")


@stoppable
def look_at_dead_letters(at: Look) -> Finding:
    """Whether messages were given up."""
    attributes = _attributes(at.deployment.dlq_url, "dead-letter queue")
    waiting = sum(
        int(attributes.get(name, 0))
        for name in ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    )
    if not waiting:
        return Finding.ok("none")
    return Finding.warning(
        f"about {waiting} messages were given up",
        "none",
        "`lakegate dlq list` says why, `lakegate dlq redrive` sends them back",
    )


@stoppable
def look_at_alerts(at: Look) -> Finding:
    """Whether somebody hears what goes to the topic of alerts."""
    topic = at.deployment.alert_topic
    if topic is None:
        return Finding.skipped("no topic is set (LAKEGATE_ALERT_TOPIC)")
    gone = Finding.wrong("the topic of alerts is gone", "the topic", "`lakegate setup --apply --repair` makes it")
    attributes = ask(client("sns").get_topic_attributes, "sns:GetTopicAttributes", {"NotFound": gone}, TopicArn=topic)[
        "Attributes"
    ]
    confirmed, pending = (int(attributes.get(f"Subscriptions{name}", 0)) for name in ("Confirmed", "Pending"))
    if confirmed:
        return Finding.ok(f"{confirmed} subscriptions")
    return Finding.warning(
        f"{pending} subscriptions wait to be confirmed, and nobody hears alerts"
        if pending
        else "nobody has subscribed: nobody hears alerts",
        "a subscription of those who are on call",
        "aws sns subscribe --topic-arn $LAKEGATE_ALERT_TOPIC --protocol email --notification-endpoint YOU; then `lakegate alerts test`",
    )


def _attributes(url: str, what: str) -> Mapping[str, str]:
    gone = Finding.wrong(
        f"there is no {what}",
        "the queue",
        "check LAKEGATE_QUEUE_URL and LAKEGATE_DLQ_URL; `lakegate setup --apply --repair` makes them",
    )
    return ask(
        client("sqs").get_queue_attributes,
        "sqs:GetQueueAttributes",
        dict.fromkeys(_GONE, gone),
        QueueUrl=url,
        AttributeNames=["All"],
    )["Attributes"]
