"""What has to change in a bucket's notifications so that Lakegate hears of its files, or why nothing may be changed. Pure.

Ours is the one configuration with our id; all others are somebody else's and stay as they are. S3 would refuse two
configurations that overlap, and takes no back-up of what a careless put removes: so all is decided before anything is done.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from pipelines.wiring.notifications import WATCHED_EVENTS, Configuration, Notifications, Target, overlap

__all__ = ["Delivery", "Output", "Refusal", "Refused", "Wanted", "Wiring", "configuration_id", "plan_wiring"]

_MOST_CONFIGURATIONS = 100
"""S3 User Guide, "Amazon S3 quotas": event notifications of a bucket."""


class Delivery(StrEnum):
    """How events come from the bucket to the queue."""

    DIRECT = "direct"
    SNS = "sns"
    EVENTBRIDGE = "eventbridge"


@dataclass(frozen=True, slots=True)
class Output:
    """Where something writes: `what` names it for people."""

    what: str
    bucket: str
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What Lakegate wants of a bucket. `target` is the ARN of the queue or the topic; unused for EventBridge.

    `outputs` are the places that Lakegate, or the bucket itself, writes to. `enable_versioning`: a bucket without versions
    is given them.
    """

    id: str
    bucket: str
    delivery: Delivery
    target: str
    prefix: str = "landing/"
    outputs: tuple[Output, ...] = ()
    enable_versioning: bool = False

    @property
    def configuration(self) -> Configuration | None:
        """Our configuration; None where the bucket sends to EventBridge."""
        if self.delivery is Delivery.EVENTBRIDGE:
            return None
        target = Target.QUEUE if self.delivery is Delivery.DIRECT else Target.TOPIC
        return Configuration(self.id, target, self.target, WATCHED_EVENTS, self.prefix)


@dataclass(frozen=True, slots=True)
class Wiring:
    """What to do: the notifications `before` and `after`, and whether versioning is to be switched on."""

    before: Notifications
    after: Notifications
    enables_versioning: bool = False
    notes: tuple[str, ...] = ()

    @property
    def added(self) -> tuple[Configuration, ...]:
        """Configurations that come."""
        return _without(self.after, self.before)

    @property
    def removed(self) -> tuple[Configuration, ...]:
        """Configurations that go: an older one of ours, never another's."""
        return _without(self.before, self.after)

    @property
    def kept(self) -> tuple[Configuration, ...]:
        """Configurations that stay."""
        gone = {one.meaning for one in self.removed}
        return tuple(one for one in self.before.configurations if one.meaning not in gone)

    @property
    def switches_eventbridge(self) -> bool:
        """Whether EventBridge is switched on."""
        return self.after.eventbridge and not self.before.eventbridge

    @property
    def changes(self) -> bool:
        """Whether anything is to be done."""
        return self.enables_versioning or not self.before.same_as(self.after)


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason why the bucket cannot be wired: what was found, and what to do."""

    found: str
    todo: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing is done, for all of these reasons."""

    reasons: tuple[Refusal, ...]


def configuration_id(stack: str) -> str:
    """The id of a stack's own configuration."""
    return f"lakegate-{stack}"


def plan_wiring(existing: Notifications, versioning: str, wanted: Wanted) -> Wiring | Refused:
    """Decide what changes. `versioning` is what S3 calls it: `Enabled`, `Suspended`, or empty where it never was."""
    others = tuple(one for one in existing.configurations if one.id != wanted.id)
    ours = wanted.configuration
    reasons = [*_loops(wanted), *_versioning(versioning, wanted)]
    if ours is not None:
        reasons += _overlaps(ours, others)
        if len(others) + 1 > _MOST_CONFIGURATIONS:
            reasons.append(
                Refusal(
                    f"{wanted.bucket} has {len(others)} notification configurations, and S3 allows {_MOST_CONFIGURATIONS}",
                    "choose --delivery eventbridge, which needs none",
                )
            )
    if reasons:
        return Refused(tuple(reasons))
    kept = next((one for one in existing.configurations if ours is not None and one.meaning == ours.meaning), ours)
    eventbridge = existing.eventbridge or wanted.delivery is Delivery.EVENTBRIDGE
    after = Notifications((*others, kept) if kept is not None else others, eventbridge)
    if existing.same_as(after):
        after = existing
    plan = Wiring(existing, after, enables_versioning=versioning != "Enabled")
    return replace(plan, notes=_notes(plan, wanted))


def _loops(wanted: Wanted) -> list[Refusal]:
    reasons: list[Refusal] = []
    for output in wanted.outputs:
        if output.bucket != wanted.bucket:
            continue
        where = f"s3://{output.bucket}/{output.prefix}"
        if output.prefix.startswith(wanted.prefix) or wanted.prefix.startswith(output.prefix):
            reasons.append(
                Refusal(
                    f"{output.what} go to {where}, which lies in what is watched ({wanted.prefix}): each would come in "
                    "as a new file, without end",
                    f"let {output.what} go to another bucket, or to a prefix that is not under {wanted.prefix}",
                )
            )
    return reasons


def _versioning(status: str, wanted: Wanted) -> list[Refusal]:
    if status == "Enabled" or wanted.enable_versioning:
        return []
    return [
        Refusal(
            f"{wanted.bucket} keeps no versions (versioning is {status or 'off'}): a file could change between its event and our read",
            "add --enable-versioning, which switches it on; older versions are kept from then on and cost storage until a "
            "lifecycle rule removes them",
        )
    ]


def _overlaps(ours: Configuration, others: tuple[Configuration, ...]) -> list[Refusal]:
    reasons: list[Refusal] = []
    for other in others:
        common = overlap(ours, other)
        if not common:
            continue
        todo = (
            "choose --delivery eventbridge, which overlaps with nothing; or have that configuration moved to a prefix beside "
            f"{ours.prefix}; or let it send to one SNS topic that its receiver and Lakegate's queue both subscribe to"
        )
        if other.id.startswith("lakegate-"):
            todo = (
                f"it belongs to another stack of Lakegate ({other.id.removeprefix('lakegate-')}): a file would be taken by both; "
                "take that stack's configuration out of the bucket first, or choose another bucket"
            )
        reasons.append(
            Refusal(
                f"the bucket's configuration {other.id} sends {other.sentence()}, which overlaps with ours in "
                f"{', '.join(dict.fromkeys(common))}: S3 refuses two configurations for the same event of the same key",
                todo,
            )
        )
    return reasons


def _notes(plan: Wiring, wanted: Wanted) -> tuple[str, ...]:
    notes: list[str] = []
    if plan.switches_eventbridge:
        notes.append("from then on EventBridge gets every event of the bucket, and AWS charges for each")
    elif plan.after.eventbridge and wanted.delivery is not Delivery.EVENTBRIDGE:
        notes.append("the bucket sends to EventBridge, too, which others may need: that stays on")
    if plan.enables_versioning:
        notes.append("versioning cannot be switched off again, only suspended; older versions cost storage")
    return tuple(notes)


def _without(some: Notifications, others: Notifications) -> tuple[Configuration, ...]:
    known = {one.meaning for one in others.configurations}
    return tuple(one for one in some.configurations if one.meaning not in known)
