"""What most likely lies behind a rejected file's faults, in sentences: each with its evidence, the likeliest first.

Pure: from the violations, the evidence counted while reading (`evidence.py`) and the contract. A sentence is said only where the
numbers bear it; where nothing is found nothing is said.
"""

import codecs
import re
from collections.abc import Iterator, Mapping

from pipelines.contracts.model import CsvFormat, Dataset, JsonFormat
from pipelines.printable import spoken
from pipelines.reading.collector import shown
from pipelines.reading.encoding import CUT_OFF
from pipelines.reading.evidence import Evidence
from pipelines.reading.headers import match_columns
from pipelines.reading.summary import ReadSummary
from pipelines.reading.violations import Rule

__all__ = ["MAX_CAUSES", "likely_causes"]

MAX_CAUSES = 5
_QUOTE_RULES = {Rule.BARE_QUOTE, Rule.TEXT_AFTER_QUOTE, Rule.UNCLOSED_QUOTE, Rule.RECORD_SIZE}
_TEXT_RULES = {Rule.ENCODING, Rule.NUL_BYTE}
_JSON_RULES = {Rule.JSON_SYNTAX, Rule.JSON_SHAPE}
_HEADER_RULES = {
    Rule.COLUMN_MISSING,
    Rule.COLUMN_UNEXPECTED,
    Rule.HEADER_BLANK,
    Rule.HEADER_DUPLICATE,
    Rule.HEADER_MISSING,
}
_RENAMES_SHOWN = 5
_WIDTHS_SHOWN = 3


def likely_causes(dataset: Dataset, summary: ReadSummary, evidence: Evidence) -> tuple[str, ...]:
    """At most MAX_CAUSES sentences for a file that is rejected, the likeliest first."""
    rows, null_counts = summary.rows_read, summary.null_counts
    counts: dict[Rule, int] = {}
    for violation in summary.violations:
        counts[violation.rule] = counts.get(violation.rule, 0) + violation.count
    if not counts:
        return ()
    said = [
        *_another_kind(dataset, counts, evidence),
        *_delimiter(dataset, evidence),
        *_json(dataset, counts, evidence),
        *_header(counts, evidence),
        *_bytes(counts, evidence),
        *_quotes(counts, evidence),
        *_repeats(counts),
        *_widths(counts, evidence, rows),
        *_values(dataset, evidence, rows, null_counts),
        *_twice_encoded(dataset, evidence),
    ]
    return tuple(dict.fromkeys(said))[:MAX_CAUSES]


def _another_kind(dataset: Dataset, counts: Mapping[Rule, int], evidence: Evidence) -> Iterator[str]:
    """The file is of quite another kind than the contract's."""
    head = evidence.head
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:64].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        yield "The file is an HTML page: a download that ended in an error or a login page looks like this."
    elif start.startswith((b"<?xml", b"<error>")):
        yield "The file is XML: an error message of a storage service looks like this."
    elif _TEXT_RULES & counts.keys() and (name := _utf16(head)) and name != codecs.lookup(dataset.format.encoding).name:
        yield f"The file looks like UTF-16, every other of its first bytes is NUL: declare format.encoding: {name}."
    elif isinstance(dataset.format, CsvFormat):
        if (_HEADER_RULES | {Rule.BARE_QUOTE}) & counts.keys() and re.match(rb'[\[{]\s*["{\[\]}]', head.lstrip()):
            kind = "json" if head.lstrip()[:1] == b"[" else "jsonl"
            yield f"The file begins like JSON, not like a header: declare type: {kind}, or send CSV."
    elif _JSON_RULES & counts.keys() and evidence.lines_of_objects is None:
        yield from _csv_for_json(dataset, head)


def _utf16(head: bytes) -> str | None:
    """Which UTF-16 the bytes look like; None when they do not."""
    pairs = len(head) // 2
    if pairs < 4:
        return None
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    odd, even = head[1 : 2 * pairs : 2].count(0) / pairs, head[0 : 2 * pairs : 2].count(0) / pairs
    if odd > 0.7 and even < 0.1:
        return "utf-16-le"
    return "utf-16-be" if even > 0.7 and odd < 0.1 else None


