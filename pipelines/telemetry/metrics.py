"""The catalogue of metrics, and the port that measurements are told to. With no port nothing is told, and nothing costs.

A metric is a value; a measurement (`Record`) is a metric, a number and its labels. What a report comes to in records is said
in `records.py`; what becomes of records is the adapter's. Labels hold names out of small closed sets, never keys, paths, ids
or messages.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

__all__ = ["CATALOGUE", "LABELS", "NAMESPACE", "NO_METER", "Kind", "Label", "Meter", "Metric", "Record", "Total"]

NAMESPACE = "Lakegate"
"""Under which CloudWatch shows them, unless `LAKEGATE_METRICS_NAMESPACE` says otherwise."""


class Kind(StrEnum):
    """What sort of number it is."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Total(StrEnum):
    """What a gauge comes to over all values of its labels: `sum` for how many, `max` for how long."""

    SUM = "sum"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class Label:
    """A label and the values it can take. `many` says how many to reckon with where they are not all named here.

    `within` is the label beside which alone it means something.
    """

    name: str
    meaning: str
    values: tuple[str, ...] = ()
    many: int = 0
    within: str = ""

    @property
    def count(self) -> int:
        """How many values it takes at most, by the list or by reckoning."""
        return len(self.values) or self.many


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `unit` is written as UCUM does; the same name stands in all exporters, spelt as each of them spells.

    A gauge says what it comes to over its labels (`total`), and for how many seconds a value holds once it was set (`valid_s`).
    Of a histogram, `bounds` are the upper bounds of its buckets. `watch` says what to look at it for.
    """

    name: str
    kind: Kind
    unit: str
    labels: tuple[str, ...]
    meaning: str
    watch: str
    total: Total = Total.SUM
    valid_s: int = 300
    bounds: tuple[float, ...] = ()

    def of(self, value: float, **labels: str) -> "Record":
        """One measurement. Raises ValueError when the labels are not those of the catalogue."""
        if labels.keys() != set(self.labels):
            raise ValueError(f"{self.name} has the labels {', '.join(self.labels) or 'none'}, not {', '.join(labels)}")
        return Record(self, value, labels)


@dataclass(frozen=True, slots=True)
class Record:
    """One measurement: what a counter grows by, what a gauge stands at, or one value of a histogram."""

    metric: Metric
    value: float
    labels: Mapping[str, str]


class Meter(Protocol):
    """Whom measurements are told to. Telling never waits and never fails, whatever becomes of them."""

    def tell(self, records: Iterable[Record]) -> None:
        """Take measurements. Who has no use for them does not even look at the iterable."""
        ...

    def flush(self) -> None:
        """Have what was told exported soon, in the background: a run, a task or a tick has ended."""
        ...


class _NoMeter:
    """Whom nothing is told to."""

    def tell(self, records: Iterable[Record]) -> None:
        """Leave them."""

    def flush(self) -> None:
        """Nothing to export."""


NO_METER: Meter = _NoMeter()

# ---- labels -------------------------------------------------------------------------------------------------------

LABELS: Mapping[str, Label] = {
    label.name: label
    for label in (
        Label("dataset", "the dataset's name; `-` for what no dataset claims", many=1),
        Label(
            "outcome",
            "what became of a file; of the gauge `lakegate.files`, as the balance sheet names it",
            ("archived", "deferred", "empty", "gone", "loaded", "quarantined", "removed", "retry", "superseded"),
        ),
        Label("reason", "the first rule that the file broke, by its code in docs/reference/rules.md", many=10),
        Label(
            "result",
            "what became of an event or a message",
            ("registered", "unrouted", "duplicate", "removal", "restored", "test", "ignored", "rejected"),
        ),
        Label(
            "service", "the AWS service", ("athena", "cloudformation", "dynamodb", "glue", "s3", "sns", "sqs", "sts")
        ),
        Label("operation", "the operation of the service, as its API names it", many=5, within="service"),
        Label(
            "code",
            "the error code of the service, or the client's word for a broken connection",
            many=3,
            within="service",
        ),
        Label("stage", "the part of a batch's work", ("read", "stage", "commit", "compare", "books")),
        Label(
            "sensor",
            "the sensor, by its name in Dagster",
            ("landing_sensor", "attention_sensor", "dead_letter_sensor", "alert_sensor"),
        ),
        Label(
            "kind",
            "what no event had told of: a file that came, one that was hidden by a delete marker, one that came back, one deleted for good",
            ("registered", "removed", "restored", "missing"),
        ),
        Label(
            "state",
            "the outcome that a file is in now, as the balance sheet names it",
            ("pending", "loaded", "superseded", "removed", "quarantined", "empty", "unrouted", "failed"),
        ),
    )
}

# ---- the catalogue ------------------------------------------------------------------------------------------------

_FAST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SLOW = (1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1800, 3600, 4 * 3600, 24 * 3600)
_FILES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM
_DATASET = ("dataset",)

EVENTS_RECEIVED = Metric(
    "lakegate.events.received", _C, "{event}", ("result",),
    "What the queue brought, by what became of it. A message that is not understood is counted when it is first received.",
    "`rejected` above 0: something else than the bucket's own notifications reaches the queue; it ends as a dead letter.",
)  # fmt: skip
QUEUE_LAG = Metric(
    "lakegate.queue.lag", _H, "s", (),
    "From the moment the queue got a message to its first receipt.",
    "Above a minute: the landing sensor does not keep up, or did not run.",
    bounds=_SLOW,
)  # fmt: skip
FILES_SETTLED = Metric(
    "lakegate.files.settled", _C, "{file}", ("dataset", "outcome"),
    "File versions about which the ledger was told what became of them, once each time they were processed.",
    "`retry` and `deferred` are no ends: the file comes again. `quarantined` beside all of it is the quarantine rate.",
)  # fmt: skip
FILES_QUARANTINED = Metric(
    "lakegate.files.quarantined", _C, "{file}", ("dataset", "reason"),
    "Files that went into quarantine, by the first rule that they broke.",
    "A new reason, or much more of one: the producer changed something.",
)  # fmt: skip
FILES = Metric(
    "lakegate.files", _G, "{file}", ("dataset", "state"),
    "Where the files of the newest 31 landing days of a dataset stand, by the ledger's counters, once a minute.",
    "`pending` that only grows: work does not keep up. `failed` above 0: files wait for a person.",
)  # fmt: skip
OLDEST_UNCOMMITTED = Metric(
    "lakegate.files.oldest_uncommitted_age", _G, "s", _DATASET,
    "Age of the oldest file that came by itself and has no verdict yet, since it landed; 0 when there is none. Files in an archive, "
    "failed ones, and those that people have processed again are not among them.",
    "The one number that says whether files get through: past the objective, something stands still.",
    total=Total.MAX,
)  # fmt: skip
ROWS_READ = Metric(
    "lakegate.rows.read", _C, "{row}", _DATASET, "Rows read, in files that came to a verdict.", "The amount of work."
)
ROWS_LOADED = Metric(
    "lakegate.rows.loaded", _C, "{row}", _DATASET, "Rows of files that were loaded.", "Beside `rows.read`: what is lost to rules."
)  # fmt: skip
ROWS_REJECTED = Metric(
    "lakegate.rows.rejected", _C, "{row}", _DATASET,
    "Rows rejected one by one, and all rows read of quarantined files.",
    "A rise before files are quarantined: a feed that gets worse.",
)  # fmt: skip
BYTES_READ = Metric(
    "lakegate.bytes.read", _C, "By", _DATASET, "Size of the files that came to a verdict.", "The amount of work."
)  # fmt: skip
BYTES_WRITTEN = Metric(
    "lakegate.bytes.written", _C, "By", _DATASET, "Size of the data files published in tables.", "What storage grows by."
)  # fmt: skip
FILE_LAG = Metric(
    "lakegate.file.lag", _H, "s", _DATASET,
    "From landing to the commit that made the file's rows visible, of files that an event told of.",
    "The median and the 99th percentile are what users of the tables feel.",
    bounds=_SLOW,
)  # fmt: skip
LEASES_LOST = Metric(
    "lakegate.leases.lost", _C, "{batch}", _DATASET,
    "Batches that a worker found taken from it, as it found out. Nothing is lost: whoever has the batch finishes it.",
    "More than a few a day: workers stall for longer than a lease, for want of CPU or because the ledger answers slowly.",
)  # fmt: skip
COMMIT_CONFLICTS = Metric(
    "lakegate.commit.conflicts", _C, "{commit}", _DATASET,
    "Commits that found the table moved on by another writer; each is planned again.",
    "Many a batch: too many runs write to one table, or a foreign program does.",
)  # fmt: skip
COMMIT_RETRIES = Metric(
    "lakegate.commit.retries", _C, "{commit}", _DATASET,
    "Commits tried once more, after a conflict or because the catalog did not answer.",
    "Beside the conflicts: the rest is Glue's or S3's trouble.",
)  # fmt: skip
BATCH_FILES = Metric(
    "lakegate.batch.files", _H, "{file}", (), "Files in a batch that was finished.",
    "Small batches of many small files cost most: look whether runs start more often than they need to.", bounds=_FILES,
)  # fmt: skip
STAGE_DURATION = Metric(
    "lakegate.stage.duration", _H, "s", ("dataset", "stage"), "Time that a finished batch spent in a part of its work.",
    "Which part grew when runs get slower.", bounds=_FAST,
)  # fmt: skip
TICK_DURATION = Metric(
    "lakegate.tick.duration", _H, "s", ("sensor",), "How long a tick of a sensor took, waiting for messages among it.",
    "Dagster stops a tick at 60 s; the landing sensor waits up to 20 s when nothing comes.", bounds=_FAST,
)  # fmt: skip
SENSOR_TICKS = Metric(
    "lakegate.sensor.ticks", _C, "{tick}", ("sensor",), "Ticks that ended well.",
    "None of the landing sensor for five minutes: the daemon or the code server is down, or AWS is out of reach.",
)  # fmt: skip
DEAD_LETTERS = Metric(
    "lakegate.dead_letters", _G, "{message}", (), "About how many messages the dead-letter queue holds, once a minute.",
    "Above 0: what they tell of may not be in the ledger.",
)  # fmt: skip
MISSING_EVENTS = Metric(
    "lakegate.sweep.missing_events", _C, "{file}", ("kind",), "What a sweep found and put right that no event had told of; 0 of each kind after a sweep of the whole bucket that found none.",
    "Above 0: notifications are lost between bucket and queue.",
)  # fmt: skip
OVERDUE = Metric(
    "lakegate.dataset.overdue", _G, "s", _DATASET,
    "For how long a file has been due that its producer has not sent, by `freshness` in the contract; 0 when in time. Datasets without "
    "`freshness`, or without any file yet, have none.",
    "Above 0: no file in the expected window.",
    total=Total.MAX,
)  # fmt: skip
PAUSED = Metric(
    "lakegate.datasets.paused", _G, "{dataset}", (), "Datasets that are paused, by the breaker or by hand.",
    "Above 0: nothing of them is planned until they go on.",
)  # fmt: skip
BOOKS_DIFFERENCES = Metric(
    "lakegate.books.differences", _G, "{difference}", (),
    "What did not add up when the balance sheet was last proved: by the daily sweep, or by hand.",
    "Above 0: the promise is in doubt; `lakegate status --prove` names each.",
    valid_s=172_800,
)  # fmt: skip
AWS_REQUESTS = Metric(
    "lakegate.aws.requests", _C, "{request}", ("service", "operation"),
    "Requests sent to AWS, each attempt for itself. Of S3: what goes through boto3 and obstore, not what Iceberg's files take.",
    "What it costs, and how far limits are.",
)  # fmt: skip
AWS_ERRORS = Metric(
    "lakegate.aws.errors", _C, "{request}", ("service", "code"),
    "Requests that AWS answered with an error, or not at all. Answers that are part of the work (a condition of the ledger that does not "
    "hold, an object that is gone, a table that moved on) are not among them, and throttling is counted apart.",
    "`AccessDenied`: a permission is missing. Others pass by themselves if they are few.",
)  # fmt: skip
AWS_THROTTLES = Metric(
    "lakegate.aws.throttles", _C, "{request}", ("service",), "Requests that AWS asked to be sent more slowly.",
    "Lasting: raise the service's quota, or let fewer runs work at a time.",
)  # fmt: skip

CATALOGUE: tuple[Metric, ...] = (
    EVENTS_RECEIVED, QUEUE_LAG, FILES_SETTLED, FILES_QUARANTINED, FILES, OLDEST_UNCOMMITTED, FILE_LAG, OVERDUE,
    ROWS_READ, ROWS_LOADED, ROWS_REJECTED, BYTES_READ, BYTES_WRITTEN, BATCH_FILES, STAGE_DURATION,
    LEASES_LOST, COMMIT_CONFLICTS, COMMIT_RETRIES, PAUSED, SENSOR_TICKS, TICK_DURATION,
    DEAD_LETTERS, MISSING_EVENTS, BOOKS_DIFFERENCES, AWS_REQUESTS, AWS_ERRORS, AWS_THROTTLES,
)  # fmt: skip
"""Every metric there is, in the order of the page about them."""
