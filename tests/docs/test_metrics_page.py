"""docs/metrics.md holds to the catalogue and to the settings there are."""

import re
from pathlib import Path

import pytest

from pipelines.telemetry.metrics import CATALOGUE
from pipelines.telemetry.names import prometheus_name
from pipelines.telemetry.page import PAGE, with_sections
from resources.telemetry_metrics import EXPORTERS

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_catalogue() -> None:
    assert with_sections(TEXT) == TEXT, "run python -m pipelines.telemetry.page"


def test_a_page_without_its_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="no marks for labels"):
        with_sections(TEXT.replace("begin labels", "begin"))


def test_every_metric_is_there_under_each_of_its_names() -> None:
    for metric in CATALOGUE:
        assert f"### `{metric.name}`" in TEXT
        assert f"`{prometheus_name(metric)}`" in TEXT


def test_the_page_names_each_exporter_and_no_setting_that_nothing_reads() -> None:
    for exporter in EXPORTERS:
        assert f"| `{exporter}` |" in TEXT
    source = "".join(path.read_text() for path in (ROOT / "resources").glob("*.py"))
    for name in set(re.findall(r"LAKEGATE_[A-Z_]+", TEXT)):
        assert f'"{name}"' in source, name
