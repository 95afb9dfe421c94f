"""`lakegate validate` and `convert`: a local file through the gate, without AWS and without Dagster."""

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from lakegate.cli.naming import named_dataset
from lakegate.cli.output import Exit, JsonOption, console, counted, print_json, safe
from pipelines.contracts.model import Dataset
from pipelines.contracts.rejected import tables_of
from pipelines.errors import ConfigurationError, ObjectGoneError
from pipelines.printable import spoken
from pipelines.reading.violations import Sample, Violation
from pipelines.reports import BatchReport, FileEnding, FileReport

__all__ = ["check_file", "convert", "landing_key", "landing_keys", "validate", "violation_document", "violation_line"]

_OWNER = "convert"
"""Who claims a conversion's batches. The folder is locked, so whoever claimed one before under this name is dead."""
_VERDICTS = {
    FileEnding.LOADED: "accepted",
    FileEnding.SUPERSEDED: "accepted",
    FileEnding.QUARANTINED: "rejected",
    FileEnding.EMPTY: "empty",
}

FilesArgument = Annotated[list[Path], typer.Argument(help="Local files.", show_default=False)]
DatasetOption = Annotated[str, typer.Option("--dataset", "-d", help="A dataset's name, or the path of a YAML file.")]
KeyOption = Annotated[
    str | None, typer.Option("--key", help="The object key the file would land as, where its name does not tell.")
]


def landing_key(dataset: Dataset, path: Path, key: str | None) -> str:
    """The key a local file would land as: `--key`, else the pattern's own folder and the file's name.

    Raises ConfigurationError when the name does not match the last segment of the pattern, or the folder is not literal.
    """
    pattern = dataset.key_pattern
    if key is not None:
        if pattern.match(key) is None:
            raise ConfigurationError(f"--key {key!r} does not match the dataset's pattern {dataset.landing.key!r}")
        return key
    folder, _, segment = dataset.landing.key.rpartition("/")
    if "{" in folder or "*" in folder:
        raise ConfigurationError(
            f"the pattern {dataset.landing.key!r} takes values from folders: say the whole key with --key"
        )
    guess = f"{folder}/{path.name}"
    if pattern.match(guess) is None:
        raise ConfigurationError(
            f"{path.name!r} does not match {segment!r}, the last part of the dataset's key: say the key with --key"
        )
    return guess


def landing_keys(dataset: Dataset, files: Sequence[Path], key: str | None) -> dict[str, Path]:
    """The key of each local file, in order. Raises ConfigurationError for what cannot be sent, or not together."""
    if key is not None and len(files) > 1:
        raise ConfigurationError("--key names one object: give one file with it")
    keys: dict[str, Path] = {}
    for path in files:
        check_file(path)
        landed = landing_key(dataset, path, key)
        if landed in keys:
            raise ConfigurationError(f"{keys[landed]} and {path} would land under the same key {landed!r}")
        keys[landed] = path
    return keys


