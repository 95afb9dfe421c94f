"""The reference page of Lakegate's own tables, from the columns they have. Pure."""

from collections.abc import Iterable

from pipelines.accounting.states import State
from pipelines.contracts.model import Dataset
from pipelines.contracts.rule_pages import GENERATED, markdown_table
from pipelines.contracts.system_tables import audit_log, balance_sheet, file_history

__all__ = ["system_tables_page"]

_HISTORY = """\
One row for every change of state of every object version, from the moment it is seen. A row is written once and never changed.
`from_state` and `to_state` are STATES; a row whose two states are the same says that something else changed: the outcome, or
whether the object is still there.

- The times come from the ledger, where each change is written down in one transaction with what it changes. They reach the table
  within minutes (the schedule `export_history_schedule`, or `lakegate history export`), each exactly once.
- `claimed` and `committing` are states of a file's batch. Their rows come with the row that settles the file.
- `read_ms` is the file's own. `batch_stage_ms`, `batch_commit_ms` and `batch_books_ms` are what its whole batch had spent when
  the file was settled: the same on each file of the batch, so do not add them up over files.
- Where a file that serves was processed again and rejected, its rows stay: the row says `committed`, `loaded`, the numbers of
  the new verdict, and the reason.
- `_source_file` and `_source_version` repeat key and version, and `_batch_id` the batch (empty where there is none), so that any
  table joins its files' history:

```sql
SELECT f.flight, h.at, h.run
FROM flights f JOIN file_history h USING (_source_file, _source_version, _batch_id)
WHERE h.to_state = 'committed' AND f.tailnum = 'N14228'
```

`_source_line` is 0 (the row is about the whole file), `_ingested_at` when the row was exported. Partitioned by `day(at)`: a
condition on `at` reads those days only. What happened before the release that keeps this table is not in it.
"""
_SHEET = """\
One row for every dataset and landing day: in which outcome each object version is, and where its rows are. The rows are replaced,
a month at a time, when something happens to a file of that month; `taken_at` says when (a further event of a known version alone does not
renew them: `duplicates` may lag). Partitioned by `month(landing_day)`.
`_source_file` is `balance_sheet`, `_source_version` the month, `_source_line` the row's number in it, `_batch_id` the export.

```sql
SELECT dataset, landing_day, quarantined, failed, pending, problems
FROM balance_sheet WHERE quarantined + failed + pending > 0 OR problems IS NOT NULL
```
"""
_AUDIT = """\
One row for every record of the audit log ([what is in it](../tracing-and-logs.md#the-audit-log)): a deed by a person, and, where it has one, its outcome as a
row of its own whose `of_record` names the first. Rows are never changed. They come as those of `file_history` do.
`_source_file` is `audit_log`, `_source_version` the record. Partitioned by `month(at)`.

```sql
SELECT d.at, d.who, d.what, d.arguments, d.why, o.outcome
FROM audit_log d LEFT JOIN audit_log o ON o.of_record = d.record_id
WHERE d.of_record IS NULL ORDER BY d.at
```
"""


def system_tables_page() -> str:
    """The page `reference/system-tables.md`."""
    return "\n".join(
        (
            GENERATED,
            "# Lakegate's own tables",
            "",
            "Three Iceberg tables beside those of the datasets, in the same database. No dataset can be called as they are.",
            "",
            *_section(file_history(), _HISTORY.replace("STATES", _listed(State))),
            *_section(balance_sheet(), _SHEET),
            *_section(audit_log(), _AUDIT),
        )
    )


def _listed(states: Iterable[State]) -> str:
    *most, last = (f"`{state.value}`" for state in states)
    return f"{', '.join(most)} and {last}"


def _section(table: Dataset, text: str) -> Iterable[str]:
    rows = [
        (f"`{name}`", column.type + ("" if column.nullable else ", never null"), column.description or "")
        for name, column in table.columns.items()
    ]
    yield f"## {table.name}"
    yield ""
    yield text
    yield markdown_table(("column", "type", "meaning"), rows)
    yield ""
