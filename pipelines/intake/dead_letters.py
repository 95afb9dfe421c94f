"""Dead letters: messages that were received five times and never deleted. Why each is there, and the way back.

Looking takes nothing away: what was received is put back at once. Sending back is at least once: a message is put into the
source queue before it leaves this one, and registering a version twice counts a duplicate and does nothing else.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from pipelines.accounting.entries import VersionRef
from pipelines.errors import ConfigurationError
from pipelines.gate import Gate
from pipelines.intake.events import (
    ANYWHERE,
    EventKind,
    Foreign,
    Home,
    Notification,
    ObjectEvent,
    ParsedMessage,
    TestEvent,
    Unintelligible,
    parse_message,
)
from pipelines.intake.replay import Asked
from pipelines.intake.routing import LANDING_PREFIX
from pipelines.intake.wiring_tests import is_wiring_test
from pipelines.ports import EventQueue, QueueMessage

__all__ = [
    "DeadLetter",
    "DeadLetterKind",
    "DeadLetterReason",
    "DeadLetters",
    "Discarded",
    "Redriven",
    "dead_letter_reason",
    "discard",
    "find_dead_letter",
    "look_at_dead_letters",
    "redrive",
]

_WAIT_S = 1.0
"""A long poll asks every server of SQS; a short one may miss messages that are there."""
_KNOWN_ONLY = 3
"""So many answers without a new message end a look: what it holds has begun to come round again."""


class DeadLetterKind(StrEnum):
    """Why a message is among the dead letters; `remedy` says what to do about it."""

    remedy: str

    def __new__(cls, code: str, remedy: str) -> "DeadLetterKind":
        """Build a member from its code and what to do."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.remedy = remedy
        return member

    NOT_REGISTERED = (
        "not_registered",
        "It is understood, and the ledger does not know the object yet: send it back (`lakegate dlq redrive --reason not_registered`).",
    )
    REGISTERED = (
        "registered",
        "Nothing is lost: the ledger knows every object it tells of. Sent back, it counts as a duplicate and is gone.",
    )
    OTHER_EVENT = (
        "other_event",
        "It is understood and tells of no new object: send it back, and what it tells is taken note of.",
    )
    NO_VERSION = (
        "no_version",
        "The landing bucket keeps no versions, or kept none then: run `lakegate setup`, and have the object sent again.",
    )
    NOT_UNDERSTOOD = (
        "not_understood",
        "Find out who sends it: only the landing bucket, directly or through SNS or EventBridge, should send to this queue. Then `lakegate dlq discard`.",
    )
    FOREIGN_BUCKET = (
        "foreign_bucket",
        "Another bucket sends its events to this queue: take the queue out of its notifications, then `lakegate dlq discard`.",
    )
    FOREIGN_TEST_EVENT = (
        "foreign_test_event",
        "Another bucket was told to send its events to this queue: take the queue out of its notifications, then `lakegate dlq discard`.",
    )