def check_file(path: Path) -> None:
    """Raise ConfigurationError for what is no file that has a size and can be read twice."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        said = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ConfigurationError(f"{path}: {said}") from error
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise ConfigurationError(f"{path} is {what}: give files, which have a size and can be read twice")


def validate(files: FilesArgument, dataset: DatasetOption, key: KeyOption = None, as_json: JsonOption = False) -> None:
    """Say what the gate would make of files; nothing is written. Exit code 1 when a whole file would be rejected."""
    from pipelines.preview import preview
    from pipelines.reading.child import ChildReader
    from pipelines.reading.without_pandas import without_pandas
    from resources.local_files import local_files

    contract = named_dataset(dataset)
    sent = local_files(landing_keys(contract, files, key))
    reports: dict[Path, FileReport] = {}
    with without_pandas(), ChildReader() as reader:
        for file in sent:
            version = file.version
            try:
                reports[file.path] = preview(
                    reader, contract, version.key, version.size_bytes, file.chunks, version.landed_at
                )
            except ObjectGoneError as error:
                reports[file.path] = _failed(file.path, str(error))
    _answer(reports, as_json=as_json)


def convert(
    files: FilesArgument,
    dataset: DatasetOption,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for processed/, rejected/ and quarantine/.")],
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take files through the gate into a folder: DIR/processed/<table>/…, DIR/rejected/<table>/… and DIR/quarantine/…, by the pipeline's own path."""
    from pipelines.ingest import ingest_batch
    from pipelines.intake.backfill import take_versions
    from pipelines.reading.without_pandas import without_pandas
    from resources.conversion import open_conversion
    from resources.local_files import local_files

    contract = named_dataset(dataset)
    sent = local_files(landing_keys(contract, files, key))
    paths = {file.version: file.path for file in sent}
    reports: dict[Path, FileReport] = {}
    with without_pandas(), open_conversion(out, contract, sent) as gate, gate.reader() as reader:
        for table in tables_of(contract):
            gate.tables.ensure(table)
        for left in gate.ledger.live_batches(contract.name):
            ingest_batch(gate, reader, contract, left.batch_id, _OWNER)
        taken = take_versions(gate, contract, list(paths), run_key=f"{_OWNER}-{gate.ledger.new_id()}")
        for batch in taken.batches():
            outcome = ingest_batch(gate, reader, contract, batch.batch_id, _OWNER)
            if isinstance(outcome, BatchReport):
                named = {(version.key, version.version_id): path for version, path in paths.items()}
                found = ((named.get((r.key, r.version_id)), r) for r in outcome.files)
                reports |= {path: report for path, report in found if path is not None}
    why = "; ".join(taken.notes) or "nothing is known of it: convert it again"
    _answer({path: reports.get(path) or _failed(path, why) for path in paths.values()}, as_json=as_json)


def _failed(path: Path, error: str) -> FileReport:
    return FileReport(str(path), "", 0, FileEnding.RETRY, read_complete=False, error=error)


def _answer(reports: dict[Path, FileReport], *, as_json: bool) -> None:
    if as_json:
        print_json({"version": 1, "files": [_document(path, report) for path, report in reports.items()]})
    else:
        for path, report in reports.items():
            _print(path, report)
    failed = [r for r in reports.values() if r.outcome not in _VERDICTS]
    if failed:
        raise typer.Exit(Exit.SYSTEM)
    if any(report.outcome is FileEnding.QUARANTINED for report in reports.values()):
        raise typer.Exit(Exit.BAD_DATA)


def _document(path: Path, report: FileReport) -> dict[str, Any]:
    """One file in the documented shape; `warnings`, `columns_added`, `types_widened`, `values_rescued` and `error` when there are any."""
    verdict = _VERDICTS.get(report.outcome, "failed")
    accepted = verdict == "accepted"
    return {
        "file": str(path),
        "verdict": verdict,
        "rows_read": report.rows_read,
        "read_complete": report.read_complete,
        "rows_accepted": report.rows_read - report.rows_rejected if accepted else 0,
        "rows_rejected": report.rows_rejected if accepted else report.rows_read if verdict == "rejected" else 0,
        "partitions": list(report.partitions) if accepted else [],
        "violations_total": report.violations_total,
        "violations": [violation_document(v) for v in report.violations],
        **({"warnings": [violation_document(v) for v in report.warnings]} if report.warnings else {}),
        **(
            {"columns_added": {_text(source): name for source, name in report.new_columns.items()}}
            if report.new_columns and accepted
            else {}
        ),
        **({"types_widened": dict(report.wider_types)} if report.wider_types and accepted else {}),
        **(
            {"values_rescued": {_text(name): n for name, n in report.rescued.items()}}
            if report.rescued and accepted
            else {}
        ),
        **(
            {"delimiter": report.delimiter, "delimiter_score": report.delimiter_score}
            if report.delimiter is not None
            else {}
        ),
        **({"likely_causes": [_text(c) for c in report.likely_causes]} if report.likely_causes else {}),
        **({"error": report.error or "the file went away"} if verdict == "failed" else {}),
    }


