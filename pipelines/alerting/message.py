"""The message that carries alerts: one alert, or a digest of many. Pure.

Names come from strangers. In `text` they stand escaped, in one line each; in `chat` they stand as code, so that a chat
program neither formats them nor follows what they say (`<!channel>`, `@all`).
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipelines.alerting.conditions import Condition, Item, counted
from pipelines.alerting.deciding import Due, Event
from pipelines.ports import AlertMessage

__all__ = ["SCHEMA_VERSION", "compose"]

SCHEMA_VERSION = 1
_SUBJECT = 100
_IN_FULL = 10
_IN_ONE_LINE = 40
_ITEMS_IN_DIGEST = 3
_NAMES_IN_SUBJECT = 3
_NO_DATASET = "the deployment"


@dataclass(frozen=True, slots=True)
class _Style:
    """How a name of a stranger's is shown, and a sentence of ours that may hold one."""

    name: Callable[[str], str]
    words: Callable[[str], str]


def compose(dues: Sequence[Due], now: datetime, *, left_out: int = 0) -> AlertMessage:
    """The message of these alerts, at least one; of many, the first are told in full, others in a line.

    `left_out`: how many more conditions there are of which nothing can be told.
    """
    named = dues[: _IN_FULL + _IN_ONE_LINE]
    items = None if len(dues) == 1 else _ITEMS_IN_DIGEST
    left_out += len(dues) - len(named)
    subject = _ascii(f"Lakegate: {_what(dues[0])}" if len(dues) == 1 else _digest_subject(dues))
    text = _body(named, subject, left_out, items, _PLAIN)
    document: dict[str, Any] = {
        "version": SCHEMA_VERSION,
        "id": _id(dues),
        "sent_at": now.isoformat(timespec="seconds"),
        "subject": subject,
        "alerts": [_document(due, items, in_full=n < _IN_FULL) for n, due in enumerate(named)],
        "left_out": left_out,
    }
    severities = [due.condition.severity for due in dues if due.condition]
    attributes = {
        "dataset": _distinct(due.known.dataset for due in dues),
        "owner": _distinct(due.known.owner for due in dues),
        "kind": _distinct(due.known.kind.value for due in dues),
        "reason": _distinct(due.known.reason for due in named),
        "event": _distinct(due.event.value for due in dues),
        "severity": (min(severities, key=lambda s: s.rank).value if severities else "info",),
    }
    return AlertMessage(
        id=document["id"],
        subject=subject,
        text=text,
        chat=_body(named, subject, left_out, items, _CHAT),
        document=document,
        attributes={name: values for name, values in attributes.items() if values},
    )


def _id(dues: Sequence[Due]) -> str:
    """The same for the same news: a message whose answer was lost is sent again under it."""
    told = sorted(f"{d.key}|{d.event}|{d.known.since.isoformat()}|{d.before.times if d.before else 0}" for d in dues)
    return hashlib.sha256("\n".join(told).encode("utf-8", "surrogatepass")).hexdigest()[:24]


# ---- words


def _what(due: Due) -> str:
    """One alert in a few words."""
    who = f"{due.known.dataset}: " if due.known.dataset else ""
    if due.condition is None:
        return f"{who}over: {due.known.kind.over} ({due.known.reason})"
    before = ""
    if due.before and due.event in (Event.AGAIN, Event.WORSE) and due.before.count != due.condition.count:
        before = f" ({due.before.count:,} when last told)"
    still = "still " if due.event is Event.STILL else ""
    return f"{who}{still}{due.condition.headline}{before}"


def _digest_subject(dues: Sequence[Due]) -> str:
    names = list(dict.fromkeys(due.known.dataset or _NO_DATASET for due in dues))
    more = f" and {len(names) - _NAMES_IN_SUBJECT} more" if len(names) > _NAMES_IN_SUBJECT else ""
    return f"Lakegate: {counted(len(dues), 'alert')}: {', '.join(names[:_NAMES_IN_SUBJECT])}{more}"


