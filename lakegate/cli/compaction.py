"""`lakegate compact` and `lakegate expire`: few large files in place of many small ones, and old states of tables let go of."""

import os
from typing import Annotated, Any

import typer

from lakegate.cli.connection import connect
from lakegate.cli.output import JsonOption, console, print_json, safe, table
from lakegate.cli.replaying import asked
from lakegate.settings import compaction_settings
from pipelines.contracts.model import Dataset
from pipelines.contracts.rejected import main_table
from pipelines.errors import ConfigurationError
from pipelines.gate import Gate
from pipelines.publication.table_upkeep import (
    TableCompaction,
    TableLook,
    compact_tables,
    every_table,
    expire_states,
    look_at_tables,
)

__all__ = ["compact", "expire"]


def compact(
    dataset: Annotated[
        str | None, typer.Argument(help="A dataset or a table; without it, all of them.", show_default=False)
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what it would gain: change nothing.")] = False,
    partition: Annotated[
        str | None, typer.Option("--partition", help="Only this partition, as --plan names it: day=2024-01-01.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Put the small files of tables together, sorted. Not a row changes; ingestion goes on, and comes first."""
    settings = compaction_settings(os.environ)
    if partition and not dataset:
        raise ConfigurationError("--partition is of one dataset: name it")
    _, gate = connect()
    tables = _tables(gate, dataset)
    looks = look_at_tables(gate, tables, only=partition)
    if plan:
        _print_looks(looks, as_json=as_json)
        return
    due = [one for one, look in zip(tables, looks, strict=True) if look.plan.chosen]
    tell = (lambda _: None) if as_json else (lambda line: console.print(safe(line)))
    done: list[TableCompaction] = []
    if due:
        deed = asked("").to("compact", dataset, partition=partition or "")
        with gate.ledger.audit.doing(deed) as outcome:
            done = compact_tables(gate, due, only=partition, max_bytes=settings.run_bytes, tell=tell)
            outcome["files before"] = sum(one.report.files_before for one in done)
            outcome["files after"] = sum(one.report.files_after for one in done)
    _print_done(looks, done, as_json=as_json)


def expire(
    dataset: Annotated[
        str | None, typer.Argument(help="A dataset or a table; without it, all of them.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Let go of old states of tables, so that their metadata stays small. No row and no file is removed by it."""
    settings = compaction_settings(os.environ)
    _, gate = connect()
    tables = _tables(gate, dataset)
    with gate.ledger.audit.doing(asked("").to("expire", dataset, keep=settings.keep_states)) as outcome:
        report = expire_states(gate, tables, settings.keep_states)
        outcome["states"] = report.total
    if as_json:
        print_json({"version": 1, "states": report.states, "notes": list(report.notes), "sentence": report.sentence()})
        return
    sentence = report.sentence()
    console.print(f"{sentence[0].upper()}{safe(sentence[1:])}.")
    for note in report.notes:
        console.print(f"[dim]{safe(note)}[/dim]")


def _tables(gate: Gate, name: str | None) -> list[Dataset]:
    everyone = every_table(gate.datasets)
    if name is None:
        return everyone
    found = [one for one in everyone if name in (one.table, main_table(one.table))]
    if not found:
        known = ", ".join(sorted(one.table for one in everyone))
        raise ConfigurationError(f"there is no dataset or table {name!r}; known are: {known}")
    return found


def _print_looks(looks: list[TableLook], *, as_json: bool) -> None:
    if as_json:
        print_json({"version": 1, "tables": [_look_document(look) for look in looks]})
        return
    for look in looks:
        console.print(f"[bold]{safe(look.table)}[/bold]: {safe(look.note or look.plan.sentence())}")
        if look.plan.chosen:
            shown = table("partition", "#small files", "#would become", "#bytes", "#rows")
            for one in look.plan.chosen[:20]:
                numbers = (one.files, one.files_after, one.size_bytes, one.rows)
                shown.add_row(safe(one.partition or "(whole table)"), *(f"{number:,}" for number in numbers))
            console.print(shown)
            if more := len(look.plan.chosen) - 20:
                console.print(f"  … and {more:,} more partitions" if more > 0 else "")


def _print_done(looks: list[TableLook], done: list[TableCompaction], *, as_json: bool) -> None:
    if as_json:
        print_json({"version": 1, "tables": [_done_document(one) for one in done]})
        return
    for one in done:
        console.print(f"[bold]{safe(one.table)}[/bold]: {safe(one.note or one.report.sentence())}")
    if not done:
        noted = [look for look in looks if look.note]
        for look in noted:
            console.print(f"[dim]{safe(look.table)}: {safe(look.note)}[/dim]")
        console.print("Nothing to put together.")


def _look_document(look: TableLook) -> dict[str, Any]:
    plan = look.plan
    return {
        "table": look.table,
        "files": plan.files,
        "bytes": plan.size_bytes,
        "rows": plan.rows,
        "small_files": plan.small_files,
        "young_files": plan.young_files,
        "files_before": plan.files_before,
        "files_after": plan.files_after,
        "bytes_rewritten": plan.bytes_rewritten,
        "waiting": plan.waiting,
        "partitions": [
            {
                "partition": one.partition,
                "files": one.files,
                "files_after": one.files_after,
                "bytes": one.size_bytes,
                "rows": one.rows,
            }
            for one in plan.chosen
        ],
        "sentence": look.note or plan.sentence(),
    }


def _done_document(one: TableCompaction) -> dict[str, Any]:
    report = one.report
    numbers = ("partitions", "files_before", "files_after", "bytes_before", "bytes_after", "rows", "gave_way")
    return {
        "table": one.table,
        **{name: getattr(report, name) for name in numbers},
        "sentence": one.note or report.sentence(),
    }
