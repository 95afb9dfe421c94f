"""Whether a queue's or topic's policy lets a service send, and whether it lets others, too. Pure.

Only what such policies are made of is understood; a condition that is not is counted as unmet, and named.
Source: AWS Identity and Access Management User Guide, "IAM JSON policy elements: Condition".
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Sender", "Sending", "may_send"]


@dataclass(frozen=True, slots=True)
class Sender:
    """A service that sends on behalf of something: of a bucket, a topic or a rule. `account` is None where the service tells none."""

    service: str
    source_arn: str
    account: str | None


@dataclass(frozen=True, slots=True)
class Sending:
    """`allowed`, or why not. `open_to` names statements that let everybody's bucket, topic or rule send, too."""

    allowed: bool
    why: str = ""
    open_to: tuple[str, ...] = ()


def may_send(policy: str | None, sender: Sender, action: str, resource: str) -> Sending:
    """Read a resource policy (JSON text; None or empty where there is none) as AWS would for one sender."""
    if not policy:
        return Sending(allowed=False, why="there is no policy")
    try:
        document: Any = json.loads(policy)
        listed: Any = document.get("Statement", []) if isinstance(document, dict) else None
    except ValueError:
        listed = None
    statements = listed if isinstance(listed, list) else [listed]
    if not all(isinstance(statement, dict) for statement in statements):
        return Sending(allowed=False, why="the policy cannot be read")
    reasons: list[str] = []
    allowed = False
    open_to: list[str] = []
    for number, statement in enumerate(statements, 1):
        name = str(statement.get("Sid") or f"statement {number}")
        if not (
            _names(statement.get("Principal"), sender.service)
            and _one_matches(statement.get("Action"), action, ignore_case=True)
            and _one_matches(statement.get("Resource"), resource)
        ):
            continue
        unmet = _unmet(statement.get("Condition") or {}, sender)
        if statement.get("Effect") == "Deny":
            if unmet is None:
                return Sending(allowed=False, why=f"{name} denies it")
            continue
        if unmet is None:
            allowed = True
        else:
            reasons.append(f"{name} lets only {unmet} send")
        if not _is_bound(statement.get("Condition") or {}):
            open_to.append(name)
    if allowed:
        return Sending(allowed=True, open_to=tuple(open_to))
    return Sending(allowed=False, why="; ".join(reasons) or f"no statement lets {sender.service} send")


def _names(principal: Any, service: str) -> bool:
    if principal == "*":
        return True
    if not isinstance(principal, dict):
        return False
    services, everybody = _listed(principal.get("Service")), _listed(principal.get("AWS"))
    return service in services or "*" in services or "*" in everybody


def _one_matches(patterns: Any, text: str, *, ignore_case: bool = False) -> bool:
    return any(_matches(pattern, text, ignore_case=ignore_case) for pattern in _listed(patterns))


def _matches(pattern: str, text: str, *, ignore_case: bool = False) -> bool:
    expression = "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in pattern)
    return re.fullmatch(expression, text, re.IGNORECASE if ignore_case else 0) is not None


_TESTS: Mapping[str, Callable[[str, str], bool]] = {
    "stringequals": lambda wanted, found: wanted == found,
    "stringequalsignorecase": lambda wanted, found: wanted.lower() == found.lower(),
    "stringlike": lambda wanted, found: _matches(wanted, found),
    "arnequals": lambda wanted, found: _matches(wanted, found),
    "arnlike": lambda wanted, found: _matches(wanted, found),
    "bool": lambda wanted, found: wanted.lower() == found,
}


def _unmet(conditions: Mapping[str, Any], sender: Sender) -> str | None:
    """What the first condition that does not hold wants; None when all hold."""
    # Services send over TLS.
    told = {"aws:sourcearn": sender.source_arn, "aws:sourceaccount": sender.account, "aws:securetransport": "true"}
    for operator, wants in conditions.items():
        plain, if_there = operator.lower().removesuffix("ifexists"), operator.lower().endswith("ifexists")
        for key, wanted in wants.items():
            found = told.get(key.lower())
            values = [str(value) for value in _listed(wanted)]
            shown = f"{key} {' or '.join(values)}"
            if found is None:
                if if_there and key.lower() in told:
                    continue
                return f"{shown} (which {sender.service} does not tell)"
            test = _TESTS.get(plain)
            if test is None or not any(test(value, found) for value in values):
                return shown
    return None


def _is_bound(conditions: Mapping[str, Any]) -> bool:
    """Whether a condition says where what is sent must come from."""
    keys = {
        key.lower()
        for operator, wants in conditions.items()
        if not operator.lower().endswith("ifexists")
        for key in wants
    }
    return bool(
        keys & {"aws:sourcearn", "aws:sourceaccount", "aws:sourceowner", "aws:principalorgid", "aws:sourceorgid"}
    )


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str | Mapping) else [value]
