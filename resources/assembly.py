"""Puts a gate together: the adapters of a deployment on AWS (or the laptop's), or of a folder. Knows no Dagster."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipelines.accounting.entries import RetryPolicy
from pipelines.accounting.ledger import LEASE_S, Ledger
from pipelines.contracts.loading import DatasetCatalog
from pipelines.errors import ConfigurationError
from pipelines.gate import Gate
from pipelines.reading.child import ChildReader
from resources.crash_points import CrashPoints
from resources.dynamodb import DynamoItemStore
from resources.environment import Deployment, client
from resources.iceberg import glue_tables
from resources.s3 import S3ObjectStore
from resources.sqs import SqsEventQueue

if TYPE_CHECKING:
    from pipelines.ports import QueryEngine

__all__ = ["open_gate", "query_engine", "utc_now"]


_SHORTEST_LEASE_S, _LONGEST_LEASE_S = 1.0, 900.0


def utc_now() -> datetime:
    """The clock outside of tests and simulations."""
    return datetime.now(UTC)


def open_gate(deployment: Deployment, datasets: DatasetCatalog, policy: RetryPolicy | None = None) -> Gate:
    """The gate of one deployment. Makes clients and calls nothing.

    `LAKEGATE_LEASE_S` says how long a claim holds without a sign of life (default 30 s); `crash_points` what else is heard of.
    """
    points = CrashPoints(os.environ)
    store = points.around("store", S3ObjectStore())
    items = points.around("ledger", DynamoItemStore(client("dynamodb"), deployment.ledger_table))
    points.inside(lambda: client("glue"), "glue", ("CreateTable", "UpdateTable"))
    return Gate(
        datasets=datasets,
        store=store,
        ledger=Ledger(items, utc_now, policy=policy, lease_s=_lease_s(os.environ)),
        tables=points.around("tables", glue_tables(deployment, store)),
        reader=points.around_reader(ChildReader),
        clock=utc_now,
        landing_bucket=deployment.landing_bucket,
        quarantine_bucket=deployment.quarantine_bucket,
        queue=points.around("queue", SqsEventQueue(client("sqs"), deployment.queue_url)),
        dead_letters=SqsEventQueue(client("sqs"), deployment.dlq_url),
        queries=query_engine(deployment),
    )


def _lease_s(environment: Mapping[str, str]) -> float:
    said = environment.get("LAKEGATE_LEASE_S", str(LEASE_S))
    try:
        seconds = float(said)
    except ValueError:
        seconds = 0.0
    if not _SHORTEST_LEASE_S <= seconds <= _LONGEST_LEASE_S:
        raise ConfigurationError(
            f"LAKEGATE_LEASE_S is {said!r}: say how many seconds a claim holds without a sign of life, "
            f"from {_SHORTEST_LEASE_S:.0f} to {_LONGEST_LEASE_S:.0f}"
        )
    return seconds


def query_engine(deployment: Deployment) -> "QueryEngine":
    """Athena, for a deployment."""
    from resources.athena import AthenaQueryEngine

    return AthenaQueryEngine(deployment)
