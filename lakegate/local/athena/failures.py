"""The two ways in which a query goes wrong, with the words Athena has for them.

QueryFailedError
├── InvalidRequestError   StartQueryExecution itself is refused (the SQL cannot be parsed, no place for results)
└── ExecutionFailedError  the query was taken and ended as FAILED, with a code such as TABLE_NOT_FOUND
"""

from __future__ import annotations

import re

import duckdb

from pipelines.errors import QueryFailedError

# The error types of "Athena error catalog": category 2 is the user's, category 1 the system's.
_ERROR_TYPES = {
    "COLUMN_NOT_FOUND": 1006,
    "TABLE_NOT_FOUND": 1301,
    "SCHEMA_NOT_FOUND": 1301,
    "DIVISION_BY_ZERO": 1,
    "TYPE_MISMATCH": 1006,
}
_USER_ERROR = 1006


class InvalidRequestError(QueryFailedError):
    """The request is refused; nothing was started."""


class ExecutionFailedError(QueryFailedError):
    """The query ended as FAILED."""

    def __init__(self, code: str, message: str, *, is_users: bool = True) -> None:
        super().__init__(f"{code}: {message}")
        self.category = 2 if is_users else 1
        self.error_type = _ERROR_TYPES.get(code, _USER_ERROR if is_users else 0)


def from_duckdb(error: duckdb.Error, positions: dict[str, tuple[int, int]]) -> ExecutionFailedError:
    """Return what Athena would say for an error of DuckDB; `positions` tells where each column name stands in the SQL."""
    text = str(error)
    first = text.split("\n", 1)[0]
    what = first.split(": ", 1)[-1]
    column = re.search(r'Referenced column "([^"]+)"|does not have a column named "([^"]+)"', first)
    if column:
        name = column.group(1) or column.group(2)
        line, offset = positions.get(name.lower(), (1, 1))
        return ExecutionFailedError(
            "COLUMN_NOT_FOUND",
            f"line {line}:{offset}: Column '{name}' cannot be resolved or requester is not authorized to access requested "
            "resources",
        )
    function = re.search(r"Function with name (\S+) does not exist", first)
    if function:
        return ExecutionFailedError("FUNCTION_NOT_FOUND", f"Function '{function.group(1)}' not registered")
    if "ivision by zero" in first:
        return ExecutionFailedError("DIVISION_BY_ZERO", "Division by zero")
    if isinstance(error, duckdb.ConversionException):
        return ExecutionFailedError("INVALID_CAST_ARGUMENT", what)
    if isinstance(error, duckdb.OutOfRangeException):
        return ExecutionFailedError("NUMERIC_VALUE_OUT_OF_RANGE", what)
    if isinstance(error, duckdb.OutOfMemoryException):
        return ExecutionFailedError("EXCEEDED_MEMORY_LIMIT", f"The laptop's limit was reached. {what}")
    if isinstance(error, duckdb.PermissionException):
        return ExecutionFailedError("PERMISSION_DENIED", "A query reads the catalog's tables and nothing else")
    if isinstance(error, duckdb.BinderException) and ("GROUP BY" in first or "aggregate" in first):
        return ExecutionFailedError("EXPRESSION_NOT_AGGREGATE", what)
    if isinstance(error, duckdb.BinderException):
        return ExecutionFailedError("TYPE_MISMATCH", what)
    if isinstance(error, (duckdb.ParserException, duckdb.SyntaxException, duckdb.CatalogException)):
        return ExecutionFailedError("SYNTAX_ERROR", what)
    return ExecutionFailedError("GENERIC_INTERNAL_ERROR", text, is_users=False)
