"""What is asked of AWS is counted: each attempt, each refusal that stands for trouble, and nothing that is part of the work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import botocore.session
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError

from pipelines.telemetry import metrics as m
from resources import telemetry_metrics
from resources.telemetry_aws import count_read, count_requests
from tests.telemetry.hearing import Hearing

Answer = tuple[int, str]


class Raw:
    """A body, as urllib3 gives it."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, **_: object) -> list[bytes]:
        return [self._content]


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Hearing:
    hearing = Hearing()
    monkeypatch.setattr(telemetry_metrics, "meter_of", lambda _: hearing)
    return hearing


def client(answers: list[Answer | Exception], service: str = "dynamodb") -> Any:
    """A client whose requests go nowhere and are answered in turn."""
    made = botocore.session.Session().create_client(
        service,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"mode": "standard", "total_max_attempts": 3}),
    )

    def send(request: Any, **_: object) -> AWSResponse:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        status, body = answer
        headers: Mapping[str, str] = {"content-type": "application/x-amz-json-1.0"}
        return AWSResponse(request.url, status, headers, Raw(body.encode()))

    made.meta.events.register(f"before-send.{service}", send)
    count_requests(made)
    return made


def fault(code: str, reasons: str = "") -> Answer:
    more = f', "CancellationReasons": [{reasons}]' if reasons else ""
    return 400, f'{{"__type": "x#{code}", "message": "no"{more}}}'


def reason(code: str) -> str:
    return f'{{"Code": "{code}"}}'


OK: Answer = (200, "{}")
GET = ("dynamodb", "GetItem")
WRITE = {"Delete": {"TableName": "t", "Key": {"pk": {"S": "a"}}}}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)


def get(made: Any) -> None:
    made.get_item(TableName="t", Key={"pk": {"S": "a"}})


def test_each_attempt_is_a_request_and_each_throttled_one_is_told(heard: Hearing) -> None:
    throttled = fault("ProvisionedThroughputExceededException")
    get(client([throttled, throttled, OK]))
    assert heard.sums(m.AWS_REQUESTS) == {GET: 3}
    assert heard.sums(m.AWS_THROTTLES) == {("dynamodb",): 2}
    assert heard.sums(m.AWS_ERRORS) == {}


def test_an_error_is_told_with_its_code(heard: Hearing) -> None:
    with pytest.raises(ClientError):
        get(client([fault("AccessDeniedException")]))
    assert heard.sums(m.AWS_ERRORS) == {("dynamodb", "AccessDeniedException"): 1}
    assert heard.sums(m.AWS_REQUESTS) == {GET: 1}


def test_a_request_that_nobody_answers_is_one_too(heard: Hearing) -> None:
    with pytest.raises(EndpointConnectionError):
        get(client([EndpointConnectionError(endpoint_url="https://x") for _ in range(3)]))
    assert heard.sums(m.AWS_ERRORS) == {("dynamodb", "EndpointConnectionError"): 3}
    assert heard.sums(m.AWS_REQUESTS) == {GET: 3}


@pytest.mark.parametrize(
    ("answer", "errors", "throttles"),
    [
        (fault("ConditionalCheckFailedException"), {}, {}),
        (fault("TransactionCanceledException", f"{reason('None')}, {reason('ConditionalCheckFailed')}"), {}, {}),
        (fault("TransactionCanceledException", reason("TransactionConflict")), {}, {}),
        (
            fault("TransactionCanceledException", f"{reason('ConditionalCheckFailed')}, {reason('ThrottlingError')}"),
            {},
            {("dynamodb",): 1},
        ),
        (
            fault("TransactionCanceledException", reason("ValidationError")),
            {("dynamodb", "ValidationError"): 1},
            {},
        ),
        (fault("Odd Code/with landing/key"), {("dynamodb", "Odd_Code_with_landing_key"): 1}, {}),
    ],
)
def test_what_is_part_of_the_work_is_no_error(
    heard: Hearing, answer: Answer, errors: dict[Any, float], throttles: dict[Any, float]
) -> None:
    with pytest.raises(ClientError):
        client([answer]).transact_write_items(TransactItems=[WRITE])
    assert heard.sums(m.AWS_ERRORS) == errors
    assert heard.sums(m.AWS_THROTTLES) == throttles
    assert heard.sums(m.AWS_REQUESTS) == {("dynamodb", "TransactWriteItems"): 1}


def test_an_object_that_is_gone_is_no_error_and_an_answer_without_a_code_is_named_by_its_status(heard: Hearing) -> None:
    with pytest.raises(ClientError):
        client([(404, "")], "s3").head_object(Bucket="b", Key="k")
    with pytest.raises(ClientError):
        client([(403, "")], "s3").head_object(Bucket="b", Key="k")
    assert heard.sums(m.AWS_ERRORS) == {("s3", "403"): 1}


def test_reads_by_obstore_are_counted_as_they_are_sent(heard: Hearing) -> None:
    count_read()
    count_read("Throttled")
    count_read("Unavailable")
    assert heard.sums(m.AWS_REQUESTS) == {("s3", "GetObject"): 1}
    assert heard.sums(m.AWS_THROTTLES) == {("s3",): 1}
    assert heard.sums(m.AWS_ERRORS) == {("s3", "Unavailable"): 1}


def test_clients_are_counted_where_metrics_are_asked_for(monkeypatch: pytest.MonkeyPatch, heard: Hearing) -> None:
    from resources import environment

    monkeypatch.setenv("AWS_REGION", "us-east-1")
    for asked, counted in (("", False), ("emf", True)):
        monkeypatch.setenv("LAKEGATE_METRICS", asked)
        environment._client.cache_clear()
        made = environment.client("sqs")
        handlers = made.meta.events._emitter._handlers.prefix_search("response-received.sqs.ReceiveMessage")
        assert any("telemetry_aws" in handler.__module__ for handler in handlers) is counted
    environment._client.cache_clear()
