"""A query engine over tables in memory: DuckDB, for which the statements of the core are SQL too. Athena itself: `tests/local`."""

from __future__ import annotations

from collections.abc import Iterable

import duckdb

from pipelines.contracts.model import Dataset
from pipelines.errors import LakegateError, QueryFailedError
from pipelines.ports import QueryResult
from resources.memory_tables import MemoryTables


class MemoryQueries:
    """Answers over the tables as they are when it is asked; a table nobody made is none."""

    def __init__(self, tables: MemoryTables, datasets: Iterable[Dataset]) -> None:
        self._tables = tables
        self.datasets = list(datasets)
        self.asked: list[str] = []

    def query(self, sql: str) -> QueryResult:
        self.asked.append(sql)
        with duckdb.connect() as database:
            for dataset in self.datasets:
                try:
                    database.register(dataset.table, self._tables.rows(dataset))
                except LakegateError:
                    continue
            try:
                return QueryResult(database.sql(sql).to_arrow_table(), 0, 0)
            except duckdb.Error as error:
                raise QueryFailedError(str(error)) from error
