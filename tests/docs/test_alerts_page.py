"""docs/alerts.md holds to the code: its example is what is sent, its tables name every kind, event and attribute."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from pipelines.alerting.conditions import Kind, Severity
from pipelines.alerting.deciding import AlertPolicy, Due, Event, due_alerts
from pipelines.alerting.looking import look_at_gate
from pipelines.alerting.memory import Memory
from pipelines.alerting.message import compose
from pipelines.links import Links
from pipelines.ports import AlertMessage
from resources.alerts import signature
from tests.ingest.world import BAD, World, orders_key

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "alerts.md").read_text(encoding="utf-8")


def example() -> AlertMessage:
    """Two bad files, told a minute later."""
    world = World()
    world.put(orders_key("0900"), BAD)
    world.put(orders_key("1000"), b"id,amount\n1,much\n")
    world.settle_down()
    world.clock.turn(60)
    links = Links("https://dagster.example.org", "https://github.com/example/lakegate/blob/main/docs")
    now, policy = world.clock(), AlertPolicy()
    look = look_at_gate(replace(world.gate(), links=links), Memory(), now)
    [due] = due_alerts(Memory().after(look, now, ["sns"], policy.settle), look.conditions, "sns", now, policy)
    assert isinstance(due, Due)
    return compose([due], now)


def block(kind: str) -> str:
    [found] = re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)
    return found


def test_the_document_on_the_page_is_what_is_sent() -> None:
    message = example()
    assert json.loads(block("json")) == message.document


def test_the_text_on_the_page_is_what_is_sent() -> None:
    message = example()
    assert block("text").rstrip("\n") == f"Subject: {message.subject}\n\n{message.text}"


def test_the_page_names_every_kind_event_severity_and_attribute() -> None:
    named = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    assert {kind.value for kind in Kind} - {"test"} <= named
    assert {event.value for event in Event} <= named
    assert set(example().attributes) <= named
    assert all(f"`{severity.value}`" in PAGE for severity in Severity)


def test_the_signature_on_the_page_is_checked_as_it_says() -> None:
    code = block("python")
    scope: dict[str, object] = {}
    exec(code, scope)
    valid = scope["is_lakegates"]
    header = signature("secret", 1_700_000_000, b"{}")
    assert valid(b"secret", header, b"{}", now=1_700_000_100)  # type: ignore[operator]
    assert not valid(b"other", header, b"{}", now=1_700_000_100)  # type: ignore[operator]
    assert not valid(b"secret", header, b"{ }", now=1_700_000_100)  # type: ignore[operator]
    assert not valid(b"secret", header, b"{}", now=1_700_009_000)  # type: ignore[operator]
