"""From the body of a queue message to events of objects. Pure, strict about what it uses, blind to what it does not know.

Understood: S3's own notification, the same inside an SNS envelope or delivered raw, EventBridge's event (direct or inside
SNS), and `s3:TestEvent` in any of them. Keys are decoded here, once: S3 form-encodes them, EventBridge does not.
Nothing in a message is ever followed: no URL, no ARN, no bucket that is not ours.

Sources: Amazon S3 User Guide, "Event message structure" and "EventBridge event message structure"; Amazon SNS Developer
Guide, "Parsing Amazon SNS message formats".
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from urllib.parse import unquote_to_bytes

from pipelines.accounting.entries import Removal, order_of
from pipelines.intake.objects import ObjectVersion, Sequencer

__all__ = ["ANYWHERE", "EventKind", "Foreign", "Home", "Notification", "ObjectEvent", "ParsedMessage", "TestEvent", "Unintelligible", "parse_message"]  # fmt: skip

MAX_RECORDS = 1000
_MAX_BODY = 1_100_000
_MAX_KEY_BYTES = 1024
_MAX_VERSION_BYTES = 1024
_ACCOUNT_DIGITS = 12
_MAX_DEPTH = 3
"""Envelopes in envelopes: SNS in SQS, EventBridge in SNS in SQS. Nobody sends more."""


class EventKind(StrEnum):
    """What happened to an object. `other` (tagging, ACL, lifecycle transitions …) is counted and left at that."""

    CREATED = "created"
    REMOVED = "removed"
    RESTORED = "restored"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Home:
    """Where our bucket is: an event that names another account or region is not of it, whatever bucket it names. None is not looked at."""

    account: str | None = None
    region: str | None = None

    def elsewhere(self, account: Any, region: Any) -> str:
        """Return in what other place this is: `another account`, `another region`, or nothing; what is not told is not elsewhere."""
        if self.account and isinstance(account, str) and account and account != self.account:
            return "another account"
        if self.region and isinstance(region, str) and region and region != self.region:
            return "another region"
        return ""


ANYWHERE = Home()


@dataclass(frozen=True, slots=True)
class ObjectEvent:
    """One thing that happened to one object of our bucket.

    `version_id` and `sequencer` are there for what is created; a removal has a sequencer, and a version id when S3 tells
    one. `marker` is a removal by a delete marker: the key is hidden, no version is gone.
    """

    kind: EventKind
    name: str
    bucket: str
    key: str
    version_id: str | None
    sequencer: Sequencer | None
    size_bytes: int
    etag: str
    at: datetime
    marker: bool = False

    @property
    def version(self) -> ObjectVersion:
        """The object version that was created. Raises ValueError for events that name none."""
        if self.version_id is None:
            raise ValueError(f"{self.name} of {self.key!r} names no version")
        return ObjectVersion(
            self.bucket, self.key, self.version_id, self.sequencer, self.size_bytes, self.etag, self.at
        )

    @property
    def removal(self) -> Removal:
        """The removal this event tells of, as the ledger records it."""
        seen = ObjectVersion(self.bucket, self.key, self.version_id or "", self.sequencer, 0, "", self.at)
        # Without a version id it is the whole key that went, as with a marker.
        marker = self.marker or self.version_id is None
        return Removal(self.bucket, self.key, self.version_id, order_of(seen), self.at, marker, self.name)


@dataclass(frozen=True, slots=True)
class Notification:
    """Events of our bucket, in the order told; `foreign` counts those of other buckets in the same message."""

    events: tuple[ObjectEvent, ...]
    foreign: int = 0


@dataclass(frozen=True, slots=True)
class TestEvent:
    """S3's proof that the bucket may send to this queue."""

    __test__ = False  # not a test class, whatever pytest thinks of its name
    bucket: str


@dataclass(frozen=True, slots=True)
class Foreign:
    """A well-formed message that speaks of other buckets only, or of one that is called like ours in another place."""

    buckets: tuple[str, ...]
    place: str = ""


@dataclass(frozen=True, slots=True)
class Unintelligible:
    """Not a message that we know how to read; left alone, it ends in the dead-letter queue with this reason.

    `without_version`: all that is wrong is that it tells of an object without a version id, as a bucket without versions does.
    """

    reason: str
    without_version: bool = False


ParsedMessage = Notification | TestEvent | Foreign | Unintelligible


class _NotUnderstood(Exception):  # noqa: N818 - never leaves this module
    """The reason why a message is unintelligible."""


class _WithoutVersion(_NotUnderstood):
    """A created object that has no version id."""


def parse_message(body: str, landing_bucket: str, home: Home = ANYWHERE) -> ParsedMessage:
    """Read a message body. Never raises: what cannot be read is Unintelligible, with the reason."""
    try:
        if len(body) > _MAX_BODY:
            raise _NotUnderstood(f"the body has {len(body)} characters, SQS allows 1 MiB")
        return _parse(_json(body), landing_bucket, home, 0)
    except _NotUnderstood as reason:
        return Unintelligible(str(reason), without_version=isinstance(reason, _WithoutVersion))


