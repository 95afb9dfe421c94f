"""The item store on DynamoDB: one table (`pk`, `sk`) and one sparse index `due` (`due_pk`, `due_sk`), as the template makes it.

Conditional writes go through TransactWriteItems, also single ones: botocore sends a client token with it, so that its own
retry after a lost answer cannot be refused by what the first attempt wrote (DynamoDB API, TransactWriteItems, "Idempotency").
"""

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, assert_never

from botocore.exceptions import BotoCoreError, ClientError

from pipelines.errors import PermanentError, TransientError
from pipelines.ports import (
    Absent,
    Change,
    Check,
    Condition,
    Delete,
    Equals,
    Item,
    ItemKey,
    ItemValue,
    LessThan,
    OneOf,
    Page,
    Present,
    Put,
    Refused,
    Update,
    Written,
)
from resources.environment import as_lakegate_error

__all__ = ["DynamoItemStore"]

_INDEX = "due"
_KEYS_A_READ = 100
_READERS = 8
_ATTEMPTS = 8
_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 1.0
# Another transaction is on the same item, or the table is throttled: the same transaction may pass a moment later.
_PASSING = frozenset(
    {"TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError", "RequestLimitExceeded"}
)


class DynamoItemStore:
    """Items in a DynamoDB table. The client is shared between threads; reads are consistent, but those of the index."""

    def __init__(self, client: Any, table: str, pause: Callable[[float], None] = time.sleep) -> None:
        """`client` is boto3's for dynamodb; `pause` waits between attempts."""
        self._client = client
        self._table = table
        self._pause = pause

    def get(self, keys: Sequence[ItemKey]) -> Mapping[ItemKey, Item]:
        """The items that exist, by key; beyond a hundred keys, read by several threads at once."""
        wanted = list(dict.fromkeys(keys))
        pieces = [wanted[i : i + _KEYS_A_READ] for i in range(0, len(wanted), _KEYS_A_READ)]
        found: dict[ItemKey, Item] = {}
        if len(pieces) == 1:
            found.update(self._get(pieces[0]))
        elif pieces:
            with ThreadPoolExecutor(min(_READERS, len(pieces)), thread_name_prefix="ledger-read") as pool:
                for piece in pool.map(self._get, pieces):
                    found.update(piece)
        return found

    def _get(self, keys: Sequence[ItemKey]) -> dict[ItemKey, Item]:
        asked: Any = {self._table: {"Keys": [_encode_key(key) for key in keys], "ConsistentRead": True}}
        found: dict[ItemKey, Item] = {}
        for attempt in range(_ATTEMPTS):
            try:
                answer = self._client.batch_get_item(RequestItems=asked)
            except (ClientError, BotoCoreError) as error:
                raise as_lakegate_error(error, f"reading {len(keys)} items of {self._table}") from error
            if "Responses" not in answer:
                raise TransientError(f"reading {len(keys)} items of {self._table}: the answer was cut short")
            for raw in answer["Responses"].get(self._table, ()):
                item = _decode_item(raw)
                found[ItemKey(str(item["pk"]), str(item["sk"]))] = item
            asked = answer.get("UnprocessedKeys")
            if not asked:
                return found
            self._pause(_delay(attempt))
        raise TransientError(f"reading {len(keys)} items of {self._table}: throttled {_ATTEMPTS} times in a row")

    def query(
        self,
        pk: str,
        *,
        prefix: str = "",
        upto: str | None = None,
        limit: int = 1000,
        start: str | None = None,
        descending: bool = False,
    ) -> Page:
        """Items of one partition in sort-key order: those whose sort key has the prefix and is at most `upto`."""
        if upto is not None and upto < prefix:
            return Page((), None)
        condition, values = "#p = :pk", {":pk": {"S": pk}}
        names = {"#p": "pk"}
        if upto is not None and prefix:
            condition += " AND #s BETWEEN :prefix AND :upto"
            values |= {":prefix": {"S": prefix}, ":upto": {"S": upto}}
        elif upto is not None:
            condition += " AND #s <= :upto"
            values |= {":upto": {"S": upto}}
        elif prefix:
            condition += " AND begins_with(#s, :prefix)"
            values |= {":prefix": {"S": prefix}}
        if upto is not None or prefix:
            names["#s"] = "sk"
        page = self._query(condition, names, values, limit, start, ScanIndexForward=not descending, ConsistentRead=True)
        if upto is not None and prefix:
            return Page(tuple(item for item in page.items if str(item["sk"]).startswith(prefix)), page.next)
        return page

    def query_due(
        self,
        due_pk: str,
        *,
        since: str | None = None,
        upto: str | None = None,
        limit: int = 1000,
        start: str | None = None,
        descending: bool = False,
    ) -> Page:
        """Items whose `due_pk` equals this, in `due_sk` order from `since` up to `upto`; eventually consistent."""
        condition, names, values = "#p = :pk", {"#p": "due_pk"}, {":pk": {"S": due_pk}}
        bounds = {name: {"S": bound} for name, bound in ((":since", since), (":upto", upto)) if bound is not None}
        if bounds:
            both, one = "#s BETWEEN :since AND :upto", "#s >= :since" if since is not None else "#s <= :upto"
            condition += f" AND {both if len(bounds) > 1 else one}"
            names["#s"] = "due_sk"
            values.update(bounds)
        forward = not descending
        return self._query(condition, names, values, limit, start, IndexName=_INDEX, ScanIndexForward=forward)

    def scan(self, *, limit: int = 1000, start: str | None = None) -> Page:
        """Every item once, in any order. Reads the whole table: for migrations alone."""
        more = {"ExclusiveStartKey": json.loads(start)} if start is not None else {}
        try:
            answer = self._client.scan(TableName=self._table, ConsistentRead=True, Limit=limit, **more)
        except (ClientError, BotoCoreError) as error:
            raise as_lakegate_error(error, f"scanning {self._table}") from error
        return _page(answer, f"scanning {self._table}")

    def _query(
        self,
        condition: str,
        names: Mapping[str, str],
        values: Mapping[str, Any],
        limit: int,
        start: str | None,
        **more: Any,
    ) -> Page:
        if start is not None:
            more["ExclusiveStartKey"] = json.loads(start)
        try:
            answer = self._client.query(
                TableName=self._table,
                KeyConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
                Limit=limit,
                **more,
            )
        except (ClientError, BotoCoreError) as error:
            raise as_lakegate_error(error, f"querying {self._table} for {values[':pk']['S']}") from error
        return _page(answer, f"querying {self._table} for {values[':pk']['S']}")

    def write(self, changes: Sequence[Change]) -> Written | Refused:
        """Make all changes or none.

        Raises TransientError when the outcome is unknown, or other transactions were on the same items too often.
        """
        requests = [_encode_change(change, self._table) for change in changes]
        doing = f"writing {len(changes)} changes to {self._table}"
        for attempt in range(_ATTEMPTS):
            try:
                self._client.transact_write_items(TransactItems=requests)
                return Written()
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") != "TransactionCanceledException":
                    raise as_lakegate_error(error, doing) from error
                reasons = [reason.get("Code", "None") for reason in error.response.get("CancellationReasons", ())]
                refused = tuple(i for i, reason in enumerate(reasons) if reason == "ConditionalCheckFailed")
                if refused:
                    return Refused(refused)
                if not any(reason in _PASSING for reason in reasons):
                    raise PermanentError(f"{doing}: {error}") from error
            except BotoCoreError as error:
                raise as_lakegate_error(error, doing) from error
            self._pause(_delay(attempt))
        raise TransientError(f"{doing}: other transactions were on the same items {_ATTEMPTS} times in a row")


