"""The template's alarms and dashboard, read as text: what each of them asks, judged as CloudWatch judges it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from lakegate.local.laptop import TEMPLATE
from lakegate.local.ministack_alarms import EXTRA_PERIODS, Series, calculate, state_of
from pipelines.accounting.states import Outcome
from pipelines.telemetry.metrics import CATALOGUE
from tests.docs.anchors import anchors
from tests.infra.test_template import TemplateLoader

ROOT = Path(__file__).resolve().parents[2]
RUNBOOK = ROOT / "docs" / "operating.md"
ALARMS = {
    "FileWaitsAlarm": "file-waits",
    "FailedFilesAlarm": "failed-files",
    "DeadLettersAlarm": "dead-letters",
    "QuarantineRateAlarm": "quarantine-rate",
    "MissingEventsAlarm": "missing-events",
    "NoFileAlarm": "no-file",
    "DaemonSilentAlarm": "daemon-silent",
}
_LABELS = {metric.name: set(metric.labels) for metric in CATALOGUE}
TEMPLATED: dict[str, Any] = yaml.load(TEMPLATE.read_text(), TemplateLoader)
PARAMETERS = {name: said.get("Default", "") for name, said in TEMPLATED["Parameters"].items()}
RESOURCES: dict[str, Any] = TEMPLATED["Resources"]


def resolved(value: Any) -> Any:
    """The value with the defaults of parameters in it; what else is referred to stays as its name."""
    if isinstance(value, dict) and set(value) == {"Ref"}:
        return PARAMETERS.get(value["Ref"], value["Ref"])
    if isinstance(value, dict) and set(value) == {"Sub"}:
        text, known = value["Sub"], dict(PARAMETERS)
        if isinstance(text, list):
            text, own = text
            known |= {name: resolved(one) for name, one in own.items()}
        return re.sub(r"\$\{([^}]+)\}", lambda found: str(known.get(found[1], found[1])), text)
    if isinstance(value, dict):
        return {name: resolved(one) for name, one in value.items()}
    return [resolved(one) for one in value] if isinstance(value, list) else value


def alarm(name: str) -> dict[str, Any]:
    return resolved(RESOURCES[name]["Properties"])


def state(name: str, before: str = "OK", **series: Series) -> str:
    """The alarm's state when its metrics had these values; one series under any name where it is on one metric."""
    said = alarm(name)
    length = said["EvaluationPeriods"] + EXTRA_PERIODS
    assert all(len(values) <= length for values in series.values())
    full = {key: [None] * (length - len(values)) + values for key, values in series.items()}
    values = full[next(iter(full))]
    for query in said.get("Metrics", []):
        if "Expression" in query:
            values = calculate(query["Expression"], full)
    over = said["ComparisonOperator"] == "GreaterThanThreshold"
    threshold = float(said["Threshold"])
    return state_of(
        values,
        breaches=lambda value: value > threshold if over else value < threshold,
        periods=said["EvaluationPeriods"],
        to_alarm=said.get("DatapointsToAlarm", said["EvaluationPeriods"]),
        missing=said["TreatMissingData"],
        state=before,
    )


def test_there_are_these_alarms_and_all_are_on_the_dashboard() -> None:
    assert {name for name, one in RESOURCES.items() if one["Type"] == "AWS::CloudWatch::Alarm"} == set(ALARMS)
    [widget] = [one for one in widgets() if one["type"] == "alarm"]
    assert set(widget["properties"]["alarms"]) == {f"{name}.Arn" for name in ALARMS}


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_tells_its_topic_when_it_is_raised_and_over_and_leads_to_its_section(name: str) -> None:
    said = alarm(name)
    assert said["AlarmName"] == f"AWS::StackName-{ALARMS[name]}"
    assert said["AlarmActions"] == said["OKActions"] == ["AlarmTopic"]
    page, _, anchor = said["AlarmDescription"].split()[-1].partition("#")
    assert (page, anchor) == ("docs/operating.md", f"alarm-{ALARMS[name]}")
    assert anchor in anchors(RUNBOOK)


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_is_on_a_metric_that_is_published_under_those_dimensions(name: str) -> None:
    said = alarm(name)
    metrics = [query["MetricStat"]["Metric"] for query in said.get("Metrics", []) if "MetricStat" in query] or [said]
    for metric in metrics:
        dimensions = {dimension["Name"] for dimension in metric.get("Dimensions", [])}
        if metric["Namespace"] == "AWS/SQS":
            assert dimensions == {"QueueName"}
        else:
            assert metric["Namespace"] == "Lakegate"
            assert dimensions <= _LABELS[metric["MetricName"]]


