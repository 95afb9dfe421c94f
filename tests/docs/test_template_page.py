"""docs/template.md names every parameter of the template, each with its default."""

from __future__ import annotations

import re
from pathlib import Path

from lakegate.local.laptop import TEMPLATE
from tests.infra.test_template import load_template

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "template.md").read_text(encoding="utf-8")


def test_the_page_names_every_parameter_with_its_default_and_no_other() -> None:
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| ([^|]+) \|", PAGE.partition("## What is where")[0], re.MULTILINE)
    told: dict[str, str] = {}
    for names, defaults in rows:
        split = re.findall(r"\w+", names)
        told |= dict(zip(split, defaults.split(", ") if len(split) > 1 else [defaults], strict=True))
    defaults = {name: str(each["Default"]) for name, each in load_template(TEMPLATE)["Parameters"].items()}
    assert told.keys() == defaults.keys()
    for name, default in defaults.items():
        assert told[name].strip("`").startswith(default or "empty"), name
