"""The gate: the ports a deployment consists of, bundled, so that a function takes one argument and not eight."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from pipelines.accounting.entries import Claim
from pipelines.accounting.heartbeat import Heartbeat
from pipelines.accounting.ledger import Ledger
from pipelines.contracts.loading import DatasetCatalog
from pipelines.intake.events import ANYWHERE, Home
from pipelines.lineage.news import LineageSink
from pipelines.links import Links
from pipelines.ports import Clock, EventQueue, ObjectStore, QueryEngine, Tables, ThreadPools
from pipelines.reading.summary import FileReader
from pipelines.telemetry.metrics import NO_METER, Meter
from pipelines.telemetry.tracing import NO_TRACER, Tracer

__all__ = ["Gate"]


@dataclass(frozen=True, slots=True)
class Gate:
    """One deployment of Lakegate, as the core sees it.

    `landing_bucket` and `quarantine_bucket` are names, `home` says in which account and region the first is; where tables live is the tables' business. `reader` opens the
    warm reading process of a run: it is closed when the context ends. `queue` is None where nothing announces files
    (`convert`), and so is `dead_letters`, where the queue's redrive puts what could not be taken. `queries` looks into the
    tables after a commit; without it, the checks that need it fail. `links` are the addresses that messages to people carry;
    `lineage` is told of each batch, where somebody wants to hear; `tracer` takes the spans of its trace, `meter` all that is
    counted or timed.
    The last three are what a worker takes from its computer: threads to wait for many answers at once, a pause between two
    attempts (seconds), and a sign of life; the simulator gives its own.
    """

    datasets: DatasetCatalog
    store: ObjectStore
    ledger: Ledger
    tables: Tables
    reader: Callable[[], AbstractContextManager[FileReader]]
    clock: Clock
    landing_bucket: str
    quarantine_bucket: str
    home: Home = ANYWHERE
    queue: EventQueue | None = None
    dead_letters: EventQueue | None = None
    queries: QueryEngine | None = None
    links: Links = field(default_factory=Links)
    lineage: LineageSink | None = None
    tracer: Tracer = NO_TRACER
    meter: Meter = NO_METER
    pools: ThreadPools = ThreadPoolExecutor
    pause: Callable[[float], None] = time.sleep
    heartbeat: Callable[[Ledger, Claim], Heartbeat] = Heartbeat

    @property
    def retracting(self) -> frozenset[str]:
        """The names of the datasets that take the rows of removed objects away."""
        return frozenset(dataset.name for dataset in self.datasets.datasets if dataset.retracts)