@dataclass(frozen=True, slots=True)
class DeadLetterReason:
    """Why a message is among the dead letters: `why` in words, `key` an object it tells of (from strangers: show it escaped)."""

    kind: DeadLetterKind
    why: str
    key: str | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message of the dead-letter queue, without its body."""

    message_id: str
    reason: DeadLetterReason
    sent_at: datetime | None
    size_bytes: int


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """What a look came to. `total` is about how many there are: more than were seen when `most` was reached or others hold some."""

    letters: tuple[DeadLetter, ...]
    total: int
    is_capped: bool

    @property
    def all_seen(self) -> bool:
        """Whether no letter is known of that was not looked at."""
        return not self.is_capped and self.total <= len(self.letters)

    def counts(self) -> Counter[DeadLetterKind]:
        """How many there are of each kind."""
        return Counter(letter.reason.kind for letter in self.letters)

    def fingerprint(self) -> str:
        """Changes when other letters are there, or the reason of one is another. Of a capped look, only kinds count."""
        told = [(x.reason.kind.value, "" if self.is_capped else f"{x.message_id} {x.reason.why}") for x in self.letters]
        return hashlib.sha256(repr((self.is_capped, sorted(set(told)))).encode()).hexdigest()[:16]


FOR_GOOD = frozenset({DeadLetterKind.FOREIGN_BUCKET, DeadLetterKind.FOREIGN_TEST_EVENT, DeadLetterKind.NOT_UNDERSTOOD})
"""What sent back would come again and again, and tells of no object of ours that can be read from it."""


@dataclass(frozen=True, slots=True)
class Discarded:
    """`deleted` are gone; `kept` were asked for, and may tell of an object of ours; `left` were looked at and not asked for."""

    deleted: int
    kept: int
    left: int


@dataclass(frozen=True, slots=True)
class Redriven:
    """`sent` went back to the source queue; `left` were looked at and stay."""

    sent: int
    left: int


def dead_letter_reason(
    body: str, landing_bucket: str, registered: Collection[VersionRef] = frozenset(), home: Home = ANYWHERE
) -> DeadLetterReason:
    """Why a message with this body is among the dead letters, `registered` being the versions that the ledger knows. Pure."""
    return _reason(parse_message(body, landing_bucket, home), landing_bucket, registered)


def look_at_dead_letters(gate: Gate, *, most: int) -> DeadLetters:
    """Receive up to `most` dead letters, find out why each is there, and put all back. Ends a second after the last.

    Raises ConfigurationError when the deployment has no dead-letter queue, TransientError when AWS does not answer: what was
    received then comes again by itself.
    """
    letters: list[DeadLetter] = []
    with _received(_queue(gate.dead_letters), most) as batches:
        for batch in batches:
            letters.extend(letter for letter, _ in _judged(gate, batch))
    total = max(_queue(gate.dead_letters).depth(), len(letters))
    return DeadLetters(tuple(letters), total, len(letters) >= most)


def find_dead_letter(gate: Gate, message_id: str, *, most: int) -> list[tuple[DeadLetter, str]]:
    """The dead letters whose id begins so, each with its body."""
    found: list[tuple[DeadLetter, str]] = []
    with _received(_queue(gate.dead_letters), most) as batches:
        for batch in batches:
            wanted = [message for message in batch if message.message_id.startswith(message_id)]
            found.extend((letter, message.body) for letter, message in _judged(gate, wanted))
    return found


def redrive(
    gate: Gate,
    asked: Asked,
    *,
    most: int,
    kind: DeadLetterKind | None = None,
    message_ids: Collection[str] | None = None,
) -> Redriven:
    """Send dead letters back to the source queue: of one kind, those whose ids begin so, or all. At least once.

    A letter leaves the dead-letter queue after it is in the other: who dies in between leaves it in both.
    """
    source, dead = _queue(gate.queue), _queue(gate.dead_letters)
    sent = left = 0
    deed = asked.to("redrive dead letters", reason=kind, ids=list(message_ids or ()))
    with gate.ledger.audit.doing(deed) as outcome, _received(dead, most) as batches:
        for batch in batches:
            for letter, message in _judged(gate, batch):
                if _is_wanted(letter, kind, message_ids):
                    source.send(message.body)
                    dead.delete([message.receipt])
                    sent += 1
                else:
                    left += 1
            outcome.update(sent=sent, left=left)
    return Redriven(sent, left)


def discard(
    gate: Gate,
    asked: Asked,
    *,
    most: int,
    kind: DeadLetterKind | None = None,
    message_ids: Collection[str] | None = None,
) -> Discarded:
    """Delete dead letters that are nobody's work: those of one kind, or whose ids begin so. All others of them are kept.

    Only what is in `FOR_GOOD` goes: what a letter of ours told of would be found by the sweep alone.
    """
    dead = _queue(gate.dead_letters)
    deleted = kept = left = 0
    deed = asked.to("discard dead letters", reason=kind, ids=list(message_ids or ()))
    with gate.ledger.audit.doing(deed) as outcome, _received(dead, most) as batches:
        for batch in batches:
            for letter, message in _judged(gate, batch):
                if not _is_wanted(letter, kind, message_ids):
                    left += 1
                elif letter.reason.kind not in FOR_GOOD:
                    kept += 1
                else:
                    dead.delete([message.receipt])
                    deleted += 1
            outcome.update(deleted=deleted, kept=kept, left=left)
    return Discarded(deleted, kept, left)


# ---- helpers


def _queue(queue: EventQueue | None) -> EventQueue:
    if queue is None:
        raise ConfigurationError(
            "there is no queue and no dead-letter queue here: set LAKEGATE_QUEUE_URL and LAKEGATE_DLQ_URL, or run `lakegate setup`"
        )
    return queue


def _is_wanted(letter: DeadLetter, kind: DeadLetterKind | None, message_ids: Collection[str] | None) -> bool:
    if message_ids is not None and not any(letter.message_id.startswith(beginning) for beginning in message_ids):
        return False
    return kind is None or letter.reason.kind is kind


@contextmanager
def _received(queue: EventQueue, most: int) -> Generator[Iterator[list[QueueMessage]]]:
    """Messages in batches, each once, up to `most` in all. On leaving, all are put back; what was deleted stays so."""
    receipts: dict[str, str] = {}

    def batches() -> Iterator[list[QueueMessage]]:
        again = 0
        while len(receipts) < most and again < _KNOWN_ONLY:
            messages = queue.receive(_WAIT_S, min(10, most - len(receipts)))
            if not messages:
                return
            fresh = [message for message in messages if message.message_id not in receipts]
            receipts.update((message.message_id, message.receipt) for message in messages)
            again = 0 if fresh else again + 1
            if fresh:
                yield fresh

    try:
        yield batches()
    finally:
        queue.put_back(list(receipts.values()))


def _judged(gate: Gate, messages: Sequence[QueueMessage]) -> Iterator[tuple[DeadLetter, QueueMessage]]:
    parsed = [(message, parse_message(message.body, gate.landing_bucket, gate.home)) for message in messages]
    refs = {_ref(event) for _, found in parsed for event in _created(found)}
    registered = {entry.ref for entry in gate.ledger.entries_of(refs)}
    for message, found in parsed:
        reason = _reason(found, gate.landing_bucket, registered)
        size = len(message.body.encode("utf-8", "surrogatepass"))
        yield DeadLetter(message.message_id, reason, message.sent_at, size), message


def _created(parsed: ParsedMessage) -> list[ObjectEvent]:
    """The events that intake would register."""
    if not isinstance(parsed, Notification):
        return []
    created = (e for e in parsed.events if e.kind is EventKind.CREATED)
    return [e for e in created if e.key.startswith(LANDING_PREFIX) and not is_wiring_test(e.key)]


def _ref(event: ObjectEvent) -> VersionRef:
    return VersionRef(event.version.object_id, event.version.version_id)


def _reason(parsed: ParsedMessage, ours: str, registered: Collection[VersionRef]) -> DeadLetterReason:
    match parsed:
        case Unintelligible():
            kind = DeadLetterKind.NO_VERSION if parsed.without_version else DeadLetterKind.NOT_UNDERSTOOD
            return DeadLetterReason(kind, parsed.reason)
        case Foreign():
            place = f" in {parsed.place}" if parsed.place else ""
            return DeadLetterReason(
                DeadLetterKind.FOREIGN_BUCKET, f"an event of {', '.join(map(ascii, parsed.buckets))}{place}"
            )
        case TestEvent() if parsed.bucket != ours:
            return DeadLetterReason(DeadLetterKind.FOREIGN_TEST_EVENT, f"a test event of {parsed.bucket!a}")
        case TestEvent():
            return DeadLetterReason(DeadLetterKind.OTHER_EVENT, "a test event of the landing bucket")
        case Notification():
            return _told(parsed, registered)
        case _ as never:
            assert_never(never)


def _told(parsed: Notification, registered: Collection[VersionRef]) -> DeadLetterReason:
    created = _created(parsed)
    unknown = [event for event in created if _ref(event) not in registered]
    if unknown:
        of = "" if len(created) == 1 else f"{len(unknown)} of {len(created)} objects it tells of: "
        return DeadLetterReason(DeadLetterKind.NOT_REGISTERED, f"{of}not in the ledger", unknown[0].key)
    if created:
        return DeadLetterReason(DeadLetterKind.REGISTERED, "what it tells of is in the ledger", created[0].key)
    names = ", ".join(sorted({ascii(event.name)[1:-1] for event in parsed.events}))[:200]
    return DeadLetterReason(DeadLetterKind.OTHER_EVENT, f"tells of no new object: {names}", parsed.events[0].key)
