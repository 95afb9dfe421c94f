"""The page about checks names every check that a dataset can have, and no other."""

import re
from pathlib import Path

from assets.checks import check_specs
from assets.standing import standing_keys
from tests.assets.stage import DEPARTURES
from tests.ingest.world import dataset

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "checks.md").read_text(encoding="utf-8")
ALL = (
    DEPARTURES.replace(
        "allowed: [EWR, JFK, LGA]", "references: {dataset: airports, column: faa, severity: block}"
    ).replace("delay: {type: int}", "delay: {type: int, references: delays.delay}")
    + "  - {expect_table_row_count_to_be_between: {min_value: 1}, severity: block}\n"
    + "rows: {on_bad: quarantine_rows, max_bad: 50%}\n"
    + "rules:\n  - {rule: delay < 600, severity: warn}\n  - {rule: delay < 6000, severity: block}\n"
    + "freshness: {expected_every: P1D}\n"
)


def test_every_check_is_on_the_page_and_the_page_names_no_other() -> None:
    of = dataset(ALL)
    declared = {spec.name for spec in check_specs(of)} | {key.name for key in standing_keys(of)}
    first_cells = re.findall(r"^\| ((?:`[a-z_]+`(?:, )?)+) \|", PAGE, re.MULTILINE)
    named = {name for cell in first_cells for name in re.findall(r"`([a-z_]+)`", cell)} | {"schema_drift", "fresh"}
    assert named == declared
    assert "`schema_drift` compares" in PAGE
    assert "`fresh` is there" in PAGE
