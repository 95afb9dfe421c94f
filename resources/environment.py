"""Derives every AWS client's settings from the standard environment, and nothing else.

Which AWS the code talks to is said by `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_<SERVICE>`, `AWS_REGION` (or
`AWS_DEFAULT_REGION`), `AWS_PROFILE` and the usual credential variables. boto3 and awswrangler read them by themselves;
PyIceberg and obstore do not, so here is the one place that translates. No other module passes an endpoint.

Here too: `Deployment`, the names of what a stack made, which is how the same code finds its buckets everywhere.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from pipelines.errors import ConfigurationError
from resources.aws_errors import as_lakegate_error
from resources.bucket_owner import expect_owner, owner_headers, say_owners
from resources.dynamodb_requests import send_as_written

if TYPE_CHECKING:
    from obstore.store import S3Store
    from pyarrow.fs import S3FileSystem
    from pyiceberg.catalog.glue import GlueCatalog

TOTAL_MAX_ATTEMPTS = 5
CONNECT_TIMEOUT_S = 5
# Longer than the longest SQS poll (20 s) and than S3 takes to answer under load.
READ_TIMEOUT_S = 60
REQUEST_S = 24 * 3600
"""How long one request may take to the end of its answer: as long as the longest file may be read."""
POOL_CONNECTIONS = 32
# DynamoDB carries the leases: an answer that takes longer than a third of one comes too late.
# An alert is sent by a tick, which has sixty seconds for everything, and again by the next one.
READ_TIMEOUTS_S = {"dynamodb": 10, "sns": 5}
FEWER_ATTEMPTS = {"sns": 2}
# Their requests are made by one module each, of few shapes and many values: looking at each value costs as much as sending it, and they refuse
# what is wrong themselves.
NOT_VALIDATED = frozenset({"dynamodb", "sqs"})
_creation = threading.Lock()


def region() -> str:
    """Return the region: `AWS_REGION`, else `AWS_DEFAULT_REGION`, else the profile's.

    Raises:
        ConfigurationError: none of them names one.
    """
    # boto3 itself reads AWS_DEFAULT_REGION only; the other SDKs, Lambda and ECS set AWS_REGION.
    name = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or boto3.Session().region_name
    if not name:
        raise ConfigurationError(
            "No AWS region is set. Set AWS_REGION, or a region in the profile that AWS_PROFILE names."
        )
    return name


def endpoint(service: str) -> str | None:
    """Return the endpoint the environment sets for a service (`s3`, `glue`, ...), or None for AWS's own."""
    if os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        return None
    return os.environ.get(f"AWS_ENDPOINT_URL_{service.upper()}") or os.environ.get("AWS_ENDPOINT_URL") or None


def client(service: str) -> Any:
    """Return the boto3 client of a service, made once for the environment as it is now; safe to share between threads.

    It retries throttling and broken connections up to 5 attempts in all (SNS: 2), in botocore's standard mode.
    """
    with _creation:
        return _client(service, _watched())


def _watched() -> tuple[tuple[str, str], ...]:
    """Return the variables that make another client when they change; a role's own credentials refresh themselves."""
    return tuple(
        (name, value)
        for name, value in sorted(os.environ.items())
        if name.startswith("AWS_") and name != "AWS_EXECUTION_ENV"
    )


@functools.lru_cache(maxsize=64)
def _client(service: str, _environment: tuple[tuple[str, str], ...]) -> Any:
    config = Config(
        region_name=region(),
        # `max_attempts` would count retries in one mode and attempts in another; this name means what it says.
        retries={"mode": "standard", "total_max_attempts": FEWER_ATTEMPTS.get(service, TOTAL_MAX_ATTEMPTS)},
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=min(READ_TIMEOUT_S, READ_TIMEOUTS_S.get(service, READ_TIMEOUT_S)),
        max_pool_connections=POOL_CONNECTIONS,
        parameter_validation=service not in NOT_VALIDATED,
        tcp_keepalive=True,
        # A custom endpoint has no DNS name for each bucket.
        s3={"addressing_style": "path"} if endpoint("s3") else None,
    )
    made: Any = boto3.Session(region_name=region()).client(service, config=config)  # pyright: ignore[reportCallIssue, reportArgumentType]  # boto3 types each service name
    if service == "s3":
        say_owners(made)
    if service == "dynamodb":
        send_as_written(made)
    if os.environ.get("LAKEGATE_METRICS"):
        from resources.telemetry_aws import count_requests

        count_requests(made)
    return made


