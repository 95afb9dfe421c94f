"""`lakegate trace`: the story of a file, or from rows of a table to the file, version, line and text they came from."""

from typing import Annotated, Any

import typer

from lakegate.cli.connection import connect
from lakegate.cli.output import Exit, JsonOption, console, counted, print_json, safe
from lakegate.story import story_of
from pipelines.errors import ConfigurationError
from pipelines.gate import Gate
from pipelines.row_trace import MOST_ROWS, RowSource, RowTrace, trace_rows

__all__ = ["trace"]

_RAW_SHOWN = 2_000


def trace(
    key: Annotated[
        str | None, typer.Argument(help="An object key, or an s3:// address of the landing bucket.", show_default=False)
    ] = None,
    table: Annotated[
        str | None,
        typer.Option("--table", "-t", help="Instead of a key: a dataset's table, or its table of rejected rows."),
    ] = None,
    where: Annotated[
        str | None, typer.Option("--where", "-w", help="Which rows of it: a condition in Athena's SQL.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """The story of a file: every version of its key, what became of it, when, and why. Or, with --table and --where, the file,
    version, line and raw text that rows came from.
    """
    if (key is None) is (table is None) or (table is None) is not (where is None):
        raise ConfigurationError(
            'say what to trace: a key (lakegate trace landing/…), or rows (lakegate trace --table flights --where "flight = 1545")'
        )
    _, gate = connect()
    if key is not None:
        _trace_key(gate, key, as_json=as_json)
    else:
        _trace_rows(trace_rows(gate, table or "", where or ""), as_json=as_json)


def _trace_key(gate: Gate, key: str, *, as_json: bool) -> None:
    name = key.removeprefix(f"s3://{gate.landing_bucket}/")
    story = story_of(gate, name)
    if story is None:
        if as_json:
            print_json({"version": 1, "key": name, "serving_version": None, "versions": [], "history": []})
        else:
            console.print(f"The ledger knows no version of the key {safe(name)}.")
        raise typer.Exit(Exit.BAD_DATA)
    if as_json:
        print_json(story.document())
        return
    for number, line in enumerate(story.lines()):
        is_title = number == 0 or line.startswith("version ")
        console.print(f"[bold]{safe(line)}[/bold]" if is_title else safe(line))


def _trace_rows(found: RowTrace, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "version": 1,
                "table": found.table,
                "sql": found.sql,
                "has_more": found.has_more,
                "rows": [_document(row) for row in found.rows],
            }
        )
    else:
        for row in found.rows:
            _print(row)
        more = f"; there are more: the first {MOST_ROWS} are shown, narrow the condition" if found.has_more else ""
        console.print(f"{counted(len(found.rows), 'row')} of {safe(found.table)} found{more}.")
    if not found.rows:
        raise typer.Exit(Exit.BAD_DATA)


def _print(row: RowSource) -> None:
    console.print(f"[bold]{safe(row.key)}:{row.line}[/bold]  version {safe(row.version_id)}")
    for name, value in row.values.items():
        console.print(f"  {safe(name)}: {safe(value)}")
    console.print(f"  published by the batch {safe(row.batch_id)}{_standing(row)}")
    if row.missing is not None:
        console.print(f"  its text cannot be shown: {safe(row.missing)}")
    elif row.records_there > len(row.raw):
        console.print(f"  one of {row.records_there:,} records that begin on this line; the first {len(row.raw)}:")
    elif row.records_there > 1:
        console.print(f"  one of {row.records_there:,} records that begin on this line:")
    for raw in row.raw:
        cut = f"… ({len(raw):,} characters; --json shows more)" if len(raw) > _RAW_SHOWN else ""
        console.print(f"  │ {safe(raw[:_RAW_SHOWN])}{cut}")


def _standing(row: RowSource) -> str:
    entry = row.entry
    if entry is None:
        return ""
    removed = ", its object removed from the bucket" if entry.object_removed else ""
    return f"; the version landed {entry.version.landed_at:%Y-%m-%d %H:%M:%S} UTC and is {entry.outcome.value} now{removed}"


def _document(row: RowSource) -> dict[str, Any]:
    entry = row.entry
    return {
        "key": row.key,
        "version_id": row.version_id,
        "line": row.line,
        "batch": row.batch_id,
        "values": dict(row.values),
        "outcome": entry.outcome if entry else None,
        "landed_at": entry.version.landed_at.isoformat() if entry else None,
        "raw": list(row.raw),
        "records_on_line": row.records_there,
        "missing": row.missing,
    }
