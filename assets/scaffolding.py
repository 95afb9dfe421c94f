"""A first dataset file, commented, for `dg scaffold defs assets.components.dataset orders`: it loads without a fault as it is."""

from pathlib import Path

import click

from pipelines.contracts.loading import BrokenDataset, parse_dataset

__all__ = ["scaffold_dataset"]

_SCHEMA = "../../docs/reference/dataset.schema.json"
_TEMPLATE = """\
# Every key is in docs/reference/dataset.md. Instead of filling this in, have it drafted from files of yours: `lakegate infer --help`.
name: {name}
description: What the rows of {name} are, in one sentence.
# owner: team:name            # or an e-mail address
# group: {name}               # the group in Dagster's graph
landing:
  key: "landing/{name}/{{file_date:%Y-%m-%d}}.csv*"   # the keys that belong to it; {{names}} are read from the key
  day: file_date              # the landing day; without it, the day on which the object arrives
  start: 2024-01-01           # the first landing day
format: {{type: csv}}           # or jsonl, or json
columns:
  file_date: {{type: date, from: key}}
  id:        {{type: bigint, nullable: false}}
  # amount:  {{type: "decimal(12,2)", min: 0}}
  # status:  {{type: string, allowed: [open, paid]}}
partition_by: [file_date]
primary_key: [id]
# rows: {{on_bad: quarantine_rows, max_bad: 1%}}       # bad rows one by one, instead of the whole file
# rules:                      # what must hold between the columns of a row
#   - amount >= 0
# freshness: {{expected_every: P1D}}
"""


def scaffold_dataset(folder: Path, name: str) -> str:
    """Write `<name>.yaml` into the folder and say what comes next. Raises click.ClickException where it cannot be."""
    path = folder / f"{name}.yaml"
    text = _TEMPLATE.format(name=name)
    if (folder / _SCHEMA).is_file():
        text = f"# yaml-language-server: $schema={_SCHEMA}\n{text}"
    made = parse_dataset(text.encode(), path)
    if isinstance(made, BrokenDataset):
        raise click.ClickException(f"{name!r} cannot be a dataset's name:\n{made}")
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        raise click.ClickException(f"{path} is there already") from None
    return f"Wrote {path}.\nFill it in, then: lakegate datasets check"
