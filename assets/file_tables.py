"""Files as tables for people: what became of each, and what is wrong with those in quarantine. Markdown, because it can link.

Names come from strangers: everything is escaped. No row contents.
"""

from collections.abc import Sequence

from assets.keys import counted
from pipelines.gate import Gate
from pipelines.printable import markdown
from pipelines.reports import FileEnding, FileReport

__all__ = ["FILES_SHOWN", "file_table", "report_list"]

FILES_SHOWN = 200
_NAME_SHOWN = 200
"""Characters of a key or of a remark."""
_FIRST = {FileEnding.RETRY: 0, FileEnding.QUARANTINED: 1, FileEnding.LOADED: 3}
"""Of more files than are shown, those that want attention are."""
_NUMBERS = frozenset({"rows loaded", "bytes"})


def file_table(gate: Gate, files: Sequence[FileReport]) -> str:
    """A line a file: outcome, with a link to its report, rows, bytes, and what else there is to say of it.

    Few columns: the page gives the whole table the width of half a window.
    """
    shown = sorted(files, key=lambda file: _FIRST.get(file.outcome, 2))[:FILES_SHOWN]
    cells = {
        "file": [markdown(file.key, _NAME_SHOWN) for file in shown],
        "outcome": [f"{file.outcome.value}{_report_link(gate, file)}" for file in shown],
        "rows loaded": [f"{file.rows_loaded:,} of {file.rows_read:,}" for file in shown],
        "bytes": [f"{file.size_bytes:,}" for file in shown],
        "remarks": [_remarks(file) for file in shown],
    }
    told = {name: column for name, column in cells.items() if any(column)}
    lines = [
        f"| {' | '.join(told)} |",
        f"|{'|'.join('--:' if name in _NUMBERS else '---' for name in told)}|",
        *(f"| {' | '.join(line)} |" for line in zip(*told.values(), strict=True)),
    ]
    if len(files) > len(shown):
        lines += ["", f"… and {counted(len(files) - len(shown), 'file')} more."]
    return "\n".join(lines)


def _report_link(gate: Gate, file: FileReport) -> str:
    if not (file.quarantine_id and file.report_key):
        return ""
    return f", [report]({gate.links.object(gate.quarantine_bucket, file.report_key)})"


def _remarks(file: FileReport) -> str:
    said: list[str] = []
    if file.violations:
        first = file.violations[0]
        where = f", line {first.line:,}" if first.line is not None else ""
        of = f" of {markdown(first.column, _NAME_SHOWN)}" if first.column else ""
        said.append(f"{counted(file.violations_total, 'fault')}, first `{first.rule.value}`{of}{where}")
    if file.rows_rejected:
        said.append(f"{counted(file.rows_rejected, 'row')} rejected")
    if file.rows_removed:
        said.append(f"{counted(file.rows_removed, 'row')} taken out")
    if file.changes:
        said.append(markdown(file.changes.sentence(), _NAME_SHOWN))
    if file.error:
        said.append(markdown(file.error, _NAME_SHOWN))
    return "; ".join(said)


def report_list(gate: Gate, files: Sequence[FileReport]) -> str:
    """A line a quarantined file: its id with a link to the report, and its key."""
    lines = [
        f"- [{file.quarantine_id}]({gate.links.object(gate.quarantine_bucket, file.report_key)}) {markdown(file.key, _NAME_SHOWN)}"
        for file in files[:FILES_SHOWN]
        if file.report_key
    ]
    if len(files) > FILES_SHOWN:
        lines.append(f"- … and {counted(len(files) - FILES_SHOWN, 'file')} more: `lakegate quarantine list`")
    return "\n".join(lines)
