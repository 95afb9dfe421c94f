"""List prices of us-east-1 and what a million files come to with them: with Lakegate, with a Lambda function or a Glue job a file.

On demand, x86, without free tiers, discounts, tax and data transfer. Written down in November 2026 (docs/cost.md says which of
them were looked up).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.aws_requests import Asked

__all__ = ["AS_OF", "FIXED_A_MONTH", "Bill", "bill_of", "glue_bill", "lambda_bill"]

AS_OF = "November 2026"
_MILLION = 1e6
SQS = 0.40 / _MILLION
"""A request, for each 64 KB of messages."""
S3_WRITE, S3_READ = 0.005 / 1000, 0.0004 / 1000
"""A PUT, COPY, POST or LIST; a GET or HEAD."""
DYNAMODB_WRITE, DYNAMODB_READ = 0.625 / _MILLION, 0.125 / _MILLION
"""A request unit."""
GLUE_REQUEST = 1.00 / _MILLION
KMS_REQUEST = 0.03 / 10_000
ATHENA_TB = 5.00
ATHENA_LEAST_BYTES = 10_000_000
FARGATE_VCPU_HOUR, FARGATE_GB_HOUR = 0.04048, 0.004445
LAMBDA_REQUEST, LAMBDA_GB_SECOND = 0.20 / _MILLION, 0.0000166667
GLUE_DPU_HOUR, GLUE_LEAST_DPU, GLUE_LEAST_S = 0.44, 2, 60
TASKS: Mapping[str, tuple[int, float, float]] = {
    "Code": (1, 1, 2),
    "Daemon": (1, 1, 2),
    "Web": (2, 1, 2),
    "Workers": (2, 2, 8),
}
"""Of each service of infra/dagster-ecs.yaml by its defaults: how many tasks, vCPU and GB each. A test holds them to the template."""
_HOURS = 730


def _fargate(*services: str) -> float:
    tasks = [TASKS[service] for service in services]
    return _HOURS * sum(many * (cpu * FARGATE_VCPU_HOUR + gb * FARGATE_GB_HOUR) for many, cpu, gb in tasks)


FIXED_A_MONTH: Mapping[str, float] = {
    "Fargate: code server, daemon, two web servers (1 vCPU, 2 GB each)": _fargate("Code", "Daemon", "Web"),
    "Fargate: two workers (2 vCPU, 8 GB each)": _fargate("Workers"),
    "RDS Postgres db.t4g.small in two zones, 20 GB": _HOURS * 0.065 + 20 * 0.23,
    "Load balancer, without its traffic": _HOURS * 0.0225,
    "KMS key, two secrets": 1.00 + 2 * 0.40,
    "CloudWatch: 7 alarms over 12 metrics, a dashboard": 12 * 0.10 + 3.00,
}
"""Metrics themselves are priced in docs/metrics.md: they depend on the number of datasets."""
_S3_READS = frozenset({"GetObject", "HeadBucket", "HeadObject"})
_S3_FREE = frozenset({"AbortMultipartUpload", "DeleteObject", "DeleteObjects"})


@dataclass(frozen=True, slots=True)
class Bill:
    """Dollars for one file, by service."""

    dollars: Mapping[str, float]

    @property
    def total(self) -> float:
        """Of all services."""
        return sum(self.dollars.values())


def bill_of(counts: Mapping[tuple[str, str], Asked], files: int, cpu_s: float) -> Bill:
    """What the counted requests of so many files cost, a file; `cpu_s` of processor time on Fargate, 4 GB of memory with each vCPU.

    S3 sends one message a file to the queue, which SQS bills too: added here, because the proxy does not see it.
    """
    dollars = {"SQS": files * SQS}
    for (service, operation), asked in counts.items():
        match service:
            case "sqs":
                dollars["SQS"] += max(asked.requests, asked.received_bytes // 64_000) * SQS
            case "s3" if operation not in _S3_FREE:
                price = S3_READ if operation in _S3_READS else S3_WRITE
                dollars["S3"] = dollars.get("S3", 0.0) + asked.requests * price
            case "dynamodb":
                units = asked.write_units * DYNAMODB_WRITE + asked.read_units * DYNAMODB_READ
                dollars["DynamoDB"] = dollars.get("DynamoDB", 0.0) + units
            case "glue":
                dollars["Glue catalog"] = dollars.get("Glue catalog", 0.0) + asked.requests * GLUE_REQUEST
            case "athena" if operation == "StartQueryExecution":
                dollars["Athena"] = dollars.get("Athena", 0.0) + asked.requests * ATHENA_TB * ATHENA_LEAST_BYTES / 1e12
            case _:
                continue
    dollars["Fargate"] = cpu_s / 3600 * (FARGATE_VCPU_HOUR + 4 * FARGATE_GB_HOUR)
    return Bill({service: amount / files for service, amount in dollars.items()})


def lambda_bill(seconds: float, gb: float = 1.769) -> Bill:
    """A function for each file (one vCPU at 1,769 MB) that writes one Parquet object and adds it to the catalog.

    Per file: one asynchronous invocation, a GET, a PUT, and two requests to Glue. No ledger, no exactly-once, no table format.
    """
    return Bill(
        {
            "Lambda": LAMBDA_REQUEST + seconds * gb * LAMBDA_GB_SECOND,
            "S3": S3_READ + S3_WRITE,
            "Glue catalog": 2 * GLUE_REQUEST,
        }
    )


def glue_bill(seconds: float) -> Bill:
    """A Spark job for each file, two DPU, billed a minute at least; beside it the requests as for Lambda."""
    billed_s = max(GLUE_LEAST_S, seconds)
    return Bill(
        {
            "Glue job": GLUE_LEAST_DPU * GLUE_DPU_HOUR * billed_s / 3600,
            "S3": S3_READ + S3_WRITE,
            "Glue catalog": 2 * GLUE_REQUEST,
        }
    )
