"""`lakegate migrate`: what an older release left, brought to the formats of this one. With `--plan` it only looks."""

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from lakegate.cli.connection import connect
from lakegate.cli.output import JsonOption, console, counted, print_json, safe, table
from lakegate.cli.replaying import asked
from pipelines.accounting.books import Books
from pipelines.accounting.entries import RetryPolicy
from pipelines.accounting.format_guard import FormatGuard
from pipelines.accounting.ids import IdFactory
from pipelines.errors import ConfigurationError
from pipelines.formats import LEDGER_FORMAT, RELEASE, TABLE_FORMAT
from pipelines.migration import STEPS, ItemReport, Step, migrate_items, pending_steps
from resources.dynamodb import DynamoItemStore
from resources.environment import Deployment, client, iceberg_catalog
from resources.table_migration import TableStanding, look_at_tables, stamp_table

__all__ = ["migrate", "migrate_deployment"]


@dataclass(frozen=True, slots=True)
class Migration:
    """What there was to do, and whether it was done. `written_by`: the newest release that wrote before; None for 0.1.0."""

    written_by: str | None
    steps: tuple[Step, ...]
    tables: tuple[TableStanding, ...]
    items: ItemReport | None
    applied: bool

    @property
    def unmarked(self) -> tuple[str, ...]:
        """The tables that did not say their format."""
        return tuple(one.name for one in self.tables if one.format is None)

    def todo(self) -> list[str]:
        """What there was to do, a line each; empty when all is as this release writes it."""
        lines: list[str] = []
        if self.written_by is None:
            lines.append(f"note in the ledger that Lakegate {RELEASE} writes it, in format {LEDGER_FORMAT}")
        lines += [f"ledger, format {step.to - 1} to {step.to}: {step.says}" for step in self.steps]
        if self.unmarked:
            tables = counted(len(self.unmarked), "table")
            lines.append(f"note on {tables} that the format is {TABLE_FORMAT}: {', '.join(self.unmarked)}")
        return lines


def migrate(
    plan: Annotated[bool, typer.Option("--plan", help="Show what there is to do, and change nothing.")] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="Do it. Safe to repeat, and beside running processes.")
    ] = False,
    scan: Annotated[
        bool,
        typer.Option("--scan", help="Read the whole ledger, though no step asks for it, and count its items by kind."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring ledger and tables that an older release wrote to the formats of this one."""
    if plan is apply:
        raise ConfigurationError("say --plan to see what there is to do, or --apply to do it")
    deployment, gate = connect()
    if apply:
        with gate.ledger.audit.doing(asked("").to("migrate", release=RELEASE)) as outcome:
            done = migrate_deployment(deployment, apply=True, scan=scan)
            outcome.update(steps=len(done.steps), tables=len(done.unmarked))
    else:
        done = migrate_deployment(deployment, apply=False, scan=scan)
    if as_json:
        print_json(_document(done))
    else:
        _print(done)


def migrate_deployment(
    deployment: Deployment, *, apply: bool, scan: bool = False, steps: tuple[Step, ...] = STEPS
) -> Migration:
    """Look at ledger and tables, and with `apply` bring them to this release's formats.

    Raises NewerFormatError when a newer release was here: nothing was changed.
    """
    from resources.clock import utc_now

    store = DynamoItemStore(client("dynamodb"), deployment.ledger_table)
    guard = FormatGuard(store, utc_now)
    catalog, database = iceberg_catalog(), deployment.glue_database
    written_by = guard.written_by()
    tables = tuple(look_at_tables(catalog, database))
    pending = pending_steps(guard.migrated_to(), steps)
    if apply:
        # First of all: from now on no older process writes.
        guard.announce()
    books = Books(guard, utc_now, IdFactory(utc_now), RetryPolicy())
    items = migrate_items(store, books, steps, apply=apply) if pending or scan else None
    if apply:
        if pending:
            guard.record_migrated(pending[-1].to)
        for one in tables:
            if one.format is None:
                stamp_table(catalog, database, one.name)
    return Migration(written_by, pending, tables, items, applied=apply)


def _print(done: Migration) -> None:
    by = f"Lakegate {done.written_by}" if done.written_by else "a release that leaves no mark (0.1.0), or nobody yet"
    console.print(f"Ledger: last written by {safe(by)}; this is Lakegate {RELEASE}, format {LEDGER_FORMAT}.")
    console.print(f"Tables: {len(done.tables)}, {len(done.tables) - len(done.unmarked)} of them say their format.")
    if (items := done.items) is not None:
        shown = table("items", "#in all", "#older", "such as")
        for kind, counts in sorted(items.found.items()):
            older = sum(n for form, n in counts.items() if form < LEDGER_FORMAT)
            shown.add_row(kind, f"{counts.total():,}", f"{older:,}", safe(", ".join(items.examples.get(kind, ()))))
        console.print(shown)
    todo = done.todo()
    if not todo:
        console.print("Nothing to do: ledger and tables are as this release writes them.")
        return
    for line in todo:
        console.print(f"  {'done' if done.applied else 'to do'}: {safe(line)}")
    if done.applied:
        changed = f"; {counted(done.items.changed, 'item')} changed" if done.items else ""
        console.print(f"{counted(len(todo), 'step')} done{changed}.")
    else:
        console.print(
            f"{counted(len(todo), 'step')} to do; nothing was changed. `lakegate migrate --apply` does it, beside running processes of "
            f"{RELEASE}; what runs an older release stops within five minutes."
        )


def _document(done: Migration) -> dict[str, Any]:
    items = done.items
    return {
        "version": 1,
        "release": RELEASE,
        "ledger_format": LEDGER_FORMAT,
        "table_format": TABLE_FORMAT,
        "written_by": done.written_by,
        "applied": done.applied,
        "todo": done.todo(),
        "tables": [{"table": one.name, "format": one.format} for one in done.tables],
        "items": None
        if items is None
        else {
            "read": items.items,
            "changed": items.changed,
            "kinds": {kind: {str(form): n for form, n in counts.items()} for kind, counts in items.found.items()},
            "examples": items.examples,
        },
    }
