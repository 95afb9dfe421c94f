"""An existing bucket, read and wired: the S3 side of `lakegate setup --landing-bucket`."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from pipelines.errors import ConfigurationError, PermanentError
from pipelines.intake.wiring_tests import wiring_test_key
from pipelines.wiring.bucket import BucketSettings
from pipelines.wiring.notifications import Notifications
from pipelines.wiring.planning import Output, Wiring
from resources.environment import as_lakegate_error, client

__all__ = ["caller", "land_test_object", "put_wiring", "read_notifications", "read_settings", "switch_versioning_on"]

_NONE_SET = frozenset(
    {
        "NoSuchBucketPolicy",
        "NoSuchLifecycleConfiguration",
        "NoSuchPublicAccessBlockConfiguration",
        "ServerSideEncryptionConfigurationNotFoundError",
    }
)
_DENIED = frozenset({"AccessDenied", "AllAccessDisabled", "403"})
_ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})


def caller() -> tuple[str, str]:
    """The account and the partition (`aws`, `aws-cn` …) of the credentials in use.

    Raises:
        PermanentError, TransientError: AWS does not accept the credentials, or does not answer.
    """
    try:
        answer = client("sts").get_caller_identity()
    except (ClientError, BotoCoreError) as error:
        raise as_lakegate_error(error, "asking AWS whose credentials these are") from error
    return answer["Account"], answer["Arn"].split(":")[1]


def read_settings(bucket: str, owner: str) -> BucketSettings:
    """What there is of the bucket, if it is `owner`'s (an account).

    Raises:
        ConfigurationError: there is no such bucket, or it is not this account's.
        PermanentError, TransientError: AWS's own answer.
    """
    s3: Any = client("s3")
    ours = {"Bucket": bucket, "ExpectedBucketOwner": owner}
    try:
        region = s3.head_bucket(**ours).get("BucketRegion") or s3.get_bucket_location(**ours)["LocationConstraint"]
        versioning = s3.get_bucket_versioning(**ours).get("Status", "")
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in ("404", "NoSuchBucket"):
            raise ConfigurationError(f"There is no bucket {bucket}. Check its name.") from error
        if code in _DENIED:
            raise ConfigurationError(
                f"The bucket {bucket} is another account's, or these credentials may not look at it (s3:ListBucket, "
                "s3:GetBucketVersioning). Lakegate takes files from buckets of its own account only."
            ) from error
        raise as_lakegate_error(error, f"looking at the bucket {bucket}") from error
    except BotoCoreError as error:
        raise as_lakegate_error(error, f"looking at the bucket {bucket}") from error
    unseen: list[str] = []

    def ask(call: Callable[..., Mapping[str, Any]], permission: str) -> Mapping[str, Any] | None:
        try:
            return call(**ours)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _NONE_SET:
                return {}
            if code in _DENIED:
                unseen.append(permission)
                return None
            raise as_lakegate_error(error, f"looking at the bucket {bucket}") from error
        except BotoCoreError as error:
            raise as_lakegate_error(error, f"looking at the bucket {bucket}") from error

    encryption = ask(s3.get_bucket_encryption, "s3:GetEncryptionConfiguration")
    blocked = ask(s3.get_public_access_block, "s3:GetBucketPublicAccessBlock")
    policy = ask(s3.get_bucket_policy, "s3:GetBucketPolicy")
    lifecycle = ask(s3.get_bucket_lifecycle_configuration, "s3:GetLifecycleConfiguration")
    logging = ask(s3.get_bucket_logging, "s3:GetBucketLogging")
    rules = None if lifecycle is None else _rules(lifecycle)
    return BucketSettings(
        name=bucket,
        # S3 API, GetBucketLocation: the first region has no name there, and the second an old one.
        region={"EU": "eu-west-1"}.get(region or "", region or "us-east-1"),
        versioning=versioning,
        kms_key=None if encryption is None else _kms_key(encryption),
        public_access_blocked=None if blocked is None else _is_blocked(blocked),
        refuses_plain_http=None if policy is None else _refuses_plain_http(policy),
        aborts_uploads=None if rules is None else any("AbortIncompleteMultipartUpload" in rule for rule in rules),
        old_versions_days=None if rules is None else _old_versions_days(rules),
        archives_landing=None if rules is None else any(_archives(rule) for rule in rules),
        logs_to=_logs_to(logging) if logging else None,
        unseen=tuple(unseen),
    )


def read_notifications(bucket: str, owner: str) -> Notifications:
    """The bucket's notifications as they are.

    Raises:
        PermanentError, TransientError: AWS's own answer.
    """
    try:
        answer = client("s3").get_bucket_notification_configuration(Bucket=bucket, ExpectedBucketOwner=owner)
    except (ClientError, BotoCoreError) as error:
        raise as_lakegate_error(error, f"reading the notifications of {bucket}") from error
    return Notifications.parse(answer)


def switch_versioning_on(bucket: str, owner: str) -> None:
    """Have the bucket keep versions from now on."""
    try:
        client("s3").put_bucket_versioning(
            Bucket=bucket, ExpectedBucketOwner=owner, VersioningConfiguration={"Status": "Enabled"}
        )
    except (ClientError, BotoCoreError) as error:
        raise as_lakegate_error(error, f"switching versioning on for {bucket}") from error


def put_wiring(wiring: Wiring, bucket: str, owner: str) -> None:
    """Write the notifications, and look whether they are there: S3 has no compare-and-set for them.

    Raises:
        ConfigurationError: somebody else changed them in between, or S3 refuses them; the message says what to do.
        PermanentError, TransientError: AWS's own answer.
    """
    if not read_notifications(bucket, owner).same_as(wiring.before):
        raise ConfigurationError(
            f"The notifications of {bucket} have changed since they were looked at. Nothing was written; plan again."
        )
    try:
        client("s3").put_bucket_notification_configuration(
            Bucket=bucket,
            ExpectedBucketOwner=owner,
            NotificationConfiguration=wiring.after.document(),  # pyright: ignore[reportArgumentType]  # a TypedDict that is read from S3
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "InvalidArgument":
            raise ConfigurationError(
                f"S3 refuses the notifications of {bucket}: {error.response['Error']['Message']}. Nothing was changed. S3 tries "
                "every receiver of a bucket's notifications, also those of others: if one named there is gone, take its configuration out."
            ) from error
        raise as_lakegate_error(error, f"writing the notifications of {bucket}") from error
    except BotoCoreError as error:
        raise as_lakegate_error(error, f"writing the notifications of {bucket}") from error
    if not read_notifications(bucket, owner).same_as(wiring.after):
        raise ConfigurationError(
            f"The notifications of {bucket} are not what was just written: somebody else wrote them at the same moment, and S3 keeps "
            "the last writer's. Plan again, and tell whoever else changes this bucket."
        )


def land_test_object(bucket: str, test_id: str) -> Callable[[], str | None]:
    """Put a test object; what is returned removes it again, and says why not where it cannot.

    Raises:
        PermanentError, TransientError: it cannot be put.
    """
    key = wiring_test_key(test_id)
    try:
        # A bucket that takes each key once asks for the condition; the key is new in any case.
        body = b"A test of the wiring, by Lakegate.\n"
        answer = client("s3").put_object(Bucket=bucket, Key=key, Body=body, IfNoneMatch="*")
    except (ClientError, BotoCoreError) as error:
        raise as_lakegate_error(error, f"putting the test object {key} into {bucket}") from error
    version = {"VersionId": answer["VersionId"]} if "VersionId" in answer else {}

    def remove() -> str | None:
        try:
            client("s3").delete_object(Bucket=bucket, Key=key, **version)
        except (ClientError, BotoCoreError) as error:
            return str(as_lakegate_error(error, f"removing the test object {key} from {bucket}"))
        return None

    return remove


def _kms_key(answer: Mapping[str, Any]) -> str:
    for rule in answer.get("ServerSideEncryptionConfiguration", {}).get("Rules", ()):
        default = rule.get("ApplyServerSideEncryptionByDefault", {})
        if default.get("SSEAlgorithm", "").startswith("aws:kms"):
            # Without an id it is the account's alias/aws/s3, which needs no permission of ours.
            return default.get("KMSMasterKeyID", "")
    return ""


def _is_blocked(answer: Mapping[str, Any]) -> bool:
    block = answer.get("PublicAccessBlockConfiguration", {})
    return len(block) == 4 and all(block.values())


def _refuses_plain_http(answer: Mapping[str, Any]) -> bool:
    try:
        statements = json.loads(answer.get("Policy") or "{}").get("Statement", [])
    except ValueError as error:
        raise PermanentError(f"the bucket's policy is not JSON: {error}") from error
    listed = statements if isinstance(statements, list) else [statements]
    return any(
        statement.get("Effect") == "Deny"
        and str(statement.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport", "")).lower() == "false"
        for statement in listed
    )


def _rules(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [rule for rule in answer.get("Rules", ()) if rule.get("Status") == "Enabled"]


def _old_versions_days(rules: list[Mapping[str, Any]]) -> int:
    days = (
        rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays", 0) for rule in rules if _is_about_files(rule)
    )
    return min((n for n in days if n), default=0)


def _archives(rule: Mapping[str, Any]) -> bool:
    return _is_about_files(rule) and any(step.get("StorageClass") in _ARCHIVES for step in rule.get("Transitions", ()))


def _is_about_files(rule: Mapping[str, Any]) -> bool:
    """Whether a lifecycle rule reaches what lands; our own rule for test objects does not."""
    its = rule.get("Filter", {})
    prefix = rule.get("Prefix") or its.get("Prefix") or its.get("And", {}).get("Prefix") or ""
    return ("landing/".startswith(prefix) or prefix.startswith("landing/")) and prefix != "landing/.lakegate/"


def _logs_to(answer: Mapping[str, Any]) -> Output | None:
    logging = answer.get("LoggingEnabled")
    if not logging:
        return None
    return Output("the bucket's access logs", logging["TargetBucket"], logging.get("TargetPrefix", ""))
