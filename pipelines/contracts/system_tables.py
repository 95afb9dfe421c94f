"""The tables of Lakegate itself, beside the datasets': described as datasets like any other, so that they are kept like any other.

Nobody writes such a dataset by hand: the loader refuses their names. They end with the columns every table ends with; what those
say here is in `docs/reference/system-tables.md`.
"""

from functools import cache
from typing import Any

from pipelines.accounting.states import Outcome, Trigger
from pipelines.contracts.model import Dataset

__all__ = ["AUDIT_LOG", "BALANCE_SHEET", "FILE_HISTORY", "SYSTEM_TABLES", "audit_log", "balance_sheet", "file_history"]

FILE_HISTORY = "file_history"
BALANCE_SHEET = "balance_sheet"
AUDIT_LOG = "audit_log"
SYSTEM_TABLES = (FILE_HISTORY, BALANCE_SHEET, AUDIT_LOG)


def _dataset(name: str, description: str, columns: dict[str, tuple[str, str]], **more: Any) -> Dataset:
    """A dataset; a type that ends in `!` may not be null."""
    return Dataset.model_validate(
        {
            "name": name,
            "description": description,
            "owner": "team:lakegate",
            "landing": {"key": f"landing/{name}/nothing", "start": "2000-01-01"},
            "format": {"type": "jsonl"},
            "columns": {
                column: {"type": kind.removesuffix("!"), "nullable": not kind.endswith("!"), "description": text}
                for column, (kind, text) in columns.items()
            },
            **more,
        }
    )


@cache
def file_history() -> Dataset:
    """Every change of state of every object version, one row each."""
    return _dataset(
        FILE_HISTORY,
        "Every change of state of every file: what happened, when, in which run, and why.",
        {
            "change_id": ("string!", "Names the change; within one moment, changes sort by it."),
            "at": ("timestamp!", "When it happened, UTC."),
            "dataset": ("string", "The dataset; null while none claims the file."),
            "landing_day": ("date!", "The landing day the file is counted under."),
            "key": ("string!", "The object's key."),
            "version": ("string!", "The object's version id."),
            "from_state": ("string", "The state before; null when the file was seen first."),
            "to_state": ("string!", "The state after."),
            "outcome": ("string!", "What people are told of the file after it: pending, loaded, quarantined and so on."),
            "reason": ("string!", "Why, as far as the state does not say so; at most 1,000 characters."),
            "trigger": ("string!", f"What made the file due: {', '.join(Trigger)}."),
            "attempts": ("bigint!", "Attempts used up by faults of ours."),
            "run": ("string", "The run that worked on it."),
            "batch": ("string", "The batch the file was in."),
            "trace_id": ("string", "The trace of that batch, from its files' events to its end."),
            "size_bytes": ("bigint!", "The object's size."),
            "rows_read": ("bigint", "Rows read, where the file was read."),
            "rows_accepted": ("bigint", "Rows that are in the table while the version serves."),
            "rows_rejected": ("bigint", "Rows that are not."),
            "violations_total": ("bigint", "Faults found in the file."),
            "rules": ("string", "The codes of the first rules it broke, parted by commas."),
            "read_ms": ("bigint", "Milliseconds this file was read."),
            "batch_stage_ms": ("bigint", "Milliseconds its whole batch had spent on Parquet: the same on each of its files."),
            "batch_commit_ms": ("bigint", "Milliseconds its whole batch had spent on the table commit."),
            "batch_books_ms": ("bigint", "Milliseconds its whole batch had spent on ledger and quarantine, up to then."),
            "contract": ("string", "The fingerprint of the contract it was read under."),
            "report_key": ("string", "The key of its report in the quarantine bucket."),
            "snapshot_id": ("bigint", "The table's snapshot that published it."),
        },
        primary_key=["change_id"],
        partition_by=["day(at)"],
    )  # fmt: skip


@cache
def balance_sheet() -> Dataset:
    """Where every object version and every row is, one row a dataset and landing day."""
    outcomes = {outcome.value: ("bigint!", f"Object versions whose outcome is {outcome.value}.") for outcome in Outcome}
    return _dataset(
        BALANCE_SHEET,
        "Where every file and every row is: one row a dataset and landing day, as the ledger counts them.",
        {
            "dataset": ("string", "The dataset; null for files that none claims."),
            "landing_day": ("date!", "The landing day."),
            "taken_at": ("timestamp!", "When the row was written, UTC: what happened to the day's files since is not in it."),
            "objects": ("bigint!", "Object versions ever seen: the sum of the outcomes."),
            **outcomes,
            "duplicates": ("bigint!", "Further events of versions that were known; no outcome."),
            "size_bytes": ("bigint!", "Bytes of all object versions."),
            "serving_files": ("bigint!", "Versions whose rows are what their key has in the table."),
            "rows_read": ("bigint!", "Rows read from serving versions."),
            "rows_in_table": ("bigint!", "Of those, in the table."),
            "rows_rejected": ("bigint!", "Of those, rejected one by one."),
            "quarantined_rows_read": ("bigint!", "Rows read from quarantined versions before they were given up."),
            "problems": ("string", "What does not add up, a line each; null when the day balances."),
        },
        partition_by=["month(landing_day)"],
    )  # fmt: skip


@cache
def audit_log() -> Dataset:
    """What people did by hand, one row a record."""
    return _dataset(
        AUDIT_LOG,
        "Who had files processed again, sent messages back, paused, resumed or changed what: written once, never changed.",
        {
            "record_id": ("string!", "Names the record."),
            "at": ("timestamp!", "When it was done, UTC."),
            "who": ("string!", "The IAM principal without its account, the user of the machine, or the Dagster run."),
            "what": ("string!", "What was done."),
            "dataset": ("string", "To which dataset; null where to none in particular."),
            "arguments": ("string", "Which files, days or messages were named, as JSON."),
            "why": ("string", "Why, in their words."),
            "run": ("string", "The Dagster run that did it for them."),
            "of_record": ("string", "Of a record that tells an outcome: the record of the deed."),
            "outcome": ("string", "What it came to, as JSON."),
        },
        primary_key=["record_id"],
        partition_by=["month(at)"],
    )  # fmt: skip
