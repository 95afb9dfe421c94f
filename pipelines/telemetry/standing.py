"""How things stand now, as measurements: asked of the ledger, a few short queries a dataset, nothing is scanned.

The landing sensor looks once a minute. Nothing is counted between two looks.
"""

from collections.abc import Iterator

from pipelines.accounting.breaker import Breaker
from pipelines.contracts.model import Dataset
from pipelines.gate import Gate
from pipelines.statistics.lateness import lateness
from pipelines.telemetry.metrics import OLDEST_UNCOMMITTED, OVERDUE, PAUSED, Record
from pipelines.telemetry.records import of_states

__all__ = ["standing"]

_DAYS = 31
"""Newest landing days whose files are counted."""
_ARRIVALS = 14
"""Newest landing days among which the last file is looked for."""


def standing(gate: Gate) -> Iterator[Record]:
    """How each dataset stands now. Raises TransientError, PermanentError: the ledger cannot be read."""
    names = [dataset.name for dataset in gate.datasets.datasets]
    breakers: dict[str, Breaker] = dict(gate.ledger.pauses.breakers(names))
    yield PAUSED.of(sum(breaker.is_paused for breaker in breakers.values()))
    for dataset in gate.datasets.datasets:
        yield from of_states(dataset.name, gate.ledger.recent_outcomes(dataset.name, _DAYS))
        since = gate.ledger.oldest_waiting(dataset.name)
        age_s = (gate.clock() - since).total_seconds() if since is not None else 0.0
        yield OLDEST_UNCOMMITTED.of(max(0.0, age_s), dataset=dataset.name)
        yield from _overdue(gate, dataset)
    yield from of_states(None, gate.ledger.recent_outcomes(None, _DAYS))


def _overdue(gate: Gate, dataset: Dataset) -> Iterator[Record]:
    if dataset.freshness is None:
        return
    newest = gate.ledger.profiles.newest(dataset.name, _ARRIVALS)
    arrivals = [profile.arrived_at for profile in newest if profile.arrived_at is not None]
    if arrivals:
        now = gate.clock()
        since = lateness(dataset.freshness, max(arrivals), now).since
        yield OVERDUE.of((now - since).total_seconds() if since is not None else 0.0, dataset=dataset.name)