def _csv_for_json(dataset: Dataset, head: bytes) -> Iterator[str]:
    line = head.split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    for delimiter in (",", ";", "\t", "|"):
        names = [part.strip('"') for part in line.split(delimiter)]
        found = len(match_columns(dataset, names).positions)
        if found >= 2 or (found == 1 == len(names)):
            yield (
                f"The file looks like CSV with {spoken(delimiter)} as its delimiter: its first line names {found} of "
                f"{len(dataset.file_columns)} columns."
            )
            return


def _delimiter(dataset: Dataset, evidence: Evidence) -> Iterator[str]:
    fit = evidence.fit
    if fit is None:
        return
    is_auto = isinstance(dataset.format, CsvFormat) and dataset.format.delimiter == "auto"
    kept = " With delimiter: auto, all files have the delimiter of the first accepted one." if is_auto else ""
    if not fit.rows:
        yield f"The delimiter looks like {spoken(fit.delimiter)}: with it, the header's names are the contract's.{kept}"
        return
    of = "" if fit.is_all else " looked at"
    if fit.fitting == fit.rows:
        how = "the only row fits" if fit.rows == 1 else f"all {fit.rows:,} rows{of} fit"
    else:
        how = f"{fit.fitting:,} of {fit.rows:,} rows{of} fit"
    yield f"The delimiter looks like {spoken(fit.delimiter)}: with it, {how}.{kept}"


def _json(dataset: Dataset, counts: Mapping[Rule, int], evidence: Evidence) -> Iterator[str]:
    if evidence.lines_of_objects is not None:
        lines, objects, is_all = evidence.lines_of_objects
        of = "its" if is_all else "the first"
        if objects == lines:
            yield f"The file is JSON Lines: each of {of} {lines:,} lines is an object. Declare type: jsonl."
        elif objects > 1:
            yield f"The file looks like JSON Lines: {objects:,} of {of} {lines:,} lines are objects. Declare type: jsonl."
    if not _JSON_RULES & counts.keys():
        return
    if isinstance(dataset.format, JsonFormat) and dataset.format.type == "jsonl":
        head = evidence.head.removeprefix(b"\xef\xbb\xbf").lstrip()
        if head[:1] == b"[":
            yield "The file is one JSON array, not one object a line: declare type: json."
            return
        if head.split(b"\n", 1)[0].strip() == b"{":
            yield "Objects are spread over several lines: send each on one line, or an array with type: json."
            return
    if evidence.is_cut:
        yield "The file ends in the middle of a record: it looks cut short, as after an upload that broke off."
    for form, number in evidence.json_forms.most_common():
        yield f"{_number(number, evidence.json_looked, counts.get(Rule.JSON_SYNTAX, 0))} {_JSON_FORMS[form]}."


_JSON_FORMS = {
    "python": "look like what Python prints (single quotes, None, True): write them with a JSON library",
    "nan": "hold NaN or Infinity, which JSON does not have: send null",
    "trailing_comma": "have a comma with nothing behind it: leave it out",
    "joined": "hold several objects on one line: send each on a line of its own",
    "bare_key": "have keys without quotes: JSON has them in double quotes",
    "comment": "are comments, which JSON does not have",
}


def _number(number: int, looked: int, faults: int) -> str:
    of = f"{looked:,}" if looked >= faults else f"the first {looked:,}"
    return f"All {of} records with a fault" if number == looked > 1 else f"{number:,} of {of} records with a fault"


def _header(counts: Mapping[Rule, int], evidence: Evidence) -> Iterator[str]:
    if not _HEADER_RULES & counts.keys() or evidence.fit is not None:
        return
    if line := evidence.header_line:
        yield f"The columns' names stand on line {line:,}, not on the first: leave out what stands before them."
        return
    if evidence.header_values:
        yield (
            f"The first line looks like data, not a header: its {evidence.header_values:,} values are of the contract's "
            "types, in order. Send a first line that names the columns."
        )
        return
    if evidence.renames:
        named = ", ".join(f"{shown(r.source)} for {r.column}" for r in evidence.renames[:_RENAMES_SHOWN])
        more = ", …" if len(evidence.renames) > _RENAMES_SHOWN else ""
        looked = [r for r in evidence.renames if r.rows]
        fit = ""
        if looked and all(r.fitting == r.rows for r in looked):
            fit = f" (the values fit, in {_rows(max(r.rows for r in looked))} looked at)"
        few = len(evidence.renames) == 1
        yield (
            f"{'This column has another name' if few else 'These columns have other names'} in the file: {named}{more}{fit}. "
            f"If so, add {'it' if few else 'each'} to the column's aliases."
        )


