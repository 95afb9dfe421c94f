"""One small file for each rule that breaks it, with the contract it breaks: what the pages about rules show, and what tests run.

The messages are not here: they are what the reader says of these files (`rule_runs.py`). A rule is added with one entry.
"""

import gzip
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipelines.reading.violations import Rule

__all__ = ["EXAMPLES", "Example", "Told"]

_TWO = """format: {type: csv}
columns:
  id: {type: int}
  name: {type: string}
"""
_JSON = _TWO.replace("csv", "json")
_LINES = _TWO.replace("csv", "jsonl")
# Compressed once, here: what a compressor makes of the same bytes changes with its version.
_HALF_A_MILLION_LINES = bytes.fromhex(
    "425a68393141592653591e51c9c50493d9d8000010000440002000506604d534e5105295a4414a5765105295e6282b24ca6b"
    "23e90df40036c26b0000020000880004000a0cc052465105296e510529651052978bb9229c284811f5fe1500"
)
_BOMB = (
    bytes.fromhex("425a6839314159265359cdf870ca000002d1000010000426232000220647a10c086cf3820bb9229c284866fc386500")
    + 8 * _HALF_A_MILLION_LINES
)


@dataclass(frozen=True, slots=True)
class Example:
    """A file under a contract. `cause` says what mostly lies behind it.

    `contract` is the YAML without name, description and, where there is none in it, `landing`. `shown` stands for content that
    cannot be printed. `size_bytes` is what the event said of the object. `key` is the object's key.
    """

    cause: str
    content: bytes
    contract: str = _TWO
    shown: str | None = None
    key: str = "landing/orders/2024-03-01.csv"
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A fault that no small file shows: what the process around the reader finds, in its words."""

    cause: str
    found: str
    expected: str
    content: bytes = field(default=b"", init=False)


def _zip(*names: str) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), "id,name\n1,Ann\n")
    return held.getvalue()


def _columns(*lines: str, form: str = "csv") -> str:
    return f"format: {{type: {form}}}\ncolumns:\n" + "".join(f"  {line}\n" for line in lines)


EXAMPLES: Mapping[Rule, Example | Told] = {
    Rule.ENCODING: Example(
        "The producer's program writes Windows-1252 or Latin-1, mostly after a change of machine or locale.",
        "id,name\n1,Zoë\n".encode("cp1252"),
        shown="id,name\n1,Zo\\xEB",
    ),
    Rule.COMPRESSION: Example(
        "An upload that broke off, or a file compressed while it was still being written.",
        bytes.fromhex("1f8b0800000000000203cb4cd1c94bcc4de532d471cccbe3"),
        shown="(a gzip file whose last bytes are missing)",
    ),
    Rule.ARCHIVE: Example(
        "A day's files were packed together; which of them is the data nobody can tell.",
        _zip("orders.csv", "readme.txt"),
        shown="(a zip archive with orders.csv and readme.txt)",
        key="landing/orders/2024-03-01.zip",
    ),
    Rule.OBJECT_SIZE: Example(
        "A whole history was sent in place of a day.",
        b"",
        shown="(an object of 60 GiB: it is refused before it is read)",
        size_bytes=60 << 30,
    ),
    Rule.DECOMPRESSED_SIZE: Example(
        "A whole history was sent in place of a day.",
        gzip.compress(b"id,name\n" + b"1,Ann\n" * 100, mtime=0),
        _TWO + "limits: {decompressed_bytes: 500}\n",
        shown="(a gzip file of 608 bytes of text)",
    ),
    Rule.COMPRESSION_RATIO: Example(
        "A file of blanks or zeros, as a failed export leaves it; or somebody wants to harm.",
        _BOMB,
        shown="(a bzip2 file of 799 bytes that holds four million lines of `0,`)",
    ),
    Rule.RECORD_SIZE: Example(
        "A quote that is not closed makes one record of all that follows.",
        b'id,name\n1,"Ann\n' + b"2,Bob\n" * 20,
        _TWO + "limits: {record_bytes: 100}\n",
        shown='id,name\n1,"Ann\n2,Bob\n2,Bob\n(and so on)',
    ),
    Rule.CELL_SIZE: Example(
        "A document or a picture was put into a cell.",
        b"id,name\n1," + b"A" * 60 + b"\n",
        _TWO + "limits: {cell_bytes: 50}\n",
    ),
    Rule.COLUMN_COUNT: Example(
        "Rows and columns were exchanged: dates or products stand in the header.",
        b"id,2024-01,2024-02,2024-03\n1,5,6,7\n",
        _TWO + "limits: {columns: 3}\n",
    ),
    Rule.KEY_COUNT: Example(
        "Values are used as keys: each customer, each moment a key of its own.",
        b'[{"id": 1, "name": {"2024-01": 5, "2024-02": 6, "2024-03": 7}}]',
        _columns("id: {type: int}", "name: {type: json}", form="json") + "limits: {keys: 4}\n",
        key="landing/orders/2024-03-01.json",
    ),
    Rule.DEPTH: Example(
        "A tree was exported whole; or somebody wants to harm.",
        b'[{"id": 1, "name": [[[["Ann"]]]]}]',
        _JSON + "limits: {depth: 4}\n",
        key="landing/orders/2024-03-01.json",
    ),
    Rule.READER_MEMORY: Told(
        "A file made to need much memory; the reader is stopped, never the machine.",
        "more than 768 MiB of resident memory",
        "at most 768 MiB",
    ),
    Rule.READER_TIME: Told("A file that is very large, or made to be slow.", "more than 3,600 s", "at most 3,600 s"),
    Rule.READER_CRASH: Told(
        "A fault in a library that no test has found yet.",
        "the reader's death by signal 11 (SIGSEGV)",
        "a reader that lives to the end of the file",
    ),
    Rule.NUL_BYTE: Example(
        "A machine went down while it wrote, or the file is UTF-16.", b"id,name\n1,A\0nn\n", shown="id,name\n1,A\\x00nn"
    ),
    Rule.UNCLOSED_QUOTE: Example(
        "A quote in a text was not doubled, or the file was cut off inside a quoted text.",
        b'id,name\n1,Ann\n2,"Bob\n3,Cid\n',
    ),
    Rule.BARE_QUOTE: Example(
        "Quotes are part of the text (inches, nicknames), and the program does not quote.", b'id,name\n1,5" pipe\n'
    ),
    Rule.TEXT_AFTER_QUOTE: Example(
        "A quote inside a quoted text was not doubled.", b'id,name\n1,"the "best" one"\n'
    ),
    Rule.SHORT_ROW: Example(
        "A line was cut, a text holds a line break without quotes, or the last column is left out when it is empty.",
        b"id,name\n1,Ann\n2\n",
    ),
    Rule.LONG_ROW: Example(
        "A text holds the delimiter and is not quoted: an address, a name with a title, a decimal comma.",
        b"id,name\n1,Ann\n2,Bob, Jr.\n",
    ),
    Rule.DELIMITER: Example(
        "The delimiter is none of the usual ones, or the header's names are none of the contract's.",
        b"id name\n1 Ann\n",
        _TWO.replace("csv", "csv, delimiter: auto"),
    ),
    Rule.HEADER_SIZE: Example(
        "The file has no line ends, or is no table.",
        b"id,a name of many words that somebody wrote in place of a short one\n1,Ann\n",
        _TWO + "limits: {header_bytes: 40}\n",
    ),
    Rule.HEADER_MISSING: Example(
        "A report's title and a blank line stand before the table, or the header was left out.", b"\n1,Ann\n"
    ),
    Rule.HEADER_BLANK: Example(
        "A spreadsheet with an index, or with an empty column at its right.", b",id,name\n0,1,Ann\n"
    ),
    Rule.HEADER_DUPLICATE: Example(
        "Two tables were joined and both had the column.", b"id,name,name\n1,Ann,Ann\n"
    ),
    Rule.HEADER_REPEATED: Example(
        "Several files were joined into one, headers and all.", b"id,name\n1,Ann\nid,name\n2,Bob\n"
    ),
    Rule.JSON_SYNTAX: Example(
        "The document was made by hand or by joining texts; or its writer knows NaN, which JSON does not.",
        b'{"id": 1, "name": "Ann"}\n{"id": NaN, "name": "Bob"}\n',
        _LINES,
        key="landing/orders/2024-03-01.jsonl",
    ),
    Rule.JSON_SHAPE: Example(
        "The answer of a web service was saved with its envelope, or one object a line was sent where an array is declared.",
        b'{"rows": [{"id": 1, "name": "Ann"}]}',
        _JSON,
        key="landing/orders/2024-03-01.json",
    ),
    Rule.JSON_DUPLICATE_KEY: Example(
        "The document was made by joining texts; most programs keep one of the two values and say nothing.",
        b'[{"id": 1, "name": "Ann", "name": "Bob"}]',
        _JSON,
        key="landing/orders/2024-03-01.json",
    ),
    Rule.COLUMN_MISSING: Example(
        "The producer renamed or dropped the column, or the delimiter is another one.", b"id,full_name\n1,Ann\n",
        _TWO + "schema: {new_columns: rescue}\n",
    ),
    Rule.COLUMN_UNEXPECTED: Example("The producer added a column.", b"id,name,email\n1,Ann,ann@example.org\n"),
    Rule.TYPE: Example(
        "Words for null (`NA`, `n/a`), units, thousands separators, another way to write dates, columns out of place.",
        b"id,name\n1,Ann\nNA,Bob\n",
    ),
    Rule.NUMBER_RANGE: Example(
        "Identifiers outgrew 32 bits, or there are more decimals than the contract allows. Nothing is rounded.",
        b"id,name\n4294967296,Ann\n",
    ),
    Rule.NULL: Example(
        "The source system has the value from now on only for some rows.",
        b"id,name\n1,Ann\n,Bob\n",
        _columns("id: {type: int, nullable: false}", "name: {type: string}"),
    ),
    Rule.PATTERN: Example(
        "Codes in lower case, with blanks, or of a new kind.",
        b"id,code\n1,AB-17\n2,ab-17\n",
        _columns("id: {type: int}", 'code: {type: string, pattern: "[A-Z]{2}-[0-9]+"}'),
    ),
    Rule.RANGE: Example(
        "A stand-in for null (-999, 9999-12-31), or another unit.",
        b"id,celsius\n1,21.5\n2,-999\n",
        _columns("id: {type: int}", "celsius: {type: double, min: -90, max: 60}"),
    ),
    Rule.ALLOWED: Example(
        "A new category, or another spelling of an old one.",
        b"id,state\n1,open\n2,Open\n",
        _columns("id: {type: int}", "state: {type: string, allowed: [open, paid]}"),
    ),
    Rule.LENGTH: Example(
        "A text was cut by a program before, or an empty text stands for null.",
        b"id,country\n1,DE\n2,Germany\n",
        _columns("id: {type: int}", "country: {type: string, max_length: 2}"),
    ),
    Rule.EXPECTATION: Example(
        "What the expectation was written against.",
        b"id,name\n1,Ann\n2,TEST\n",
        _TWO
        + "expectations:\n  - expect_column_values_to_not_be_in_set: {column: name, value_set: [TEST]}\n"
        + "    severity: quarantine_file\n",
    ),
    Rule.PRIMARY_KEY: Example(
        "The export ran twice into one file, or the key is too narrow.",
        b"id,name\n1,Ann\n2,Bob\n1,Ann\n",
        _columns("id: {type: int}", "name: {type: string}") + "primary_key: [id]\n",
    ),
    Rule.UNIQUE: Example(
        "The export ran twice, or numbers are given out again.",
        b"id,ticket\n1,A-17\n2,B-04\n3,A-17\n",
        _columns("id: {type: int}", "ticket: {type: string}") + "primary_key: [id]\nunique: [[ticket]]\n",
    ),
    Rule.ROW_RULE: Example(
        "One of the columns was corrected and the others were not.",
        b"net,tax,total\n10.00,1.90,11.90\n20.00,3.80,23.00\n",
        _columns("net: {type: 'decimal(10,2)'}", "tax: {type: 'decimal(10,2)'}", "total: {type: 'decimal(10,2)'}")
        + "rules:\n  - {rule: total = net + tax, severity: quarantine_file}\n",
    ),
    Rule.ROW_COUNT: Example(
        "The export broke off, or ran before the day was over.",
        b"id,name\n1,Ann\n2,Bob\n",
        _TWO + "rows: {count: 3}\n",
    ),
    Rule.BAD_ROWS: Example(
        "Something is wrong with the whole file, not with single rows.",
        b"id,name\n1,Ann\ntwo,Bob\nthree,Cid\n4,Dora\n",
        _TWO + "rows: {on_bad: quarantine_rows, max_bad: 25%}\n",
    ),
    Rule.PARTITION_NULL: Example(
        "A row without its date: nobody could find it again in the table.",
        b"id,day\n1,2024-03-01\n2,\n",
        _columns("id: {type: int}", "day: {type: date}") + "partition_by: [day]\n",
    ),
    Rule.PARTITION_COUNT: Example(
        "A whole history was sent in place of a day, or the partition column holds moments in place of days.",
        b"id,day\n1,2024-03-01\n2,2024-03-02\n3,2024-03-03\n",
        _columns("id: {type: int}", "day: {type: date}") + "partition_by: [day]\nlimits: {partitions: 2}\n",
    ),
    Rule.KEY_VALUE: Example(
        "The file's name was made by hand.",
        b"id,name\n1,Ann\n",
        'landing: {key: "landing/orders/{day:%Y-%m-%d}.csv", day: day, start: 2024-01-01}\n'
        + _columns("day: {type: date, from: key}", "id: {type: int}", "name: {type: string}"),
        key="landing/orders/2024-13-01.csv",
    ),
    Rule.LANDING_DAY: Example(
        "A file from before the dataset begins, or a wrong year in its name.",
        b"id,name\n1,Ann\n",
        'landing: {key: "landing/orders/{day:%Y-%m-%d}.csv", day: day, start: 2024-01-01}\n'
        + _columns("day: {type: date, from: key}", "id: {type: int}", "name: {type: string}"),
        key="landing/orders/2014-03-01.csv",
    ),
}  # fmt: skip
"""An example of each rule. A rule without one fails when the pages are made."""
