"""The dataset file that inference writes: YAML with the evidence of each line as its comment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipelines.inference.choice import Choice, counted
from pipelines.inference.columns import ColumnFacts
from pipelines.inference.landing import Landing
from pipelines.printable import printable
from pipelines.reading.collector import shown

__all__ = ["Draft", "scalar"]

_LONGEST_COMMENT = 2_000


@dataclass(frozen=True, slots=True)
class Draft:
    """All that goes into the file. `format` maps the keys of `format` to their YAML; `read` says what was read."""

    name: str
    landing: Landing
    start: str
    start_evidence: str
    format: Mapping[str, str]
    format_evidence: Sequence[str]
    columns: Sequence[tuple[ColumnFacts, Choice]]
    files: int
    missing_columns: Sequence[str] = ()
    closing: Sequence[str] = field(default=())

    def text(self, verified: str | None = None) -> str:
        """The file. `verified` is the sentence about what happened when the files were read under it."""
        out = [
            f"# Written by `lakegate infer` from {counted(self.files, 'file')}: every value was read, and each line says what was seen.",
            "# It describes these files. What the next one will hold is yours to say: read each line, above all those with CHECK.",
        ]
        if verified:
            out.append(f"# {verified}")
        out += [
            f"name: {scalar(self.name)}",
            "description: CHECK - say in one sentence what a row is.",
            "landing:",
            *(f"  # CHECK: {_comment(note)}" for note in self.landing.notes),
            f"  key: {scalar(self.landing.pattern.text)}",
        ]
        if self.landing.day:
            out.append(f"  day: {self.landing.day}")
        out.append(f"  start: {self.start}  # {self.start_evidence}")
        out += [*(f"# {_comment(line)}" for line in self.format_evidence)]
        out.append(f"format: {_flow(self.format)}")
        out.append("columns:")
        for column in self.landing.columns:
            zone = ", zone: UTC" if column.type == "timestamp" else ""
            out.append(f"  {column.name}: {{type: {column.type}, from: key{zone}}}  # {_comment(column.evidence)}")
        for facts, choice in self.columns:
            out += self._column(facts, choice)
        if self.landing.partition:
            out.append(f"partition_by: [{self.landing.partition}]")
        if self.missing_columns:
            named = ", ".join(self.missing_columns)
            out.append(f"# Not in every file: {_comment(named)}")
            out.append("schema: {missing_columns: allow}")
        out += [f"# {_comment(line)}" for line in self.closing]
        return "\n".join(out) + "\n"

    def _column(self, facts: ColumnFacts, choice: Choice) -> list[str]:
        said = {"type": choice.type if "(" not in choice.type else scalar(choice.type), **choice.options}
        source, aliases = facts.source_names()
        if source is not None:
            said["source"] = scalar(source)
        if aliases:
            said["aliases"] = f"[{', '.join(map(scalar, aliases))}]"
        notes = [f"CHECK: {note}" for note in choice.notes]
        if len(facts.spellings) > 1:
            names = ", ".join(f"{shown(name)} in {counted(n, 'file')}" for name, n in facts.spellings.most_common())
            notes.insert(0, f"called {names}")
        lines = [f"  # {_comment(note)}" for note in notes]
        return [*lines, f"  {facts.name}: {_flow(said)}  # {_comment(choice.evidence)}"]


def _flow(said: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in said.items()) + "}"


def _comment(text: str) -> str:
    """Text fit for a comment: one line of what can be printed, whatever a file held."""
    short = text if len(text) <= _LONGEST_COMMENT else text[: _LONGEST_COMMENT - 1] + "…"
    return printable(short)


def scalar(text: str) -> str:
    """A text as a double-quoted YAML scalar, with escapes for what cannot be printed; plain names stay plain."""
    if (
        text.isascii()
        and text.isidentifier()
        and text.lower() not in ("true", "false", "null", "yes", "no", "on", "off")
    ):
        return text
    return '"' + "".join(_escaped(c) for c in text) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
