"""Quarantine: a rejected file copied unchanged, with a report beside it that says what was wrong and what to do.

Nothing here decides that a file is bad; the verdict did. Names come from hashes, never from a raw key.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from pipelines.contracts.model import Dataset
from pipelines.contracts.schema import fingerprint
from pipelines.formats import require_readable
from pipelines.intake.objects import ObjectVersion
from pipelines.ports import ObjectStore
from pipelines.printable import markdown as markdown_text
from pipelines.printable import printable
from pipelines.reading.violations import Rule, Sample, Violation

__all__ = [
    "QuarantineReport",
    "Quarantined",
    "ReportedSample",
    "ReportedViolation",
    "load_report",
    "make_report",
    "quarantine",
    "quarantine_folder",
    "quarantine_id",
    "report_lines",
    "version_segment",
]

HOW_TO_ACT = "Correct the file and send it again under the same key."
_ID_CHARACTERS = 16
_MAX_SHOWN = 600


class _Model(BaseModel):
    # What a later release adds to a report of the same version is left unread.
    model_config = ConfigDict(frozen=True, extra="ignore")


class ReportedSample(_Model):
    """One place where a rule was broken; `raw` is the record it stands in, capped, where there is one."""

    line: int | None
    byte_offset: int | None
    found: str
    raw: str | None = None


class ReportedViolation(_Model):
    """All breaches of one rule in one column; positions are of the first. `remedy` is the rule's own."""

    rule: str
    column: str | None
    line: int | None
    byte_offset: int | None
    found: str
    expected: str
    count: int
    message: str
    remedy: str
    samples: tuple[ReportedSample, ...] = ()


class QuarantineReport(_Model):
    """Why one object version is in quarantine, and the way back. Times are aware UTC; `rows_read` ends at the fault.

    `tried` counts the verdicts on it: a file that is processed again and rejected again has its report renewed.
    """

    version: Literal[1] = 1
    id: str
    dataset: str
    bucket: str
    key: str
    version_id: str
    size_bytes: int
    landed_at: datetime
    landing_day: date
    quarantined_at: datetime
    batch_id: str
    run_id: str | None
    contract: str
    rows_read: int
    rows_bad: int
    read_complete: bool
    violations_total: int
    violations: tuple[ReportedViolation, ...]
    likely_cause: str
    likely_causes: tuple[str, ...] = ()
    how_to_act: str = HOW_TO_ACT
    object_key: str
    tried: int = 1


class Quarantined(_Model):
    """Where a quarantined file lies: its short id, and the keys of the copy and the report in the quarantine bucket."""

    id: str
    object_key: str
    report_key: str


def quarantine_id(version: ObjectVersion) -> str:
    """Sixteen hexadecimal digits that name this object version in quarantine; always the same for the same version."""
    return hashlib.sha256(f"{version.object_id}\0{version.version_id}".encode()).hexdigest()[:_ID_CHARACTERS]


def quarantine_folder(dataset_name: str, landing_day: date, version: ObjectVersion) -> str:
    """The key prefix of the copy and its report: `quarantine/<dataset>/<day>/<object id>/<version id>`."""
    return (
        f"quarantine/{dataset_name}/{landing_day.isoformat()}/{version.object_id}/{version_segment(version.version_id)}"
    )


def version_segment(version_id: str) -> str:
    """The version id as it stands in a quarantine key."""
    if re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}", version_id):
        return version_id
    return hashlib.sha256(version_id.encode()).hexdigest()[:40]


def make_report(
    dataset: Dataset,
    version: ObjectVersion,
    *,
    landing_day: date,
    batch_id: str,
    run_id: str | None,
    quarantined_at: datetime,
    violations: Sequence[Violation],
    violations_total: int,
    rows_read: int = 0,
    rows_bad: int = 0,
    read_complete: bool = False,
    likely_causes: Sequence[str] = (),
    tried: int = 1,
) -> QuarantineReport:
    """The report of a rejected file, as it is written and shown.

    Without `likely_causes` (`ReadSummary`) the cause is what most often lies behind such violations.
    """
    causes = tuple(map(_encodable, likely_causes)) or (_likely_cause(violations),)
    return QuarantineReport(
        id=quarantine_id(version),
        dataset=dataset.name,
        bucket=version.bucket,
        key=_encodable(version.key),
        version_id=version.version_id,
        size_bytes=version.size_bytes,
        landed_at=version.landed_at,
        landing_day=landing_day,
        quarantined_at=quarantined_at,
        batch_id=batch_id,
        run_id=run_id,
        contract=fingerprint(dataset),
        rows_read=rows_read,
        rows_bad=rows_bad,
        read_complete=read_complete,
        violations_total=violations_total,
        violations=tuple(_reported(v) for v in violations),
        likely_cause=causes[0],
        likely_causes=causes,
        object_key=f"{quarantine_folder(dataset.name, landing_day, version)}/object",
        tried=tried,
    )


def quarantine(store: ObjectStore, bucket: str, version: ObjectVersion, report: QuarantineReport) -> Quarantined:
    """Copy the object, unchanged, into the quarantine bucket, and write its report beside it; repeatable.

    The copy comes first: where there is a report, there is the object it speaks of. Raises ObjectGoneError when the
    version was removed meanwhile.
    """
    report_key = f"{report.object_key.rpartition('/')[0]}/report.json"
    store.copy(version, bucket, report.object_key)
    store.put_bytes(bucket, report_key, report.model_dump_json(indent=2).encode(), "application/json")
    return Quarantined(id=report.id, object_key=report.object_key, report_key=report_key)


