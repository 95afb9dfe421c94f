"""`lakegate query`: ask Athena; the answer as a table, as CSV or as JSON."""

import sys
from typing import Annotated, Any

import typer

from lakegate.cli.connection import connect
from lakegate.cli.export import csv_lines
from lakegate.cli.output import JsonOption, console, print_json, safe, table
from pipelines.errors import ConfigurationError
from pipelines.printable import printable

__all__ = ["print_rows", "query"]


def query(
    sql: Annotated[str, typer.Argument(help="One SELECT, in Athena's dialect.")],
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Answer with CSV; texts that begin a formula get an apostrophe.")
    ] = False,
    keep_formulas: Annotated[
        bool,
        typer.Option("--keep-formulas", help="With --csv: every text as it is, for programs that run no formulas."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Ask Athena, in the workgroup and database of the deployment."""
    from resources.assembly import query_engine

    if (as_csv and as_json) or (keep_formulas and not as_csv):
        raise ConfigurationError("--keep-formulas belongs to --csv, and --csv and --json exclude each other")

    deployment, _ = connect()
    result = query_engine(deployment).query(sql)
    if as_json:
        print_json(
            {
                "version": 1,
                "columns": [{"name": f.name, "type": str(f.type)} for f in result.table.schema],
                "rows": result.table.to_pylist(),
                "scanned_bytes": result.scanned_bytes,
                "milliseconds": result.milliseconds,
            }
        )
        return
    if as_csv:
        print_csv(result.table, keep_formulas=keep_formulas)
        return
    print_rows(result.table)
    console.print(
        f"[dim]{result.table.num_rows:,} rows, {result.scanned_bytes:,} bytes scanned, {result.milliseconds:,} ms[/dim]"
    )


def print_csv(rows: Any, *, keep_formulas: bool) -> None:
    """An Arrow table as CSV to standard output; on a terminal, what cannot be printed is made visible."""
    show = printable if sys.stdout.isatty() else str
    for line in csv_lines(rows, keep_formulas=keep_formulas):
        sys.stdout.write(show(line.removesuffix("\r\n")) + "\r\n")


def print_rows(rows: Any, limit: int = 100) -> None:
    """An Arrow table as text; numbers to the right."""
    import pyarrow as pa

    numeric = [
        pa.types.is_integer(f.type) or pa.types.is_floating(f.type) or pa.types.is_decimal(f.type) for f in rows.schema
    ]
    shown = table(*(("#" if n else "") + safe(f.name) for f, n in zip(rows.schema, numeric, strict=True)))
    for row in rows.slice(0, limit).to_pylist():
        shown.add_row(*("" if value is None else safe(value) for value in row.values()))
    console.print(shown)
    if rows.num_rows > limit:
        console.print(f"… and {rows.num_rows - limit:,} rows more")
