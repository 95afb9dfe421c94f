"""`lakegate dlq …`: messages that intake could not take, why, and the way back into the queue."""

from typing import Annotated, Any

import typer

from lakegate.cli.connection import connect
from lakegate.cli.output import Exit, JsonOption, console, counted, print_json, safe, table
from lakegate.cli.replaying import WhyOption, asked
from pipelines.errors import ConfigurationError
from pipelines.intake.dead_letters import (
    DeadLetter,
    DeadLetterKind,
    discard,
    find_dead_letter,
    look_at_dead_letters,
    redrive,
)

__all__ = ["app"]

app = typer.Typer(help="Dead letters: messages that could not be taken, why, and the way back.", no_args_is_help=True)

_MOST = 10_000
_BODY_SHOWN = 10_000
MostOption = Annotated[int, typer.Option("--most", min=1, help="Look at no more than so many.")]


@app.command("list")
def list_letters(most: MostOption = 1000, as_json: JsonOption = False) -> None:
    """List the dead letters with their reasons; none is taken away."""
    _, gate = connect()
    found = look_at_dead_letters(gate, most=most)
    if as_json:
        print_json(
            {
                "version": 1,
                "total": found.total,
                "reasons": {kind.value: number for kind, number in found.counts().items()},
                "letters": [_document(letter) for letter in found.letters],
            }
        )
    elif not found.total:
        console.print("There are no dead letters.")
    else:
        shown = table("id", "sent (UTC)", "reason", "why", "key")
        for letter in found.letters:
            reason = letter.reason
            sent = f"{letter.sent_at:%Y-%m-%d %H:%M:%S}" if letter.sent_at else ""
            shown.add_row(letter.message_id, sent, reason.kind.value, safe(reason.why), safe(reason.key or ""))
        console.print(shown)
        for kind, number in sorted(found.counts().items()):
            console.print(f"{counted(number, 'letter')} {kind.value}: {safe(kind.remedy)}")
        if not found.all_seen:
            console.print(
                f"About {found.total:,} are there, {len(found.letters):,} are shown: others may be looking at the rest just now, or see `--most`."
            )


@app.command("show")
def show(
    id_: Annotated[str, typer.Argument(metavar="ID", help="A dead letter's id, or its beginning.")],
    as_json: JsonOption = False,
) -> None:
    """Show a dead letter: its reason, what to do, and its body (escaped, at most 10,000 characters)."""
    _, gate = connect()
    matches = find_dead_letter(gate, id_, most=_MOST)
    if len(matches) != 1:
        raise ConfigurationError(
            f"no dead letter that can be received now has the id {id_!r}; see `lakegate dlq list`"
            if not matches
            else f"{len(matches)} dead letters have an id that begins with {id_!r}: say more of it"
        )
    [(letter, body)] = matches
    if as_json:
        print_json(
            {"version": 1, **_document(letter), "body": body[:_BODY_SHOWN], "body_is_cut": len(body) > _BODY_SHOWN}
        )
        return
    sent = f", sent {letter.sent_at:%Y-%m-%d %H:%M:%S} UTC" if letter.sent_at else ""
    console.print(f"[bold]{letter.message_id}[/bold]  {counted(letter.size_bytes, 'byte')}{sent}")
    console.print(f"  {letter.reason.kind.value}: {safe(letter.reason.why)}")
    if letter.reason.key is not None:
        console.print(f"  key: {safe(letter.reason.key)}")
    console.print(f"  {safe(letter.reason.kind.remedy)}")
    console.print(f"  body: {safe(body[:_BODY_SHOWN])}")
    if len(body) > _BODY_SHOWN:
        console.print(f"  … and {len(body) - _BODY_SHOWN:,} characters more")


@app.command("redrive")
def redrive_letters(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID…]", help="Dead letters by id, or its beginning.")
    ] = None,
    reason: Annotated[DeadLetterKind | None, typer.Option("--reason", help="Those with this reason.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    most: MostOption = _MOST,
    why: WhyOption = "",
    as_json: JsonOption = False,
) -> None:
    """Send dead letters back to the queue: by id, by reason, or all. What still cannot be taken comes back here.

    A letter is put into the queue before it leaves the dead letters, so one may be in both for a moment: taken twice, it
    counts as a duplicate.
    """
    if not ids and reason is None and not everything:
        raise ConfigurationError("say which: ids, `--reason`, or `--all` (see `lakegate dlq list`)")
    if everything and (ids or reason is not None):
        raise ConfigurationError("`--all` stands alone: without it, ids and `--reason` choose")
    _, gate = connect()
    done = redrive(gate, asked(why), most=most, kind=reason, message_ids=ids or None)
    if as_json:
        print_json({"version": 1, "sent": done.sent, "left": done.left})
        return
    console.print(
        f"{counted(done.sent, 'dead letter')} sent back to the queue; {done.left:,} looked at and left where they are."
    )


@app.command("discard")
def discard_letters(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID…]", help="Dead letters by id, or its beginning.")
    ] = None,
    reason: Annotated[DeadLetterKind | None, typer.Option("--reason", help="Those with this reason.")] = None,
    most: MostOption = _MOST,
    why: WhyOption = "",
    as_json: JsonOption = False,
) -> None:
    """Delete dead letters of strangers for good, by id or by reason: of another bucket, or not understood. All others are kept.

    Exit code 1 when one that was asked for was kept, because it may tell of an object of ours: send that back instead.
    """
    if not ids and reason is None:
        raise ConfigurationError("say which: ids, or `--reason` (see `lakegate dlq list`)")
    if not why.strip():
        raise ConfigurationError(
            "say why (`--why`): what is deleted here is nowhere else, and the audit log keeps the reason"
        )
    _, gate = connect()
    done = discard(gate, asked(why), most=most, kind=reason, message_ids=ids or None)
    if as_json:
        print_json({"version": 1, "deleted": done.deleted, "kept": done.kept, "left": done.left})
    else:
        kept = f" {counted(done.kept, 'letter')} kept, which may tell of an object of ours: send back with `lakegate dlq redrive`." if done.kept else ""  # fmt: skip
        console.print(
            f"{counted(done.deleted, 'dead letter')} deleted; {done.left:,} looked at and left where they are.{kept}"
        )
    if done.kept:
        raise typer.Exit(Exit.BAD_DATA)


def _document(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.message_id,
        "sent_at": letter.sent_at.isoformat() if letter.sent_at else None,
        "size_bytes": letter.size_bytes,
        "reason": letter.reason.kind.value,
        "why": letter.reason.why,
        "key": letter.reason.key,
        "what_to_do": letter.reason.kind.remedy,
    }
