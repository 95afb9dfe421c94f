"""A slow, obviously right reader of CSV, character by character: what the fast one is compared with."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Record:
    line: int
    fields: list[tuple[str, bool]] = field(default_factory=list)  # text, and whether it was quoted
    fault: tuple[str, int] | None = None  # the first wrong quote: rule and line
    unclosed: int | None = None  # the line of the quote that is never closed

    @property
    def is_blank(self) -> bool:
        return self.fields == [("", False)] and self.fault is None


def tokenize(text: str) -> list[Record]:
    records: list[Record] = []
    position, line = 0, 1
    size = len(text)

    def line_end(at: int) -> int:
        """How many characters of line end stand here."""
        if text[at : at + 2] == "\r\n":
            return 2
        return 1 if text[at : at + 1] in ("\n", "\r") else 0

    while position < size:
        record = Record(line)
        records.append(record)
        while True:  # a field
            value = ""
            quoted = text[position : position + 1] == '"'
            if quoted:
                opened = line
                position += 1
                while True:
                    if position >= size:
                        record.unclosed = opened
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
                if position < size and text[position] != "," and not line_end(position):
                    record.fault = record.fault or ("text_after_quote", line)
            while position < size and text[position] != "," and not line_end(position):
                if text[position] == '"':
                    record.fault = record.fault or ("bare_quote", line)
                if not quoted:
                    value += text[position]
                position += 1
            record.fields.append((value, quoted))
            if position < size and text[position] == ",":
                position += 1
                continue
            break
        if position < size:
            position += line_end(position)
            line += 1
    return records
