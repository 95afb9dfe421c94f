"""Sends DynamoDB's large requests as they were written. A JSON request is what the caller passed, in JSON; botocore comes to the same by walking
through each value several times, which costs more CPU than all else about a transaction of a hundred items.

By botocore's public events alone: a request is set aside before botocore looks at it, and put in where it is about to be signed.
"""

import json
from typing import Any

__all__ = ["send_as_written"]

_OPERATIONS = ("TransactWriteItems", "BatchGetItem", "Query")
_NAME = "lakegate.as_written"
_TOKEN = "ClientRequestToken"  # noqa: S105 - the name of a member


def send_as_written(client: Any) -> None:
    """Let a boto3 client for DynamoDB do so. Requests must hold what JSON has: no bytes, no moments; tables by name and not by ARN."""
    for operation in _OPERATIONS:
        client.meta.events.register(f"provide-client-params.dynamodb.{operation}", _set_aside, unique_id=f"{_NAME}.aside.{operation}")  # fmt: skip
        client.meta.events.register(f"before-call.dynamodb.{operation}", _put_in, unique_id=f"{_NAME}.in.{operation}")


def _set_aside(params: dict[str, Any], context: dict[str, Any], **_: object) -> dict[str, Any]:
    context[_NAME] = params
    left: dict[str, Any] = {_TOKEN: params[_TOKEN]} if _TOKEN in params else {}
    if "RequestItems" in params:
        left["RequestItems"] = {}  # its endpoint rules look for names of tables there
    return left


def _put_in(params: dict[str, Any], context: dict[str, Any], **_: object) -> None:
    # What botocore added by itself is the token that makes a repeated transaction one.
    added = {name: value for name, value in json.loads(params["body"]).items() if value}
    params["body"] = json.dumps({**context.pop(_NAME), **added}).encode()
