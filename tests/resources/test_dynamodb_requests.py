"""What goes over the wire to DynamoDB is what botocore would have sent; only cheaper."""

import json
from typing import Any

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config

from pipelines.ports import Absent, Delete, Equals, ItemKey, ItemValue, Put, Update, Written
from resources.dynamodb import DynamoItemStore
from resources.dynamodb_requests import send_as_written

KEY = ItemKey("object#ä\u0000\U0001f600", "version#1")


class _Wire:
    """A client whose requests end here; each is answered alike."""

    def __init__(self, answers: list[tuple[int, dict[str, Any]]], *, as_written: bool) -> None:
        self.client: Any = boto3.client(
            "dynamodb",
            region_name="eu-central-1",
            aws_access_key_id="a",
            aws_secret_access_key="b",
            config=Config(parameter_validation=not as_written, retries={"mode": "standard", "total_max_attempts": 3}),
        )
        self.sent: list[AWSPreparedRequest] = []
        self._answers = answers
        if as_written:
            send_as_written(self.client)
        self.client.meta.events.register("before-send.dynamodb", self._answer)

    def _answer(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        self.sent.append(request)
        status, said = self._answers[min(len(self.sent), len(self._answers)) - 1]

        class Raw:
            def stream(self, *_: object, **__: object) -> Any:
                yield json.dumps(said).encode()

        return AWSResponse(request.url, status, {"content-type": "application/x-amz-json-1.0"}, Raw())

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(request.body) for request in self.sent]


def _use(store: DynamoItemStore) -> None:
    item: dict[str, ItemValue] = {
        "a": "ä\ud83d\ude00",
        "n": 2**62,
        "none": None,
        "yes": True,
        "list": [1, ["x"]],
        "map": {"m": {"n": 1}},
    }
    changes = [
        Put(KEY, item, (Absent(),)),
        Update(ItemKey("b", "c"), set_={"x": 1}, add={"y": 2}, remove=("z",), conditions=(Equals("revision", 3),)),
        Delete(ItemKey("d", "e")),
    ]
    assert store.write(changes) == Written()
    store.get([KEY, ItemKey("b", "c")])
    store.query(KEY.pk, prefix="version#", limit=7)
    store.query_due("due#x#01", since="2024", upto="2025", descending=True)


def test_the_same_requests_as_botocores_own() -> None:
    answer = {"Responses": {}, "Items": [], "Count": 0}
    plain, ours = (_Wire([(200, answer)], as_written=flag) for flag in (False, True))
    for wire in (plain, ours):
        _use(DynamoItemStore(wire.client, "ledger"))
    tokens = [wire.bodies[0].pop("ClientRequestToken", None) for wire in (plain, ours)]
    sent = [[{k: v for k, v in body.items() if k != "ClientRequestToken"} for body in w.bodies] for w in (plain, ours)]
    assert sent[0] == sent[1]
    assert all(tokens)
    assert tokens[0] != tokens[1]
    for mine, theirs in zip(ours.sent, plain.sent, strict=True):
        assert mine.url == theirs.url
        assert mine.headers["X-Amz-Target"] == theirs.headers["X-Amz-Target"]
        assert mine.headers["Content-Type"] == theirs.headers["Content-Type"]
        assert int(mine.headers["Content-Length"]) == len(mine.body)


def test_a_transaction_that_is_sent_again_is_the_same_one() -> None:
    wire = _Wire([(500, {"__type": "InternalServerError"}), (200, {})], as_written=True)
    DynamoItemStore(wire.client, "ledger").write([Delete(KEY)])
    first, second = wire.bodies
    assert first == second
    assert first["ClientRequestToken"]


def test_a_token_of_the_callers_own_is_kept() -> None:
    wire = _Wire([(200, {})], as_written=True)
    wire.client.transact_write_items(TransactItems=[], ClientRequestToken="mine")
    assert wire.bodies == [{"TransactItems": [], "ClientRequestToken": "mine"}]
