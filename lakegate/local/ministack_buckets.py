"""What ministack lacks of a bucket's own settings, and what its policies do not see; loaded by `ministack_launcher.py`, in ministack's own interpreter.

Like the launcher it imports nothing of Lakegate and is imported by nothing of it.
"""

import importlib
from typing import Any
from urllib.parse import unquote
from xml.etree.ElementTree import Element, SubElement, tostring


def apply() -> None:
    """Correct ministack, before it serves."""
    deploy_encryption()
    refuse_other_owners()
    tell_policies_of_conditional_writes()
    let_services_speak_tls()


def deploy_encryption() -> None:
    """Let CloudFormation set a bucket's encryption, which ministack's does not (AWS::S3::Bucket, BucketEncryption)."""
    provisioners: Any = importlib.import_module("ministack.services.cloudformation.provisioners")
    s3: Any = importlib.import_module("ministack.services.s3")
    settings = ("BucketEncryption", _encryption_xml, s3._put_bucket_encryption, s3._delete_bucket_encryption)
    provisioners._S3_BUCKET_CONFIGURATIONS = (*provisioners._S3_BUCKET_CONFIGURATIONS, settings)


def _encryption_xml(encryption: dict[str, Any]) -> bytes:
    root = Element("ServerSideEncryptionConfiguration")
    for given in encryption["ServerSideEncryptionConfiguration"]:
        rule = SubElement(root, "Rule")
        default = SubElement(rule, "ApplyServerSideEncryptionByDefault")
        for name in ("SSEAlgorithm", "KMSMasterKeyID"):
            if value := given["ServerSideEncryptionByDefault"].get(name):
                SubElement(default, name).text = str(value)
        SubElement(rule, "BucketKeyEnabled").text = str(given.get("BucketKeyEnabled", False)).lower()
    return tostring(root)


def refuse_other_owners() -> None:
    """Answer 403 where a request names another owner of a bucket than it has, which ministack does not look at.

    Amazon S3 User Guide, "Verifying bucket ownership with bucket owner condition".
    """
    s3: Any = importlib.import_module("ministack.services.s3")
    dispatch = s3._dispatch

    def dispatch_to_owner(method: str, bucket: str, key: str, headers: dict[str, str], *more: Any) -> Any:
        source = unquote(headers.get("x-amz-copy-source", "")).lstrip("/").partition("/")[0]
        named = (
            (bucket, headers.get("x-amz-expected-bucket-owner")),
            (source, headers.get("x-amz-source-expected-bucket-owner")),
        )
        for name, owner in named:
            if owner and s3._bucket_owner_account(name) not in (None, owner):
                return s3._error("AccessDenied", "Access Denied", 403, f"/{bucket}")
        return dispatch(method, bucket, key, headers, *more)

    s3._dispatch = dispatch_to_owner


def tell_policies_of_conditional_writes() -> None:
    """Let a policy see whether a write is conditional and whether it makes an object, which ministack's do not.

    Amazon S3 User Guide, "Enforce conditional writes on Amazon S3 buckets": the beginning and the parts of an upload in parts make none.
    """
    actions: Any = importlib.import_module("ministack.core.iam_actions")
    context_of = actions.s3_service_context

    def with_conditions(
        action: str, query: dict[str, Any] | None, path: str = "", headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        context = context_of(action, query, path, headers)
        if action == "s3:PutObject":
            makes_none = {"uploads", "partNumber"} & set(query or {})
            context["s3:objectcreationoperation"] = str(not makes_none).lower()
            if condition := (headers or {}).get("if-none-match"):
                context["s3:if-none-match"] = condition
        return context

    actions.s3_service_context = with_conditions


def let_services_speak_tls() -> None:
    """Let what a service sends be TLS to a policy, as between AWS's own services: else no event passes one that refuses plain HTTP."""
    evaluator: Any = importlib.import_module("ministack.core.iam_evaluator")
    resolve = evaluator._resolve_condition_key

    def resolve_for_services(key: str, context: Any) -> Any:
        if key.lower() == "aws:securetransport" and context.principal_type == "Service":
            return "true"
        return resolve(key, context)

    evaluator._resolve_condition_key = resolve_for_services