def _page(answer: Mapping[str, Any], doing: str) -> Page:
    items = answer.get("Items")
    if items is None or answer.get("Count") != len(items):
        # The SDK takes a body that is cut short for an answer without anything in it.
        raise TransientError(f"{doing}: the answer was cut short")
    last = answer.get("LastEvaluatedKey")
    return Page(tuple(_decode_item(raw) for raw in items), json.dumps(last, separators=(",", ":")) if last else None)


def _delay(attempt: int) -> float:
    return random.uniform(0.5, 1.0) * min(_FIRST_PAUSE_S * 2**attempt, _LONGEST_PAUSE_S)  # noqa: S311 - spreads retries, keeps no secret


# ---- values -------------------------------------------------------------------------------------------------------


def _encode(value: ItemValue) -> dict[str, Any]:
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": value}
        case int():
            return {"N": str(value)}
        case list():
            return {"L": [_encode(v) for v in value]}
        case dict():
            return {"M": {name: _encode(v) for name, v in value.items()}}
        case _ as never:
            assert_never(never)


def _decode(raw: Mapping[str, Any]) -> ItemValue:
    ((kind, value),) = raw.items()
    match kind:
        case "S" | "BOOL":
            return value
        case "N":
            return int(value)
        case "NULL":
            return None
        case "L":
            return [_decode(v) for v in value]
        case "M":
            return {name: _decode(v) for name, v in value.items()}
        case _:
            raise PermanentError(f"the table holds a value of DynamoDB type {kind}, which Lakegate never writes")


