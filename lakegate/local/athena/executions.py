"""The life of a query: queued, running, succeeded, failed or cancelled, and what is known of it afterwards.

Queries run in a few threads. Their history is kept in memory, the newest thousand; their results are in S3, as Athena's are.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from lakegate.local.athena import output
from lakegate.local.athena.authorization import Caller, on_behalf_of, require_catalog
from lakegate.local.athena.engine import Cancellation, run
from lakegate.local.athena.failures import ExecutionFailedError, InvalidRequestError
from lakegate.local.athena.results import PAGE_ROWS, ResultColumn, from_csv, page
from lakegate.local.athena.tables import columns_of, find_table
from lakegate.local.athena.translation import Query, Show, TableReference, parse
from pipelines.errors import LakegateError
from resources.environment import client

WORKERS = 4
HISTORY = 1000
_ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")
log = logging.getLogger("lakegate.athena")


@dataclass(slots=True)
class Execution:
    """One query and all that is known of it; `folder` is where its results go, times are in seconds since the epoch."""

    id: str
    sql: str
    parameters: list[str]
    database: str
    workgroup: str
    folder: str
    statement: Query | Show
    submitted_at: float
    caller: Caller | None = None
    state: str = "QUEUED"
    error: ExecutionFailedError | None = None
    started_at: float = 0
    completed_at: float | None = None
    scanned_bytes: int = 0
    written: output.Written | None = None
    columns: tuple[ResultColumn, ...] = ()
    lines: list[list[str]] | None = None
    cancellation: Cancellation = field(default_factory=Cancellation)

    def describe(self) -> dict[str, Any]:
        """Return the `QueryExecution` of the API."""
        status: dict[str, Any] = {"State": self.state, "SubmissionDateTime": self.submitted_at}
        if self.completed_at is not None:
            status["CompletionDateTime"] = self.completed_at
        if self.error is not None:
            status["StateChangeReason"] = str(self.error)
            status["AthenaError"] = {
                "ErrorCategory": self.error.category,
                "ErrorType": self.error.error_type,
                "ErrorMessage": str(self.error),
                "Retryable": False,
            }
        ended_at = self.completed_at or time.time()
        statistics: dict[str, Any] = {
            "EngineExecutionTimeInMillis": int((ended_at - self.started_at) * 1000) if self.started_at else 0,
            "QueryQueueTimeInMillis": int((self.started_at - self.submitted_at) * 1000) if self.started_at else 0,
            "TotalExecutionTimeInMillis": int((ended_at - self.submitted_at) * 1000),
            "DataScannedInBytes": self.scanned_bytes,
        }
        if self.written is not None and self.written.manifest is not None:
            statistics["DataManifestLocation"] = self.written.manifest
        location = self.written.location if self.written else f"{self.folder}/{self.id}.csv"
        description: dict[str, Any] = {
            "QueryExecutionId": self.id,
            "Query": self.sql,
            "StatementType": str(self.statement.kind),
            "ResultConfiguration": {"OutputLocation": location},
            "QueryExecutionContext": {"Database": self.database, "Catalog": "awsdatacatalog"},
            "Status": status,
            "Statistics": statistics,
            "WorkGroup": self.workgroup,
            "EngineVersion": {"SelectedEngineVersion": "AUTO", "EffectiveEngineVersion": "Athena engine version 3"},
        }
        if self.parameters:
            description["ExecutionParameters"] = self.parameters
        return description


class Executions:
    """All queries of this server."""

    def __init__(self) -> None:
        self._by_id: dict[str, Execution] = {}
        self._by_token: dict[str, str] = {}
        self._lock = threading.Lock()
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="query")

    def start(self, request: dict[str, Any], caller: Caller | None = None) -> str:
        """Take a StartQueryExecution request; return the new execution's id, or the known one of a repeated request.

        With a caller, the query reads and writes what the caller may.

        Raises:
            InvalidRequestError: the SQL cannot be parsed or is refused, or there is no place for results.
        """
        sql, token = request.get("QueryString", ""), request.get("ClientRequestToken")
        with self._lock:
            if token in self._by_token:
                known = self._by_id[self._by_token[token]]
                if known.sql != sql:
                    raise InvalidRequestError("Idempotent parameters do not match")
                return known.id
        database = request.get("QueryExecutionContext", {}).get("Database", "default")
        parameters = request.get("ExecutionParameters", [])
        workgroup = request.get("WorkGroup", "primary")
        folder = _results_folder(workgroup, request.get("ResultConfiguration", {}).get("OutputLocation"))
        statement = parse(sql, parameters, database)
        execution = Execution(
            str(uuid.uuid4()), sql, parameters, database, workgroup, folder, statement, time.time(), caller
        )
        with self._lock:
            self._by_id[execution.id] = execution
            if token:
                self._by_token[token] = execution.id
            self._forget_oldest()
        self._workers.submit(self._run, execution)
        return execution.id

    def find(self, execution_id: str) -> Execution | None:
        """Return an execution; None where there is none of that id."""
        with self._lock:
            return self._by_id.get(execution_id)

    def get(self, execution_id: str) -> Execution:
        """Return an execution.

        Raises:
            InvalidRequestError: there is none of that id.
        """
        execution = self.find(execution_id)
        if execution is None:
            raise InvalidRequestError(f"QueryExecution {execution_id} was not found")
        return execution

    def ids(self, workgroup: str) -> list[str]:
        """Return the ids of a workgroup's executions, the newest first."""
        with self._lock:
            return [execution.id for execution in reversed(self._by_id.values()) if execution.workgroup == workgroup]

    def stop(self, execution_id: str) -> None:
        """Cancel an execution; one that has ended stays as it is."""
        execution = self.get(execution_id)
        with self._lock:
            if execution.state in _ENDED:
                return
            execution.state, execution.completed_at = "CANCELLED", time.time()
        execution.cancellation.request()

    def results(self, execution_id: str, token: str | None, limit: int) -> dict[str, Any]:
        """Return a page of GetQueryResults.

        Raises:
            InvalidRequestError: the query has not succeeded.
        """
        execution = self.get(execution_id)
        if execution.state in ("QUEUED", "RUNNING"):
            raise InvalidRequestError(f"Query has not yet finished. Current state: {execution.state}")
        if execution.state != "SUCCEEDED" or execution.written is None:
            raise InvalidRequestError(f"Query did not finish successfully. Final query state: {execution.state}")
        rows: list[list[str | None]] = []
        if execution.lines is not None:
            rows = [["\t".join(cells)] for cells in execution.lines]
        elif execution.written.manifest is None:
            rows = _result_rows(execution.written.location)
        offset = int(token) if token else 0
        result_set, following = page(execution.columns, rows, offset, min(limit, PAGE_ROWS))
        answer: dict[str, Any] = {"ResultSet": result_set, "UpdateCount": 0}
        if following is not None:
            answer["NextToken"] = str(following)
        return answer

    def _forget_oldest(self) -> None:
        for execution_id in [key for key, known in self._by_id.items() if known.state in _ENDED][:-HISTORY]:
            del self._by_id[execution_id]
        self._by_token = {token: known for token, known in self._by_token.items() if known in self._by_id}

    def _run(self, execution: Execution) -> None:
        with self._lock:
            if execution.state == "CANCELLED":
                return
            execution.state, execution.started_at = "RUNNING", time.time()
        error: ExecutionFailedError | None = None
        try:
            with on_behalf_of(execution.caller):
                _STEPS[type(execution.statement)](execution)
        except ExecutionFailedError as failure:
            error = failure
        except (LakegateError, ClientError, BotoCoreError, OSError) as failure:
            error = ExecutionFailedError("GENERIC_INTERNAL_ERROR", str(failure), is_users=False)
        except Exception as failure:  # a door: whatever went wrong is this query's answer, and the server lives on
            log.exception("query %s failed unexpectedly", execution.id)
            error = ExecutionFailedError("GENERIC_INTERNAL_ERROR", repr(failure), is_users=False)
        with self._lock:
            if execution.state == "CANCELLED":
                return
            execution.state = "SUCCEEDED" if error is None else "FAILED"
            execution.error, execution.completed_at = error, time.time()


