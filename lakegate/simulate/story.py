"""What an actor does, in words: calls of ports as a person would tell them. Only worked out when somebody listens."""

from collections.abc import Iterable, Sequence

from pipelines.intake.objects import ObjectVersion
from pipelines.ports import (
    Change,
    Check,
    Committed,
    Conflict,
    Delete,
    FilesGone,
    Item,
    Put,
    Refused,
    SourceVersion,
    TableCommit,
    Update,
)

__all__ = ["Names", "commit_words", "ending", "version_words", "write_words"]

_SHOWN = ("state", "outcome", "epoch", "owner", "lease_until", "object_removed", "serving_version", "batch_id")


class Names:
    """Short names for the ids of batches, in order of appearance."""

    def __init__(self) -> None:
        """Knows none yet."""
        self._names: dict[str, str] = {}

    def batch(self, batch_id: str) -> str:
        """`batch 3`."""
        return self._names.setdefault(batch_id, f"batch {len(self._names) + 1}")


def ending(result: object) -> str:
    """What a call came to, where that is not what was asked for."""
    match result:
        case Refused():
            return " -> refused"
        case Conflict():
            return " -> conflict, the table has moved on"
        case FilesGone():
            return f" -> gives way: {len(result.addresses)} of them are not in the table any more"
        case Committed():
            return f" -> done: {result.rows_added} rows in, {result.rows_removed} rows out"
        case None | bool():
            return ""
        case _:
            return ""


def version_words(version: ObjectVersion) -> str:
    """A version as the story names it: its id begins with its key."""
    return version.version_id


def commit_words(table: str, change: TableCommit, names: Names) -> str:
    """A table commit."""
    parts = [f"{_listed(change.sources)} in"] if change.sources else []
    parts += [f"{_listed(change.removes)} out"] if change.removes else []
    whose = names.batch(change.batch_id.split("-")[0])
    return f"commit to {table}, {whose}: {', '.join(parts) or 'nothing'}"


def _listed(sources: Iterable[SourceVersion]) -> str:
    return " ".join(source.version_id for source in sources)


def write_words(changes: Sequence[Change], names: Names) -> str | None:
    """A write to the ledger: what it says of versions, batches and heads; None when it says nothing of them."""
    parts = [words for change in changes if (words := _change_words(change, names))]
    return f"ledger: {'; '.join(parts)}" if parts else None


def _change_words(change: Change, names: Names) -> str | None:
    kind, _, name = change.key.sk.partition("#")
    pk, _, owner = change.key.pk.partition("#")
    if isinstance(change, Check) or kind == "history" or pk in ("counts", "days", "run", "datasets", "routing"):
        return None
    if kind == "batch":
        return f"{names.batch(owner)} {_said(change, names)}"
    if kind == "version":
        new = "new: " if isinstance(change, Put) else ""
        return f"{name} {new}{_said(change, names)}"
    if kind == "head":
        return f"head {_said(change, names)}"
    if kind == "removal":
        return f"removal {name} noted"
    if pk == "slots":
        return f"slot of {change.key.sk} {'freed' if isinstance(change, Delete) else 'taken'}"
    return None


def _said(change: Change, names: Names) -> str:
    said: Item = {}
    if isinstance(change, Put):
        said = change.item
    elif isinstance(change, Update):
        said = {**change.set_, **{f"{name} +": number for name, number in change.add.items()}}
    shown = {name: said[name] for name in said if name in _SHOWN or name.endswith(" +")}
    if isinstance(shown.get("batch_id"), str):
        shown["batch_id"] = names.batch(str(shown["batch_id"]))
    if isinstance(shown.get("lease_until"), str):
        shown["lease_until"] = str(shown["lease_until"])[11:19]
    return ", ".join(f"{name} {value}" for name, value in shown.items())
