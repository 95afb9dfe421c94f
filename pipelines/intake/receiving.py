"""From the queue into the ledger: receive, read, register, and only then delete. The ledger is the list of work.

A message is never held while a run works. What cannot be understood, or speaks of other buckets, is left alone: the queue's
redrive takes it to the dead-letter queue, where people see it. It causes no call to S3.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import assert_never

from pipelines.accounting.entries import Sighting, VersionRef
from pipelines.accounting.ledger import Ledger
from pipelines.contracts.model import Dataset
from pipelines.errors import ConfigurationError
from pipelines.gate import Gate
from pipelines.intake.events import (
    ANYWHERE,
    EventKind,
    Foreign,
    Home,
    Notification,
    ObjectEvent,
    TestEvent,
    Unintelligible,
    parse_message,
)
from pipelines.intake.objects import ObjectVersion, object_id
from pipelines.intake.routing import LANDING_PREFIX, BadKey, Outside, Route, Routed, Unrouted, event_day, route
from pipelines.intake.wiring_tests import wiring_test_id
from pipelines.ports import Clock, EventQueue, QueueMessage
from pipelines.telemetry.metrics import NO_METER, Meter
from pipelines.telemetry.records import of_intake, of_messages

__all__ = ["IntakeReport", "adopt_unrouted", "receive", "receive_from", "sighting_of"]

_AT_ONCE = 90
"""Messages registered together: their versions and counters fit one transaction of the ledger."""
_MOST_MESSAGES = 5000
_WORDS = {
    "new": ("new", "new"),
    "duplicates": ("duplicate", "duplicates"),
    "test_events": ("test event", "test events"),
    "wiring_tests": ("of a wiring test", "of wiring tests"),
    "removed": ("removal", "removals"),
    "restored": ("restored", "restored"),
    "others": ("other event", "other events"),
    "unrouted": ("no dataset claims", "no dataset claims"),
    "bad_keys": ("with a wrong key", "with wrong keys"),
    "outside": ("outside landing", "outside landing"),
    "foreign": ("of another bucket", "of other buckets"),
    "unintelligible": ("not understood", "not understood"),
}


@dataclass(slots=True)
class IntakeReport:
    """What one round of receiving came to. `unrouted` and `bad_keys` are among the `new`; `received` counts messages.

    `refused_before` are messages left alone (`foreign`, `unintelligible`) that had been received before.
    """

    received: int = 0
    new: int = 0
    duplicates: int = 0
    test_events: int = 0
    wiring_tests: int = 0
    removed: int = 0
    restored: int = 0
    others: int = 0
    unrouted: int = 0
    bad_keys: int = 0
    outside: int = 0
    foreign: int = 0
    unintelligible: int = 0
    refused_before: int = 0

    def sentence(self) -> str:
        """The report in one sentence, without what there was none of."""
        if self.received == 0:
            return "no messages"
        counts = [(name, getattr(self, name)) for name in _WORDS]
        parts = [f"{count} {_WORDS[name][count != 1]}" for name, count in counts if count]
        told = "received 1 message" if self.received == 1 else f"received {self.received} messages"
        return f"{told}: {', '.join(parts)}" if parts else told


def receive(gate: Gate, *, wait_s: float, budget_s: float, most: int = _MOST_MESSAGES) -> IntakeReport:
    """`receive_from` the gate's own queue. Raises ConfigurationError when it has none."""
    if gate.queue is None:
        raise ConfigurationError("there is no queue to receive from: set LAKEGATE_QUEUE_URL, or run `lakegate setup`")
    return receive_from(
        gate.queue,
        gate.ledger,
        gate.datasets.datasets,
        gate.landing_bucket,
        gate.clock,
        home=gate.home,
        wait_s=wait_s,
        budget_s=budget_s,
        most=most,
        meter=gate.meter,
    )


def receive_from(
    queue: EventQueue,
    ledger: Ledger,
    datasets: Sequence[Dataset],
    landing_bucket: str,
    clock: Clock,
    *,
    home: Home = ANYWHERE,
    wait_s: float,
    budget_s: float,
    most: int = _MOST_MESSAGES,
    monotonic: Callable[[], float] = time.monotonic,
    meter: Meter = NO_METER,
) -> IntakeReport:
    """Wait up to `wait_s` for the first message, then drain the queue: at most `most` messages or `budget_s` seconds.

    Raises TransientError when the ledger cannot be written: nothing unregistered was deleted, the messages come again.
    """
    report = IntakeReport()
    ends = monotonic() + budget_s
    desk = _Desk(queue, ledger, datasets, landing_bucket, home, clock, report)
    try:
        messages = queue.receive(wait_s)
        while messages:
            gathered = list(messages)
            # A full hand of ten says that more is there; a transaction of ninety costs little more than one of ten.
            while len(messages) == 10 and len(gathered) < _AT_ONCE and monotonic() < ends:
                messages = queue.receive(0)
                gathered.extend(messages)
            meter.tell(of_messages(gathered, clock()))
            desk.take(gathered)
            if report.received >= most or monotonic() >= ends:
                break
            messages = queue.receive(0)
    finally:
        meter.tell(of_intake(report))
    return report


