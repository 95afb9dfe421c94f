"""`lakegate quarantine …`: rejected files, what was wrong with each, and the ways back."""

from typing import Annotated, Any

import typer

from lakegate.cli.connection import connect
from lakegate.cli.output import JsonOption, console, counted, print_json, safe, table
from lakegate.cli.replaying import WhyOption, asked, print_replayed
from pipelines.accounting.entries import LedgerEntry
from pipelines.errors import ConfigurationError, ObjectGoneError
from pipelines.gate import Gate
from pipelines.intake.replay import find_quarantined, quarantined_for, replay_quarantined
from pipelines.publication.quarantine import QuarantineReport, load_report, quarantine_id, report_lines
from pipelines.reading.violations import Rule

__all__ = ["app"]

app = typer.Typer(help="Rejected files: what was wrong, and the way back.", no_args_is_help=True)

DatasetOption = Annotated[str | None, typer.Option("--dataset", "-d", help="Only this dataset.")]
RuleOption = Annotated[
    str | None,
    typer.Option("--reason", help="Only files that broke this rule (docs/reference/rules.md), such as `type`."),
]


@app.command("list")
def list_files(dataset: DatasetOption = None, reason: RuleOption = None, as_json: JsonOption = False) -> None:
    """List the files in quarantine that nothing has replaced yet, each with its first fault."""
    _, gate = connect()
    found = [(entry, _report_of(gate, entry)) for entry in quarantined_for(gate, dataset, _known_rule(reason))]
    if as_json:
        print_json({"version": 1, "files": [_document(entry, report) for entry, report in found]})
        return
    shown = table("id", "file", "#tried", "#faults", "first fault")
    for entry, report in found:
        shown.add_row(
            quarantine_id(entry.version),
            safe(entry.version.key),
            str(entry.verdicts),
            str(report.violations_total if report else ""),
            safe(report_lines(report)[0] if report else "its report is gone"),
        )
    console.print(shown if found else "Nothing is in quarantine.")


@app.command("show")
def show(
    id_: Annotated[str, typer.Argument(metavar="ID", help="A quarantine id, or its beginning.")],
    as_json: JsonOption = False,
) -> None:
    """Show a quarantined file's report: every fault with file:line:column, and the way back."""
    _, gate = connect()
    [entry] = find_quarantined(gate, [id_])
    report = _report_of(gate, entry)
    if report is None:
        raise ConfigurationError(
            f"the report of {id_} is no longer in the quarantine bucket: its retention has removed it"
        )
    if as_json:
        print_json(report.model_dump(mode="json"))
        return
    console.print(f"[bold]{safe(report.key)}[/bold]  version {safe(report.version_id)}")
    console.print(
        f"  dataset {report.dataset}, landed {report.landed_at:%Y-%m-%d %H:%M:%S} UTC, {report.size_bytes:,} bytes, contract {report.contract}"
    )
    console.print(
        f"  {counted(report.rows_read, 'row')} read{'' if report.read_complete else ', not to the end'}; {counted(report.violations_total, 'fault')}; "
        f"tried {counted(report.tried, 'time')}, last {report.quarantined_at:%Y-%m-%d %H:%M:%S} UTC"
    )
    for line in report_lines(report):
        console.print(f"  {safe(line)}")
    console.print(f"  unchanged copy: {safe(gate.store.uri(gate.quarantine_bucket, report.object_key))}")


@app.command("replay")
def replay(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID…]", help="Quarantine ids, or their beginnings.")
    ] = None,
    dataset: DatasetOption = None,
    reason: RuleOption = None,
    why: WhyOption = "",
    as_json: JsonOption = False,
) -> None:
    """Process quarantined files again under today's contract: by id, or all of a dataset (with one reason).

    They become due; the landing sensor runs them. One that is accepted leaves quarantine; one that is rejected again keeps its id.
    """
    _, gate = connect()
    done = replay_quarantined(gate, asked(why), dataset=dataset, rule=_known_rule(reason), ids=ids or ())
    print_replayed(done, "quarantined file", as_json=as_json)


def _known_rule(reason: str | None) -> str | None:
    if reason is not None and reason not in {rule.value for rule in Rule}:
        raise ConfigurationError(
            f"{reason!r} is no rule; docs/reference/rules.md and `lakegate quarantine list` name them"
        )
    return reason


def _document(entry: LedgerEntry, report: QuarantineReport | None) -> dict[str, Any]:
    return {
        "id": quarantine_id(entry.version),
        "dataset": entry.dataset,
        "key": entry.version.key,
        "version_id": entry.version.version_id,
        "landing_day": entry.landing_day.isoformat(),
        "tried": entry.verdicts,
        "violations_total": report.violations_total if report else None,
        "first": report.violations[0].model_dump() if report and report.violations else None,
    }


def _report_of(gate: Gate, entry: LedgerEntry) -> QuarantineReport | None:
    if entry.facts is None or entry.facts.report_key is None:
        return None
    try:
        return load_report(gate.store, gate.quarantine_bucket, entry.facts.report_key)
    except ObjectGoneError:
        return None