def _bytes(counts: Mapping[Rule, int], evidence: Evidence) -> Iterator[str]:
    bad = evidence.bad_bytes
    if Rule.ENCODING in counts and bad.is_cut_off:
        yield CUT_OFF
    if Rule.ENCODING in counts and bad.first and bad.letters == bad.count and _utf16(evidence.head) is None:
        text, offset = bad.first
        how = (
            "the only bad byte is"
            if bad.count == 1
            else f"all {bad.count:,} bad sequences are characters of it, the first"
        )
        yield f"The bytes look like windows-1252: {how} {shown(text)} at byte {offset:,}. If so, declare format.encoding: cp1252."


def _quotes(counts: Mapping[Rule, int], evidence: Evidence) -> Iterator[str]:
    if _QUOTE_RULES & counts.keys():
        if evidence.escaped_quotes:
            yield (
                f"Quotes are escaped with a backslash in {evidence.escaped_quotes:,} of {evidence.quotes:,} places: "
                "write a quote inside quoted text twice."
            )
        elif Rule.UNCLOSED_QUOTE in counts and evidence.is_cut:
            yield "The file ends inside a quoted field, without a line end: it looks cut short."
    if evidence.single_quoted:
        yield (
            f"In {_rows(evidence.single_quoted)} with too many fields, text stands in single quotes: only double quotes "
            "protect a delimiter."
        )


def _repeats(counts: Mapping[Rule, int]) -> Iterator[str]:
    if number := counts.get(Rule.HEADER_REPEATED, 0):
        yield f"The file looks like {number + 1:,} files joined into one: its header stands in it {number + 1:,} times."


def _widths(counts: Mapping[Rule, int], evidence: Evidence, rows: int) -> Iterator[str]:
    width, widths = len(evidence.names), +evidence.widths
    if not widths or not {Rule.SHORT_ROW, Rule.LONG_ROW} & counts.keys():
        return
    if evidence.is_cut:
        yield "The last line has too few fields and no line end: the file looks cut short."
        widths[evidence.last_fields] -= 1
    longer, shorter = widths[width + 1], widths[width - 1]
    which = "Every row has" if longer == rows > 1 else f"{longer:,} of {rows:,} rows {'has' if longer == 1 else 'have'}"
    if longer and evidence.blank_extra == longer:
        where = "each line ends" if longer == rows > 1 else "the line ends" if longer == 1 else "these lines end"
        yield f"{which} one empty field more than the header: {where} with a delimiter that the header lacks."
    elif longer > evidence.single_quoted:
        cause = "the header lacks a name?" if longer == rows > 1 else "a delimiter inside text that is not quoted?"
        yield f"{which} one field more than the header: {cause}"
    if shorter:
        last = shown(evidence.names[-1]) if evidence.names else "the last"
        yield f"The last column ({last}) is missing in {shorter:,} of {rows:,} rows."
    others = {n: c for n, c in widths.items() if c and abs(n - width) > 1}
    if others:
        listed = ", ".join(
            f"{n:,} in {_rows(c)}" for n, c in sorted(others.items(), key=lambda p: -p[1])[:_WIDTHS_SHOWN]
        )
        many = sum(others.values())
        yield f"{many:,} of {rows:,} rows {'has' if many == 1 else 'have'} another number of fields than the header's {width:,}: {listed}."


def _values(dataset: Dataset, evidence: Evidence, rows: int, null_counts: Mapping[str, int]) -> Iterator[str]:
    said = [
        sentence
        for name, bad in evidence.values.items()
        if name in dataset.columns
        for sentence in bad.sentences(rows, rows - null_counts.get(name, 0))
    ]
    for _, sentence in sorted(said, key=lambda pair: -pair[0]):
        yield sentence


def _twice_encoded(dataset: Dataset, evidence: Evidence) -> Iterator[str]:
    """A hint only: letters behind Ã are rare in any language, and what UTF-8 read as windows-1252 and written again looks like."""
    encoding = dataset.format.encoding
    number = len(re.findall(rb"\xc3\x83\xc2[\x80-\xbf]", evidence.head)) if encoding in ("utf-8", "utf-8-sig") else 0
    if number:
        times = "once" if number == 1 else f"{number:,} times"
        yield f"Text such as Ã© stands {times} at the start of the file: it may have been encoded twice before it was sent."


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
