"""A bucket's notification configuration as values, and when two of its parts overlap. Pure.

Source: Amazon S3 User Guide, "Configuring event notifications using object key name filtering"; S3 API,
"PutBucketNotificationConfiguration".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

__all__ = ["WATCHED_EVENTS", "Configuration", "Notifications", "Target", "covers", "overlap"]

WATCHED_EVENTS = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectRestore:Completed", "s3:LifecycleExpiration:*")
"""What Lakegate listens to: files that come, go, come back from an archive, and go because a lifecycle rule says so."""


class Target(StrEnum):
    """What a configuration sends to."""

    QUEUE = "queue"
    TOPIC = "topic"
    FUNCTION = "function"


_NAMES = {
    Target.QUEUE: ("QueueConfigurations", "QueueArn"),
    Target.TOPIC: ("TopicConfigurations", "TopicArn"),
    Target.FUNCTION: ("LambdaFunctionConfigurations", "LambdaFunctionArn"),
}
_EVENTBRIDGE = "EventBridgeConfiguration"


@dataclass(frozen=True, slots=True)
class Configuration:
    """One configuration: which events of which keys go where. `raw` is how S3 wrote it, and is given back unchanged."""

    id: str
    target: Target
    arn: str
    events: tuple[str, ...]
    prefix: str = ""
    suffix: str = ""
    raw: Mapping[str, Any] | None = field(default=None, compare=False)

    def document(self) -> dict[str, Any]:
        """The configuration as the API takes it."""
        if self.raw is not None:
            return dict(self.raw)
        rules = [
            {"Name": name, "Value": value}
            for name, value in (("prefix", self.prefix), ("suffix", self.suffix))
            if value
        ]
        written: dict[str, Any] = {"Id": self.id, _NAMES[self.target][1]: self.arn, "Events": list(self.events)}
        return {**written, "Filter": {"Key": {"FilterRules": rules}}} if rules else written

    def sentence(self) -> str:
        """What it does, for people."""
        keys = f"{self.prefix}*{self.suffix}" if self.prefix or self.suffix else "every key"
        return f"{', '.join(self.events)} of {keys} to the {self.target} {self.arn.rsplit(':', 1)[-1]}"

    @property
    def meaning(self) -> tuple[object, ...]:
        """What must be equal in two configurations that do the same under the same id."""
        return (self.id, self.target, self.arn, frozenset(self.events), self.prefix, self.suffix)


@dataclass(frozen=True, slots=True)
class Notifications:
    """All of a bucket's notifications; `eventbridge` says whether every event goes to EventBridge, too."""

    configurations: tuple[Configuration, ...] = ()
    eventbridge: bool = False

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Notifications":
        """Read what `GetBucketNotificationConfiguration` answers."""
        found: list[Configuration] = []
        for target, (section, arn) in _NAMES.items():
            for raw in document.get(section) or ():
                rules: Sequence[Mapping[str, str]] = raw.get("Filter", {}).get("Key", {}).get("FilterRules", ())
                # S3 writes the names as it likes: `Prefix` and `prefix` are one.
                by_name = {rule["Name"].lower(): rule.get("Value", "") for rule in rules}
                found.append(
                    Configuration(
                        id=raw.get("Id", ""),
                        target=target,
                        arn=raw[arn],
                        events=tuple(raw["Events"]),
                        prefix=by_name.get("prefix", ""),
                        suffix=by_name.get("suffix", ""),
                        raw=raw,
                    )
                )
        return cls(tuple(found), eventbridge=_EVENTBRIDGE in document)

    def document(self) -> dict[str, Any]:
        """The whole as `PutBucketNotificationConfiguration` takes it: what is not in it is removed from the bucket."""
        written: dict[str, Any] = {}
        for one in self.configurations:
            written.setdefault(_NAMES[one.target][0], []).append(one.document())
        return {**written, _EVENTBRIDGE: {}} if self.eventbridge else written

    def same_as(self, other: "Notifications") -> bool:
        """Whether both do the same, in whatever order they are written."""
        ours, theirs = ({one.meaning for one in these.configurations} for these in (self, other))
        return ours == theirs and self.eventbridge == other.eventbridge


def covers(pattern: str, event: str) -> bool:
    """Whether a configuration for `pattern` hears everything that one for `event` would: `s3:ObjectCreated:*`, `s3:ObjectCreated:Put`."""
    return pattern == event or (pattern.endswith(":*") and event.startswith(pattern[:-1]))


def overlap(one: Configuration, other: Configuration) -> tuple[str, ...]:
    """The event types that both want of some common key; S3 refuses two such configurations. Empty: they can stand side by side.

    Two prefixes overlap when one begins with the other, two suffixes when one ends with the other; a missing one overlaps all.
    """
    prefixes = one.prefix.startswith(other.prefix) or other.prefix.startswith(one.prefix)
    suffixes = one.suffix.endswith(other.suffix) or other.suffix.endswith(one.suffix)
    if not (prefixes and suffixes):
        return ()
    return tuple(a if covers(b, a) else b for a in one.events for b in other.events if covers(a, b) or covers(b, a))
