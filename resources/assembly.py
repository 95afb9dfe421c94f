"""Puts a gate together: the adapters of a deployment on AWS (or the laptop's), or of a folder. Knows no Dagster."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipelines.accounting.ledger import Ledger
from pipelines.contracts.loading import DatasetCatalog
from pipelines.gate import Gate
from pipelines.reading.child import ChildReader
from resources.dynamodb import DynamoItemStore
from resources.environment import Deployment, client
from resources.iceberg import glue_tables
from resources.s3 import S3ObjectStore
from resources.sqs import SqsEventQueue

if TYPE_CHECKING:
    from pipelines.ports import QueryEngine

__all__ = ["open_gate", "query_engine", "utc_now"]


def utc_now() -> datetime:
    """The clock outside of tests and simulations."""
    return datetime.now(UTC)


def open_gate(deployment: Deployment, datasets: DatasetCatalog) -> Gate:
    """The gate of one deployment. Makes clients and calls nothing."""
    store = S3ObjectStore()
    return Gate(
        datasets=datasets,
        store=store,
        ledger=Ledger(DynamoItemStore(client("dynamodb"), deployment.ledger_table), utc_now),
        tables=glue_tables(deployment, store),
        reader=ChildReader,
        clock=utc_now,
        landing_bucket=deployment.landing_bucket,
        quarantine_bucket=deployment.quarantine_bucket,
        queue=SqsEventQueue(client("sqs"), deployment.queue_url),
        dead_letters=SqsEventQueue(client("sqs"), deployment.dlq_url),
        queries=query_engine(deployment),
    )


def query_engine(deployment: Deployment) -> "QueryEngine":
    """Athena, for a deployment."""
    from resources.athena import AthenaQueryEngine

    return AthenaQueryEngine(deployment)
