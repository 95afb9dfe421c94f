"""Whether a rule lets S3's events through, as far as its pattern is understood."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.wiring.event_patterns import lets_through, s3_event

OURS: dict[str, Any] = {
    "source": ["aws.s3"],
    "account": ["123456789012"],
    "detail-type": ["Object Created", "Object Deleted", "Object Restore Completed"],
    "detail": {"bucket": {"name": ["our-landing"]}, "object": {"key": [{"prefix": "landing/"}]}},
}
KEY = "landing/orders/2026-01-31.csv"


def told(pattern: dict[str, Any], kind: str = "created", bucket: str = "our-landing", key: str = KEY) -> bool | None:
    return lets_through(pattern, s3_event(kind, bucket, key, "123456789012"))


@pytest.mark.parametrize("kind", ["created", "removed", "restored"])
def test_the_templates_own_rule_lets_every_event_of_landing_through(kind: str) -> None:
    assert told(OURS, kind) is True
    assert told(OURS, kind, bucket="another") is False
    assert told(OURS, kind, key="exports/x") is False


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ({"detail-type": ["Object Deleted"]}, False),
        ({"source": ["aws.sqs"]}, False),
        ({"account": ["999999999999"]}, False),
        ({"detail": {"bucket": {"name": ["our-landing"]}}}, True),
        ({"detail": {"object": {"key": [{"prefix": "other/"}, {"suffix": ".csv"}]}}}, True),
        ({"detail": {"object": {"key": [{"suffix": ".json"}]}}}, False),
        ({"detail": {"object": {"key": [{"wildcard": "landing/*"}]}}}, None),
        ({"detail": {"object": {"size": [{"numeric": [">", 0]}]}}}, None),
        ({"detail": {"object": {"key": [{"exists": True}]}}}, True),
        ({"resources": [{"prefix": "arn:aws:s3:::our-"}]}, True),
        ({"detail": {"object": {"key": [{"wildcard": "x*"}]}}, "source": ["aws.sqs"]}, False),
    ],
)
def test_other_patterns(change: dict[str, Any], answer: bool | None) -> None:
    assert told({**OURS, **change}) is answer


def test_an_empty_pattern_lets_all_through() -> None:
    assert told({}) is True
