"""Plans and deploys Lakegate's CloudFormation stack, on AWS and on a laptop alike, through change sets.

A change set is what makes both honest: `plan` shows it and throws it away, `deploy` runs it. A second `deploy` of the same
template finds an empty one and changes nothing.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from pipelines.errors import ConfigurationError, PermanentError, TransientError
from resources.environment import Deployment, as_lakegate_error, client
from resources.template import as_sent

DEPLOY_LIMIT_S = 900
_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")
_UNUSABLE = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED", "UPDATE_ROLLBACK_FAILED")


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """One change of a change set: `action` is Add, Modify or Remove; `replaces` says the resource is made anew."""

    action: str
    resource: str
    resource_type: str
    replaces: bool

    def __str__(self) -> str:
        """Return the line a person reads in `lakegate setup --plan`."""
        return f"{self.action:<7}{self.resource} ({self.resource_type}){', REPLACED' if self.replaces else ''}"


@dataclass(frozen=True, slots=True)
class DeployResult:
    """The deployment, and what had to be changed for it (nothing, when all was as it should be)."""

    deployment: Deployment
    changes: tuple[PlannedChange, ...]


def plan(
    stack_name: str, template: Path, parameters: Mapping[str, str] | None = None, *, repair: bool = False
) -> tuple[PlannedChange, ...]:
    """Return what `deploy` with the same arguments would change, and change nothing.

    Raises:
        ConfigurationError: the template is refused, or the stack is in a state that cannot be updated.
        TransientError, PermanentError: AWS's own answer.
    """
    change_set, changes = _create_change_set(stack_name, template, parameters or {}, repair=repair)
    _discard(stack_name, change_set)
    return changes


def deploy(
    stack_name: str,
    template: Path,
    parameters: Mapping[str, str] | None = None,
    *,
    needs_versions: bool = True,
    repair: bool = False,
) -> DeployResult:
    """Create or update the stack and wait until it stands; doing it again changes nothing.

    With `repair` what was changed by hand is compared too, and put back; CloudFormation looks at its own list only otherwise.
    Without `needs_versions` the landing bucket may keep none yet: whoever says so sees to it.

    Raises:
        ConfigurationError: the template is refused, the stack cannot be updated, or the landing bucket keeps no versions.
        TransientError, PermanentError: AWS's own answer, or the reason why a resource failed.
    """
    change_set, changes = _create_change_set(stack_name, template, parameters or {}, repair=repair)
    if changes:
        cloudformation = client("cloudformation")
        try:
            cloudformation.execute_change_set(StackName=stack_name, ChangeSetName=change_set)
        except (ClientError, BotoCoreError) as error:
            raise as_lakegate_error(error, f"executing the change set of {stack_name}") from error
        _await_stack(stack_name)
    else:
        _discard(stack_name, change_set)
    deployment = Deployment.from_stack(stack_name)
    if needs_versions:
        require_versioned_landing(deployment)
    return DeployResult(deployment, changes)


def stack_parameters(stack_name: str) -> dict[str, str]:
    """The values of the stack's parameters; empty where there is no stack yet.

    Raises:
        TransientError, PermanentError: AWS's own answer.
    """
    if _stack_status(stack_name) in (None, "REVIEW_IN_PROGRESS", "DELETE_COMPLETE"):
        return {}
    stack = client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"][0]
    return {p["ParameterKey"]: p.get("ParameterValue", "") for p in stack.get("Parameters", ())}


def require_versioned_landing(deployment: Deployment) -> None:
    """Refuse a landing bucket that keeps no versions: a file could change between its event and our read.

    Raises:
        ConfigurationError: versioning is not enabled.
    """
    bucket = deployment.landing_bucket
    try:
        status = client("s3").get_bucket_versioning(Bucket=bucket).get("Status")
    except (ClientError, BotoCoreError) as error:
        raise as_lakegate_error(error, f"reading the versioning of the bucket {bucket}") from error
    if status != "Enabled":
        raise ConfigurationError(
            f"The landing bucket {bucket} keeps no versions (versioning is {status or 'off'}), so a file could change "
            "between its event and our read. Enable it: "
            f"aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration Status=Enabled"
        )


def _create_change_set(
    stack_name: str, template: Path, parameters: Mapping[str, str], *, repair: bool
) -> tuple[str, tuple[PlannedChange, ...]]:
    cloudformation = client("cloudformation")
    status = _stack_status(stack_name)
    if status in _UNUSABLE:
        raise ConfigurationError(
            f"The stack {stack_name} is {status} and cannot be updated. Read its events "
            f"(aws cloudformation describe-stack-events --stack-name {stack_name}), delete it, and run setup again. "
            "Buckets and ledger are kept when a stack is deleted."
        )
    exists = status not in (None, "REVIEW_IN_PROGRESS", "DELETE_COMPLETE")
    kept = _parameters_kept(cloudformation, stack_name, template, parameters) if exists else ()
    name = f"lakegate-{uuid.uuid4().hex[:12]}"
    try:
        cloudformation.create_change_set(
            StackName=stack_name,
            ChangeSetName=name,
            ChangeSetType="UPDATE" if exists else "CREATE",
            TemplateBody=as_sent(template),
            Parameters=[
                *({"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()),
                *({"ParameterKey": key, "UsePreviousValue": True} for key in kept),
            ],
            Capabilities=["CAPABILITY_IAM"],
            # CloudFormation User Guide, "Using drift-aware change sets".
            **({"DeploymentMode": "REVERT_DRIFT"} if exists and repair else {}),
        )
        return name, _await_change_set(cloudformation, stack_name, name)
    except (ClientError, BotoCoreError) as error:
        if isinstance(error, ClientError) and error.response["Error"]["Code"] == "ValidationError":
            raise ConfigurationError(f"{template} was refused: {error.response['Error']['Message']}") from error
        raise as_lakegate_error(error, f"planning the stack {stack_name} from {template}") from error


def _parameters_kept(
    cloudformation: Any, stack_name: str, template: Path, parameters: Mapping[str, str]
) -> tuple[str, ...]:
    """The parameters that keep their values: those of the stack that the template has too and that are not given now.

    CloudFormation would put a parameter that nobody mentions back to its default: a landing bucket that was named once would
    be left for a new one.
    """
    try:
        summary = cloudformation.get_template_summary(TemplateBody=as_sent(template))
        stack = cloudformation.describe_stacks(StackName=stack_name)["Stacks"][0]
    except (ClientError, BotoCoreError) as error:
        if isinstance(error, ClientError) and error.response["Error"]["Code"] == "ValidationError":
            raise ConfigurationError(f"{template} was refused: {error.response['Error']['Message']}") from error
        raise as_lakegate_error(error, f"reading the parameters of the stack {stack_name}") from error
    known = {parameter["ParameterKey"] for parameter in summary.get("Parameters", ())}
    has = {parameter["ParameterKey"] for parameter in stack.get("Parameters", ())}
    return tuple(sorted((known & has) - set(parameters)))


def _await_change_set(cloudformation: Any, stack_name: str, name: str) -> tuple[PlannedChange, ...]:
    deadline = time.monotonic() + DEPLOY_LIMIT_S
    pause_s = 0.1
    while True:
        description = cloudformation.describe_change_set(StackName=stack_name, ChangeSetName=name)
        status, reason = description["Status"], description.get("StatusReason", "")
        if status == "CREATE_COMPLETE":
            return _read_changes(cloudformation, stack_name, name, description)
        if status == "FAILED":
            if any(text in reason for text in _NO_CHANGES):
                return ()
            raise ConfigurationError(f"CloudFormation cannot plan the stack {stack_name}: {reason}")
        if time.monotonic() > deadline:
            raise TransientError(f"The change set of {stack_name} was still {status} after {DEPLOY_LIMIT_S} s.")
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, 5)


def _read_changes(
    cloudformation: Any, stack_name: str, name: str, description: dict[str, Any]
) -> tuple[PlannedChange, ...]:
    raw = list(description.get("Changes", []))
    while token := description.get("NextToken"):
        description = cloudformation.describe_change_set(StackName=stack_name, ChangeSetName=name, NextToken=token)
        raw += description.get("Changes", [])
    changes = (entry["ResourceChange"] for entry in raw)
    return tuple(
        PlannedChange(
            change["Action"], change["LogicalResourceId"], change["ResourceType"], change.get("Replacement") == "True"
        )
        for change in changes
    )


def _await_stack(stack_name: str) -> None:
    deadline = time.monotonic() + DEPLOY_LIMIT_S
    pause_s = 0.1
    while True:
        status = _stack_status(stack_name)
        if status in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"):
            return
        if status is None or not status.endswith("_IN_PROGRESS") or "ROLLBACK" in status:
            raise PermanentError(f"The stack {stack_name} is {status or 'gone'}: {_failures(stack_name)}")
        if time.monotonic() > deadline:
            raise TransientError(f"The stack {stack_name} was still {status} after {DEPLOY_LIMIT_S} s.")
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, 5)


def _stack_status(stack_name: str) -> str | None:
    try:
        return client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"][0]["StackStatus"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            return None
        raise as_lakegate_error(error, f"describing the stack {stack_name}") from error
    except BotoCoreError as error:
        raise as_lakegate_error(error, f"describing the stack {stack_name}") from error


def _failures(stack_name: str) -> str:
    events = client("cloudformation").describe_stack_events(StackName=stack_name)["StackEvents"]
    reasons = [
        f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'no reason given')}"
        for event in events
        if event["ResourceStatus"].endswith("_FAILED")
    ]
    return "; ".join(reversed(reasons)) or "no resource reports a failure"


def _discard(stack_name: str, change_set: str) -> None:
    """Delete a change set that will not run, and the empty stack that planning a new one leaves behind."""
    cloudformation = client("cloudformation")
    try:
        cloudformation.delete_change_set(StackName=stack_name, ChangeSetName=change_set)
        if _stack_status(stack_name) == "REVIEW_IN_PROGRESS":
            cloudformation.delete_stack(StackName=stack_name)
    except (ClientError, BotoCoreError) as error:
        raise as_lakegate_error(error, f"discarding the change set of {stack_name}") from error