def load_report(store: ObjectStore, bucket: str, report_key: str) -> QuarantineReport:
    """Read a report back. Raises ObjectGoneError when there is none, NewerFormatError when a newer release wrote it."""
    said = json.loads(store.get_bytes(bucket, report_key))
    require_readable(f"the report {report_key}", said.get("version"), 1)
    return QuarantineReport.model_validate(said)


def report_lines(report: QuarantineReport, *, markdown: bool = False) -> list[str]:
    """The report as lines, `file:line:column: message` for each violation, safe to print.

    Control characters, among them terminal escapes, are shown as `\\x1b`; with `markdown`, what Markdown or HTML would
    interpret is escaped too.
    """
    show = markdown_text if markdown else _plain
    name = show(report.key)
    lines: list[str] = []
    for violation in report.violations:
        place = ":".join([name, *([str(violation.line)] if violation.line is not None else [])])
        where = f"{place}:{show(violation.column)}" if violation.column else place
        lines.append(f"{where}: {show(violation.message)} [{show(violation.rule)}]")
        if violation.samples and violation.samples[0].raw:
            lines.append(f"{where}: the record: {show(violation.samples[0].raw)}")
    hidden = report.violations_total - sum(v.count for v in report.violations)
    if hidden > 0:
        lines.append(f"{name}: {hidden:,} more are not listed")
    lines += [f"{name}: {show(cause)}" for cause in report.likely_causes or (report.likely_cause,)]
    lines.append(f"{name}: {show(report.how_to_act)}")
    return [f"- {line}" for line in lines] if markdown else lines


def _reported(violation: Violation) -> ReportedViolation:
    return ReportedViolation(
        rule=str(violation.rule.value),
        column=violation.column,
        line=violation.line,
        byte_offset=violation.byte_offset,
        found=_encodable(violation.found),
        expected=_encodable(violation.expected),
        count=violation.count,
        message=_encodable(violation.message),
        remedy=violation.rule.remedy,
        samples=tuple(_sample(s) for s in violation.samples),
    )


def _sample(sample: Sample) -> ReportedSample:
    raw = None if sample.raw is None else _encodable(sample.raw)
    return ReportedSample(line=sample.line, byte_offset=sample.byte_offset, found=_encodable(sample.found), raw=raw)


def _encodable(text: str) -> str:
    """Text without lone surrogates: they stand for bytes that are no UTF-8, and JSON cannot carry them."""
    return text.encode("utf-8", "backslashreplace").decode()


_CAUSES: tuple[tuple[frozenset[Rule], str], ...] = (
    (
        frozenset({Rule.COMPRESSION_RATIO, Rule.DECOMPRESSED_SIZE}),
        "The file decompresses to far more than it should hold; a file made to exhaust its reader looks like this.",
    ),
    (
        frozenset({Rule.COMPRESSION}),
        "The file was cut short or damaged on its way, or is not compressed as its name says.",
    ),
    (
        frozenset({Rule.ENCODING, Rule.NUL_BYTE}),
        "The file is in another encoding than the contract says (UTF-16, Windows-1252?), or it is no text file.",
    ),
    (
        frozenset({Rule.UNCLOSED_QUOTE, Rule.RECORD_SIZE, Rule.TEXT_AFTER_QUOTE, Rule.BARE_QUOTE}),
        "Quotes inside text are not doubled, or the file was cut in the middle of a quoted field.",
    ),
    (
        frozenset(
            {Rule.HEADER_MISSING, Rule.HEADER_BLANK, Rule.HEADER_DUPLICATE, Rule.COLUMN_MISSING, Rule.COLUMN_UNEXPECTED}
        ),
        "The header is not the contract's: another delimiter, columns renamed, added or left out, or no header row at all.",
    ),
    (
        frozenset({Rule.SHORT_ROW, Rule.LONG_ROW}),
        "Rows were cut short, or text that contains the delimiter is not quoted.",
    ),
    (
        frozenset({Rule.JSON_SYNTAX, Rule.JSON_SHAPE}),
        "The document was cut short, or is not the kind of JSON the contract says.",
    ),
    (
        frozenset({Rule.READER_CRASH, Rule.READER_MEMORY, Rule.READER_TIME}),
        "The file breaks what reads it; it is kept for looking into.",
    ),
    (
        frozenset({Rule.PARTITION_COUNT}),
        "The partition column holds something else than it should, or many files were put into one.",
    ),
    (frozenset({Rule.KEY_VALUE, Rule.LANDING_DAY}), "The file was sent under a wrong key."),
)


def _likely_cause(violations: Sequence[Violation]) -> str:
    """What most often lies behind such violations; structural faults explain those in values, so they come first."""
    rules = {violation.rule for violation in violations}
    for causes, sentence in _CAUSES:
        if rules & causes:
            return sentence
    return "Values in the file are not what the contract describes."


def _plain(text: str) -> str:
    """One line, without anything a terminal would obey."""
    shown = printable(text)
    return shown if len(shown) <= _MAX_SHOWN else f"{shown[: _MAX_SHOWN - 1]}…"
