"""What ministack lacks of the way from a bucket to a queue, and of the ledger's back-ups; loaded by `ministack_launcher.py`, in ministack's own interpreter.

Like the launcher it imports nothing of Lakegate and is imported by nothing of it.
"""

import contextvars
import importlib
import json
import logging
from typing import Any

log = logging.getLogger("lakegate.ministack")


def apply() -> None:
    """Correct ministack, before it serves."""
    tell_eventbridge_as_s3_does()
    deploy_recovery()


def tell_eventbridge_as_s3_does() -> None:
    """Put the version id into S3's events for EventBridge, and hold what EventBridge sends to a queue against the queue's policy.

    Amazon S3 User Guide, "EventBridge event message structure"; Amazon EventBridge User Guide, "Using resource-based policies".
    """
    s3: Any = importlib.import_module("ministack.services.s3")
    eventbridge: Any = importlib.import_module("ministack.services.eventbridge")
    sqs: Any = importlib.import_module("ministack.services.sqs")
    fire, send, invoke = s3._fire_s3_event, eventbridge._dispatch_event, eventbridge._invoke_target
    version_id: contextvars.ContextVar[str | None] = contextvars.ContextVar("version_id", default=None)

    def fire_with_version(*arguments: Any, **how: Any) -> None:
        token = version_id.set(how.get("version_id"))
        try:
            fire(*arguments, **how)
        finally:
            version_id.reset(token)

    def send_with_version(event: dict[str, Any], *more: Any) -> Any:
        if event.get("Source") == "aws.s3" and version_id.get():
            detail = json.loads(event["Detail"])
            detail["object"]["version-id"] = version_id.get()
            event = {**event, "Detail": json.dumps(detail)}
        return send(event, *more)

    def invoke_if_allowed(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], *more: Any) -> None:
        arn = target.get("Arn", "")
        account = arn.split(":")[4] if arn.count(":") >= 5 else ""
        if ":sqs:" in arn and not sqs.queue_policy_allows(arn, "events.amazonaws.com", rule["Arn"], account):
            log.warning("the policy of %s does not let the rule %s send", arn, rule["Arn"])
            return
        invoke(target, event, rule, *more)

    s3._fire_s3_event = fire_with_version
    eventbridge._dispatch_event = send_with_version
    eventbridge._invoke_target = invoke_if_allowed


def deploy_recovery() -> None:
    """Let CloudFormation switch a table's point-in-time recovery on or off (AWS::DynamoDB::Table, PointInTimeRecoverySpecification)."""
    provisioners: Any = importlib.import_module("ministack.services.cloudformation.provisioners")
    dynamodb: Any = importlib.import_module("ministack.services.dynamodb")
    handlers = provisioners._RESOURCE_HANDLERS["AWS::DynamoDB::Table"]
    create, update = handlers["create"], handlers["update"]

    def recovering(name: str, properties: dict[str, Any]) -> None:
        if wanted := properties.get("PointInTimeRecoverySpecification"):
            on = str(wanted.get("PointInTimeRecoveryEnabled")).lower() == "true"
            given = {"PointInTimeRecoveryEnabled": on}
            dynamodb._update_continuous_backups({"TableName": name, "PointInTimeRecoverySpecification": given})

    def create_recovering(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        made = create(logical_id, properties, stack)
        recovering(made[0], properties)
        return made

    def update_recovering(physical_id: str, old: dict[str, Any], new: dict[str, Any], *more: Any, **how: Any) -> Any:
        made = update(physical_id, old, new, *more, **how)
        recovering(made[0], new)
        return made

    handlers.update(create=create_recovering, update=update_recovering)
