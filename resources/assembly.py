"""Puts a gate together: the adapters of a deployment on AWS (or the laptop's), or of a folder. Knows no Dagster."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.accounting.breaker import BreakerPolicy
from pipelines.accounting.entries import RetryPolicy
from pipelines.accounting.ledger import LEASE_S, Ledger
from pipelines.contracts.loading import DatasetCatalog
from pipelines.errors import ConfigurationError
from pipelines.formats import RELEASE
from pipelines.gate import Gate
from pipelines.intake.events import Home
from pipelines.lineage.naming import LineageNames
from pipelines.links import Links
from pipelines.reading import spare
from resources.clock import utc_now
from resources.crash_points import CrashPoints
from resources.dynamodb import DynamoItemStore
from resources.environment import Deployment, client
from resources.iceberg import glue_tables
from resources.openlineage import OpenLineageSink, is_configured
from resources.s3 import S3ObjectStore
from resources.sqs import SqsEventQueue
from resources.telemetry_metrics import meter_of
from resources.telemetry_tracing import tracer_of

if TYPE_CHECKING:
    from pipelines.lineage.news import LineageSink
    from pipelines.ports import QueryEngine, Tables

__all__ = ["lineage_sink", "open_gate", "query_engine"]


_SHORTEST_LEASE_S, _LONGEST_LEASE_S = 1.0, 900.0


def open_gate(deployment: Deployment, datasets: DatasetCatalog, policy: RetryPolicy | None = None) -> Gate:
    """The gate of one deployment. Makes clients and calls nothing.

    `LAKEGATE_LEASE_S` says how long a claim holds without a sign of life (default 30 s), `LAKEGATE_PAUSE_AFTER` and
    `LAKEGATE_PAUSE_WAIT_S` when and for how long a dataset is paused; `crash_points` what else is heard of.
    """
    points = CrashPoints(os.environ)
    store = points.around("store", S3ObjectStore())
    tables = points.around("tables", glue_tables(deployment, store))
    links = Links.of(os.environ)
    items = points.around("ledger", DynamoItemStore(client("dynamodb"), deployment.ledger_table))
    points.inside(lambda: client("glue"), "glue", ("CreateTable", "UpdateTable"))
    return Gate(
        datasets=datasets,
        store=store,
        ledger=Ledger(items, utc_now, policy=policy, lease_s=_lease_s(os.environ), breaker=_breaker_policy(os.environ)),
        tables=tables,
        reader=points.around_reader(spare.take),
        clock=utc_now,
        landing_bucket=deployment.landing_bucket,
        home=Home(deployment.account_id, deployment.region),
        quarantine_bucket=deployment.quarantine_bucket,
        queue=points.around("queue", SqsEventQueue(client("sqs"), deployment.queue_url)),
        dead_letters=SqsEventQueue(client("sqs"), deployment.dlq_url),
        queries=query_engine(deployment),
        links=links,
        lineage=lineage_sink(deployment, tables, links, os.environ),
        tracer=tracer_of(os.environ),
        meter=meter_of(os.environ),
    )


def _lease_s(environment: Mapping[str, str]) -> float:
    what = "how many seconds a claim holds without a sign of life"
    return _number(environment, "LAKEGATE_LEASE_S", LEASE_S, what, _SHORTEST_LEASE_S, _LONGEST_LEASE_S)


def _breaker_policy(environment: Mapping[str, str]) -> BreakerPolicy:
    usual = BreakerPolicy()
    after = "after how many batches in a row that were stopped the same way a dataset is paused"
    wait = "for how many seconds a dataset is paused at first"
    return BreakerPolicy(
        faults=int(_number(environment, "LAKEGATE_PAUSE_AFTER", usual.faults, after, 1, 10_000)),
        first_wait_s=int(
            _number(environment, "LAKEGATE_PAUSE_WAIT_S", usual.first_wait_s, wait, 1, usual.longest_wait_s)
        ),
        longest_wait_s=usual.longest_wait_s,
    )


def _number(environment: Mapping[str, str], name: str, usual: float, what: str, lowest: float, highest: float) -> float:
    said = environment.get(name, str(usual))
    try:
        number = float(said)
    except ValueError:
        number = -1.0
    if not lowest <= number <= highest:
        raise ConfigurationError(f"{name} is {said!r}: say {what}, from {lowest:.0f} to {highest:.0f}")
    return number


def lineage_sink(
    deployment: Deployment, tables: "Tables", links: Links, environment: Mapping[str, str]
) -> "LineageSink | None":
    """Whom lineage is told to, where OpenLineage is configured; `OPENLINEAGE_NAMESPACE` names the jobs' namespace (default `lakegate`)."""
    if not is_configured(environment, Path.cwd()):
        return None
    names = LineageNames(
        job_namespace=environment.get("OPENLINEAGE_NAMESPACE") or "lakegate",
        region=deployment.region,
        database=deployment.glue_database,
        landing_bucket=deployment.landing_bucket,
        quarantine_bucket=deployment.quarantine_bucket,
        locate=tables.data_location,
        version=RELEASE,
        links=links,
    )
    return OpenLineageSink(names)


def query_engine(deployment: Deployment) -> "QueryEngine":
    """Athena, for a deployment."""
    from resources.athena import AthenaQueryEngine

    return AthenaQueryEngine(deployment)