def _json(text: str) -> Mapping[str, Any]:
    try:
        document = json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise _NotUnderstood("the body is nested too deeply") from None
    except ValueError as error:
        # A position, never the text: a message may hold anything, and reasons are logged.
        raise _NotUnderstood(f"the body is not JSON: {str(error)[:120]}") from None
    if not isinstance(document, dict):
        raise _NotUnderstood(f"the body is a JSON {type(document).__name__}, not an object")
    return document


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _parse(document: Mapping[str, Any], ours: str, home: Home, depth: int) -> ParsedMessage:
    if document.get("Event") == "s3:TestEvent":
        return TestEvent(_text(document, "Bucket", "the test event"))
    if "Records" in document:
        return _records(document["Records"], ours, home)
    if "detail-type" in document and "detail" in document:
        return _event_bridge(document, ours, home)
    if document.get("Type") == "Notification" and "Message" in document:
        if depth + 1 >= _MAX_DEPTH:
            raise _NotUnderstood("an SNS envelope inside SNS envelopes")
        inside = _json(_text(document, "Message", "the SNS envelope"))
        if place := home.elsewhere(_account_of(document.get("TopicArn")), None):
            return Foreign((ours,), place)
        return _parse(inside, ours, home, depth + 1)
    if document.get("Type") in ("SubscriptionConfirmation", "UnsubscribeConfirmation"):
        raise _NotUnderstood(
            f"an SNS {document['Type']}: confirm the subscription where it was made; no URL is followed"
        )
    raise _NotUnderstood("neither an S3 notification, nor an SNS envelope, nor an EventBridge event")


# ---- S3's own notifications ---------------------------------------------------------------------------------------


def _records(records: Any, ours: str, home: Home) -> ParsedMessage:
    if not isinstance(records, list) or not records:
        raise _NotUnderstood("`Records` is not a list with at least one record")
    if len(records) > MAX_RECORDS:
        raise _NotUnderstood(f"{len(records)} records in one message")
    events: list[ObjectEvent] = []
    foreign: list[str] = []
    places: set[str] = set()
    for number, record in enumerate(records):
        where = f"record {number}"
        if not isinstance(record, dict):
            raise _NotUnderstood(f"{where} is not an object")
        if record.get("eventSource") != "aws:s3":
            raise _NotUnderstood(f"{where} is not S3's: eventSource is {_shown(record.get('eventSource'))}")
        major = str(record.get("eventVersion")).split(".")[0]
        if not isinstance(record.get("eventVersion"), str) or major != "2":
            raise _NotUnderstood(f"{where} has eventVersion {_shown(record.get('eventVersion'))}; 2.x is understood")
        s3 = _object(record, "s3", where)
        named = _object(s3, "bucket", where)
        bucket = _text(named, "name", where)
        place = home.elsewhere(_owner_of(named), record.get("awsRegion")) if bucket == ours else ""
        if bucket == ours and not place:
            events.append(_record(record, s3, bucket, where))
        else:
            foreign.append(bucket)
            places.add(place)
    return _outcome(events, foreign, max(places, default=""))


def _owner_of(bucket: Mapping[str, Any]) -> str | None:
    """The account of `ownerIdentity`, where it is told as one: S3 itself tells an id of its own."""
    identity = bucket.get("ownerIdentity")
    told = identity.get("principalId") if isinstance(identity, dict) else None
    return told if isinstance(told, str) and len(told) == _ACCOUNT_DIGITS and told.isdecimal() else None


def _account_of(arn: Any) -> str | None:
    parts = arn.split(":") if isinstance(arn, str) else []
    return parts[4] if len(parts) > 4 else None


def _record(record: Mapping[str, Any], s3: Mapping[str, Any], bucket: str, where: str) -> ObjectEvent:
    name = _text(record, "eventName", where).removeprefix("s3:")
    family, _, detail = name.partition(":")
    kinds = {
        "ObjectCreated": EventKind.CREATED,
        "ObjectRemoved": EventKind.REMOVED,
        "LifecycleExpiration": EventKind.REMOVED,
    }
    kind = kinds.get(family, EventKind.OTHER)
    if name == "ObjectRestore:Completed":
        kind = EventKind.RESTORED
    told = _object(s3, "object", where)
    return _event(
        kind=kind,
        name=name,
        bucket=bucket,
        key=_form_decoded(_text(told, "key", where), where),
        told=told,
        version=told.get("versionId"),
        etag=told.get("eTag"),
        time=record.get("eventTime"),
        marker=detail == "DeleteMarkerCreated",
        where=where,
    )


def _form_decoded(key: str, where: str) -> str:
    """A key as S3 writes it into notifications: `+` is a space, `%xx` a byte of UTF-8."""
    try:
        return unquote_to_bytes(key.replace("+", " ")).decode("utf-8")
    except UnicodeError:
        raise _NotUnderstood(f"{where}: the key is not form-encoded UTF-8") from None


