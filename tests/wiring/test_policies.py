"""Reading a queue's policy: who may send, why not, and whether it is open to more than who is meant."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipelines.wiring.policies import Sender, may_send

QUEUE, BUCKET = "arn:aws:sqs:eu-west-1:123456789012:q", "arn:aws:s3:::our-landing"
S3 = Sender("s3.amazonaws.com", BUCKET, "123456789012")
RULE = Sender("events.amazonaws.com", "arn:aws:events:eu-west-1:123456789012:rule/r", None)
BOUND = {"ArnEquals": {"aws:SourceArn": BUCKET}, "StringEquals": {"aws:SourceAccount": "123456789012"}}


def statement(**how: Any) -> dict[str, Any]:
    usual = {
        "Sid": "Ours",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": QUEUE,
        "Condition": BOUND,
    }
    return {name: value for name, value in (usual | how).items() if value is not None}


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"Principal": {"Service": ["s3.amazonaws.com", "sns.amazonaws.com"]}},
        {"Principal": "*"},
        {"Principal": {"AWS": "*"}},
        {"Action": ["SQS:SendMessage", "sqs:ReceiveMessage"]},
        {"Action": "sqs:*"},
        {"Resource": "arn:aws:sqs:*:*:q"},
        {
            "Condition": {
                "ArnLike": {"AWS:SourceArn": "arn:aws:s3:*:*:our-landing"},
                "StringEquals": {"aws:sourceAccount": ["1", "123456789012"]},
            }
        },
        {"Condition": {"StringLike": {"aws:SourceArn": "arn:aws:s3:::our-*"}}},
        {"Condition": {**BOUND, "Bool": {"aws:SecureTransport": True}}},
    ],
)
def test_what_lets_the_bucket_send(how: dict[str, Any]) -> None:
    sending = may_send(policy(statement(**how)), S3, "sqs:SendMessage", QUEUE)
    assert (sending.allowed, sending.open_to) == (True, ())


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"Principal": {"Service": "sns.amazonaws.com"}}, "no statement lets s3.amazonaws.com send"),
        ({"Principal": {"AWS": "arn:aws:iam::123456789012:root"}}, "no statement"),
        ({"Action": "sqs:ReceiveMessage"}, "no statement"),
        ({"Resource": QUEUE + "2"}, "no statement"),
        (
            {"Condition": {"ArnEquals": {"aws:SourceArn": "arn:aws:s3:::other"}}},
            "Ours lets only aws:SourceArn arn:aws:s3:::other send",
        ),
        (
            {"Condition": {**BOUND, "StringEquals": {"aws:SourceAccount": "999999999999"}}},
            "aws:SourceAccount 999999999999",
        ),
        ({"Condition": {"StringEquals": {"aws:PrincipalTag/x": "y"}}}, "which s3.amazonaws.com does not tell"),
        ({"Condition": {"NumericLessThan": {"aws:SourceArn": "1"}}}, "aws:SourceArn 1"),
    ],
)
def test_what_does_not_and_why(how: dict[str, Any], why: str) -> None:
    sending = may_send(policy(statement(**how)), S3, "sqs:SendMessage", QUEUE)
    assert not sending.allowed
    assert why in sending.why


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"Statement": "x"}', "null"])
def test_no_policy_lets_nobody_send(text: str | None) -> None:
    sending = may_send(text, S3, "sqs:SendMessage", QUEUE)
    assert not sending.allowed
    assert "policy" in sending.why or "no statement" in sending.why


def test_one_statement_that_is_no_list_is_read_too() -> None:
    assert may_send(json.dumps({"Statement": statement()}), S3, "sqs:SendMessage", QUEUE).allowed


def test_a_denial_outweighs_and_one_that_does_not_apply_does_not() -> None:
    plain = statement(
        Sid="NoHttp", Effect="Deny", Principal="*", Action="sqs:*", Condition={"Bool": {"aws:SecureTransport": "false"}}
    )
    assert may_send(policy(statement(), plain), S3, "sqs:SendMessage", QUEUE).allowed
    denied = statement(Sid="Nobody", Effect="Deny", Principal="*", Condition=None)
    sending = may_send(policy(statement(), denied), S3, "sqs:SendMessage", QUEUE)
    assert (sending.allowed, sending.why) == (False, "Nobody denies it")


@pytest.mark.parametrize(
    "condition", [None, {"Bool": {"aws:SecureTransport": "true"}}, {"ArnEqualsIfExists": {"aws:SourceArn": BUCKET}}]
)
def test_a_statement_that_binds_nobody_lets_everybody_in(condition: Any) -> None:
    sending = may_send(policy(statement(Condition=condition)), S3, "sqs:SendMessage", QUEUE)
    assert (sending.allowed, sending.open_to) == (True, ("Ours",))


def test_a_rule_tells_no_account_so_a_policy_must_not_ask_for_it() -> None:
    by_arn = statement(
        Principal={"Service": "events.amazonaws.com"}, Condition={"ArnEquals": {"aws:SourceArn": RULE.source_arn}}
    )
    assert may_send(policy(by_arn), RULE, "sqs:SendMessage", QUEUE).allowed
    asking = statement(
        Principal={"Service": "events.amazonaws.com"},
        Condition={
            "ArnEquals": {"aws:SourceArn": RULE.source_arn},
            "StringEquals": {"aws:SourceAccount": "123456789012"},
        },
    )
    assert "does not tell" in may_send(policy(asking), RULE, "sqs:SendMessage", QUEUE).why
