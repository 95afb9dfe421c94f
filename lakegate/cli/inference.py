"""`lakegate infer`: a dataset file for files never seen, written from what they hold."""

import codecs
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from lakegate.cli.files import FilesArgument, check_file, violation_document, violation_line
from lakegate.cli.output import Exit, JsonOption, console, errors, print_json, safe
from pipelines.contracts.names import plain_name
from pipelines.contracts.values import find_zone
from pipelines.errors import ConfigurationError

__all__ = ["infer"]

_CHUNK_BYTES = 4 << 20


def infer(
    files: FilesArgument,
    name: Annotated[
        str | None, typer.Option("--name", help="The dataset's name; default: from --out or the files.")
    ] = None,
    null: Annotated[
        list[str] | None, typer.Option("--null", help="Text that means null, such as NA. May be given more than once.")
    ] = None,
    encoding: Annotated[
        str, typer.Option("--encoding", help="The encoding of the files. It is never guessed.")
    ] = "utf-8",
    delimiter: Annotated[
        str | None, typer.Option("--delimiter", help="The delimiter, or `tab`; default: the one that fits best.")
    ] = None,
    zone: Annotated[
        str | None, typer.Option("--zone", help="The IANA zone of times without an offset; without it they stay text.")
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="The pattern of landing.key; default: from the files' names.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write here, such as assets/datasets/NAME.yaml; default: stdout.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a dataset file for files never seen: safe types, read from every value, each line with its evidence.

    Exit code 1 when a file is broken in itself: then nothing is written.
    """
    from pipelines.inference.infer import Inferred, Options
    from pipelines.inference.infer import infer as infer_dataset
    from pipelines.inference.sources import SourceFile
    from pipelines.reading.child import ChildReader

    options = Options(_name(name, out), key, tuple(null or ()), _encoding(encoding), _delimiter(delimiter), _zone(zone))
    sources: list[SourceFile] = []
    for path in files:
        check_file(path)
        sources.append(SourceFile(str(path), path.resolve().parts[1:], path.stat().st_size, _chunks(path)))
    with ChildReader() as reader:
        found = infer_dataset(sources, options, reader, datetime.now(UTC).date())
    if isinstance(found, Inferred):
        if out is not None:
            _write(out, found.text)
        if as_json:
            print_json({"version": 1, "name": found.name, "rows": found.rows, "yaml": found.text})
        elif out is None:
            sys.stdout.write(found.text)
        else:
            console.print(f"Wrote {safe(out)}: read it, above all the lines with CHECK.")
        return
    if as_json:
        broken: list[dict[str, Any]] = [
            {"file": b.name, "why": b.why, "violations": [violation_document(v) for v in b.violations]} for b in found
        ]
        print_json({"version": 1, "broken": broken})
    else:
        for b in found:
            errors.print(f"[red]broken[/red]  {safe(b.name)}: {safe(b.why or 'no contract could accept it')}")
            for violation in b.violations:
                errors.print(f"        {violation_line(b.name, violation)}")
        errors.print(
            "Nothing was inferred: repair these files or leave them out; a wrong --encoding or --delimiter looks alike."
        )
    raise typer.Exit(Exit.BAD_DATA)


def _name(name: str | None, out: Path | None) -> str | None:
    if out is not None:
        if out.exists():
            raise ConfigurationError(f"{out} is there already: remove it, or write elsewhere")
        if out.suffix != ".yaml":
            raise ConfigurationError(f"{out}: a dataset file ends in .yaml")
        if name is not None and name != out.stem:
            raise ConfigurationError(f"--name {name} and --out {out}: the file must be called {name}.yaml")
        name = out.stem
    if name is not None and name != plain_name(name):
        raise ConfigurationError(
            f"{name!r} cannot be a dataset's name: write {plain_name(name) or 'orders'}, for example"
        )
    return name


def _encoding(encoding: str) -> str:
    try:
        codecs.lookup(encoding)
    except (LookupError, ValueError):
        raise ConfigurationError(
            f"--encoding {encoding!r} is not an encoding Python knows: write utf-8, cp1252 or latin-1, for example"
        ) from None
    return encoding


def _delimiter(delimiter: str | None) -> str | None:
    mark = {"tab": "\t", "\\t": "\t"}.get(delimiter or "", delimiter)
    if mark is not None and (len(mark) != 1 or not mark.isascii() or mark in '"\r\n\0'):
        raise ConfigurationError(f"--delimiter {delimiter!r} is not one ASCII character: write ';' or tab, for example")
    return mark


def _zone(zone: str | None) -> str | None:
    if zone is not None and find_zone(zone) is None:
        raise ConfigurationError(f"--zone {zone!r} is no IANA time zone: write Europe/Berlin or UTC, for example")
    return zone


def _chunks(path: Path) -> Callable[[], Iterator[bytes]]:
    def read() -> Iterator[bytes]:
        with path.open("rb") as content:
            while chunk := content.read(_CHUNK_BYTES):
                yield chunk

    return read


def _write(out: Path, text: str) -> None:
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigurationError(f"{out}: {error.strerror or error}") from error