# ---- EventBridge --------------------------------------------------------------------------------------------------


def _event_bridge(document: Mapping[str, Any], ours: str, home: Home) -> ParsedMessage:
    where = "the event"
    if document.get("source") != "aws.s3":
        raise _NotUnderstood(f"{where} is not S3's: source is {_shown(document.get('source'))}")
    detail = _object(document, "detail", where)
    bucket = _text(_object(detail, "bucket", where), "name", where)
    # `account` is the bucket owner's; `requester` in the detail is whoever put the object, and may be a producer elsewhere.
    place = home.elsewhere(document.get("account"), document.get("region"))
    if bucket != ours or place:
        return Foreign((bucket,), place if bucket == ours else "")
    name = _text(document, "detail-type", where)
    kinds = {
        "Object Created": EventKind.CREATED,
        "Object Deleted": EventKind.REMOVED,
        "Object Restore Completed": EventKind.RESTORED,
    }
    told = _object(detail, "object", where)
    event = _event(
        kind=kinds.get(name, EventKind.OTHER),
        name=name,
        bucket=bucket,
        key=_text(told, "key", where),
        told=told,
        version=told.get("version-id"),
        etag=told.get("etag"),
        time=document.get("time"),
        marker=detail.get("deletion-type") == "Delete Marker Created",
        where=where,
    )
    return Notification((event,))


# ---- both ---------------------------------------------------------------------------------------------------------


def _event(
    *,
    kind: EventKind,
    name: str,
    bucket: str,
    key: str,
    told: Mapping[str, Any],
    version: Any,
    etag: Any,
    time: Any,
    marker: bool,
    where: str,
) -> ObjectEvent:
    if not 0 < len(_utf8(key, f"the key of {where}")) <= _MAX_KEY_BYTES:
        raise _NotUnderstood(f"{where}: a key has 1 to {_MAX_KEY_BYTES} bytes")
    version_id = _optional_text(version, f"{where}: the version id")
    if version_id is not None and len(_utf8(version_id, f"the version id of {where}")) > _MAX_VERSION_BYTES:
        raise _NotUnderstood(f"{where}: a version id has at most {_MAX_VERSION_BYTES} bytes")
    if kind is EventKind.CREATED and not version_id:
        raise _WithoutVersion(f"{where}: {name} names no version: the bucket is not versioned, run `lakegate setup`")
    # S3 promises one for what is put or deleted; what a lifecycle rule removes has its time to stand in for it.
    needed = kind is EventKind.CREATED or (kind is EventKind.REMOVED and not name.startswith("LifecycleExpiration"))
    size = told.get("size", 0)
    if kind is EventKind.CREATED and not _is_count(size):
        raise _NotUnderstood(f"{where}: the size is {_shown(size)}, not a number of bytes")
    return ObjectEvent(
        kind=kind,
        name=name,
        bucket=bucket,
        key=key,
        version_id=version_id or None,
        sequencer=_sequencer(told.get("sequencer"), where, needed=needed),
        size_bytes=size if _is_count(size) else 0,
        etag=(_optional_text(etag, f"{where}: the etag") or "")[:256],
        at=_moment(time, where),
        marker=marker,
    )


def _outcome(events: Sequence[ObjectEvent], foreign: Sequence[str], place: str) -> ParsedMessage:
    if not events:
        return Foreign(tuple(sorted(set(foreign))), place)
    return Notification(tuple(events), len(foreign))


def _object(parent: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    found = parent.get(name)
    if not isinstance(found, dict):
        raise _NotUnderstood(f"{where} has no object `{name}`")
    return found


def _text(parent: Mapping[str, Any], name: str, where: str) -> str:
    found = parent.get(name)
    if not isinstance(found, str) or not found:
        raise _NotUnderstood(f"{where} has no text `{name}`")
    return found


def _optional_text(found: Any, what: str) -> str | None:
    if found is None or isinstance(found, str):
        return found
    raise _NotUnderstood(f"{what} is {_shown(found)}, not text")


def _is_count(found: Any) -> bool:
    return isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 2**63


def _utf8(text: str, what: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise _NotUnderstood(f"{what} is not Unicode text (a lone surrogate)") from None


def _sequencer(found: Any, where: str, *, needed: bool) -> Sequencer | None:
    if found is None and not needed:
        return None
    # 32 digits are what the ledger sorts by; S3's have 16 to 18.
    if not isinstance(found, str) or not 0 < len(found) <= 32 or not all(c in "0123456789abcdefABCDEF" for c in found):
        if not needed:
            return None
        raise _NotUnderstood(f"{where}: the sequencer is {_shown(found)}, not up to 32 hexadecimal digits")
    return Sequencer.parse(found)


def _moment(found: Any, where: str) -> datetime:
    try:
        moment = datetime.fromisoformat(found)
        return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise _NotUnderstood(f"{where}: the time is {_shown(found)}, not ISO 8601") from None


def _shown(found: Any) -> str:
    """A value as a reason may show it: short, and on one line."""
    return "missing" if found is None else ascii(found)[:80]
