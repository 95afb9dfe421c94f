"""The sweep: what the landing bucket holds against what the ledger says. It finds what events did not tell, and puts it right.

    in the bucket, not in the ledger     registered, once older than a grace that leaves it to its event
    hidden by a delete marker            the removal is recorded, if the ledger thinks the version visible
    visible, but removed in the ledger   the deletion of the delete marker is recorded
    in the ledger, gone from the bucket  the removal is recorded (`vanished.py`)

The bucket is listed once, page by page, and each page looked up in the ledger. Doing it again changes nothing. It is safe beside live
intake, because all it does is what a late event would do.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import groupby, islice, takewhile

from pipelines.accounting.entries import LedgerEntry, Removal, Sighting, VersionRef, order_of
from pipelines.accounting.sweeps import LastSweep
from pipelines.contracts.model import Dataset
from pipelines.gate import Gate
from pipelines.intake.objects import Sequencer
from pipelines.intake.receiving import sighting_of
from pipelines.intake.routing import LANDING_PREFIX, event_day
from pipelines.intake.sweep_report import SweepReport
from pipelines.intake.vanished import Day, compare_days
from pipelines.intake.wiring_tests import is_wiring_test
from pipelines.ports import ListedVersion
from pipelines.printable import printable
from pipelines.telemetry.records import of_sweep

__all__ = ["SWEEP_GRACE", "sweep"]

SWEEP_GRACE = timedelta(minutes=5)
"""How old a version or delete marker must be before a sweep acts on it: a younger one is left to its event."""
_AT_ONCE = 1000
"""Versions looked up together."""
_MOST_OF_A_KEY = 10_000
"""Versions of one key held at once. Beyond that, untold versions of one second may stand in another order where a piece ends."""


def sweep(
    gate: Gate,
    dataset: Dataset | None = None,
    *,
    grace: timedelta = SWEEP_GRACE,
    correct: bool = True,
    pause: Callable[[float], None] = time.sleep,
) -> SweepReport:
    """Compare the landing bucket, or one dataset's part of it, with the ledger, and put right what events did not tell.

    Without `correct` nothing is changed, and all that it would put right is a problem of the report. `pause` waits, in seconds, where
    the ledger's index may lag. Holds a page of versions at a time.

    Raises TransientError, PermanentError: bucket or ledger cannot be read. What was put right stays; doing it again does the rest.
    """
    work = _Sweep(gate, dataset, grace, correct=correct)
    prefix = dataset.key_pattern.prefix if dataset else LANDING_PREFIX
    for pieces in _together(_pieces(gate.store.list_versions(gate.landing_bucket, prefix))):
        work.take(pieces)
    report = work.report
    proved = compare_days(gate, report, dataset, work.listed, correct=correct, pause=pause)
    if correct:
        gate.meter.tell(of_sweep(report, whole=dataset is None))
        names = [dataset.name] if dataset else [*gate.ledger.datasets(), None]
        at = report.started_at
        gate.ledger.record_sweep(
            proved,
            [LastSweep(name, at, report.listed_of(name), tuple(report.differences.get(name, ()))) for name in names],
        )
    return report


@dataclass(frozen=True, slots=True)
class _Piece:
    """Versions of one key, newest first; `marker` is the nearest delete marker newer than all of them."""

    key: str
    listed: Sequence[ListedVersion]
    marker: ListedVersion | None


def _pieces(listing: Iterable[ListedVersion]) -> Iterator[_Piece]:
    for key, group in groupby(listing, lambda one: one.version.key):
        if is_wiring_test(key):
            continue
        marker: ListedVersion | None = None
        while some := list(islice(group, _MOST_OF_A_KEY)):
            yield _Piece(key, some, marker)
            marker = next((one for one in reversed(some) if one.is_marker), marker)


def _together(pieces: Iterable[_Piece]) -> Iterator[list[_Piece]]:
    """Pieces with about as many versions as are looked up together."""
    gathered: list[_Piece] = []
    size = 0
    for piece in pieces:
        gathered.append(piece)
        size += len(piece.listed)
        if size >= _AT_ONCE:
            yield gathered
            gathered, size = [], 0
    if gathered:
        yield gathered


class _Sweep:
    """One sweep's look at the listing."""

    def __init__(self, gate: Gate, dataset: Dataset | None, grace: timedelta, *, correct: bool) -> None:
        now = gate.clock()
        self.report = SweepReport(now, corrects=correct)
        self.listed: dict[Day, int] = {}
        self._gate = gate
        self._dataset = dataset
        self._correct = correct
        self._old_enough = now - grace
        self._today = event_day(now)

    def take(self, pieces: Sequence[_Piece]) -> None:
        """Hold some keys against the ledger."""
        refs = [_ref(one) for piece in pieces for one in piece.listed if not one.is_marker]
        entries = {entry.ref: entry for entry in self._gate.ledger.entries_of(refs)}
        found = [(piece, self._unknown(piece, entries)) for piece in pieces]
        self._register([sighting for _, sightings in found for sighting in sightings])
        for piece, sightings in found:
            self._count_known(piece, entries)
            self._hold_against_markers(piece, entries, sightings)

    # ---- what no event told of

    def _unknown(self, piece: _Piece, entries: dict[VersionRef, LedgerEntry]) -> list[Sighting]:
        """Versions that the ledger does not know and that are old enough, oldest first, each with its place in the key's order."""
        sightings: list[Sighting] = []
        below = -1
        recorded = self._recorded(piece) if any(_ref(o) not in entries for o in piece.listed if not o.is_marker) else {}
        for one in reversed(piece.listed):
            if one.is_marker:
                below = max(below, recorded.get(one.version.version_id, -1))
                continue
            entry = entries.get(_ref(one))
            if entry is not None:
                below = max(below, _number(entry.order))
                continue
            version = one.version
            # The bucket lists versions in their order. A version's time says less: it is in whole seconds, sequencers are not.
            if _number(order_of(version)) <= below:
                version = replace(version, sequencer=Sequencer(below + 1))
            below = _number(order_of(version))
            sighting = sighting_of(version, self._gate.datasets.datasets, self._today, source="sweep")
            if sighting is None or not self._covers(sighting.dataset):
                continue
            self.report.of(sighting.dataset).listed += 1
            if version.landed_at <= self._old_enough:
                sightings.append(sighting)
            else:
                self.report.of(sighting.dataset).young += 1
        return sightings

    def _recorded(self, piece: _Piece) -> dict[str, int]:
        """Where the ledger has the delete markers of a key, by their version ids."""
        if not any(one.is_marker for one in piece.listed):
            return {}
        removals = self._gate.ledger.removals(self._gate.landing_bucket, piece.key)
        return {r.version_id: _number(r.order) for r in removals if r.marker and r.version_id}

    def _register(self, sightings: Sequence[Sighting]) -> None:
        if not sightings:
            return
        told = (
            set(self._gate.ledger.register(sightings, self._gate.retracting).new)
            if self._correct
            else {s.ref for s in sightings}
        )
        for sighting in sightings:
            if sighting.ref in told:
                self.report.find(
                    "registered", sighting.dataset, _named(sighting.version.key, sighting.version.version_id)
                )
            else:
                self.report.of(sighting.dataset).known += 1  # its event came between our two looks
            if self._correct:
                self._count(sighting.dataset, sighting.landing_day)

    def _count_known(self, piece: _Piece, entries: dict[VersionRef, LedgerEntry]) -> None:
        for one in piece.listed:
            entry = entries.get(_ref(one))
            if entry is not None and self._covers(entry.dataset):
                self.report.of(entry.dataset).listed += 1
                self.report.of(entry.dataset).known += 1
                self._count(entry.dataset, entry.landing_day)

    def _count(self, dataset: str | None, day: date) -> None:
        self.listed[dataset, day] = self.listed.get((dataset, day), 0) + 1

    def _covers(self, dataset: str | None) -> bool:
        return self._dataset is None or self._dataset.name == dataset

    # ---- delete markers

    def _hold_against_markers(
        self, piece: _Piece, entries: dict[VersionRef, LedgerEntry], registered: Sequence[Sighting]
    ) -> None:
        orders = {s.ref: order_of(s.version) for s in registered}
        marker = piece.marker
        hidden: list[str] = []
        lost: ListedVersion | None = None
        shown: list[LedgerEntry] = []
        for one in piece.listed:
            if one.is_marker:
                marker = one
                continue
            entry = entries.get(_ref(one))
            if marker is None:
                if entry is not None and entry.object_removed and self._covers(entry.dataset):
                    shown.append(entry)
            elif marker.version.landed_at <= self._old_enough:
                order = entry.order if entry is not None and not entry.object_removed else orders.get(_ref(one))
                if order is not None and (entry is None or self._covers(entry.dataset)):
                    hidden.append(order)
                    lost = lost or marker
                    if entry is not None:
                        self.report.find("removed", entry.dataset, _named(piece.key, one.version.version_id))
        if lost is not None and self._correct:
            # Directly above what it hides, whatever the sequencers of that are; its own would say the same.
            order = max(order_of(lost.version), max(hidden) + "~")
            self._record(lost, order, marker=True, reason="a delete marker, found by a sweep")
        if shown:
            self._lift(piece.key, shown)

    def _lift(self, key: str, shown: Sequence[LedgerEntry]) -> None:
        """Versions are visible again: the delete markers that the ledger knows and the bucket no longer has were deleted."""
        bucket = self._gate.landing_bucket
        listing = self._gate.store.list_versions(bucket, key)  # anew: a marker may have come after the page was read
        left = {
            one.version.version_id for one in takewhile(lambda one: one.version.key == key, listing) if one.is_marker
        }
        lifted = False
        for removal in self._gate.ledger.removals(bucket, key):
            if (
                removal.marker
                and removal.version_id
                and removal.version_id not in left
                and removal.at <= self._old_enough
            ):
                lifted = True
                if self._correct:
                    self._gate.ledger.removed(
                        replace(
                            removal,
                            marker=False,
                            at=self.report.started_at,
                            reason="the delete marker is gone, a sweep found",
                        ),
                        self._gate.retracting,
                    )
        if lifted:
            for entry in shown:
                self.report.find("restored", entry.dataset, _named(key, entry.version.version_id))

    def _record(self, listed: ListedVersion, order: str, *, marker: bool, reason: str) -> None:
        version = listed.version
        self._gate.ledger.removed(
            Removal(version.bucket, version.key, version.version_id, order, version.landed_at, marker, reason),
            self._gate.retracting,
            listed=True,
        )


def _ref(one: ListedVersion) -> VersionRef:
    return VersionRef(one.version.object_id, one.version.version_id)


def _number(order: str) -> int:
    """The sequencer in an order text, or what stands in for it."""
    return int(order.partition("#")[0], 16)


def _named(key: str, version_id: str) -> str:
    return f"{printable(key)} (version {printable(version_id)})"
