"""The page on lineage: its example is an event that is really told, and it names every facet and nothing else."""

import json
import re
from pathlib import Path
from typing import Any

from tests.lineage.told import GOLDEN

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "lineage.md").read_text(encoding="utf-8")


def _shortened(told: Any, shown: Any) -> bool:
    """Whether what is shown is what is told, with parts left out."""
    if isinstance(shown, dict):
        return isinstance(told, dict) and all(key in told and _shortened(told[key], shown[key]) for key in shown)
    if isinstance(shown, list):
        return isinstance(told, list) and all(any(_shortened(one, part) for one in told) for part in shown)
    return told == shown


def test_the_example_is_an_event_that_is_told() -> None:
    (block,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    told = json.loads((GOLDEN / "complete-1.json").read_text(encoding="utf-8"))
    assert _shortened(told, json.loads(block))
    assert not _shortened(told, {**json.loads(block), "eventType": "FAIL"})


def test_every_facet_is_on_the_page_and_no_other() -> None:
    rows = re.findall(r"^\| (`[a-zA-Z_`, ]+`) \| (?:run|job|landing|table|files)", PAGE, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    code = (Path(__file__).resolve().parents[2] / "resources" / "openlineage_events.py").read_text(encoding="utf-8")
    made = set(re.findall(r'^ +"(\w+)": ', code, re.MULTILINE))
    made |= set(re.findall(r'of_dataset\["(\w+)"\]', code))
    assert named == made
