"""A slow, obviously right reader of CSV, character by character: what the fast one is compared with.

It reads bytes as the first 256 characters, one each: a position is a byte's, and the grammar's marks are what they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Field:
    """A field's text without its quotes, whether it had some, and where it starts."""

    text: str
    quoted: bool
    start: int


@dataclass
class WrongQuote:
    """A quote that the grammar does not allow: the rule, where it stands, and the number of its field from 0."""

    rule: str
    position: int
    field: int


@dataclass
class Record:
    """One record: its first line, where it starts and ends (line end included), what is in it and what is wrong with it."""

    line: int
    start: int
    end: int = 0
    fields: list[Field] = field(default_factory=list[Field])
    fault: WrongQuote | None = None  # the first wrong quote
    unclosed: int | None = None  # where the quote stands that is never closed

    @property
    def is_blank(self) -> bool:
        """Whether it is nothing but a line end."""
        is_nothing = len(self.fields) == 1 and not self.fields[0].text and not self.fields[0].quoted
        return is_nothing and self.is_whole

    @property
    def is_whole(self) -> bool:
        """Whether its quotes are right."""
        return self.fault is None and self.unclosed is None


def tokenize(content: bytes, delimiter: str = ",") -> list[Record]:
    """The records of a file without its byte order mark."""
    text = content.decode("latin-1")
    records: list[Record] = []
    position, line = 0, 1
    size = len(text)

    def line_end(at: int) -> int:
        """How many characters of line end stand here."""
        if text[at : at + 2] == "\r\n":
            return 2
        return 1 if text[at : at + 1] in ("\n", "\r") else 0

    while position < size:
        record = Record(line, position)
        records.append(record)
        while True:  # a field
            value, start = "", position
            quoted = text[position : position + 1] == '"'
            if quoted:
                opened = position
                position += 1
                while True:
                    if position >= size:
                        record.unclosed, record.end = opened, size
                        return records
                    if text[position : position + 2] == '""':
                        value += '"'
                        position += 2
                    elif text[position] == '"':
                        position += 1
                        break
                    else:
                        ends = line_end(position)
                        line += bool(ends)
                        value += text[position : position + max(ends, 1)]
                        position += max(ends, 1)
                if position < size and text[position] != delimiter and not line_end(position):
                    record.fault = record.fault or WrongQuote("text_after_quote", position - 1, len(record.fields))
            while position < size and text[position] != delimiter and not line_end(position):
                if text[position] == '"':
                    record.fault = record.fault or WrongQuote("bare_quote", position, len(record.fields))
                if not quoted:
                    value += text[position]
                position += 1
            record.fields.append(Field(value, quoted, start))
            if position < size and text[position] == delimiter:
                position += 1
                continue
            break
        if position < size:
            position += line_end(position)
            line += 1
        record.end = position
    return records
