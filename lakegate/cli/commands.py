"""Every command's name, where its code is, and the help that the list of commands shows: told without loading any of it.

A command's module is imported when the command is called, or its own `--help` is asked for. Each help stands here a second
time, because asking the commands for theirs would load them all; a test holds both to be the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

__all__ = ["COMMANDS", "OPTIONS", "CommandGroup", "Declared", "load"]

OPTIONS: dict[str, Any] = {"add_completion": False, "pretty_exceptions_enable": False, "rich_markup_mode": "rich"}
"""How every `typer.Typer` of this command line is made."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A command: `module:attribute`, a function or a `typer.Typer` of commands below it, and its whole help text."""

    place: str
    help: str


COMMANDS: Mapping[str, Declared] = {
    "up": Declared(
        "laptop:up",
        "Start the laptop's AWS and Dagster; in the foreground until Ctrl-C, or in the background with --detach.",
    ),
    "down": Declared("laptop:down", "Stop everything that runs for this folder; the state stays."),
    "reset": Declared("laptop:reset", "Stop everything and forget all local state: buckets, ledger, tables, runs."),
    "env": Declared(
        "laptop:env",
        'Print the running laptop\'s environment, for a shell: eval "$(lakegate env)", then `dg dev`, or `dagster dev -w workspace.yaml`.',
    ),
    "demo": Declared(
        "laptop:demo",
        "Run the main job on real files, from landing to Athena's answer, and check every count against the source.",
    ),
    "setup": Declared(
        "setup:setup",
        "Create or update the stack of infra/lakegate.yaml, and have a bucket tell of its files, in the AWS the environment names.",
    ),
    "doctor": Declared(
        "doctor:doctor",
        "Look at every link of the chain, now. Exit code 0: nothing is wrong; 1: something is; 3: not everything could be looked at.",
    ),
    "drop": Declared("operate:drop", "Put local files into the landing bucket, as a producer would."),
    "wait": Declared(
        "operate:wait",
        "Wait until all is at rest: no message in the queue, no file pending. Exit code 1 when files failed or time is up.",
    ),
    "status": Declared(
        "operate:status",
        "The balance sheet: each object version in exactly one outcome. Exit code 1 when it does not add up.",
    ),
    "migrate": Declared(
        "migrate:migrate", "Bring ledger and tables that an older release wrote to the formats of this one."
    ),
    "pause": Declared(
        "pauses:pause",
        "Plan no more files of a dataset until it is resumed. They stay pending; what is under way goes on to its end.",
    ),
    "resume": Declared(
        "pauses:resume",
        "Let a paused dataset go on with the next tick of the sensor. Exit code 1 when it was not paused.",
    ),
    "pauses": Declared("pauses:pauses", "When a dataset was paused, probed and resumed, by whom and why."),
    "query": Declared("query:query", "Ask Athena, in the workgroup and database of the deployment."),
    "trace": Declared(
        "trace:trace",
        "The story of a file: every version of its key, what became of it, when, and why. Or, with --table and --where, the file, version, line and raw text that rows came from.",
    ),
    "sweep": Declared(
        "sweep:sweep_command",
        "Compare the landing bucket with the ledger, and put right what events did not tell. Exit code 1 when they do not agree.",
    ),
    "compact": Declared(
        "compaction:compact",
        "Put the small files of tables together, sorted. Not a row changes; ingestion goes on, and comes first.",
    ),
    "expire": Declared(
        "compaction:expire",
        "Let go of old states of tables, so that their metadata stays small. No row and no file is removed by it.",
    ),
    "infer": Declared(
        "inference:infer",
        "Write a dataset file for files never seen: safe types, read from every value, each line with its evidence.",
    ),
    "validate": Declared(
        "files:validate",
        "Say what the gate would make of files; nothing is written. Exit code 1 when a whole file would be rejected.",
    ),
    "convert": Declared(
        "files:convert",
        "Take files through the gate into a folder: DIR/processed/<table>/…, DIR/rejected/<table>/… and DIR/quarantine/…, by the pipeline's own path.",
    ),
    "simulate": Declared(
        "simulate:simulate",
        "Prove the promise: run the real code on a world in memory where events are lost, doubled and late, workers die or sleep past their lease, answers get lost, files are sent again and removed; then check every row and every count.",
    ),
    "web": Declared(
        "web:web",
        "Serve Dagster's pages, on this machine only unless a proxy asks for a login. In the foreground, in place of this process.",
    ),
    "datasets": Declared("datasets:app", "List, show and check the dataset files."),
    "quarantine": Declared("quarantine:app", "Rejected files: what was wrong, and the way back."),
    "failed": Declared(
        "failed:app", "Files whose attempts were used up by faults of ours: what killed them, and another try."
    ),
    "history": Declared("history:history_app", "What happened to files, as tables: file_history and balance_sheet."),
    "dlq": Declared("dlq:app", "Dead letters: messages that could not be taken, why, and the way back."),
    "alerts": Declared("alerts:app", "What is wrong now, as an alert would say it; and a test of the channels."),
    "audit": Declared("audit:app", "Who did what by hand: a log that nobody changes."),
    "metrics": Declared("metrics:app", "What Lakegate measures of itself (docs/metrics.md)."),
}
"""The commands, in the order in which the help lists them."""


def load(name: str) -> TyperCommand | TyperGroup:
    """Import a command and everything it needs at once. Raises KeyError for a name that is none."""
    module, _, attribute = COMMANDS[name].place.partition(":")
    found = getattr(import_module(f"lakegate.cli.{module}"), attribute)
    above = typer.Typer(**OPTIONS)
    above.callback()(lambda: None)  # a group even of one
    if isinstance(found, typer.Typer):
        above.add_typer(found, name=name)
    else:
        above.command(name)(found)
    group = typer.main.get_command(above)
    assert isinstance(group, TyperGroup)  # noqa: S101 - it has a callback
    command = group.commands[name]
    assert isinstance(command, TyperCommand | TyperGroup)  # noqa: S101 - typer makes no others
    return command


class CommandGroup(TyperGroup):
    """The group of all commands: lists them as declared, and loads the one that is called."""

    def __init__(self, **settings: Any) -> None:
        """Takes what typer gives a group."""
        super().__init__(**settings)
        for name, declared in COMMANDS.items():
            self.add_command(TyperCommand(name, help=declared.help, rich_markup_mode=self.rich_markup_mode))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The name, the command itself and what is left of the arguments. Raises click's UsageError for an unknown name."""
        name, declared, rest = super().resolve_command(ctx, args)
        return name, load(name) if name is not None and declared is not None else None, rest
