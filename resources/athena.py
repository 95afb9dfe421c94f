"""Asks Athena: one query, its rows as an Arrow table with the types Athena gave them.

The same code asks the laptop's Athena; which one it is says the environment.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
from botocore.exceptions import BotoCoreError, ClientError

from pipelines.errors import LakegateError, QueryFailedError, TransientError
from pipelines.ports import QueryResult
from resources.environment import Deployment, as_lakegate_error, client

QUERY_LIMIT_S = 1800
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0
# Athena's error category 1 is a fault of the system, for which trying again is the remedy.
_SYSTEM_FAULT = 1


class AthenaQueryEngine:
    """Runs queries in the operators' workgroup, or the analysts' where the deployment names no other, over its Glue database."""

    def __init__(self, deployment: Deployment, *, limit_s: float = QUERY_LIMIT_S) -> None:
        """Name the deployment; a query that runs longer than `limit_s` is stopped."""
        self._deployment = deployment
        self._limit_s = limit_s

    def query(self, sql: str, parameters: Sequence[object] = ()) -> QueryResult:
        """Run one SELECT and return all its rows; each `?` in it takes one of the parameters.

        Rows come in pages of 1,000: this is for answers a person reads, not for exports.

        Raises:
            QueryFailedError: Athena refused the query or it failed; the message is Athena's reason.
            TransientError: Athena was not reachable, the fault was its own, or the query took too long (it is stopped).
            PermanentError: Athena may not be used with these credentials.
        """
        execution_id = self._start(sql, parameters)
        try:
            execution = self._await(execution_id)
        except BaseException:
            self._stop(execution_id)
            raise
        statistics = execution.get("Statistics", {})
        return QueryResult(
            table=self._fetch(execution_id, has_header=execution.get("StatementType") == "DML"),
            scanned_bytes=statistics.get("DataScannedInBytes", 0),
            milliseconds=statistics.get("TotalExecutionTimeInMillis", 0),
        )

    def _start(self, sql: str, parameters: Sequence[object]) -> str:
        request: dict[str, Any] = {
            "QueryString": sql,
            "QueryExecutionContext": {"Database": self._deployment.glue_database, "Catalog": "AwsDataCatalog"},
            "WorkGroup": self._deployment.operator_workgroup or self._deployment.athena_workgroup,
        }
        if parameters:
            request["ExecutionParameters"] = [as_literal(value) for value in parameters]
        try:
            return client("athena").start_query_execution(**request)["QueryExecutionId"]
        except (ClientError, BotoCoreError) as error:
            raise _as_query_error(error, "starting a query") from error

    def _await(self, execution_id: str) -> dict[str, Any]:
        deadline = time.monotonic() + self._limit_s
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                execution = client("athena").get_query_execution(QueryExecutionId=execution_id)["QueryExecution"]
            except (ClientError, BotoCoreError) as error:
                raise _as_query_error(error, f"asking for the query {execution_id}") from error
            status = execution["Status"]
            if status["State"] == "SUCCEEDED":
                return execution
            if status["State"] in ("FAILED", "CANCELLED"):
                reason = status.get("StateChangeReason") or f"the query was {status['State'].lower()}"
                fault = status.get("AthenaError", {}).get("ErrorCategory") == _SYSTEM_FAULT
                raise TransientError(reason) if fault else QueryFailedError(reason)
            if time.monotonic() > deadline:
                raise TransientError(
                    f"The query {execution_id} was still {status['State']} after {self._limit_s:.0f} s."
                )
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)

    def _stop(self, execution_id: str) -> None:
        """Stop a query nobody waits for any more; one that has ended, or cannot be reached, needs no stopping."""
        try:
            client("athena").stop_query_execution(QueryExecutionId=execution_id)
        except (ClientError, BotoCoreError):
            return

    def _fetch(self, execution_id: str, *, has_header: bool) -> pa.Table:
        columns: list[dict[str, Any]] = []
        rows: list[list[str | None]] = []
        try:
            for page in client("athena").get_paginator("get_query_results").paginate(QueryExecutionId=execution_id):
                columns = page["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
                rows += [[cell.get("VarCharValue") for cell in row["Data"]] for row in page["ResultSet"]["Rows"]]
        except (ClientError, BotoCoreError) as error:
            raise _as_query_error(error, f"fetching the rows of the query {execution_id}") from error
        texts = list(zip(*rows[1 if has_header else 0 :], strict=True)) or [()] * len(columns)
        arrays = [_typed(column, values) for column, values in zip(columns, texts, strict=True)]
        return pa.Table.from_arrays(arrays, names=[column["Name"] for column in columns])


def as_literal(value: object) -> str:
    """Return a value as the SQL literal that Athena takes for an execution parameter.

    Raises:
        QueryFailedError: it is of a type that has no literal.
    """
    match value:
        case None:
            return "NULL"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return f"DOUBLE '{value!r}'"
        case Decimal():
            return f"DECIMAL '{value:f}'"
        case str():
            return "'" + value.replace("'", "''") + "'"
        case datetime():
            zone = " UTC" if value.tzinfo else ""
            moment = value.astimezone(UTC) if value.tzinfo else value
            return f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S.%f}{zone}'"
        case date():
            return f"DATE '{value.isoformat()}'"
        case _:
            raise QueryFailedError(f"A query takes no parameter of the type {type(value).__name__}: {value!r}")


def _as_query_error(error: ClientError | BotoCoreError, doing: str) -> LakegateError:
    if isinstance(error, ClientError) and error.response["Error"]["Code"] == "InvalidRequestException":
        return QueryFailedError(error.response["Error"]["Message"])
    return as_lakegate_error(error, doing)


_CONVERSIONS: dict[str, tuple[pa.DataType, Callable[[str], Any]]] = {
    "boolean": (pa.bool_(), lambda text: text == "true"),
    "tinyint": (pa.int8(), int),
    "smallint": (pa.int16(), int),
    "integer": (pa.int32(), int),
    "bigint": (pa.int64(), int),
    "float": (pa.float32(), float),
    "double": (pa.float64(), float),
    "date": (pa.date32(), date.fromisoformat),
    "timestamp": (pa.timestamp("us"), datetime.fromisoformat),
    "timestamp with time zone": (pa.timestamp("us", "UTC"), lambda text: _instant(text)),
    "varbinary": (pa.binary(), bytes.fromhex),
}


def _typed(column: dict[str, Any], texts: Sequence[str | None]) -> pa.Array:
    """Return a column's texts as values; arrays, maps and rows stay the text Athena shows."""
    if column["Type"] == "decimal":
        arrow_type: pa.DataType = pa.decimal128(column["Precision"], column["Scale"])
        convert: Callable[[str], Any] = Decimal
    else:
        arrow_type, convert = _CONVERSIONS.get(column["Type"], (pa.string(), str))
    return pa.array([None if text is None else convert(text) for text in texts], arrow_type)


def _instant(text: str) -> datetime:
    """Return Athena's `2013-01-01 10:00:00.000000 UTC` as an aware moment; a zone may be an offset or a name."""
    moment, _, zone = text.rpartition(" ")
    if zone.upper() in ("UTC", "Z"):
        return datetime.fromisoformat(moment).replace(tzinfo=UTC)
    if zone.startswith(("+", "-")):
        return datetime.fromisoformat(moment + zone).astimezone(UTC)
    from zoneinfo import ZoneInfo

    return datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
