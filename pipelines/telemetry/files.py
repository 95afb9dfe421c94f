"""How spans and log lines name a file: by the ledger's id of its key, its version, and the key itself, printable and cut."""

from pipelines.accounting.entries import LedgerEntry
from pipelines.accounting.states import Trigger
from pipelines.printable import printable
from pipelines.telemetry.tracing import Attribute

__all__ = ["file_attributes", "is_fresh", "short_key"]

_KEY_CHARACTERS = 200


def short_key(key: str) -> str:
    """A key as one printable line of at most 200 characters; what is cut is its middle."""
    shown = printable(key)
    half = _KEY_CHARACTERS // 2
    return shown if len(shown) <= _KEY_CHARACTERS else f"{shown[: half - 1]}…{shown[-half:]}"


def file_attributes(entry: LedgerEntry) -> dict[str, Attribute]:
    """What names a file in a span."""
    return {
        "lakegate.file": entry.ref.object_id,
        "lakegate.version": entry.version.version_id,
        "lakegate.key": short_key(entry.version.key),
        "lakegate.size_bytes": entry.version.size_bytes,
    }


def is_fresh(entry: LedgerEntry) -> bool:
    """Whether a file is on its way for the first time since its event: then that is where its trace begins."""
    return entry.trigger is Trigger.EVENT and not entry.attempts and not entry.verdicts
