"""The message: what people read, what programs read, and that nothing of a stranger's acts in either."""

from __future__ import annotations

import json
import string
from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from pipelines.alerting.conditions import Condition, Item, Kind, Severity, short, without_account
from pipelines.alerting.deciding import Due, Event
from pipelines.alerting.memory import Known, Told
from pipelines.alerting.message import compose
from pipelines.ports import AlertMessage
from tests.alerting.rounds import HOUR, NOON, files, paused


def due(condition: Condition, event: Event = Event.NEW, before: Told | None = None) -> Due:
    known = Known(condition.kind, condition.dataset, condition.reason, condition.since, condition.owner)
    return Due(event, known, condition, before)


def message(*dues: Due, left_out: int = 0) -> AlertMessage:
    return compose(dues, NOON + HOUR, left_out=left_out)


def test_the_text_says_what_since_when_how_many_which_and_what_to_do() -> None:
    found = message(due(files(12, newest=NOON + timedelta(minutes=5))))
    lines = found.text.split("\n")
    assert lines[:4] == [
        "orders: 12 files in quarantine: type",
        "Since 2026-02-01 12:00 UTC, the newest 2026-02-01 12:05 UTC. Owner: team:orders.",
        "What happened: The contract was broken.",
        "- landing/orders/0.csv, line 3, column amount (quarantine id 0000000000000000)",
    ]
    assert lines[13:] == ["- and 2 others", "What to do: Send it again.", "docs: docs/operating.md"]
    assert found.subject == "Lakegate: orders: 12 files in quarantine: type"


def test_the_document_is_as_docs_alerts_md_describes_it() -> None:
    told = Told(NOON, 5, NOON, 1)
    document = message(due(files(12, newest=NOON + HOUR), Event.AGAIN, told)).document
    [alert] = document["alerts"]  # type: ignore[misc]
    assert {**document, "alerts": []} == {
        "version": 1,
        "id": document["id"],
        "sent_at": "2026-02-01T13:00:00+00:00",
        "subject": "Lakegate: orders: 12 files in quarantine: type (5 when last told)",
        "alerts": [],
        "left_out": 0,
    }
    items = alert.pop("items")
    assert alert == {
        "event": "again",
        "kind": "quarantine",
        "dataset": "orders",
        "owner": "team:orders",
        "reason": "type",
        "severity": "warning",
        "what": "orders: 12 files in quarantine: type (5 when last told)",
        "since": "2026-02-01T12:00:00+00:00",
        "newest": "2026-02-01T13:00:00+00:00",
        "count": 12,
        "count_is_at_least": False,
        "count_when_last_told": 5,
        "happened": "The contract was broken.",
        "todo": "Send it again.",
        "links": {"docs": "docs/operating.md"},
    }
    assert len(items) == 10
    assert items[0] == {"name": "landing/orders/0.csv", "line": 3, "column": "amount", "id": "0" * 16}


def test_what_is_over_says_what_it_was() -> None:
    known = Known(Kind.QUARANTINE, "orders", "type", NOON, "team:orders", NOON + HOUR)
    found = message(Due(Event.OVER, known, None, Told(NOON, 3, None, 1)))
    assert found.text.split("\n") == [
        "orders: over: none of the files is in quarantine any more (type)",
        "It began 2026-02-01 12:00 UTC and was not seen any more from 2026-02-01 13:00 UTC. It was: quarantine, type. Owner: team:orders.",
    ]
    assert found.attributes["severity"] == ("info",)
    assert found.attributes["event"] == ("over",)


def test_attributes_carry_dataset_owner_kind_reason_event_and_the_worst_severity() -> None:
    found = message(due(files(1)), due(paused()), due(replace(paused(), dataset=None, owner=None, reason="x")))
    assert found.attributes == {
        "dataset": ("orders", "flights"),
        "owner": ("team:orders", "team:flights"),
        "kind": ("quarantine", "paused"),
        "reason": ("type", "breaker", "x"),
        "event": ("new",),
        "severity": ("error",),
    }


def test_of_very_many_the_first_are_told_in_full_others_in_a_line_the_rest_is_counted() -> None:
    found = message(*(due(files(9, f"d{n:03d}")) for n in range(150)), left_out=4)
    assert found.text.count("What to do:") == 10
    assert found.text.count("in quarantine: type") == 50
    assert found.text.endswith("- and 104 more conditions; `lakegate alerts` and `lakegate status` show what is wrong")
    assert found.document["left_out"] == 104
    alerts = found.document["alerts"]
    assert ["items" in alert for alert in alerts] == [True] * 10 + [False] * 40  # type: ignore[attr-defined]
    assert len(alerts[0]["items"]) == 3  # type: ignore[index]


def test_what_is_sent_over_sns_stays_below_its_256_kilobytes_whatever_the_names() -> None:
    worst = Item(short("\x1b漢" * 600), 10**9, short("漢" * 500), "f" * 16, "https://dagster.example.org/" + "x" * 100)
    condition = replace(files(9), happened="漢" * 500, todo="x" * 500, items=(worst,) * 10)
    found = message(*(due(replace(condition, dataset=f"{'d' * 60}{n}", reason="漢" * 120)) for n in range(200)))
    document = json.dumps(found.document, ensure_ascii=False)
    whole = json.dumps({"default": document, "email": found.text, "sms": found.subject}, ensure_ascii=False)
    assert len(whole.encode()) + len(json.dumps(found.attributes).encode()) < 256_000


def test_in_a_chat_nobody_is_called_and_nothing_is_formatted_by_a_name() -> None:
    hostile = "landing/<!channel>/`@all` *b* [x](http://evil)&.csv"
    bad = replace(files(1), items=(Item(short(hostile)),), happened="It says <!here> @channel & more.")
    found = message(due(bad))
    assert "- `landing/&lt;!channel&gt;/'@all' *b* [x](http://evil)&amp;.csv`" in found.chat
    assert "It says &lt;!here&gt; @\u200bchannel &amp; more." in found.chat
    assert f"- {hostile}" in found.text


def test_names_are_one_line_and_escaped() -> None:
    assert short("a\nb\x1b[31m\u202e\udcff") == "a\\nb\\x1b[31m\\u202e\\udcff"
    assert len(short("x" * 2000)) == 160


def test_account_ids_are_left_out_of_errors_and_numbers_within_names_are_not() -> None:
    assert without_account("arn:aws:sns:us-east-1:123456789012:t") == "arn:aws:sns:us-east-1:…:t"
    assert without_account("s3://lakegate-landing-123456789012-us-east-1/k") == "s3://lakegate-landing-…-us-east-1/k"
    assert without_account("batch x123456789012 1234567890123") == "batch x123456789012 1234567890123"


@given(st.text(), st.text(max_size=200), st.sampled_from(list(Severity)))
def test_a_subject_is_what_sns_takes_whatever_the_words(dataset: str, headline: str, severity: Severity) -> None:
    condition = replace(files(1), dataset=short(dataset), headline=short(headline), severity=severity)
    subject = message(due(condition)).subject
    assert len(subject) <= 100
    assert set(subject) <= set(string.printable) - set("\r\n\t\x0b\x0c")