def violation_document(violation: Violation) -> dict[str, Any]:
    """One violation in the documented shape."""
    return {
        "rule": violation.rule.value,
        "column": violation.column,
        "line": violation.line,
        "byte_offset": violation.byte_offset,
        "found": _text(violation.found),
        "expected": _text(violation.expected),
        "count": violation.count,
        "samples": [_sample(s) for s in violation.samples],
        "message": _text(violation.message),
    }


def _sample(sample: Sample) -> dict[str, Any]:
    said = {"line": sample.line, "byte_offset": sample.byte_offset, "found": _text(sample.found)}
    return said if sample.raw is None else said | {"raw": _text(sample.raw)}


def _text(text: str) -> str:
    """Text that JSON can carry: lone surrogates stand for bytes that are no UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def _print(path: Path, report: FileReport) -> None:
    match report.outcome:
        case FileEnding.LOADED | FileEnding.SUPERSEDED:
            where = ", ".join(report.partitions[:3]) + (" …" if len(report.partitions) > 3 else "")
            console.print(
                f"[green]accepted[/green]  {safe(path)}: {counted(report.rows_read - report.rows_rejected, 'row')}"
                + (f" in {safe(where)}" if where else "")
                + (
                    f", [yellow]{counted(report.rows_rejected, 'row')} rejected[/yellow]"
                    if report.rows_rejected
                    else ""
                )
            )
            _print_violations(path, report)
            for source, name in report.new_columns.items():
                console.print(f"          new column {safe(name)}" + (f" for {safe(source)}" if source != name else ""))
            for name, kind in report.wider_types.items():
                console.print(f"          column {safe(name)} becomes {kind}")
            if report.rescued:
                columns = ", ".join(f"{safe(name)} {n:,}" for name, n in list(report.rescued.items())[:10])
                console.print(f"          {counted(sum(report.rescued.values()), 'value')} rescued: {columns}")
        case FileEnding.EMPTY:
            console.print(f"[yellow]empty[/yellow]     {safe(path)}: no row; what its key has in the table stays")
        case FileEnding.QUARANTINED:
            read = f"{report.rows_read:,} rows read" + ("" if report.read_complete else ", not to the end")
            console.print(f"[red]rejected[/red]  {safe(path)}: {counted(report.violations_total, 'fault')} in {read}")
            _print_violations(path, report)
            for cause in report.likely_causes:
                console.print(f"          {safe(path)}: {safe(cause)}")
        case FileEnding.GONE | FileEnding.REMOVED | FileEnding.ARCHIVED | FileEnding.RETRY | FileEnding.DEFERRED:
            console.print(f"[red]failed[/red]    {safe(path)}: {safe(report.error or 'the file went away')}")
    if report.delimiter is not None:
        score = report.delimiter_score
        told = "pinned by an earlier file" if score is None else f"told from the file, score {score:.2f}"
        console.print(f"          {safe(path)}: the delimiter is {safe(spoken(report.delimiter))}, {told}")
    for warning in report.warnings:
        console.print(f"          [yellow]warning[/yellow] {violation_line(path, warning)}")


def _print_violations(path: Path, report: FileReport) -> None:
    for violation in report.violations:
        console.print(f"          {violation_line(path, violation)}")
    if hidden := report.violations_total - sum(v.count for v in report.violations):
        console.print(f"          {safe(path)}: {hidden:,} more are not listed")


def violation_line(path: Path | str, violation: Violation) -> str:
    """`file:line:column: message [rule]`; the message says how often."""
    place = ":".join(str(part) for part in (path, violation.line, violation.column) if part is not None)
    return f"{safe(place)}: {safe(violation.message)} \\[{violation.rule.value}]"