def _decode_item(raw: Mapping[str, Any]) -> Item:
    return {name: _decode(value) for name, value in raw.items()}


def _encode_key(key: ItemKey) -> dict[str, Any]:
    return {"pk": {"S": key.pk}, "sk": {"S": key.sk}}


# ---- changes ------------------------------------------------------------------------------------------------------


class _Expression:
    """Collects the names and values that an expression refers to."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.values: dict[str, Any] = {}

    def name(self, attribute: str) -> str:
        for alias, known in self.names.items():
            if known == attribute:
                return alias
        alias = f"#n{len(self.names)}"
        self.names[alias] = attribute
        return alias

    def value(self, value: ItemValue) -> str:
        alias = f":v{len(self.values)}"
        self.values[alias] = _encode(value)
        return alias

    def condition(self, conditions: Sequence[Condition]) -> str:
        return " AND ".join(self._one(condition) for condition in conditions)

    def _one(self, condition: Condition) -> str:
        match condition:
            case Absent(attribute=attribute):
                return f"attribute_not_exists({self.name(attribute or 'pk')})"
            case Present():
                return f"attribute_exists({self.name('pk')})"
            case Equals(attribute=attribute, value=value):
                return f"{self.name(attribute)} = {self.value(value)}"
            case OneOf(attribute=attribute, values=values):
                return f"{self.name(attribute)} IN ({', '.join(self.value(value) for value in values)})"
            case LessThan(attribute=attribute, value=value):
                name = self.name(attribute)
                return f"(attribute_not_exists({name}) OR {name} < {self.value(value)})"
            case _ as never:
                assert_never(never)

    def into(self, request: dict[str, Any], conditions: Sequence[Condition]) -> dict[str, Any]:
        if conditions:
            request["ConditionExpression"] = self.condition(conditions)
        if self.names:
            request["ExpressionAttributeNames"] = self.names
        if self.values:
            request["ExpressionAttributeValues"] = self.values
        return request


def _encode_change(change: Change, table: str) -> dict[str, Any]:
    expression = _Expression()
    match change:
        case Put():
            item = {**{name: _encode(value) for name, value in change.item.items()}, **_encode_key(change.key)}
            return {"Put": expression.into({"TableName": table, "Item": item}, change.conditions)}
        case Delete():
            return {"Delete": expression.into({"TableName": table, "Key": _encode_key(change.key)}, change.conditions)}
        case Check():
            request = {"TableName": table, "Key": _encode_key(change.key)}
            return {"ConditionCheck": expression.into(request, change.conditions)}
        case Update():
            parts: list[str] = []
            if change.set_:
                sets = [f"{expression.name(name)} = {expression.value(v)}" for name, v in change.set_.items()]
                parts.append("SET " + ", ".join(sets))
            if change.add:
                adds = [f"{expression.name(name)} {expression.value(v)}" for name, v in change.add.items()]
                parts.append("ADD " + ", ".join(adds))
            if change.remove:
                parts.append("REMOVE " + ", ".join(expression.name(name) for name in change.remove))
            request = {"TableName": table, "Key": _encode_key(change.key), "UpdateExpression": " ".join(parts)}
            return {"Update": expression.into(request, change.conditions)}
        case _ as never:
            assert_never(never)
