"""Quarantine: the object unchanged, the report beside it, and words a person can act on, whatever the file held."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import ObjectGoneError
from pipelines.intake.objects import ObjectVersion
from pipelines.publication.quarantine import (
    QuarantineReport,
    load_report,
    make_report,
    quarantine,
    quarantine_folder,
    quarantine_id,
    report_lines,
)
from pipelines.reading.violations import Rule, Sample, Violation
from resources.memory import MemoryObjectStore
from tests.publication.samples import dataset, object_version

NOW = datetime(2026, 11, 2, 8, tzinfo=UTC)
DAY = date(2026, 11, 1)
VERSION = object_version("landing/flights/2026-11-01.csv", "3sL4kqtJlcpXroDTDmJ")


def violation(
    rule: Rule = Rule.TYPE, column: str | None = "dep_time", line: int | None = 7, **more: object
) -> Violation:
    made = Violation(rule, column, line, 120, "abc", "int", 1, "'abc' is not an int", (Sample(line, 120, "abc"),))
    return replace(made, **more)  # pyright: ignore[reportArgumentType]


def report(*violations: Violation, version: ObjectVersion = VERSION, total: int | None = None) -> QuarantineReport:
    return make_report(
        dataset(),
        version,
        landing_day=DAY,
        batch_id="b1",
        run_id="run-1",
        quarantined_at=NOW,
        violations=violations,
        violations_total=sum(v.count for v in violations) if total is None else total,
        rows_read=10,
        rows_bad=1,
        read_complete=True,
    )


def test_the_object_lies_unchanged_beside_its_report() -> None:
    store = MemoryObjectStore()
    store.put_version(VERSION, b"a,b\n1,\xff\n")
    made = report(violation())
    placed = quarantine(store, "quarantine-bucket", VERSION, made)
    folder = f"quarantine/flights/2026-11-01/{VERSION.object_id}/3sL4kqtJlcpXroDTDmJ"
    assert (placed.object_key, placed.report_key) == (f"{folder}/object", f"{folder}/report.json")
    assert store.get_bytes("quarantine-bucket", placed.object_key) == b"a,b\n1,\xff\n"
    assert load_report(store, "quarantine-bucket", placed.report_key) == made
    assert quarantine(store, "quarantine-bucket", VERSION, made) == placed
    assert len(list(store.list_keys("quarantine-bucket", ""))) == 2


def test_an_object_that_is_gone_leaves_no_report() -> None:
    store = MemoryObjectStore()
    with pytest.raises(ObjectGoneError):
        quarantine(store, "q", VERSION, report(violation()))
    assert list(store.list_keys("q", "")) == []


def test_the_report_is_json_that_says_what_where_why_and_what_to_do() -> None:
    said = json.loads(report(violation(Rule.SHORT_ROW, None)).model_dump_json())
    assert said["version"] == 1
    assert (said["dataset"], said["key"], said["version_id"]) == ("flights", VERSION.key, VERSION.version_id)
    assert said["violations"][0]["rule"] == "short_row"
    assert said["violations"][0]["remedy"] == Rule.SHORT_ROW.remedy
    assert said["how_to_act"] == "Correct the file and send it again under the same key."
    assert "cut short" in said["likely_cause"]


def test_the_id_is_short_and_always_the_same_for_a_version() -> None:
    assert re.fullmatch(r"[0-9a-f]{16}", quarantine_id(VERSION))
    assert quarantine_id(replace(VERSION, size_bytes=99)) == quarantine_id(VERSION)
    assert quarantine_id(replace(VERSION, version_id="other")) != quarantine_id(VERSION)
    assert quarantine_id(replace(VERSION, key="other")) != quarantine_id(VERSION)


@given(key=st.text(min_size=1), version_id=st.text(min_size=1))
def test_no_key_or_version_id_shapes_a_path(key: str, version_id: str) -> None:
    folder = quarantine_folder("flights", DAY, replace(VERSION, key=key, version_id=version_id))
    assert re.fullmatch(r"quarantine/flights/2026-11-01/[0-9a-f]{40}/[A-Za-z0-9_-][A-Za-z0-9_.-]*", folder)


def test_lines_read_as_a_compiler_writes_them() -> None:
    lines = report_lines(report(violation(), violation(Rule.SHORT_ROW, None, 9, count=1200, message="2 fields, not 3")))
    assert lines[:2] == [
        "landing/flights/2026-11-01.csv:7:dep_time: 'abc' is not an int [type]",
        "landing/flights/2026-11-01.csv:9: 2 fields, not 3 [short_row]",
    ]
    assert lines[-1].endswith("Correct the file and send it again under the same key.")


def test_violations_that_are_not_listed_are_counted() -> None:
    assert "landing/flights/2026-11-01.csv: 41 more are not listed" in report_lines(report(violation(), total=42))


def test_a_file_level_violation_has_neither_line_nor_column() -> None:
    [line, *_] = report_lines(report(violation(Rule.COMPRESSION, None, None, message="cut short")))
    assert line == "landing/flights/2026-11-01.csv: cut short [compression]"


@given(st.text(max_size=80), st.text(min_size=1, max_size=40), st.booleans())
def test_nothing_in_a_file_or_key_can_command_the_terminal(message: str, key: str, markdown: bool) -> None:
    hostile = report(violation(message=message + "\x1b[2J\r\n\u202e"), version=replace(VERSION, key=key))
    for line in report_lines(hostile, markdown=markdown):
        assert line.isprintable()


def test_markdown_and_html_are_shown_not_obeyed() -> None:
    hostile = report(violation(message="[click](javascript:alert(1)) <script>x</script> `code` **b** &amp;"))
    [line, *_] = report_lines(hostile, markdown=True)
    for unescaped in (r"(?<!\\)\[", r"(?<!\\)\(", r"(?<!\\)`", r"(?<!\\)\*", "<", r"&(?!amp;|lt;)"):
        assert not re.search(unescaped, line.removeprefix("- ").removesuffix(" [type]")), unescaped


def test_long_text_is_cut() -> None:
    [line, *_] = report_lines(report(violation(message="x" * 5000)))
    assert len(line) < 800


def test_bytes_that_are_no_text_can_be_reported() -> None:
    made = report(violation(found="\udcff\udc00", message="bad byte \udcff"))
    assert QuarantineReport.model_validate_json(made.model_dump_json()) == made
    assert made.violations[0].found == "\\udcff\\udc00"


@pytest.mark.parametrize("rule", list(Rule))
def test_every_rule_has_a_likely_cause(rule: Rule) -> None:
    assert report(violation(rule)).likely_cause.endswith((".", "?"))


def test_the_structural_fault_explains_the_others() -> None:
    made = report(violation(Rule.TYPE), violation(Rule.COLUMN_MISSING, "x", 1))
    assert "header" in made.likely_cause


def test_the_record_is_shown_behind_its_fault_and_commands_nothing() -> None:
    hostile = violation(samples=(Sample(7, 120, "abc", 'abc,"\x1b[2J\n"'), Sample(8, 130, "abd", "abd,1")))
    made = report(hostile)
    assert report_lines(made)[1] == r'landing/flights/2026-11-01.csv:7:dep_time: the record: abc,"\x1b[2J\n"'
    assert [s.raw for s in made.violations[0].samples] == ['abc,"\x1b[2J\n"', "abd,1"]
    assert QuarantineReport.model_validate_json(made.model_dump_json()) == made
