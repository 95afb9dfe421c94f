"""What a report says lies behind the faults: with true numbers, only with evidence, the likeliest first, and nothing about good files."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.reading.diagnosis import MAX_CAUSES
from pipelines.reading.protocol import decode_summary, encode_summary
from tests.reading.support import dataset, read

COLUMNS: dict[str, dict[str, Any]] = {
    "id": {"type": "int", "nullable": False},
    "day": {"type": "date"},
    "name": {"type": "string"},
    "amount": {"type": "decimal(10,2)"},
    "ok": {"type": "boolean"},
    "at": {"type": "timestamp", "zone": "UTC"},
}
CSV = dataset(COLUMNS)
HEADER = "id,day,name,amount,ok,at\n"
ROWS = "".join(f"{i},2024-01-{i % 28 + 1:02},n{i},{i}.50,true,2024-01-01T00:00:00\n" for i in range(3_104))
ROW = "5,2024-01-01,x,1.00,true,2024-01-01T00:00:00\n"


def rows(times: int = 310, **values: str) -> str:
    fields = dict(zip(COLUMNS, ROW.strip().split(","), strict=True))
    return HEADER + "".join(",".join((fields | {"id": str(i)} | values).values()) + "\n" for i in range(times))


JSON: dict[str, dict[str, Any]] = {"id": {"type": "int"}, "name": {"type": "string"}, "amount": {"type": "double"}}
LINES, ARRAY = dataset(JSON, "jsonl"), dataset(JSON, "json")
LINE = '{"id":1,"name":"a","amount":1.5}\n'

CASES: dict[str, tuple[Any, str | bytes, tuple[str, ...]]] = {
    "a good file": (CSV, HEADER + ROWS, ()),
    "names in another case": (CSV, (HEADER + ROWS).replace("day", "DAY", 1), ()),
    "another delimiter": (CSV, (HEADER + ROWS).replace(",", "|"), ("The delimiter looks like '|': with it, all 3,104 rows fit.",)),
    "another delimiter in most rows": (
        CSV, (HEADER + ROWS).replace(",", "\t") + "1\t2\n", ("The delimiter looks like a tab: with it, 3,104 of 3,105 rows fit.",)),
    "another delimiter, quoted text": (
        CSV, 'id;day;name;amount;ok;at\n1;2024-01-01;"a;\nb";1;true;2024-01-01T00:00\n',
        ("The delimiter looks like ';': with it, the only row fits.",)),
    "another delimiter and no row": (
        CSV, HEADER.replace(",", ";"), ("The delimiter looks like ';': with it, the header's names are the contract's.",)),
    "no delimiter that fits": (CSV, "a b c\n1 2 3\n", ()),
    "a missing last column": (
        CSV, HEADER + ROWS + "5,2024-01-01,x,1.00,true\n" * 2, ('The last column ("at") is missing in 2 of 3,106 rows.',)),
    "rows of several widths": (
        CSV, HEADER + ROW + "1,2\n1,2\n1,2,3\n",
        ("3 of 4 rows have another number of fields than the header's 6: 2 in 2 rows, 3 in 1 row.",)),
    "a last line that is cut off": (
        CSV, HEADER + ROWS + "5,2024-01-01,x", ("The last line has too few fields and no line end: the file looks cut short.",)),
    "a quote that is cut off": (
        CSV, HEADER + ROWS + '5,2024-01-01,"x', ("The file ends inside a quoted field, without a line end: it looks cut short.",)),
    "a delimiter behind each row": (
        CSV, HEADER + ROWS.replace("\n", ",\n"),
        ("Every row has one empty field more than the header: each line ends with a delimiter that the header lacks.",)),
    "a delimiter in text": (
        CSV, HEADER + ROWS + ROW.replace("x", "x,y"),
        ("1 of 3,105 rows has one field more than the header: a delimiter inside text that is not quoted?",)),
    "a delimiter behind some rows": (
        CSV, HEADER + ROW + ROW.replace("\n", ",\n"),
        ("1 of 2 rows has one empty field more than the header: the line ends with a delimiter that the header lacks.",)),
    "titles above the header": (
        CSV, "Report of March,,,\n\n" + HEADER + ROW,
        ("The columns' names stand on line 3, not on the first: leave out what stands before them.",)),
    "a line for a spreadsheet above the header": (
        CSV, "sep=,\n" + HEADER + ROW,
        ("The columns' names stand on line 2, not on the first: leave out what stands before them.",)),
    "a header with a name twice, again below": (
        CSV, HEADER.replace("at", "at,id") + ROW.replace("\n", ",5\n") * 2, ()),
    "text in single quotes": (
        CSV, HEADER + ROW.replace("x", "'x, y'") * 5,
        ("In 5 rows with too many fields, text stands in single quotes: only double quotes protect a delimiter.",)),
    "quotes escaped with a backslash": (
        CSV, HEADER + ROW.replace("x", '"a \\"b\\" c"') * 5,
        ("Quotes are escaped with a backslash in 5 of 5 places: write a quote inside quoted text twice.",)),
    "windows-1252": (
        CSV, (HEADER + ROW.replace("x", "né “x”")).encode("cp1252"),
        (('The bytes look like windows-1252: all 3 bad sequences are characters of it, the first "é" at byte 39. '
         "If so, declare format.encoding: cp1252."),)),
    "neither UTF-8 nor windows-1252": (CSV, HEADER.encode() + ROW.encode().replace(b"x", b"\x81\xff"), ()),
    "a character that is cut off": (
        CSV, (HEADER + ROW + ROW.replace("x", "né")[:15]).encode()[:-1],
        ("The file ends in the middle of a character: it looks cut short.",)),
    "declared UTF-16 that is cut off": (
        dataset(COLUMNS, {"type": "csv", "encoding": "utf-16-le"}), (HEADER + ROW).encode("utf-16-le")[:-1], ()),
    "UTF-16": (
        CSV, (HEADER + ROWS).encode("utf-16-le"),
        ("The file looks like UTF-16, every other of its first bytes is NUL: declare format.encoding: utf-16-le.",)),
    "UTF-16 with a mark": (
        CSV, (HEADER + ROWS).encode("utf-16"),
        ("The file looks like UTF-16, every other of its first bytes is NUL: declare format.encoding: utf-16.",)),
    "encoded twice": (
        CSV, rows(2, name="cafÃ©", amount="x"),
        ("Text such as Ã© stands 2 times at the start of the file: it may have been encoded twice before it was sent.",)),
    "no header": (
        CSV, ROWS,
        (("The first line looks like data, not a header: its 6 values are of the contract's types, in order. "
         "Send a first line that names the columns."),)),
    "no header, and text only": (dataset({"a": {"type": "string"}, "b": {"type": "string"}}), "1,2\n", ()),
    "a renamed column": (
        CSV, (HEADER + ROW).replace("amount", "Amount_EUR"),
        (('This column has another name in the file: "Amount_EUR" for amount (the values fit, in 1 row looked at). '
         "If so, add it to the column's aliases."),)),
    "a column whose name is cut": (
        CSV, (HEADER + ROW).replace("amount", "Amt").replace("name", "nam_"),
        (('These columns have other names in the file: "nam_" for name, "Amt" for amount (the values fit, in 1 row looked at). '
         "If so, add each to the column's aliases."),)),
    "a new column whose values do not fit": (CSV, (HEADER + ROW).replace("amount", "amount_eur").replace("1.00", "much"), ()),
    "joined files": (
        CSV, (HEADER + ROW) * 3, ("The file looks like 3 files joined into one: its header stands in it 3 times.",)),
    "dates": (CSV, "".join([HEADER, *(ROW.replace("2024-01-01,", f"{d}/01/2024,") for d in range(1, 29))]),
              ('All 28 values of day look like %d/%m/%Y: declare format: "%d/%m/%Y".',)),
    "dates that say nothing": (
        CSV, rows(day="03/04/2024"), ("All 310 values of day look like %d/%m/%Y and %m/%d/%Y alike: declare the format that is meant.",)),
    "some dates": (
        CSV, rows(2, day="31.12.2023") + ROW + rows(1, day="x").removeprefix(HEADER),
        ('2 of 3 bad values of day look like %d.%m.%Y: declare format: "%d.%m.%Y".',)),
    "timestamps": (
        CSV, rows(at="31/12/2023 23:59"), ('All 310 values of at look like %d/%m/%Y %H:%M: declare format: "%d/%m/%Y %H:%M".',)),
    "timestamps without a zone that look otherwise": (
        dataset({"at": {"type": "timestamp"}, "x": {"type": "string"}}), "at,x\n31.12.2023 23:59,\n",
        ('The only bad value of at looks like %d.%m.%Y %H:%M: declare format: "%d.%m.%Y %H:%M" and a zone.',)),
    "timestamps that a zone has not": (
        dataset({"at": {"type": "timestamp", "zone": "Europe/Berlin"}, "x": {"type": "string"}}),
        "at,x\n2024-03-31T02:30:00,\n2024-10-27 02:30,\n", ()),
    "timestamps of ISO 8601 where another format is declared": (
        dataset({"at": {"type": "timestamp", "zone": "UTC", "format": "%d.%m.%Y %H:%M"}, "x": {"type": "string"}}),
        "at,x\n2024-03-31T02:30:00,\n2024-10-27 02:30,\n", ("All 2 values of at look like ISO 8601: declare format: iso8601.",)),
    "days that are none, in the declared format": (
        dataset({"day": {"type": "date", "format": "%d/%m/%Y"}, "x": {"type": "string"}}), "day,x\n31/02/2024,\n30/02/2024,\n", ()),
    "dates of ISO 8601 where another format is declared": (
        dataset({"day": {"type": "date", "format": "%d/%m/%Y"}, "x": {"type": "string"}}), "day,x\n2024-02-01,\n",
        ('The only bad value of day looks like %Y-%m-%d: declare format: "%Y-%m-%d".',)),
    "more digits than a decimal has": (CSV, rows(3, amount="1.255"), ()),
    "timestamps without a zone": (
        dataset({"at": {"type": "timestamp"}, "x": {"type": "string"}}), "at,x\n2024-01-01 00:00:00,\n" * 1 + "2024-01-01 00:00,\n",
        ("All 2 values of at have no offset from UTC: declare the zone they are in.",)),
    "seconds": (CSV, rows(at="1700000000"), ("All 310 values of at look like seconds since 1970: declare format: epoch_s.",)),
    "thousands": (CSV, rows(amount='"1,234.50"'), ("All 310 values of amount have thousands separators: send plain digits.",)),
    "decimal commas": (CSV, rows(amount='"1.234,5"'), ("All 310 values of amount have a decimal comma: send a point.",)),
    "a currency": (CSV, rows(1, amount="$5.00"), ("The only bad value of amount carries a currency: send the number alone.",)),
    "percent": (CSV, rows(3, amount="5 %"), ("All 3 values of amount are written with a percent sign: send the number alone.",)),
    "whole numbers with a point": (
        CSV, HEADER + ROW.replace("5,", "5.0,", 1) * 9, ("All 9 values of id end in .0: send whole numbers, or declare double or decimal.",)),
    "words for null": (
        CSV, rows(240) + rows(120, amount="N/A").removeprefix(HEADER),
        ('"N/A" stands in 120 of 360 rows of amount: if it means null, add it to null_values.',)),
    "other booleans": (
        CSV, rows(240, ok="N") + rows(120, ok="Y").removeprefix(HEADER),
        ('ok is written as "N" (240 times) and "Y" (120 times): declare true_values and false_values.',)),
    "a boolean written otherwise once": (
        CSV, rows(9) + rows(1, ok="Y").removeprefix(HEADER),
        ('In 1 of 10 values, ok is written as "Y" (1 time): declare true_values and false_values.',)),
    "several causes, by how much they explain": (
        CSV, rows(20, ok="Y", amount="5%") + rows(9, day="1/2/2024").removeprefix(HEADER),
        ('All 20 bad values of amount are written with a percent sign: send the number alone.',
         'In 20 of 29 values, ok is written as "Y" (20 times): declare true_values and false_values.',
         "All 9 bad values of day look like %d/%m/%Y and %m/%d/%Y alike: declare the format that is meant.")),
    "values that have nothing in common": (CSV, rows(9, amount="much"), ()),
    "a web page": (
        CSV, "<!DOCTYPE html><html><body>403</body></html>",
        ("The file is an HTML page: a download that ended in an error or a login page looks like this.",)),
    "JSON for CSV": (CSV, '[{"id":1}]', ("The file begins like JSON, not like a header: declare type: json, or send CSV.",)),
    "CSV for JSON": (
        ARRAY, "id;name\n1;a\n", ("The file looks like CSV with ';' as its delimiter: its first line names 2 of 3 columns.",)),
    "lines for an array": (ARRAY, LINE * 312, ("The file is JSON Lines: each of its 312 lines is an object. Declare type: jsonl.",)),
    "an array for lines": (
        LINES, "[" + ",\n".join([LINE.strip()] * 5) + "]", ("The file is one JSON array, not one object a line: declare type: json.",)),
    "one object over several lines": (
        LINES, '{\n "id": 1\n}\n', ("Objects are spread over several lines: send each on one line, or an array with type: json.",)),
    "Python's own": (
        LINES, LINE + "{'id': 1, 'name': None}\n" * 7,
        ("All 7 records with a fault look like what Python prints (single quotes, None, True): write them with a JSON library.",)),
    "NaN": (
        LINES, LINE + '{"id":1,"name":"a","amount":NaN}\n' * 6 + "{]\n",
        ("6 of 7 records with a fault hold NaN or Infinity, which JSON does not have: send null.",)),
    "a comma too many": (
        LINES, LINE.replace("\n", ",\n") * 7, ("All 7 records with a fault have a comma with nothing behind it: leave it out.",)),
    "a fault behind a comma, None and what looks like a key in text": (
        LINES, '{"id":1,"name":"a, None} {b:\\ud83d","amount":1}\n{"id":1,"name":"a","amount":01}\n', ()),
    "objects on one line": (
        LINES, LINE.strip() * 2, ("1 of 1 records with a fault hold several objects on one line: send each on a line of its own.",)),
    "more faults than are looked at": (
        LINES, "{'id': 1}\n" * 1_001,
        ("All the first 1,000 records with a fault look like what Python prints (single quotes, None, True): write them with a JSON library.",)),
    "numbers as text": (
        LINES, LINE.replace("1,", '"1",', 1) * 7, ("All 7 values of id stand in quotes, as text does: send them without, or declare string.",)),
    "lines that are cut off": (
        LINES, LINE * 7 + '{"id":1,"na',
        ("The file ends in the middle of a record: it looks cut short, as after an upload that broke off.",)),
    "an array that is cut off": (
        ARRAY, "[" + (LINE + ",") * 7 + '{"id":1,"na',
        ("The file ends in the middle of a record: it looks cut short, as after an upload that broke off.",)),
}  # fmt: skip


@pytest.mark.parametrize("block_bytes", [4 << 20, 300])
@pytest.mark.parametrize("name", CASES)
def test_the_cause_is_told_with_its_evidence(name: str, block_bytes: int) -> None:
    contract, content, expected = CASES[name]
    _, summary = read(contract, content.encode() if isinstance(content, str) else content, block_bytes=block_bytes)
    assert summary.likely_causes == expected
    assert decode_summary(encode_summary(summary)) == summary


def test_at_most_five_are_told() -> None:
    columns = {f"c{n}": {"type": "int"} for n in range(9)}
    content = ",".join(columns) + "\n" + ",".join(["5%"] * 9) + "\n"
    _, summary = read(dataset(columns), content.encode())
    assert len(summary.likely_causes) == MAX_CAUSES


def test_a_cause_beyond_what_is_looked_at_still_counts_right() -> None:
    """Hypotheses that explain nothing at first are dropped; the numbers of the others stay exact."""
    content = "id\n" + "5%\n" * 60_000 + "x\n" * 10 + "7%\n" * 60_000
    _, summary = read(dataset({"id": {"type": "int"}}), content.encode(), block_bytes=64 << 10)
    assert summary.likely_causes == (
        "120,000 of 120,010 bad values of id are written with a percent sign: send the number alone.",
    )
