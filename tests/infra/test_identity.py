"""Who gives a command, as the audit log has it: never an account."""

from __future__ import annotations

import pytest

from resources.identity import caller, principal_of


@pytest.mark.parametrize(
    ("arn", "who"),
    [
        ("arn:aws:sts::123456789012:assumed-role/lakegate-operator/ann@example.com", "lakegate-operator/ann@example.com"),
        ("arn:aws:iam::123456789012:user/people/ann", "people/ann"),
        ("arn:aws:sts::123456789012:federated-user/ann", "ann"),
        ("arn:aws:iam::123456789012:root", None),
        ("arn:aws-cn:sts::123456789012:assumed-role/r/s", "r/s"),
    ],
)  # fmt: skip
def test_a_principal_is_named_without_its_account(arn: str, who: str | None) -> None:
    assert principal_of(arn) == who


@pytest.mark.aws
def test_on_a_laptop_it_is_the_user_of_the_machine(local_aws: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ann")
    assert caller() == "ann (of this machine)"


def test_where_aws_is_not_reached_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ann")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr("resources.environment.TOTAL_MAX_ATTEMPTS", 1)
    assert caller() == "ann (of this machine)"