@functools.lru_cache(maxsize=4)
def _result_rows(location: str) -> list[list[str | None]]:
    """Return the rows of a result file; a result never changes, and pages are asked for one after the other."""
    return from_csv(output.fetch(location))


def _results_folder(workgroup: str, wanted: str | None) -> str:
    try:
        found = client("athena").get_work_group(WorkGroup=workgroup)["WorkGroup"]
    except ClientError as error:
        raise InvalidRequestError(f"WorkGroup {workgroup} is not found.") from error
    configuration = found.get("Configuration", {})
    enforced = configuration.get("EnforceWorkGroupConfiguration", False)
    own = configuration.get("ResultConfiguration", {}).get("OutputLocation")
    folder = own if enforced or not wanted else wanted
    if not folder:
        raise InvalidRequestError(
            "No output location provided. An output location is required either through the Workgroup result configuration "
            "setting or as an API input."
        )
    return folder.rstrip("/")


def _run_query(execution: Execution) -> None:
    query = execution.statement
    if not isinstance(query, Query):
        raise TypeError(query)
    result = run(query, execution.cancellation)
    if execution.cancellation.is_requested:
        return
    execution.scanned_bytes = result.scanned_bytes
    if query.output is None:
        execution.columns = result.columns
        execution.written = output.write_result(execution.id, execution.folder, result)
    else:
        execution.written = output.write_parquet(execution.id, execution.folder, query.output, result)


def _run_show(execution: Execution) -> None:
    show = execution.statement
    if not isinstance(show, Show):
        raise TypeError(show)
    glue = client("glue")
    if show.what == "databases":
        pages = glue.get_paginator("get_databases").paginate()
        lines, name = [[entry["Name"]] for found in pages for entry in found["DatabaseList"]], "database_name"
    elif show.what == "tables":
        require_catalog("glue:GetTables", show.database)
        pages = glue.get_paginator("get_tables").paginate(DatabaseName=show.database)
        lines, name = [[entry["Name"]] for found in pages for entry in found["TableList"]], "tab_name"
    else:
        reference = TableReference("", show.database, show.table or "", None, None, None, None, (), 1, 1)
        columns = columns_of(find_table(reference))
        lines = [[f"{column['Name']:<20}", f"{column.get('Type', ''):<20}", ""] for column in columns]
        name = "col_name"
    execution.lines = lines
    execution.columns = (ResultColumn(name, "string", 0),)
    execution.written = output.write_text(execution.id, execution.folder, lines)


_STEPS: dict[type, Callable[[Execution], None]] = {Query: _run_query, Show: _run_show}
