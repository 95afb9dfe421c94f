"""Messages are read as what they are. A case is a body and, beside it, what it must come out as: adding one needs no Python."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.intake.events import Foreign, Notification, TestEvent, Unintelligible, parse_message
from pipelines.intake.objects import Sequencer
from tests.reading.support import SHARED

CASES = Path(__file__).parent / "events"
OURS = "our-landing"
AWS_EVENTS = SHARED / "conformance" / "aws_events"
BODIES = sorted(path for path in CASES.glob("*.json") if not path.name.endswith(".expected.json"))


@pytest.mark.parametrize("path", BODIES, ids=lambda path: path.stem)
def test_a_body_comes_out_as_expected(path: Path) -> None:
    expected = json.loads(path.with_suffix(".expected.json").read_text())
    found = parse_message(path.read_text(), OURS)
    assert type(found).__name__ == expected["is"], found
    match found:
        case Notification():
            assert found.foreign == expected["foreign"]
            assert len(found.events) == len(expected["events"])
            for event, wanted in zip(found.events, expected["events"], strict=True):
                told = {
                    "kind": event.kind.value,
                    "key": event.key,
                    "version_id": event.version_id,
                    "sequencer": event.sequencer.number if event.sequencer else None,
                    "size_bytes": event.size_bytes,
                    "at": event.at.isoformat(),
                    "marker": event.marker,
                }
                assert {**told, **wanted} == told
        case TestEvent():
            assert found.bucket == expected["bucket"]
        case Foreign():
            assert list(found.buckets) == expected["buckets"]
        case Unintelligible():
            assert expected["reason"] in found.reason


@pytest.mark.parametrize(
    "body",
    [
        "",
        "\0",
        "null",
        "NaN",
        '{"Records": [NaN]}',
        "[" * 500_000,
        '{"a":' * 100_000,
        '{"Records":' + "[" * 100_000,
        "x" * 1_048_576,
        '"' + "\\ud800" * 1000 + '"',
        "{" + '"a": 1,' * 10,
        "9" * 100_000,
        '{"Records": ' + "9" * 10_000 + "}",
        "y" * 2_000_000,
        '{"Type": "Notification", "Message": "' + "[" * 100_000 + '"}',
    ],
    ids=range(15),
)
def test_garbage_is_unintelligible_and_never_an_error(body: str) -> None:
    found = parse_message(body, OURS)
    assert isinstance(found, Unintelligible)
    assert 0 < len(found.reason) < 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(st.data())
def test_any_part_of_a_message_may_be_anything(data: st.DataObject) -> None:
    body: Any = json.loads(data.draw(st.sampled_from(BODIES)).read_text())
    place = body
    while isinstance(place, dict | list) and place:
        key = data.draw(st.sampled_from(sorted(place)) if isinstance(place, dict) else st.integers(0, len(place) - 1))
        if data.draw(st.booleans()):
            place[key] = data.draw(JSON)
            break
        place = place[key]
    parse_message(json.dumps(body), OURS)


@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    parse_message(text, OURS)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200))
def test_a_key_that_s3_has_encoded_is_decoded_to_itself(key: str) -> None:
    from urllib.parse import quote_plus

    body = json.loads((CASES / "s3_created.json").read_text())
    body["Records"][0]["s3"]["object"]["key"] = quote_plus(key, safe="/")
    found = parse_message(json.dumps(body), OURS)
    assert isinstance(found, Notification) or len(key.encode()) > 1024
    if isinstance(found, Notification):
        assert found.events[0].key == key


def test_sequencers_of_different_length_are_ordered_as_numbers() -> None:
    # AWS's own samples: the first is of 2021, the second of 2023. As texts they would stand the other way round.
    assert Sequencer.parse("617f08299329d189") < Sequencer.parse("0064D3901D00059242")


# ---- bodies that others published ---------------------------------------------------------------------------------

needs_samples = pytest.mark.skipif(
    not AWS_EVENTS.is_dir(), reason="the recorded AWS events are not beside the checkout"
)

# What each of Powertools' samples is to us: the file is the body, but where it is what Lambda is handed.
POWERTOOLS = {
    "eventBridgeEvent": "Unintelligible",
    "kinesisFirehoseSQSEvent": "Unintelligible",
    "s3BatchOperationEventSchemaV1": "Unintelligible",
    "s3BatchOperationEventSchemaV2": "Unintelligible",
    "s3Event": "Unintelligible",  # no versionId
    "s3EventBridgeNotificationObjectCreatedEvent": "Unintelligible",  # no version-id
    "s3EventBridgeNotificationObjectDeletedEvent": "removed",
    "s3EventBridgeNotificationObjectExpiredEvent": "removed",
    "s3EventBridgeNotificationObjectRestoreCompletedEvent": "restored",
    "s3EventDecodedKey": "Unintelligible",  # "Happy Sequencer"
    "s3EventDeleteObject": "removed",
    "s3EventGlacier": "Unintelligible",  # ObjectCreated:Put without versionId, whatever its name
    "s3ObjectEventIAMUser": "Unintelligible",
    "s3ObjectEventTempCredentials": "Unintelligible",
    "s3SqsEvent": "created",
    "sesEvent": "Unintelligible",
    "snsEvent": "Unintelligible",
    "snsSqsEvent": "Unintelligible",  # SNS of "hello world"
    "snsSqsFifoEvent": "Unintelligible",
    "sqsDlqTriggerEvent": "Unintelligible",
    "sqsEvent": "Unintelligible",
}


def bodies_in(path: Path) -> list[str]:
    """The message bodies of a sample: what Lambda is handed for a queue holds several."""
    document = json.loads(path.read_text())
    records = document.get("Records") if isinstance(document, dict) else None
    if records and "body" in records[0]:
        return [record["body"] for record in records]
    return [path.read_text()]


def bucket_named_in(text: str) -> str:
    """The bucket that a sample speaks of: ours, for this test."""
    document = json.loads(text)
    if isinstance(document, dict) and "detail" in document:
        return document["detail"].get("bucket", {}).get("name", OURS)
    try:
        return document["Records"][0]["s3"]["bucket"]["name"]
    except (KeyError, TypeError):
        return OURS


@needs_samples
def test_every_sample_of_powertools_comes_out_as_the_right_variant() -> None:
    paths = sorted((AWS_EVENTS / "powertools").glob("*.json"))
    assert {path.stem for path in paths} == set(POWERTOOLS)
    for path in paths:
        for body in bodies_in(path):
            try:
                ours = bucket_named_in(body)
            except ValueError:
                ours = OURS
            found = parse_message(body, ours)
            kind = found.events[0].kind.value if isinstance(found, Notification) else type(found).__name__
            assert kind == POWERTOOLS[path.stem], (path.name, found)


@needs_samples
def test_samples_of_other_buckets_are_foreign() -> None:
    body = bodies_in(AWS_EVENTS / "powertools" / "s3SqsEvent.json")[0]
    assert parse_message(body, OURS) == Foreign(("xxx",))


PLACEHOLDERS = {
    "sequencer": "0067C2F1A0B1C2D3E4",
    "object-sequencer": "0067C2F1A0B1C2D3E4",
    "date": "2026-03-01T12:34:56.789Z",
}


def filled(value: Any) -> Any:
    """A recorded answer with values in the places of its placeholders; the version id that the recorder dropped is put back."""
    if isinstance(value, dict):
        out = {name: filled(inner) for name, inner in value.items()}
        if "key" in out and ("sequencer" in out or "etag" in out or "eTag" in out):
            version = "versionId" if "eTag" in out or "s3" in value else "version-id"
            out.setdefault(version, "v1")
            out.setdefault("versionId", "v1")
        return out
    if isinstance(value, list):
        return [filled(inner) for inner in value]
    return PLACEHOLDERS.get(value, value) if isinstance(value, str) else value


def recorded(value: Any, found: list[Any]) -> list[Any]:
    """Everything in a recording that is a message body, or a record that came in one."""
    if isinstance(value, dict):
        if value.get("Type") == "Notification":
            found.append(
                {**value, "Message": json.dumps(value["Message"])} if isinstance(value.get("Message"), dict) else value
            )
        elif "detail-type" in value or "Records" in value or value.get("Event") == "s3:TestEvent":
            found.append(value)
        elif "eventSource" in value:
            found.append({"Records": [value]})
        else:
            for inner in value.values():
                recorded(inner, found)
    elif isinstance(value, list):
        for inner in value:
            recorded(inner, found)
    return found


@needs_samples
@pytest.mark.parametrize(("name", "least"), [("eventbridge", 14), ("sns", 3), ("sqs", 25)])
def test_everything_recorded_against_real_aws_is_understood(name: str, least: int) -> None:
    path = AWS_EVENTS / "localstack_recorded" / f"test_s3_notifications_{name}.snapshot.json"
    messages = recorded(filled(json.loads(path.read_text())), [])
    assert len(messages) >= least
    kinds = {
        "Object Created": "created", "Object Deleted": "removed", "Object Restore Completed": "restored",
        "ObjectCreated": "created", "ObjectRemoved": "removed", "ObjectRestore:Completed": "restored",
    }  # fmt: skip
    for message in messages:
        inner = json.loads(message["Message"]) if "Message" in message else message
        if "detail-type" in inner:
            bucket, told = inner["detail"]["bucket"]["name"], [inner["detail-type"]]
        else:
            bucket = inner["Records"][0]["s3"]["bucket"]["name"]
            told = [record["eventName"] for record in inner["Records"]]
        found = parse_message(json.dumps(message), bucket)
        assert isinstance(found, Notification), (found, message)
        wanted = [kinds.get(n) or kinds.get(n.split(":")[0], "other") for n in told]
        assert [event.kind.value for event in found.events] == wanted
        assert parse_message(json.dumps(message), OURS) == Foreign((bucket,))
