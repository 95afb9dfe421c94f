"""`lakegate datasets …`: what the dataset files say, and whether they are right."""

from pathlib import Path
from typing import Annotated

import typer

from lakegate.cli.impact import impact
from lakegate.cli.naming import load_catalog, named_dataset
from lakegate.cli.output import Exit, JsonOption, console, counted, print_json, safe, table
from pipelines.contracts.loading import BrokenDataset, load_dataset
from pipelines.contracts.model import Dataset
from pipelines.contracts.schema import fingerprint, table_schema

__all__ = ["app"]

app = typer.Typer(help="List, show and check the dataset files.", no_args_is_help=True)


@app.command("check")
def check(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="YAML files; default: every dataset in the folder.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check dataset files and list every fault with file, line, key and remedy. Exit code 2 when one is wrong."""
    if paths:
        loaded = [load_dataset(path) for path in paths]
        good = [d for d in loaded if isinstance(d, Dataset)]
        broken = [d for d in loaded if isinstance(d, BrokenDataset)]
    else:
        catalog = load_catalog()
        good, broken = list(catalog.datasets), list(catalog.broken)
    if as_json:
        print_json(
            {
                "version": 1,
                "good": [d.name for d in good],
                "broken": [
                    {
                        "file": str(b.path),
                        "faults": [
                            {
                                "line": f.line,
                                "column": f.column,
                                "key": f.key,
                                "found": f.found,
                                "expected": f.expected,
                                "remedy": f.remedy,
                            }
                            for f in b.faults
                        ],
                    }
                    for b in broken
                ],
            }
        )
    else:
        for dataset in good:
            console.print(
                f"[green]good[/green]   {safe(dataset.name)}: {len(dataset.columns)} columns, {safe(dataset.landing.key)}"
            )
        for b in broken:
            console.print(f"[red]wrong[/red]  {safe(b.path)}: {counted(len(b.faults), 'fault')}")
            for fault in b.faults:
                console.print(f"       {safe(fault)}")
    if broken:
        raise typer.Exit(Exit.MISUSE)


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the datasets."""
    catalog = load_catalog()
    if as_json:
        print_json(
            {
                "version": 1,
                "datasets": [
                    {"name": d.name, "landing": d.landing.key, "format": d.format.type, "columns": len(d.columns)}
                    for d in catalog.datasets
                ],
                "broken": [str(b.path) for b in catalog.broken],
            }
        )
        return
    shown = table("dataset", "format", "#columns", "landing", "description")
    for d in catalog.datasets:
        shown.add_row(safe(d.name), d.format.type, str(len(d.columns)), safe(d.landing.key), safe(d.description))
    for b in catalog.broken:
        shown.add_row(
            f"[red]{safe(b.path.stem)}[/red]",
            "",
            "",
            "",
            f"[red]wrong: {counted(len(b.faults), 'fault')}; run `lakegate datasets check`[/red]",
        )
    console.print(shown)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A dataset's name, or a YAML file.")], as_json: JsonOption = False
) -> None:
    """Show one dataset: its columns, its table, its rules."""
    dataset = named_dataset(name)
    if as_json:
        print_json(
            {
                "version": 1,
                "fingerprint": fingerprint(dataset),
                "dataset": dataset.model_dump(mode="json", by_alias=True),
            }
        )
        return
    console.print(f"[bold]{safe(dataset.name)}[/bold]  {safe(dataset.description)}")
    console.print(
        f"lands as {safe(dataset.landing.key)}, owner {safe(dataset.owner or 'nobody')}, contract {fingerprint(dataset)}"
    )
    shown = table("column", "type", "null", "rules")
    for name_, column in dataset.columns.items():
        said = column.model_dump(
            mode="json", by_alias=True, exclude_defaults=True, exclude={"type", "nullable", "description"}
        )
        rules = ", ".join(f"{key}={value}" for key, value in said.items())
        shown.add_row(safe(name_), column.type, "yes" if column.nullable else "no", safe(rules))
    console.print(shown)
    console.print(
        f"table columns beside these: {', '.join(n for n in table_schema(dataset).names if n.startswith('_'))}"
    )


app.command("impact")(impact)