class _Desk:
    """Reads messages, registers what they tell, deletes what is done with."""

    def __init__(
        self,
        queue: EventQueue,
        ledger: Ledger,
        datasets: Sequence[Dataset],
        landing_bucket: str,
        home: Home,
        clock: Clock,
        report: IntakeReport,
    ) -> None:
        self._queue = queue
        self._ledger = ledger
        self._datasets = datasets
        self._retracting = frozenset(dataset.name for dataset in datasets if dataset.retracts)
        self._bucket = landing_bucket
        self._home = home
        self._clock = clock
        self._report = report

    def take(self, messages: Sequence[QueueMessage]) -> None:
        """Register what these messages tell, then delete them."""
        report = self._report
        report.received += len(messages)
        done: list[str] = []
        events: list[ObjectEvent] = []
        for message in messages:
            parsed = parse_message(message.body, self._bucket, self._home)
            match parsed:
                case Notification():
                    events.extend(event for event in parsed.events if not self._is_of_a_wiring_test(event))
                    report.foreign += parsed.foreign
                    done.append(message.receipt)
                case TestEvent(bucket=bucket) if bucket == self._bucket:
                    report.test_events += 1
                    done.append(message.receipt)
                case TestEvent() | Foreign():
                    report.foreign += 1
                    report.refused_before += message.receive_count > 1
                case Unintelligible():
                    report.unintelligible += 1
                    report.refused_before += message.receive_count > 1
                case _ as never:
                    assert_never(never)
        self._register([event for event in events if event.kind is EventKind.CREATED])
        for event in events:
            self._note(event)
        self._queue.delete(done)

    def _is_of_a_wiring_test(self, event: ObjectEvent) -> bool:
        test_id = wiring_test_id(event.key)
        if test_id is None:
            return False
        self._report.wiring_tests += 1
        if event.kind is EventKind.CREATED:
            self._ledger.wiring.arrived(test_id)
        return True

    def _register(self, created: Iterable[ObjectEvent]) -> None:
        report = self._report
        today = event_day(self._clock())
        sightings: list[Sighting] = []
        bad_keys: set[VersionRef] = set()
        for event in created:
            routed = route(event.version.key, self._datasets, event_day(event.version.landed_at), today)
            sighting = _sighting(event.version, routed, "event")
            if sighting is None:
                report.outside += 1
                continue
            sightings.append(sighting)
            if isinstance(routed, BadKey):
                bad_keys.add(sighting.ref)
        if not sightings:
            return
        registered = self._ledger.register(sightings, self._retracting)
        new = set(registered.new)
        report.new += len(new)
        report.duplicates += len(registered.duplicates)
        known = {sighting.ref: sighting for sighting in sightings}
        report.unrouted += sum(known[ref].dataset is None for ref in new)
        report.bad_keys += len(new & bad_keys)

    def _note(self, event: ObjectEvent) -> None:
        report = self._report
        match event.kind:
            case EventKind.CREATED:
                pass
            case EventKind.REMOVED:
                if event.key.startswith(LANDING_PREFIX):
                    self._ledger.removed(event.removal, self._retracting)
                    report.removed += 1
                else:
                    report.outside += 1
            case EventKind.RESTORED:
                report.restored += 1
                if event.version_id is not None:
                    self._ledger.restored(VersionRef(object_id(event.bucket, event.key), event.version_id))
            case EventKind.OTHER:
                report.others += 1
            case _ as never:
                assert_never(never)


def sighting_of(
    version: ObjectVersion, datasets: Iterable[Dataset], today: date, source: str = "event"
) -> Sighting | None:
    """What the ledger is told of an object version: routed to its dataset and day; None outside landing."""
    return _sighting(version, route(version.key, datasets, event_day(version.landed_at), today), source)


def _sighting(version: ObjectVersion, routed: Route, source: str) -> Sighting | None:
    match routed:
        case Routed():
            return Sighting(version, routed.dataset.name, routed.landing_day, source=source)
        case BadKey():
            # Work like any other: the run that takes it finds the same fault, copies the object and writes the report.
            return Sighting(version, routed.dataset.name, routed.accounted_day, source=source)
        case Unrouted():
            return Sighting(version, None, event_day(version.landed_at), source=source)
        case Outside():
            return None
        case _ as never:
            assert_never(never)


def adopt_unrouted(ledger: Ledger, datasets: Sequence[Dataset], today: date) -> int:
    """Give versions that no dataset claimed to those that do now; how many. Looks only when key patterns have changed."""
    patterns = "\n".join(sorted(f"{d.name} {d.landing.key} {d.landing.day} {d.landing.start}" for d in datasets))
    mark = hashlib.sha256(patterns.encode()).hexdigest()
    if ledger.routing_mark() == mark:
        return 0
    adopted = 0
    for entry in list(ledger.unrouted()):
        sighting = sighting_of(entry.version, datasets, today)
        if sighting is not None and sighting.dataset is not None and ledger.adopt(sighting):
            adopted += 1
    ledger.set_routing_mark(mark)
    return adopted
