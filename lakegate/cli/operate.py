"""The commands of the one who keeps it running: drop, wait, status."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from lakegate.cli.connection import connect
from lakegate.cli.files import landing_keys
from lakegate.cli.naming import named_dataset
from lakegate.cli.output import Exit, JsonOption, console, print_json, safe, table
from lakegate.cli.proof import print_proof, proof_document, prove_books
from lakegate.status import Rest, files_read, look, outcome_columns, sheet_document
from pipelines.accounting.states import Outcome
from pipelines.errors import ConfigurationError

__all__ = ["drop", "status", "wait"]

_BETWEEN_LOOKS_S = 2.0
_LOOKS_AT_REST = 2
"""An event needs a moment from the bucket to the queue: a single look right after a drop would find all at rest."""


def drop(
    files: Annotated[list[Path], typer.Argument(help="Local files.", show_default=False)],
    dataset: Annotated[str, typer.Option("--dataset", "-d", help="The dataset they belong to.")],
    key: Annotated[
        str | None, typer.Option("--key", help="The object key, where the file's name does not tell.")
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="Replace no file that is there. A bucket that takes each key once needs it.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Put local files into the landing bucket, as a producer would."""
    from botocore.exceptions import BotoCoreError, ClientError

    from resources.environment import as_lakegate_error, client

    contract = named_dataset(dataset)
    keys = landing_keys(contract, files, key)
    deployment, _ = connect()
    dropped: list[dict[str, Any]] = []
    for landed, path in keys.items():
        try:
            with path.open("rb") as content:
                answer = client("s3").put_object(
                    Bucket=deployment.landing_bucket, Key=landed, Body=content, **({"IfNoneMatch": "*"} if new else {})
                )
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror or error}") from error
        except (BotoCoreError, ClientError) as error:
            if isinstance(error, ClientError) and error.response["Error"]["Code"] == "PreconditionFailed":
                raise ConfigurationError(f"{landed} is there already; leave out --new to replace it.") from error
            raise as_lakegate_error(error, f"putting {path} to {landed}") from error
        dropped.append({"file": str(path), "key": landed, "version_id": answer.get("VersionId")})
        if not as_json:
            console.print(f"dropped {safe(path)} as {safe(landed)}")
    if as_json:
        print_json({"version": 1, "dropped": dropped})


def wait(
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds.")] = 600,
    as_json: JsonOption = False,
) -> None:
    """Wait until all is at rest: no message in the queue, no file pending. Exit code 1 when files failed or time is up."""
    _, gate = connect()
    deadline = time.monotonic() + timeout
    rest = look(gate)
    looks_at_rest = int(rest.at_rest)
    while looks_at_rest < _LOOKS_AT_REST and time.monotonic() < deadline:
        if not as_json and not rest.at_rest:
            console.print(f"  {rest.sentence()}")
        time.sleep(_BETWEEN_LOOKS_S)
        rest = look(gate)
        looks_at_rest = looks_at_rest + 1 if rest.at_rest else 0
    if as_json:
        print_json(_rest_document(rest))
    else:
        console.print(rest.sentence())
    if not rest.at_rest or rest.sheet.problems or rest.sheet.outcome(Outcome.FAILED):
        raise typer.Exit(Exit.BAD_DATA)


def _rest_document(rest: Rest) -> dict[str, Any]:
    return {
        "version": 1,
        "at_rest": rest.at_rest,
        "messages": rest.messages,
        "dead_letters": rest.dead_letters,
        "paused": [
            {
                "dataset": b.dataset,
                "code": b.code,
                "times": b.times,
                "reason": b.reason,
                "since": b.paused_at.isoformat() if b.paused_at else None,
                "until": b.until.isoformat() if b.until else None,
                "by": b.by,
            }
            for b in rest.paused
        ],
        **sheet_document(rest.sheet),
    }


def status(
    days: Annotated[bool, typer.Option("--days", help="A line for each landing day.")] = False,
    prove: Annotated[
        bool, typer.Option("--prove", help="Compare with the bucket and the tables too: lists one, queries the others.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """The balance sheet: each object version in exactly one outcome. Exit code 1 when it does not add up."""
    _, gate = connect()
    rest = look(gate)
    proof = prove_books(gate) if prove else None
    under_way = files_read(gate)
    if as_json:
        reading = {"reading": [file.document() for file in under_way]}
        print_json(_rest_document(rest) | reading | ({"proof": proof_document(proof)} if proof else {}))
    else:
        print_sheet(rest, by_day=days)
        for file in under_way:
            console.print(f"reading: {safe(file.sentence())}")
        if proof:
            print_proof(proof)
    if rest.sheet.problems or (proof and proof.problems):
        raise typer.Exit(Exit.BAD_DATA)


def print_sheet(rest: Rest, *, by_day: bool = False) -> None:
    """The sheet as a table, and what stands out below it."""
    names, rows = outcome_columns(rest.sheet, by_day=by_day)
    shown = table(*names, title="Balance sheet: object versions by outcome, and rows in the tables")
    for row in rows:
        shown.add_row(*(safe(cell) for cell in row))
    console.print(shown)
    console.print(rest.sentence())
    for breaker in rest.paused:
        console.print(f"[yellow]paused:[/yellow] {safe(breaker.sentence())}")
    for problem in rest.sheet.problems:
        console.print(f"[red]does not add up:[/red] {safe(problem)}")
