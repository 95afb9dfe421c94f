"""The settings of Dagster's instance: accepted by Dagster, explained key by key, and the same on AWS but for what is marked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config

from lakegate.local.instance import POSTGRES_VARIABLE, dagster_yaml

ROOT = Path(__file__).resolve().parents[2]
LAPTOP = ROOT / "lakegate" / "local" / "dagster.yaml"
AWS = ROOT / "infra" / "dagster.yaml"
PAGE = ROOT / "docs" / "dagster-yaml.md"


def flat(settings: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Every value as the page writes it, under its path."""
    if isinstance(settings, dict):
        for name, value in settings.items():
            yield from flat(value, (*path, name))
    elif isinstance(settings, list):
        yield ".".join(path), "; ".join(" ".join(f"{k}={v}" for k, v in entry.items()) for entry in settings)
    else:
        yield ".".join(path), str(settings).lower() if isinstance(settings, bool) else str(settings)


def settings_of(path: Path) -> dict[str, str]:
    return dict(flat(yaml.safe_load(path.read_text(encoding="utf-8"))))


def explained() -> dict[str, tuple[str, str]]:
    """Each key of the page with its value on the laptop and on AWS; empty text: not set."""
    rows = [[cell.strip("` ") for cell in line.split("|")] for line in PAGE.read_text(encoding="utf-8").splitlines()]
    found = {row[1]: (row[2], row[3]) for row in rows if len(row) == 7 and re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", row[1])}
    return {key: (laptop, laptop if aws == "=" else aws) for key, (laptop, aws) in found.items()}


def test_the_page_explains_every_key_with_its_values_and_no_other() -> None:
    page = explained()
    assert {key: laptop for key, (laptop, _) in page.items() if laptop} == settings_of(LAPTOP)
    assert {key: aws for key, (_, aws) in page.items() if aws} == settings_of(AWS)


@pytest.mark.parametrize("path", [LAPTOP, AWS], ids=["laptop", "aws"])
def test_every_line_has_a_comment_that_says_why(path: Path) -> None:
    """A value has a comment right above it; where several belong together, the first of them."""
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if re.match(r"^ *[a-z_]+: \S", line):
            above = lines[:number]
            while above and above[-1].strip() and not above[-1].strip().startswith("#"):
                above.pop()
            assert above, line
            assert above[-1].strip().startswith("#"), f"{path.name}:{number + 1}: {line.strip()} has no comment"


def test_the_file_for_aws_differs_only_where_it_says_so() -> None:
    laptop = dict(flat(yaml.safe_load(dagster_yaml({POSTGRES_VARIABLE: "postgresql://u@h/d"}, warm_workers=True))))
    aws = settings_of(AWS)
    different = {key for key in laptop.keys() | aws.keys() if laptop.get(key) != aws.get(key)}
    assert different == {
        "concurrency.runs.max_concurrent_runs",
        "concurrency.runs.tag_concurrency_limits",
        "compute_logs.module",
        "compute_logs.class",
    }
    assert AWS.read_text(encoding="utf-8").count("AWS: ") == 3


@pytest.mark.parametrize(
    "text", [dagster_yaml({}), dagster_yaml({POSTGRES_VARIABLE: "postgresql://u@h/d"}), AWS.read_text()]
)
def test_dagster_accepts_it(text: str, tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text(text)
    accepted, _ = dagster_instance_config(str(tmp_path))
    assert accepted["run_coordinator"]["class"] == "QueuedRunCoordinator"
    (tmp_path / "dagster.yaml").write_text(text.replace("purge_after_days", "purge_after_weeks"))
    with pytest.raises(Exception, match="purge_after_weeks"):
        dagster_instance_config(str(tmp_path))


def test_the_instance_is_told_what_the_measurements_asked_for() -> None:
    settings = settings_of(LAPTOP)
    assert settings["run_coordinator.config.dequeue_interval_seconds"] == "1"
    assert settings["sensors.use_threads"] == "true"
    assert settings["run_retries.enabled"] == settings["nux.enabled"] == settings["telemetry.enabled"] == "false"