def iceberg_catalog_properties() -> dict[str, str]:
    """Return the properties with which `pyiceberg.catalog.glue.GlueCatalog` talks to the same AWS as boto3 does."""
    properties = {
        "type": "glue",
        "glue.region": region(),
        "s3.region": region(),
        "s3.connect-timeout": str(float(CONNECT_TIMEOUT_S)),
        "s3.request-timeout": str(float(READ_TIMEOUT_S)),
        "py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO",
    }
    if profile := os.environ.get("AWS_PROFILE"):
        properties["glue.profile-name"] = profile
    if glue := endpoint("glue"):
        properties["glue.endpoint"] = glue
    if s3 := endpoint("s3"):
        properties["s3.endpoint"] = s3
        properties["s3.force-virtual-addressing"] = "False"
    return properties


def iceberg_catalog() -> GlueCatalog:
    """Return a PyIceberg catalog on Glue, with the Glue client that everything else here uses."""
    from pyiceberg.catalog.glue import GlueCatalog

    return GlueCatalog("glue", client=client("glue"), **iceberg_catalog_properties())


def arrow_filesystem() -> S3FileSystem:
    """Return a pyarrow filesystem that talks to the same AWS as boto3 does; its paths are `bucket/key`."""
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    s3 = endpoint("s3")
    return S3FileSystem(
        region=region(),
        endpoint_override=s3,
        force_virtual_addressing=False,
        connect_timeout=CONNECT_TIMEOUT_S,
        request_timeout=READ_TIMEOUT_S,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=TOTAL_MAX_ATTEMPTS),
    )


def object_store_settings() -> dict[str, Any]:
    """Return the keyword arguments with which `obstore.store.S3Store` talks to the same AWS as boto3 does.

    Raises:
        ConfigurationError: there are no credentials, or no region is set.
    """
    from obstore.auth.boto3 import Boto3CredentialProvider

    session = boto3.Session(region_name=region())
    if session.get_credentials() is None:
        raise ConfigurationError("No AWS credentials were found. Set AWS_PROFILE, or log in, or run under a role.")
    settings: dict[str, Any] = {
        "region": region(),
        # The same chain as every other client: profiles, SSO, container and web-identity roles.
        "credential_provider": Boto3CredentialProvider(session),
        # A large object takes as long as its reader: what is limited is silence, not the request as a whole.
        "client_options": {
            "read_timeout": f"{READ_TIMEOUT_S}s",
            "timeout": f"{REQUEST_S}s",
            "connect_timeout": f"{CONNECT_TIMEOUT_S}s",
        },
        "retry_config": {"max_retries": TOTAL_MAX_ATTEMPTS - 1},
    }
    if s3 := endpoint("s3"):
        settings["endpoint"] = s3
        settings["virtual_hosted_style_request"] = False
        settings["client_options"]["allow_http"] = s3.startswith("http://")
    return settings


def object_store(bucket: str) -> S3Store:
    """Return an obstore store of the bucket, made once for the environment as it is now; safe to share between threads."""
    with _creation:
        return _object_store(bucket, tuple(owner_headers(bucket).items()), _watched())


@functools.lru_cache(maxsize=64)
def _object_store(
    bucket: str, headers: tuple[tuple[str, str], ...], _environment: tuple[tuple[str, str], ...]
) -> S3Store:
    from obstore.store import S3Store

    settings = object_store_settings()
    settings["client_options"]["default_headers"] = dict(headers)
    return S3Store(bucket, **settings)


