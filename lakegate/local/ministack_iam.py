"""What ministack's IAM lacks, and a question it can be asked; loaded by `ministack_launcher.py`, by ministack's own interpreter.

Like the launcher it must import nothing of Lakegate. Corrected: `aws:PrincipalArn` of a session is the role's ARN and not the session's;
`aws:PrincipalIsAWSService` is known; `aws:ResourceAccount` of a bucket is the account that owns it, whoever asks. SQS's batch actions need
the right to the action on one message, Glue's that to the database or table they
name, and moves of messages that to the queue they empty. Sessions outlive a restart.

`POST /_lakegate/authorize` is for the laptop's Athena, which stands beside ministack and has no caller's secret: it passes on a
request as it was signed, with the actions and resources it is about to use, and is told whether that caller may.
Sources: IAM User Guide, "AWS global condition context keys"; Amazon SQS Developer Guide, "Amazon SQS API permissions: Actions and resource
reference"; Service Authorization Reference, "AWS Glue".
"""

import importlib
import json
from typing import Any

AUTHORIZE_PATH = "/_lakegate/authorize"
_S3_ARN = "arn:aws:s3:::"


def apply() -> None:
    """Correct ministack, before it serves."""
    complete_condition_keys()
    authorize_batches()
    name_resources()
    keep_sessions()


def keep_sessions() -> None:
    """Let sessions outlive a restart, as every other state does: whoever has one goes on with it."""
    sts: Any = importlib.import_module("ministack.services.sts")

    def get_state() -> dict[str, Any]:
        return {"sessions": dict(sts._sessions)}

    def load_persisted_state(state: dict[str, Any]) -> None:
        sts._sessions.update(state.get("sessions", {}))

    get_state.__module__ = sts.__name__  # by which the snapshots find the service
    sts.get_state, sts.load_persisted_state = get_state, load_persisted_state


def authorize_batches() -> None:
    """Let SQS's batch actions be authorized as the actions they repeat."""
    actions: Any = importlib.import_module("ministack.core.iam_actions")
    extract = actions.extract_iam_action

    def extracted(*request: Any, **more: Any) -> str | None:
        action = extract(*request, **more)
        return action.removesuffix("Batch") if action and action.startswith("sqs:") else action

    actions.extract_iam_action = extracted


def name_resources() -> None:
    """Let Glue's actions be authorized on the database or table they name, and moves of messages on the queue they empty."""
    actions: Any = importlib.import_module("ministack.core.iam_actions")
    extract = actions.extract_resource_arn

    def extracted(
        service: str,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        parameters: Any,
        region: str,
        account: str,
    ) -> str:
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        if service == "sqs" and action.endswith(("MessageMoveTask", "MessageMoveTasks")):
            return json.loads(body or b"{}").get("SourceArn") or "*"
        if service == "glue" and action:
            return f"arn:aws:glue:{region}:{account}:{_glue_resource(action, json.loads(body or b'{}'))}"
        return extract(service, method, path, headers, body, parameters, region, account)

    actions.extract_resource_arn = extracted


def _glue_resource(action: str, request: dict[str, Any]) -> str:
    if action.endswith("Database"):
        return f"database/{request.get('Name') or request.get('DatabaseInput', {}).get('Name', '')}"
    database = request.get("DatabaseName")
    if not database:
        return "catalog"
    by_name = action.endswith(("Table", "TableVersion", "TableVersions")) and request.get("Name")
    table = request.get("TableName") or by_name or request.get("TableInput", {}).get("Name")
    return f"table/{database}/{table}" if table else f"database/{database}"


def complete_condition_keys() -> None:
    """Let ministack's evaluator answer the three condition keys as AWS does."""
    evaluator: Any = importlib.import_module("ministack.core.iam_evaluator")
    resolve = evaluator._resolve_condition_key

    def completed(key: str, context: Any) -> Any:
        name = key.lower()
        if name == "aws:principalarn" and ":assumed-role/" in context.principal_arn:
            return _role_arn(context.principal_arn)
        if name == "aws:principalisawsservice":
            return "true" if context.principal_type == "Service" else "false"
        if name in ("aws:resourceaccount", "s3:resourceaccount") and context.resource_arn.startswith(_S3_ARN):
            return _bucket_owner(context.resource_arn, context.principal_account)
        return resolve(key, context)

    evaluator._resolve_condition_key = completed


async def answer_authorize(app_module: Any, receive: Any, send: Any) -> None:
    """Answer one POST to AUTHORIZE_PATH: `{}` when all checks pass, else `{"code", "message", "action", "resource"}` of the first that fails."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    answer = _first_refusal(app_module, json.loads(body)) if app_module.AUTH else {}
    content = json.dumps(answer).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _first_refusal(app_module: Any, question: dict[str, Any]) -> dict[str, str]:
    evaluator: Any = importlib.import_module("ministack.core.iam_evaluator")
    actions: Any = importlib.import_module("ministack.core.iam_actions")
    responses: Any = importlib.import_module("ministack.core.responses")
    router: Any = importlib.import_module("ministack.core.router")
    headers = {name.lower(): value for name, value in question["headers"]}
    key = router.extract_access_key_id(headers, {})
    region = router.extract_region(headers, {})
    responses.set_request_account_id(app_module._request_account_scope(key))
    responses.set_request_region(region)
    evaluator.pin_signed_request(
        "POST", "/", {}, [(name.encode("latin-1"), value.encode("latin-1")) for name, value in question["headers"]]
    )
    evaluator.pin_signed_body(question["body"].encode())
    account = responses.get_account_id()
    for action, pattern in question["checks"]:
        resource = pattern.replace("{account}", account).replace("{region}", region)
        refused = evaluator.enforce(key, action, action.split(":")[0], region, resource_arn=resource)
        if isinstance(refused, evaluator.AuthError):
            return {"code": refused.code, "message": refused.message, "action": action, "resource": resource}
        if refused is not None:
            message = actions.identity_denial_message(
                action, refused.principal_arn, resource, refused.decision == "Deny"
            )
            return {"code": "AccessDeniedException", "message": message, "action": action, "resource": resource}
    return {}


def _role_arn(session_arn: str) -> str:
    """Return `arn:aws:iam::<account>:role/<path and name>` for `arn:aws:sts::<account>:assumed-role/<name>/<session>`."""
    iam: Any = importlib.import_module("ministack.services.iam")
    account, name = session_arn.split(":")[4], session_arn.split("/")[1]
    role = iam._roles.get_scoped(account, None, name) or {}
    return role.get("Arn", f"arn:aws:iam::{account}:role/{name}")


def _bucket_owner(arn: str, asking: str) -> str:
    """Return the account that owns the bucket; the asking one where nobody does, for then there is nothing to guard."""
    s3: Any = importlib.import_module("ministack.services.s3")
    bucket = arn.removeprefix(_S3_ARN).split("/", 1)[0]
    owners = {account for account, name in s3._buckets._data if name == bucket}
    return asking if not owners or asking in owners else min(owners)
