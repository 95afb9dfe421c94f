"""What happens to files on their way, done to a good file of our own: needs nobody's data.

Each kind of damage says whether the file is still good under a contract with types, and the reference reader must agree. Under a
contract of text alone a file may be good for which types know better (a footer, a second header): then it says what it says.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.contracts.model import Dataset
from tests.conformance.cases import Broken, Case, Fault, Rows, Says
from tests.conformance.suite import Suite
from tests.conformance.suites.as_text import says
from tests.reading.reference_verdict import Place, json_says, jsonl_says
from tests.reading.support import dataset

COLUMNS = {
    "id": {"type": "int", "nullable": False},
    "day": {"type": "date"},
    "at": {"type": "timestamp"},
    "price": {"type": "decimal(10,2)"},
    "rate": {"type": "double"},
    "ok": {"type": "boolean"},
    "name": {"type": "string"},
}
NAMES = list(COLUMNS)
ROWS = [
    [str(i), f"2024-01-{i:02d}", f"2024-01-{i:02d}T10:00:00Z", f"{i}.50", f"{i}e-1", "true" if i % 2 else "false", f"näme {i}"]
    for i in range(1, 13)
]  # fmt: skip
TYPED = dataset(COLUMNS)
TEXT = dataset({name: {"type": "string"} for name in NAMES})


def table(rows: list[list[str]], mark: str = ",", end: str = "\n") -> str:
    return "".join(mark.join(row) + end for row in [NAMES, *rows])


def with_cell(column: str, text: str) -> str:
    rows = [list(row) for row in ROWS]
    rows[3][NAMES.index(column)] = '"' + text.replace('"', '""') + '"'
    return table(rows)


GOOD = table(ROWS)
LINES = GOOD.splitlines()
HEAD, FIRST = LINES[:4], LINES[4:]


def inserted(line: str) -> str:
    return "\n".join([*HEAD, line, *FIRST]) + "\n"


def replaced(line: str) -> str:
    return "\n".join([*HEAD, line, *FIRST[1:]]) + "\n"


STILL_GOOD: dict[str, str | bytes] = {
    "nothing": GOOD,
    "byte order mark": "\ufeff" + GOOD,
    "no line end at the end": GOOD[:-1],
    "cut inside the last text": GOOD[:-3],
    "blank lines at the end": GOOD + "\n\r\n\n",
    "CRLF": GOOD.replace("\n", "\r\n"),
    "lone CR": GOOD.replace("\n", "\r"),
    "line ends of three kinds": "".join(line + end for line, end in zip(LINES, ["\n", "\r\n", "\r"] * 9, strict=False)),
    "every field quoted": "".join(",".join(f'"{t}"' for t in row) + "\n" for row in [NAMES, *ROWS]),
    "header in capitals": GOOD.replace(LINES[0], LINES[0].upper()),
    "header with blanks": GOOD.replace(LINES[0], ", ".join(NAMES)),
    "columns in another order": table([]).replace(",".join(NAMES), ",".join(NAMES[::-1]))
    + "".join(",".join(row[::-1]) + "\n" for row in ROWS),
    "letters decoded twice": GOOD.encode("utf-8").decode("latin-1"),
    "a line separator in text": replaced(FIRST[0] + "\u2028x"),
    "tabs and form feeds in text": replaced(FIRST[0] + "\t\x0b\x0c"),
    "a formula": with_cell("name", '=HYPERLINK("http://x")'),
    "a quoted line end": with_cell("name", "a\r\nb\nc\rd"),
}
NOT_GOOD: dict[str, str | bytes] = {
    "cut in the middle": GOOD[: len(GOOD) // 2],
    "cut behind a delimiter": GOOD[: GOOD.rindex(",") - 3],
    "header twice": LINES[0] + "\n" + GOOD,
    "header in the middle": inserted(LINES[0]),
    "two files joined": GOOD + GOOD,
    "two files joined, with its mark": GOOD + "\ufeff" + GOOD,
    "two files joined without a line end": GOOD[:-1] + GOOD,
    "a row of units": LINES[0] + "\nint,date,UTC,EUR,%,yes/no,text\n" + "\n".join(LINES[1:]),
    "a total": GOOD + "Total,,,78.00,,,\n",
    "a comment at the end": GOOD + "# end\n",
    "a footer with commas": GOOD + "Source:, a, b, c, d, e, f\n",
    "a preamble": "Report of January\n\n" + GOOD,
    "a comment in the middle": inserted("# new prices"),
    "sep=,": "sep=,\n" + GOOD,
    "no header": "\n".join(LINES[1:]),
    "a blank line in the middle": inserted(""),
    "blanks in the middle": inserted("   "),
    "only delimiters in the middle": inserted("," * 6),
    "byte order mark in the middle": replaced("\ufeff" + FIRST[0]),
    "byte order mark twice": "\ufeff\ufeff" + GOOD,
    "a delimiter more": replaced(FIRST[0] + ","),
    "a delimiter more in every row": GOOD.replace("\n", ",\n"),
    "a delimiter less": replaced(FIRST[0].replace(",", "", 1)),
    "a row shifted": replaced("," + FIRST[0][: FIRST[0].rindex(",")]),
    "two rows joined": "\n".join([*HEAD, FIRST[0] + FIRST[1], *FIRST[2:]]),
    "a row split": replaced(FIRST[0][:9] + "\n" + FIRST[0][9:]),
    "two columns exchanged": GOOD.replace(LINES[0], "id,at,day,price,rate,ok,name"),
    "a name twice": GOOD.replace(LINES[0], "id,day,at,price,rate,ok,ok"),
    "tabs": table(ROWS, "\t"),
    "semicolons": table(ROWS, ";"),
    "another comma": GOOD.replace(",", "，"),
    "decimal commas": GOOD.replace(".50", ",50"),
    "blanks behind delimiters": table(ROWS, ", "),
    "CR CR LF": GOOD.replace("\n", "\r\r\n"),
    "LF CR": GOOD.replace("\n", "\n\r"),
    "next line": GOOD.replace("\n", "\x85"),
    "NUL in a number": GOOD.replace("4.50", "4.\0" + "50"),
    "NULs at the end": GOOD + "\0" * 600,
    "Ctrl-Z at the end": GOOD + "\x1a",
    "windows-1252": GOOD.encode("cp1252"),
    "two encodings": GOOD.encode("utf-8")[:300] + GOOD[300:].encode("cp1252"),
    "UTF-16": GOOD.encode("utf-16"),
    "half a character": GOOD.encode("utf-8").replace("ä".encode(), b"\xc3", 1),
    "a surrogate": GOOD.encode("utf-8").replace("ä".encode(), b"\xed\xa0\x80", 1),
    "quotes with backslashes": replaced('4,2024-01-04,2024-01-04T10:00:00Z,4.50,4e-1,false,"a \\"b\\" c"'),
    "a blank before a quote": replaced('4, "2024-01-04",2024-01-04T10:00:00Z,4.50,4e-1,false,x'),
    "a blank behind a quote": replaced('4,"2024-01-04" ,2024-01-04T10:00:00Z,4.50,4e-1,false,x'),
    "a quote never closed": replaced('4,2024-01-04,2024-01-04T10:00:00Z,4.50,4e-1,false,"x'),
    "a quote in the middle": replaced('4,2024-01-04,2024-01-04T10:00:00Z,4.50,4e-1,false,5" disk'),
    "an error page": "<html><body><h1>502 Bad Gateway</h1></body></html>\n",
    "JSON": '[{"id": 1}]',
    "lines quoted whole": "".join(f'"{line}"\n' for line in LINES),
}
WRONG_CELLS = {
    "id": [
        *(" 5", "5 ", "\t5", "5\u00a0", "\u200b5", "5.0", "5e0", "0x5", "１２", "٣", "−5", "5_000", "5,000", "", "NULL", "½", "²", "--5"),
        *("99999999999", "'5", "=5", "nan", "1e400")],
    "day": [
        *("2020-02-30", "2020-2-3", "20200203", "2020/02/03", "03.02.2020", "2020-02-03T00:00:00", "0000-01-01", "10000-01-01"),
        *("2020-13-01", " 2020-01-01", "2020-W01-1", "２０２０-01-01", "99-01-01", "-2020-01-01")],
    "at": [
        *("2020-01-01T24:00:00Z", "2016-12-31T23:59:60Z", "2020-01-01T00:00:00", "2020-01-01", "2020-01-01T00:00:00z", "1577836800"),
        *("2020-01-01T00:00:00.1234567Z", "2020-01-01T00:00:00 PM", "1/1/2020 00:00", "2020-01-01T00:00:00+24:00", "2020-01-01T00Z"),
        *("2020-01-01T00:00:00,5Z", "20200101T000000Z", "0000-01-01T00:00:00Z", "2020-01-01T00:00:00 Z", "2020-01-01T25:00:00Z")],
    "price": ["1.234", "1,5", "1.234.5", "1e-3", "$5", "5€", "5%", "(5)", "5-", "Infinity", "NaN", " 1.5", "1'000", "999999999.99", "٫5"],
    "rate": ["inf", "-Infinity", "nan", "1e400", "1e-400", "0x1p3", "1d5", "1_0", "1.5f", "1,5", "1e", "e5", "--1", "\u00a01", "+", "."],
    "ok": ["1", "yes", "T", "tRue", " true", "Y", "on"],
}  # fmt: skip


def csv_cases() -> Iterator[Case]:
    for is_good, kinds in ((True, STILL_GOOD), (False, NOT_GOOD)):
        for name, text in kinds.items():
            content = text if isinstance(text, bytes) else text.encode("utf-8")
            said = says(TYPED, content)
            assert isinstance(said, Rows) is is_good, name
            yield Case(name, content, TYPED, said)
            yield Case(f"{name}, as text", content, TEXT, says(TEXT, content))
    for column, texts in WRONG_CELLS.items():
        for text in texts:
            content = with_cell(column, text).encode("utf-8")
            said = says(TYPED, content)
            assert isinstance(said, Broken), (column, text)
            yield Case(f"{column}: {text!r}", content, TYPED, said)


# ---- JSON -----------------------------------------------------------------------------------------------------------

BROKEN_RECORDS = (
    *('{"id":1,}', '{"id":1,,"name":"x"}', "{'id':1}", "{id:1}", '{"id" 1}', '{"id"=1}', '{"id":1;"name":"x"}', '{"id":1', '{"id":1}}'),
    *('{"id":1}{"id":2}', '{"id":1} {"id":2}', '{"id":1},', '\ufeff{"id":1}', '{"id":\u00a01}', '{"id":\f1}', '{"id":1}\x1a', '{"id":1}\0'),
    *('{"id":1/*x*/}', '{"id":1} // x', '{"id":1} # x', '{"id":01}', '{"id":+1}', '{"id":1.}', '{"id":.5}', '{"id":0x1}', '{"id":1_000}'),
    *('{"id":NaN}', '{"id":Infinity}', '{"id":-Infinity}', '{"id":undefined}', '{"id":True}', '{"id":}', '{"id":-}', '{"id":１}'),
    *('{"name":"a\tb"}', '{"name":"a\0b"}', '{"name":"\\x41"}', '{"name":"\\ud800"}', '{"name":"\\ude00\\ud83d"}', '{"name":"x}'),
    *('{"id":1,"id":2}', '{"id":1,"\\u0069d":2}', '{"id":1,"ID":2}', "[1]", "1", '"x"', "null", "id,name", '{"id":[1}', '{"id":{"a":1]}'),
    *('{"id":"5"}', '{"id":1.0}', '{"id":1e2}', '{"id":true}', '{"id":99999999999}', '{"id":[1]}', '{"id":null}', '{"name":"x"}'),
    *('{"id":1,"rate":"1"}', '{"id":1,"rate":1e400}', '{"id":1,"price":1.234}', '{"id":1,"price":1e-9}', '{"id":1,"ok":"true"}'),
    *('{"id":1,"ok":1}', '{"id":1,"day":20200101}', '{"id":1,"day":"2020-02-30"}', '{"id":1,"name":5}', '{"id":1,"more":1}'),
)  # fmt: skip
GOOD_RECORDS = (
    *('{"id":-0}', '{"id":1,"name":"\\u0000"}', '{"id":1,"name":"\\ud83d\\ude00"}', '{"id":1,"name":"\\/\u2028\x7f\uffff"}'),
    *('{"id":1,"price":1E2}', '{"id":1,"price":"1.50"}', '{"id":1,"price":1.5000}', '{"id":1,"rate":5e-324}', '{"\\u0069d":1}'),
    *(' { "id" : 1 , "name" : "" } ', '{"id":1,"name":null}', '{"name":"[{,]}\\"\\\\","id":1}', '{"id":1,"name":"e\u0301"}'),
)  # fmt: skip
FIRST_RECORD = '{"id":7,"day":"2024-01-01","at":"2024-01-01T10:00:00Z","price":1.5,"rate":1,"ok":true,"name":"x"}'


def json_cases() -> Iterator[Case]:
    for form, reading in (("jsonl", jsonl_says), ("json", json_says)):
        contract = dataset(COLUMNS, form)
        for is_good, records in ((True, GOOD_RECORDS), (False, BROKEN_RECORDS)):
            for record in records:
                lines = [FIRST_RECORD, record, FIRST_RECORD]
                text = "\n".join(lines) + "\n" if form == "jsonl" else "[" + ",\n".join(lines) + "]"
                content = text.encode("utf-8")
                said = _json_says(reading(contract, content).faults, reading(contract, content).rows, contract)
                assert isinstance(said, Rows) is is_good, (form, record)
                yield Case(f"{form}: {record!r}", content, contract, said)


def _json_says(faults: dict[tuple[str, str | None], Place], rows: list[dict[str, object]], contract: Dataset) -> Says:
    del contract
    if not faults:
        return Rows(rows)
    # Of syntax the exact place is the parser's own: the line is what is compared.
    return Broken([Fault(frozenset({rule}), line or None, column) for (rule, column), (line, _) in faults.items()])


SUITES = (
    Suite("damaged CSV", csv_cases, is_shared=False),
    Suite("damaged JSON", json_cases, is_shared=False),
)
