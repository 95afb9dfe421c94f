"""The settings of every AWS client follow from the standard environment alone."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from pipelines.accounting.ledger import LEASE_S
from pipelines.errors import ConfigurationError, PermanentError, ThrottledError, TransientError
from resources import environment


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that says nothing of AWS, and no profile file to fall back to."""
    import os

    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return monkeypatch


def client_error(code: str, status: int) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "said AWS"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject"
    )


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (
            "User: arn:aws:sts::123456789012:assumed-role/Run/x is not authorized to perform: s3:GetObject on arn:aws:s3:::b/k",
            "User: arn:aws:sts::<account>:assumed-role/Run/x is not authorized to perform: s3:GetObject on arn:aws:s3:::b/k",
        ),
        ("table arn:aws:dynamodb:eu-west-1:123456789012:table/t", "table arn:aws:dynamodb:eu-west-1:<account>:table/t"),
        ("the key landing/202401011230.csv at 2024:01:01", "the key landing/202401011230.csv at 2024:01:01"),
    ],
)
def test_the_number_of_an_account_is_left_out_of_what_aws_says(said: str, kept: str) -> None:
    error = ClientError(
        {"Error": {"Code": "Refused", "Message": said}, "ResponseMetadata": {"HTTPStatusCode": 403}}, "GetObject"
    )
    assert str(environment.as_lakegate_error(error, "reading")) == f"reading: Refused: {kept}"


def test_on_aws_no_client_is_given_an_endpoint(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("AWS_REGION", "eu-central-1")
    properties = environment.iceberg_catalog_properties()
    assert (properties["glue.region"], properties["s3.region"]) == ("eu-central-1", "eu-central-1")
    assert not [name for name in properties if "endpoint" in name or "key" in name]
    assert "endpoint" not in environment.object_store_settings()
    assert environment.client("s3").meta.endpoint_url == "https://s3.eu-central-1.amazonaws.com"


def test_the_endpoint_of_a_service_goes_before_the_common_one(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bare.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    bare.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:2")
    bare.setenv("AWS_ENDPOINT_URL_ATHENA", "http://127.0.0.1:3")
    properties = environment.iceberg_catalog_properties()
    assert (properties["glue.endpoint"], properties["s3.endpoint"]) == ("http://127.0.0.1:1", "http://127.0.0.1:2")
    settings = environment.object_store_settings()
    assert (settings["endpoint"], settings["virtual_hosted_style_request"]) == ("http://127.0.0.1:2", False)
    endpoints = {name: environment.client(name).meta.endpoint_url for name in ("s3", "athena", "sqs")}
    assert endpoints == {"s3": "http://127.0.0.1:2", "athena": "http://127.0.0.1:3", "sqs": "http://127.0.0.1:1"}


def test_configured_endpoints_can_be_ignored_as_the_sdk_does(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    bare.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert environment.endpoint("s3") is None


def test_aws_region_goes_before_the_default_region(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bare.setenv("AWS_REGION", "eu-west-1")
    assert environment.region() == "eu-west-1"
    assert environment.client("sqs").meta.region_name == "eu-west-1"


def test_no_region_is_said_with_the_remedy() -> None:
    with pytest.raises(ConfigurationError, match="Set AWS_REGION"):
        environment.region()


def test_missing_credentials_are_said_with_the_remedy(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("AWS_REGION", "us-east-1")
    bare.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(ConfigurationError, match="Set AWS_PROFILE"):
        environment.object_store_settings()


def test_a_client_is_made_once_and_anew_when_the_environment_changes(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("AWS_REGION", "us-east-1")
    first = environment.client("sqs")
    assert environment.client("sqs") is first
    bare.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert environment.client("sqs") is not first


def test_a_client_tries_five_times_in_all_and_outwaits_a_long_poll(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("AWS_REGION", "us-east-1")
    config = environment.client("sqs").meta.config
    assert config.retries == {"mode": "standard", "total_max_attempts": 5}
    assert config.read_timeout > 20


def test_an_alert_does_not_wait_longer_than_a_tick_has(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("AWS_REGION", "us-east-1")
    config = environment.client("sns").meta.config
    assert config.retries["total_max_attempts"] * (config.connect_timeout + config.read_timeout) <= 20


def test_the_ledger_does_not_wait_for_an_answer_longer_than_a_third_of_a_lease(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("AWS_REGION", "us-east-1")
    assert environment.client("dynamodb").meta.config.read_timeout <= LEASE_S / 3


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (client_error("SlowDown", 503), ThrottledError),
        (client_error("ProvisionedThroughputExceededException", 400), ThrottledError),
        (client_error("SomethingNew", 429), ThrottledError),
        (client_error("OperationAborted", 409), TransientError),
        (client_error("PreconditionFailed", 412), PermanentError),
        (client_error("SomethingNew", 500), TransientError),
        (client_error("AccessDenied", 403), PermanentError),
        (client_error("NoSuchBucket", 404), PermanentError),
        (EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), TransientError),
        (NoCredentialsError(), PermanentError),
    ],
)
def test_an_error_of_aws_is_transient_or_permanent_by_what_it_is(error: Exception, expected: type[Exception]) -> None:
    stop = environment.as_lakegate_error(error, "writing s3://bucket/key")
    assert type(stop) is expected
    assert str(stop).startswith("writing s3://bucket/key: ")
