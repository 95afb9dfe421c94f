"""Tables of files, as Markdown that strangers' names cannot break."""

from dataclasses import replace

from assets.file_tables import FILES_SHOWN, file_table, report_list
from pipelines.reading.violations import Rule, Violation
from pipelines.reports import FileEnding, FileReport
from tests.ingest.world import QUARANTINE, World

GATE = World().gate()
GOOD = FileReport("landing/orders/a.csv", "v1", 1200, FileEnding.LOADED, 1000, 1000, seconds=0.0123)
FAULT = Violation(Rule.TYPE, "amount", 7, 0, "x", "y", 3, "message")
BAD = replace(
    GOOD,
    key="landing/orders/bad.csv",
    outcome=FileEnding.QUARANTINED,
    rows_loaded=0,
    violations=(FAULT,),
    violations_total=1234,
    quarantine_id="0123456789abcdef",
    report_key="quarantine/orders/2026-01-01/0123456789abcdef/report.json",
)


def lines(*files: FileReport) -> list[str]:
    return file_table(GATE, files).splitlines()[2:]


def test_a_line_says_what_became_of_a_file_and_one_in_quarantine_leads_to_its_report() -> None:
    bad, good = lines(GOOD, BAD)
    assert good == r"| landing/orders/a\.csv | loaded | 1,000 of 1,000 | 1,200 |  |"
    link = GATE.links.object(QUARANTINE, BAD.report_key or "")
    assert bad == (
        rf"| landing/orders/bad\.csv | quarantined, [report]({link}) | 0 of 1,000 | 1,200 "
        "| 1,234 faults, first `type` of amount, line 7 |"
    )
    assert report_list(GATE, [BAD]) == f"- [0123456789abcdef]({link}) landing/orders/bad\\.csv"


def test_columns_that_would_be_empty_are_left_out() -> None:
    assert file_table(GATE, [GOOD]).splitlines()[0] == "| file | outcome | rows loaded | bytes |"
    assert file_table(GATE, [replace(GOOD, rows_rejected=2)]).endswith("| 1,200 | 2 rows rejected |")


def test_what_wants_attention_comes_first_and_what_is_beyond_the_last_line_is_counted() -> None:
    told = lines(*[GOOD] * 250, BAD, replace(GOOD, outcome=FileEnding.RETRY, error="S3 | does not answer"))
    assert [line.split(" | ")[1].split(",")[0] for line in told[:3]] == ["retry", "quarantined", "loaded"]
    assert r"S3 \| does not answer" in told[0]
    assert told[FILES_SHOWN:] == ["", "… and 52 files more."]
    assert report_list(GATE, [BAD] * 201).splitlines()[-1] == "- … and 1 file more: `lakegate quarantine list`"


def test_what_a_stranger_named_stays_one_line_of_text() -> None:
    hostile = "landing/o/\x1b[31m\u202e\n|<img src=x>[a](javascript:b)\udcff.csv"
    named = replace(FAULT, column="a\nb|c`")
    [line] = lines(replace(BAD, key=hostile, violations=(named,), error="x\r|y"))
    assert line.isprintable()
    assert line.count(" | ") == 4
    for live in ("<img", "](javascript", "c` |"):
        assert live not in line
    assert "[a](" not in report_list(GATE, [replace(BAD, key=hostile)])


def test_a_long_key_and_a_long_error_are_cut() -> None:
    [line] = lines(replace(GOOD, key="landing/" + "x" * 1000, error="y" * 1000))
    assert len(line) < 600
