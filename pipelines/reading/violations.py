"""What can be wrong with a file: the closed list of rules, and the record of a breach.

A rule's code is part of the product's interface: it stands in reports, in `--json`, in the ledger and in the docs.
Codes are added, never renamed. `docs/reference/rules.md` is generated from this list.
"""

from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["MAX_SAMPLES", "MAX_VIOLATIONS", "Rule", "Sample", "Violation"]

MAX_VIOLATIONS = 100
"""Violations listed for one file (one per rule and column); the total is counted beyond that."""
MAX_SAMPLES = 10
"""Samples kept in one violation."""


class Rule(StrEnum):
    """Every reason for which a file can be rejected; the value is the code, `meaning` and `remedy` are for people."""

    meaning: str
    remedy: str

    def __new__(cls, code: str, meaning: str, remedy: str) -> "Rule":
        """Build a member from its code, what it means and what to do."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        member.remedy = remedy
        return member

    # The bytes
    ENCODING = (
        "encoding",
        "bytes are not valid in the declared encoding",
        "send the file as declared, or (CSV) declare format.encoding as it is; JSON is UTF-8",
    )
    COMPRESSION = (
        "compression",
        "the file is no text and no compressed stream that can be read: damaged, cut short, or of another format",
        "send text, or compress it again (gzip, bzip2, xz, zstd, or zip with one file) and send it whole",
    )
    ARCHIVE = (
        "archive",
        "the archive does not hold exactly one readable text file",
        "send one text file in each archive, compressed once and without a password",
    )
    OBJECT_SIZE = "object_size", "the object is larger than the limit", "split the file, or raise limits.object_bytes"
    DECOMPRESSED_SIZE = (
        "decompressed_size",
        "the decompressed content is larger than the limit",
        "split the file, or raise limits.decompressed_bytes",
    )
    COMPRESSION_RATIO = (
        "compression_ratio",
        "the content decompresses to implausibly many bytes (a bomb)",
        "send the file uncompressed, or raise limits.compression_ratio",
    )
    RECORD_SIZE = (
        "record_size",
        "one record is larger than the limit; often an unclosed quote",
        "look for an unclosed quote near the line, or raise limits.record_bytes",
    )
    CELL_SIZE = "cell_size", "one cell is larger than the limit", "shorten the cell, or raise limits.cell_bytes"
    COLUMN_COUNT = "column_count", "more columns than the limit", "send fewer columns, or raise limits.columns"
    KEY_COUNT = (
        "key_count",
        "a JSON record with more keys, at all depths, than the limit",
        "send fewer keys in a record, or raise limits.keys",
    )
    DEPTH = "depth", "JSON nested deeper than the limit", "flatten the document, or raise limits.depth"
    READER_MEMORY = (
        "reader_memory",
        "reading took more memory than the limit, twice",
        "split the file, or raise limits.reader_memory_bytes",
    )
    READER_TIME = (
        "reader_time",
        "reading took longer than the limit, twice",
        "split the file, or raise limits.reader_seconds",
    )
    READER_CRASH = (
        "reader_crash",
        "the reading process died on this file, twice",
        "keep the file and report it: a file must not be able to do that",
    )
    # CSV
    NUL_BYTE = (
        "nul_byte",
        "a NUL byte in text",
        "the file is damaged or in another encoding (UTF-16?): declare format.encoding",
    )
    UNCLOSED_QUOTE = (
        "unclosed_quote",
        "a quoted field is never closed",
        "close the quote, or double quotes inside quoted text",
    )
    BARE_QUOTE = (
        "bare_quote",
        "a quote inside a field that does not start with one",
        "quote the whole field and double the quote inside it",
    )
    TEXT_AFTER_QUOTE = (
        "text_after_quote",
        "text between a closing quote and the next delimiter",
        "double quotes inside quoted text",
    )
    SHORT_ROW = (
        "short_row",
        "a row with fewer fields than the header",
        "fill the missing fields, even when they are empty",
    )
    LONG_ROW = "long_row", "a row with more fields than the header", "quote fields that contain the delimiter"
    DELIMITER = (
        "delimiter",
        "the delimiter cannot be told from the file",
        "declare format.delimiter as it is in the files",
    )
    HEADER_SIZE = (
        "header_size",
        "the header is longer than the limit",
        "shorten the names, or raise limits.header_bytes",
    )
    HEADER_MISSING = "header_missing", "the file has no header row", "the first row must name the columns"
    HEADER_BLANK = "header_blank", "a column name in the header is empty", "name every column"
    HEADER_DUPLICATE = "header_duplicate", "two columns of the file have the same name", "name every column once"
    HEADER_REPEATED = (
        "header_repeated",
        "a row repeats the header",
        "send the header once, as the first line; of files joined into one, drop the others' headers",
    )
    # JSON
    JSON_SYNTAX = (
        "json_syntax",
        "not valid JSON (RFC 8259)",
        "repair the document at the position given; NaN and Infinity are not JSON",
    )
    JSON_SHAPE = (
        "json_shape",
        "the document is not what the format says: an array of objects, or one object a line",
        "send an array of objects (type: json) or one object a line (type: jsonl), or say in format.records where the records are",
    )
    JSON_DUPLICATE_KEY = "json_duplicate_key", "an object has the same key twice", "write every key once"
    # Columns
    COLUMN_MISSING = (
        "column_missing",
        "a column of the contract is not in the file",
        "send the column, or add the file's name for it to `aliases`",
    )
    COLUMN_UNEXPECTED = (
        "column_unexpected",
        "a column of the file is not in the contract",
        "add it to the contract, or set schema.new_columns",
    )
    # Values
    TYPE = "type", "the value does not have the column's type", "send a value of the type, or correct the contract"
    NUMBER_RANGE = (
        "number_range",
        "the number does not fit the column's type",
        "send a value that fits, or declare a type that holds it",
    )
    NULL = "null", "null in a column that must not be null", "send a value, or make the column nullable"
    PATTERN = "pattern", "the value does not match the pattern", "send a value that matches, or correct `pattern`"
    RANGE = "range", "the value lies outside min and max", "send a value inside the range, or correct `min`/`max`"
    ALLOWED = "allowed", "the value is not one of the allowed ones", "send an allowed value, or extend `allowed`"
    LENGTH = (
        "length",
        "the text is shorter or longer than allowed",
        "send text of an allowed length, or correct `min_length`/`max_length`",
    )
    EXPECTATION = (
        "expectation",
        "a row fails an expectation of the contract",
        "send a value that fits, or correct the expectation",
    )
    PRIMARY_KEY = "primary_key", "two rows of the file have the same primary key", "send each key once"
    UNIQUE = "unique", "two rows of the file have the same value where each is unique", "send each value once"
    ROW_RULE = (
        "row_rule",
        "a row breaks a rule of the contract about its columns",
        "send values that agree, or correct the rule",
    )
    ROW_COUNT = (
        "row_count",
        "the file has fewer or more rows than the contract allows",
        "send the whole file, or correct `rows.count`",
    )
    BAD_ROWS = (
        "bad_rows",
        "more rows are bad than the contract allows",
        "repair the rows listed with the file's other faults; rows.max_bad says how many may be bad, and one has to be good",
    )
    PARTITION_NULL = "partition_null", "a partition column is null", "send a value: a row must have a partition"
    PARTITION_COUNT = (
        "partition_count",
        "the file touches more partitions than the limit",
        "split the file, or raise limits.partitions",
    )
    # The key
    KEY_VALUE = (
        "key_value",
        "a value taken from the object's key does not have its column's type",
        "send the file again under a key that matches landing.key",
    )
    LANDING_DAY = (
        "landing_day",
        "the file's day lies outside the dataset's partitions",
        "correct the date in the key, or landing.start",
    )


@dataclass(frozen=True, slots=True)
class Sample:
    """One place where a rule was broken. `found` is capped text, `raw` the record it stood in, capped; neither goes to a log."""

    line: int | None
    byte_offset: int | None
    found: str
    raw: str | None = None


@dataclass(frozen=True, slots=True)
class Violation:
    """All breaches of one rule in one column of one file.

    `line` (from 1, as an editor counts), `byte_offset` (from 0, in the decompressed content) and `found` are of
    the first breach; `count` is of all. `column` is the table's name for it (or the file's, for columns the contract
    does not know), None where a rule speaks of the whole row or file. `message` says what was found and expected, how often,
    and what to do; the place is left to whoever shows it: `file:line:column:` stands before it. `severity` is "reject", or
    "reject_row" where no more than the row is rejected; for the breach of an expectation it is the expectation's own, and
    `expectation` its identity in the contract (`contracts.expectations.identified`): `warn` and `block` stand in `ReadSummary.warnings` and never reject.
    """

    rule: Rule
    column: str | None
    line: int | None
    byte_offset: int | None
    found: str
    expected: str
    count: int
    message: str
    samples: tuple[Sample, ...] = field(default=())
    severity: str = "reject"
    expectation: str | None = None