def test_only_our_own_alarms_publish_to_the_topic_and_the_key_lets_them() -> None:
    allowed, plain_http = RESOURCES["AlarmTopicPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert plain_http["If"][1]["Effect"] == "Deny"
    assert allowed["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert allowed["Condition"]["ArnLike"]["aws:SourceArn"]["Sub"].endswith(
        ":${AWS::AccountId}:alarm:${AWS::StackName}-*"
    )
    assert RESOURCES["AlarmTopic"]["Properties"]["KmsMasterKeyId"]
    by_the_key = RESOURCES["Key"]["Properties"]["KeyPolicy"]["Statement"]
    assert [
        one["Action"] for one in by_the_key if "cloudwatch.amazonaws.com" in one["Principal"].get("Service", [])
    ] == [["kms:Decrypt", "kms:GenerateDataKey*"]]


# ---- who is woken by what


def test_a_file_that_waits_too_long_wakes_somebody_wherever_it_waits() -> None:
    assert state("FileWaitsAlarm", ledger=[899.0], queue=[0.0]) == "OK"
    assert state("FileWaitsAlarm", ledger=[901.0], queue=[0.0]) == "ALARM"
    assert state("FileWaitsAlarm", ledger=[0.0], queue=[901.0]) == "ALARM"
    assert state("FileWaitsAlarm", ledger=[901.0], queue=[None]) == "ALARM"


def test_a_file_that_waits_is_not_forgotten_because_nobody_counts_any_more() -> None:
    silent: Series = [None, None, None]
    assert state("FileWaitsAlarm", "ALARM", ledger=silent, queue=[0.0, 0.0, 0.0]) == "ALARM"
    assert state("FileWaitsAlarm", "OK", ledger=silent, queue=[0.0, 0.0, 0.0]) == "OK"
    assert state("FileWaitsAlarm", "OK", ledger=silent, queue=[0.0, 0.0, 950.0]) == "ALARM"


@pytest.mark.parametrize(
    ("bad", "every", "expected"),
    [
        (None, None, "OK"),  # a quiet night
        (None, 500.0, "OK"),
        (1.0, 1.0, "OK"),  # one bad file at night
        (4.0, 4.0, "OK"),
        (5.0, 5.0, "ALARM"),
        (5.0, 100.0, "OK"),  # five percent are not more than five
        (6.0, 100.0, "ALARM"),
        (20.0, 10_000.0, "OK"),
    ],
)
def test_the_quarantine_rate_needs_a_share_and_a_number(bad: float | None, every: float | None, expected: str) -> None:
    assert state("QuarantineRateAlarm", bad=[bad], all=[every]) == expected


def test_the_quarantine_rate_is_over_when_the_next_quarter_of_an_hour_is_good_or_empty() -> None:
    assert state("QuarantineRateAlarm", "ALARM", bad=[6.0, None], all=[10.0, 50.0]) == "OK"
    assert state("QuarantineRateAlarm", "ALARM", bad=[6.0, None], all=[10.0, None]) == "OK"


def test_a_dead_letter_stays_an_alarm_while_it_is_looked_at() -> None:
    assert state("DeadLettersAlarm", letters=[0.0, 0.0, 0.0, 0.0, 1.0]) == "ALARM"
    assert state("DeadLettersAlarm", letters=[1.0, 0.0, 0.0, 0.0, 0.0]) == "ALARM"
    assert state("DeadLettersAlarm", "ALARM", letters=[1.0, 0.0, 0.0, 0.0, 0.0, 0.0]) == "OK"
    assert state("DeadLettersAlarm", letters=[None]) == "OK"


def test_missing_events_stand_until_a_sweep_finds_none() -> None:
    assert state("MissingEventsAlarm", found=[2.0]) == "ALARM"
    assert state("MissingEventsAlarm", "ALARM", found=[None, None, None]) == "ALARM"
    assert state("MissingEventsAlarm", "ALARM", found=[2.0, 0.0]) == "OK"


def test_a_file_that_failed_wakes_somebody_until_none_is_left() -> None:
    assert state("FailedFilesAlarm", failed=[0.0, 1.0]) == "ALARM"
    assert state("FailedFilesAlarm", "ALARM", failed=[0.0, 0.0, 0.0, 0.0, 0.0]) == "OK"
    assert state("FailedFilesAlarm", "ALARM", failed=[None]) == "OK"


def test_a_dataset_may_be_ten_minutes_late() -> None:
    assert state("NoFileAlarm", overdue=[600.0]) == "OK"
    assert state("NoFileAlarm", overdue=[601.0]) == "ALARM"
    assert state("NoFileAlarm", "ALARM", overdue=[None]) == "ALARM"


def test_silence_is_five_minutes_without_a_tick_and_a_restart_is_none() -> None:
    assert state("DaemonSilentAlarm", ticks=[None] * 7) == "ALARM"
    assert state("DaemonSilentAlarm", ticks=[3.0, 2.0, None, None, None, None, 1.0]) == "OK"
    assert state("DaemonSilentAlarm", "ALARM", ticks=[None, None, None, None, None, None, 1.0]) == "OK"


# ---- the dashboard


def widgets() -> list[dict[str, Any]]:
    return json.loads(alarm("Dashboard")["DashboardBody"])["widgets"]


def test_the_widgets_of_the_dashboard_follow_one_another_in_rows_of_24_columns() -> None:
    taken = 0
    for widget in widgets():
        assert not {"x", "y"} & set(widget)  # without a place they cannot overlap
        taken += widget["width"]
        assert taken % 24 == 0 or taken % 24 >= widget["width"], widget  # none is broken off at the end of a row


def test_the_dashboard_shows_metrics_that_are_published_under_those_dimensions() -> None:
    shown: set[str] = set()
    for widget in widgets():
        for metric in widget["properties"].get("metrics", []):
            if isinstance(metric[0], dict):
                search = re.fullmatch(
                    r"SEARCH\('\{Lakegate,([a-z,]+)\} MetricName=\"([a-z_.]+)\"','(Sum|Maximum|p99)',300\)",
                    metric[0]["expression"],
                )
                assert search, metric
                assert set(search[1].split(",")) <= _LABELS[search[2]]
                shown.add(search[2])
            elif metric[0] == "Lakegate":
                assert metric[1] in _LABELS
                shown.add(metric[1])
            else:  # a point stands for what the metric before it has there
                assert (metric[0], metric[2]) in (("AWS/SQS", "QueueName"), (".", "."))
    assert {"lakegate.files.quarantined", "lakegate.aws.errors", "lakegate.file.lag", "lakegate.rows.loaded"} <= shown


# ---- the runbook


def test_every_outcome_and_every_alarm_has_a_section_in_the_runbook() -> None:
    there = anchors(RUNBOOK)
    assert [outcome for outcome in Outcome if f"outcome-{outcome}" not in there] == []
    assert [name for name in ALARMS.values() if f"alarm-{name}" not in there] == []


def test_the_table_of_alarms_names_each_with_its_thresholds() -> None:
    rows = dict(re.findall(r"^\| \[`([a-z-]+)`\]\(#alarm-[a-z-]+\) \| (.*)$", RUNBOOK.read_text(), re.MULTILINE))
    assert set(rows) == set(ALARMS.values())
    for name in ("OldestFileSeconds", "QuarantinePercent", "QuarantineFiles", "OverdueSeconds"):
        assert any(f"`{name}` ({PARAMETERS[name]})" in row for row in rows.values()), name