@dataclass(frozen=True, slots=True)
class Deployment:
    """The names of what one stack made; everything that touches AWS is given one of these."""

    landing_bucket: str
    processed_bucket: str
    quarantine_bucket: str
    queue_url: str
    dlq_url: str
    run_queue_url: str
    ledger_table: str
    glue_database: str
    athena_workgroup: str
    region: str
    alert_topic: str | None = None
    """The ARN of the topic that alerts go to; None in a stack that was deployed before it had one."""
    account_id: str | None = field(default=None, repr=False)
    """The account that owns the buckets: each S3 request names it. None in a stack that was deployed before it said so."""

    operator_workgroup: str | None = None
    """Where runs and operators ask Athena, out of sight of analysts; None for an analyst, or in a stack that has one workgroup."""

    def _told(self) -> Deployment:
        expect_owner((self.landing_bucket, self.processed_bucket, self.quarantine_bucket), self.account_id)
        return self

    @property
    def athena_results_location(self) -> str:
        """Return where the analysts' workgroup writes results: `s3://<processed>/athena-results/`."""
        return f"s3://{self.processed_bucket}/athena-results/"

    @classmethod
    def from_stack(cls, stack_name: str) -> Deployment:
        """Return the deployment a CloudFormation stack describes in its outputs.

        Raises:
            ConfigurationError: there is no such stack, or it was not made from Lakegate's template.
            TransientError: AWS could not be reached.
        """
        cloudformation = client("cloudformation")
        try:
            stacks = cloudformation.describe_stacks(StackName=stack_name)["Stacks"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ValidationError":
                raise ConfigurationError(
                    f"There is no stack {stack_name!r} in {region()}. Run `lakegate setup` to make it."
                ) from error
            raise as_lakegate_error(error, f"describing the stack {stack_name}") from error
        except BotoCoreError as error:
            raise as_lakegate_error(error, f"describing the stack {stack_name}") from error
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stacks[0].get("Outputs", [])}
        missing = sorted(output for output in _OUTPUTS.values() if output not in outputs)
        if missing:
            raise ConfigurationError(
                f"The stack {stack_name!r} ({stacks[0]['StackStatus']}) lacks the outputs {', '.join(missing)}. "
                "Is it Lakegate's? Run `lakegate setup` again."
            )
        values = {field: outputs[output] for field, output in _OUTPUTS.items()}
        found = cls(
            **values,
            region=region(),
            alert_topic=outputs.get("AlertTopic"),
            account_id=outputs.get("AccountId"),
            operator_workgroup=outputs.get("OperatorWorkgroup"),
        )
        return found._told()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Deployment:
        """Return the deployment that the `LAKEGATE_*` variables name.

        Raises:
            ConfigurationError: variables are missing; all of them are listed.
        """
        given = os.environ if environment is None else environment
        missing = [variable for variable in _VARIABLES.values() if not given.get(variable)]
        if missing:
            raise ConfigurationError(
                f"These environment variables are not set: {', '.join(missing)}. "
                "`lakegate up` sets them for a laptop; on AWS they are the outputs of the stack."
            )
        values = {field: given[variable] for field, variable in _VARIABLES.items()}
        where = given.get("AWS_REGION") or given.get("AWS_DEFAULT_REGION") or region()
        optional: dict[str, Any] = {field: given.get(variable) or None for field, variable in _OPTIONAL.items()}
        return cls(**values, region=where, **optional)._told()

    def to_environment(self) -> dict[str, str]:
        """Return the variables from which `from_environment` makes this deployment again."""
        variables = {variable: str(getattr(self, field)) for field, variable in _VARIABLES.items()}
        variables |= {variable: said for field, variable in _OPTIONAL.items() if (said := getattr(self, field))}
        return {**variables, "AWS_REGION": self.region, "AWS_DEFAULT_REGION": self.region}


_VARIABLES = {
    "landing_bucket": "LAKEGATE_LANDING_BUCKET",
    "processed_bucket": "LAKEGATE_PROCESSED_BUCKET",
    "quarantine_bucket": "LAKEGATE_QUARANTINE_BUCKET",
    "queue_url": "LAKEGATE_QUEUE_URL",
    "dlq_url": "LAKEGATE_DLQ_URL",
    "run_queue_url": "LAKEGATE_RUN_QUEUE_URL",
    "ledger_table": "LAKEGATE_LEDGER_TABLE",
    "glue_database": "LAKEGATE_GLUE_DATABASE",
    "athena_workgroup": "LAKEGATE_ATHENA_WORKGROUP",
}
_OPTIONAL = {
    "alert_topic": "LAKEGATE_ALERT_TOPIC",
    "account_id": "LAKEGATE_ACCOUNT_ID",
    "operator_workgroup": "LAKEGATE_OPERATOR_WORKGROUP",
}
DEPLOYMENT_VARIABLES = frozenset([*_VARIABLES.values(), *_OPTIONAL.values(), "LAKEGATE_STACK"])
"""Every variable that says which deployment is meant."""
_OUTPUTS = {
    "landing_bucket": "LandingBucket",
    "processed_bucket": "ProcessedBucket",
    "quarantine_bucket": "QuarantineBucket",
    "queue_url": "QueueUrl",
    "dlq_url": "DeadLetterQueueUrl",
    "run_queue_url": "RunQueueUrl",
    "ledger_table": "LedgerTable",
    "glue_database": "GlueDatabase",
    "athena_workgroup": "AthenaWorkgroup",
}
