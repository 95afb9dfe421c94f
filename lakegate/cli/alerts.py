"""`lakegate alerts`: what is wrong now, as an alert would say it; `lakegate alerts test` tries each channel."""

import os
from typing import Any

import typer

from lakegate.cli.connection import connect
from lakegate.cli.output import Exit, JsonOption, console, counted, print_json, safe
from pipelines.alerting.conditions import Condition, Kind, Severity
from pipelines.alerting.deciding import Due, Event
from pipelines.alerting.looking import look_at_gate
from pipelines.alerting.memory import Known, Memory
from pipelines.alerting.message import compose
from pipelines.errors import ConfigurationError, LakegateError
from pipelines.gate import Gate
from pipelines.ports import AlertChannel
from resources.alerts import SnsChannel, channels_of

__all__ = ["app"]

app = typer.Typer(help="What is wrong now, as an alert would say it; and a test of the channels.")
_BY_DAGSTER = "Failed runs, blocking checks and what the sweep found are Dagster's to tell: see the ticks of `alert_sensor` there."


@app.callback(invoke_without_command=True)
def show(context: typer.Context, as_json: JsonOption = False) -> None:
    """Show what an alert would say now: what ledger, queue and dataset files tell. Nothing is sent, and nothing remembered."""
    if context.invoked_subcommand:
        return
    _, gate = connect()
    channels = channels_of(os.environ)
    now = gate.clock()
    conditions = look_at_gate(gate, Memory(), now).conditions
    conditions = tuple(sorted(conditions, key=lambda c: (c.severity.rank, c.key)))
    messages = [compose([_new(condition)], now) for condition in conditions]
    if as_json:
        alerts: list[Any] = [message.document["alerts"] for message in messages]
        print_json({"version": 1, "alerts": [a for found in alerts for a in found], "channels": [_place(c) for c in channels]})  # fmt: skip
        return
    for message in messages:
        console.print(f"{safe(message.text)}\n")
    console.print("Nothing is wrong." if not messages else f"{counted(len(messages), 'alert')}.")
    console.print(_BY_DAGSTER)
    console.print(
        f"Alerts go to {', '.join(_place(c) for c in channels)}." if channels else f"[yellow]{_NONE}[/yellow]"
    )


@app.command("test")
def try_channels(as_json: JsonOption = False) -> None:
    """Send a test alert over each channel and say what became of it. Exit code 3 when one did not take it."""
    _, gate = connect()
    channels = channels_of(os.environ)
    if not channels:
        raise ConfigurationError(_NONE)
    tried = [(channel, *_tried(channel, gate)) for channel in channels]
    if as_json:
        told = [{"channel": c.name, "place": c.place, "taken": taken, "said": said} for c, taken, said in tried]
        print_json({"version": 1, "channels": told})
    else:
        for channel, taken, said in tried:
            console.print(f"[{'green' if taken else 'red'}]{safe(_place(channel))}[/]: {safe(said)}")
    if not all(taken for _, taken, _ in tried):
        raise typer.Exit(Exit.SYSTEM)


_NONE = "No channel is configured: set LAKEGATE_ALERT_TOPIC or LAKEGATE_ALERT_WEBHOOK (docs/alerts.md)."


def _tried(channel: AlertChannel, gate: Gate) -> tuple[bool, str]:
    now = gate.clock()
    test = Condition(
        kind=Kind.TEST,
        dataset=None,
        reason="test",
        severity=Severity.WARNING,
        headline="this is a test",
        happened="Somebody ran `lakegate alerts test`. Nothing is wrong.",
        todo="Nothing.",
        since=now,
        links={"docs on alerts": gate.links.page("alerts.md")},
    )
    try:
        channel.send(compose([_new(test)], now))
        if isinstance(channel, SnsChannel) and channel.subscriptions() == 0:
            return True, "taken, but nobody has subscribed to the topic: nobody reads it"
    except LakegateError as error:
        return False, f"not taken: {error}"
    return True, "taken"


def _new(condition: Condition) -> Due:
    known = Known(condition.kind, condition.dataset, condition.reason, condition.since, condition.owner)
    return Due(Event.NEW, known, condition, None)


def _place(channel: AlertChannel) -> str:
    return f"{channel.name} ({channel.place})"