def _body(dues: Sequence[Due], subject: str, left_out: int, items: int | None, style: _Style) -> str:
    full = ["\n".join(_full(due, items, style)) for due in dues[:_IN_FULL]]
    rest = [f"- {style.words(_what(due))}" for due in dues[_IN_FULL:]]
    if left_out:
        rest.append(
            f"- and {counted(left_out, 'more condition')}; `lakegate alerts` and `lakegate status` show what is wrong"
        )
    head = [] if len(dues) == 1 else [subject]
    return "\n\n".join([*head, *full, *(["\n".join(rest)] if rest else [])])


def _full(due: Due, most: int | None, style: _Style) -> list[str]:
    known, condition = due.known, due.condition
    owner = f" Owner: {known.owner}." if known.owner else ""
    if condition is None:
        told = f"It began {_at(known.since)} and was not seen any more from {_at(known.absent_since or known.since)}."
        reason = f"{known.kind.value}, {style.words(known.reason)}"
        return [style.words(_what(due)), f"{told} It was: {reason}.{owner}"]
    newest = f", the newest {_at(condition.newest)}" if condition.newest and condition.count > 1 else ""
    lines = [style.words(_what(due)), f"Since {_at(min(known.since, condition.since))}{newest}.{owner}"]
    lines.append(f"What happened: {style.words(condition.happened)}")
    shown = condition.items if most is None else condition.items[:most]
    lines.extend(f"- {_line(item, style)}" for item in shown)
    if shown and condition.count > len(shown):
        lines.append(f"- and {condition.count - len(shown):,}{' or more' if condition.is_capped else ''} others")
    lines.append(f"What to do: {condition.todo}")
    lines.extend(f"{label}: {address}" for label, address in condition.links.items())
    return lines


def _line(item: Item, style: _Style) -> str:
    line = f", line {item.line:,}" if item.line is not None else ""
    column = f", column {style.name(item.column)}" if item.column else ""
    told = f" (quarantine id {item.id})" if item.id else ""
    link = f" {item.url}" if item.url else ""
    return f"{style.name(item.name)}{line}{column}{told}{link}"


def _code(text: str) -> str:
    return f"`{_entities(text).replace('`', chr(39))}`"


def _entities(text: str) -> str:
    """As Slack wants it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _unheard(text: str) -> str:
    """The same, and nobody is called by it: a space without width stands behind each `@`."""
    return _entities(text).replace("@", "@\u200b")


_PLAIN = _Style(str, str)
_CHAT = _Style(_code, _unheard)


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _ascii(text: str) -> str:
    shown = text.encode("ascii", "backslashreplace").decode()
    return shown if len(shown) <= _SUBJECT else f"{shown[: _SUBJECT - 3]}..."


# ---- for programs


def _document(due: Due, most: int | None, *, in_full: bool) -> dict[str, Any]:
    known, condition = due.known, due.condition
    told: dict[str, Any] = {
        "event": due.event.value,
        "kind": known.kind.value,
        "dataset": known.dataset,
        "owner": known.owner,
        "reason": known.reason,
        "severity": condition.severity.value if condition else "info",
        "what": _what(due),
        "since": known.since.isoformat(timespec="seconds"),
        "count": condition.count if condition else 0,
        "count_is_at_least": condition.is_capped if condition else False,
        "count_when_last_told": due.before.count if due.before else None,
    }
    if condition is not None and in_full:
        told |= _more(condition, most)
    return told


def _more(condition: Condition, most: int | None) -> dict[str, Any]:
    shown = condition.items if most is None else condition.items[:most]
    return {
        "newest": condition.newest.isoformat(timespec="seconds") if condition.newest else None,
        "happened": condition.happened,
        "todo": condition.todo,
        "items": [_item(item) for item in shown],
        "links": dict(condition.links),
    }


def _item(item: Item) -> dict[str, Any]:
    told = {"name": item.name, "line": item.line, "column": item.column, "id": item.id, "url": item.url}
    return {name: value for name, value in told.items() if value is not None}


def _distinct(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))
