"""Says with each S3 request whose bucket is meant, so that another account's bucket answers 403 and never with its objects.

A bucket's name is free again once the bucket is deleted, and anybody may take it. S3 compares the account that a request names
(`x-amz-expected-bucket-owner`) with the bucket's (Amazon S3 User Guide, "Verifying bucket ownership with bucket owner condition").
boto3 says it by a hook on every operation that can, obstore by a header that it signs. Arrow's file system, by which PyIceberg
reads and writes a table's metadata, has no way to say it: there the condition `aws:ResourceAccount` in the roles does the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["expect_owner", "owner_headers", "say_owners"]

# By the bucket's name, which one account at a time has: what a process was told of a deployment holds for all its clients.
_owners: dict[str, str] = {}


def expect_owner(buckets: Iterable[str], account_id: str | None) -> None:
    """Let every later request on these buckets name the account (12 digits) that owns them; nothing where it is not known."""
    if account_id:
        _owners.update(dict.fromkeys(buckets, account_id))


def owner_headers(bucket: str) -> dict[str, str]:
    """Return the header that says whose bucket is meant; empty where that is not known."""
    owner = _owners.get(bucket)
    return {"x-amz-expected-bucket-owner": owner} if owner else {}


def say_owners(s3: Any) -> None:
    """Let a boto3 S3 client name the owner in every operation that can, and of a copy's source too."""
    s3.meta.events.register("before-parameter-build.s3", _say)


def _say(params: dict[str, Any], model: Any, **_: Any) -> None:
    members = model.input_shape.members if model.input_shape else {}
    if (owner := _owners.get(params.get("Bucket", ""))) and "ExpectedBucketOwner" in members:
        params.setdefault("ExpectedBucketOwner", owner)
    if "ExpectedSourceBucketOwner" in members and (owner := _owners.get(_source(params.get("CopySource")))):
        params.setdefault("ExpectedSourceBucketOwner", owner)


def _source(copied: Mapping[str, str] | str | None) -> str:
    """Return the bucket of a copy's source, which is said as a mapping or as `bucket/key`."""
    if isinstance(copied, str):
        return copied.lstrip("/").partition("/")[0]
    return copied["Bucket"] if copied else ""
