"""What else of a bucket matters to those who let files land in it: said, with what to do, and never changed. Pure."""

from dataclasses import dataclass

from pipelines.wiring.planning import Output

__all__ = ["BucketSettings", "Remark", "remarks"]


@dataclass(frozen=True, slots=True)
class BucketSettings:
    """A bucket as it is. None means that it could not be looked at; `unseen` says which permission was missing for what.

    `versioning` is what S3 calls it: `Enabled`, `Suspended`, or empty where it never was. `kms_key` is the ARN or id of the key
    that encrypts what lands, empty for S3's own keys. `old_versions_days`: after how many days a rule removes versions that were
    replaced; 0 for never. `logs_to` is where S3 writes the bucket's access logs.
    """

    name: str
    region: str
    versioning: str
    kms_key: str | None = ""
    public_access_blocked: bool | None = True
    refuses_plain_http: bool | None = True
    aborts_uploads: bool | None = True
    old_versions_days: int | None = 0
    archives_landing: bool | None = False
    logs_to: Output | None = None
    unseen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Remark:
    """A setting that is not as Lakegate's own bucket has it: what was found, and what to do about it."""

    found: str
    todo: str


def remarks(bucket: BucketSettings) -> tuple[Remark, ...]:
    """What the owner of the bucket may want to change; nothing of it stops Lakegate."""
    name = bucket.name
    made: list[Remark] = []
    if bucket.kms_key:
        made.append(
            Remark(
                "what lands is encrypted with a KMS key of your own",
                "the runs' role needs kms:Decrypt on that key: `lakegate doctor` under that role tries it",
            )
        )
    if bucket.public_access_blocked is False:
        made.append(
            Remark(
                "public access is not blocked",
                f"aws s3api put-public-access-block --bucket {name} --public-access-block-configuration "
                "BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true",
            )
        )
    if bucket.refuses_plain_http is False:
        made.append(
            Remark(
                "requests without TLS are not refused",
                'add a statement to the bucket\'s policy: deny s3:* where "aws:SecureTransport" is false (infra/lakegate.yaml has one)',
            )
        )
    if bucket.aborts_uploads is False:
        made.append(
            Remark(
                "uploads in parts that were given up are kept, and paid for, for ever",
                "add a lifecycle rule with AbortIncompleteMultipartUpload after 7 days",
            )
        )
    if bucket.old_versions_days:
        made.append(
            Remark(
                f"a lifecycle rule removes replaced versions after {bucket.old_versions_days} days",
                "a file that was replaced and waits longer than that cannot be read any more: let the rule wait at least 30 days",
            )
        )
    if bucket.archives_landing:
        made.append(
            Remark(
                "a lifecycle rule moves what landed to an archive",
                "an archived file waits until somebody restores it; a replay of old days needs a restore first",
            )
        )
    made += [Remark(f"not looked at: {what}", "ask for this permission to have it looked at") for what in bucket.unseen]
    return tuple(made)
