"""`lakegate audit list`: what was done by hand, against the laptop's AWS."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from resources.environment import Deployment
from tests.cli.command import ORDERS, lakegate

pytestmark = pytest.mark.aws


def test_a_pause_is_listed_with_who_and_why_and_a_wrong_day_is_refused(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"orders_{uuid.uuid4().hex[:8]}"
    (tmp_path / f"{name}.yaml").write_text(ORDERS.replace("orders", name))
    monkeypatch.setenv("LAKEGATE_DATASETS", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "ann")
    lakegate("pause", name, "--reason", "the [red]producer[/red]\nis confused")
    lakegate("failed", "retry", "--dataset", name, "--why", "after the fix")
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    [pause, retry, outcome] = lakegate("audit", "list", "--since", today, "--dataset", name, "--json").json["records"]
    assert (pause["who"], pause["what"], pause["why"]) == (
        "ann (of this machine)", "pause", "the [red]producer[/red]\\nis confused",
    )  # fmt: skip
    assert (retry["what"], retry["why"]) == ("retry failed files", "after the fix")
    assert (outcome["of"], outcome["outcome"]) == (retry["id"], {"due": "0", "held": "0", "left": "0"})
    shown = lakegate("audit", "list", "--dataset", name).out
    assert "due: 0" in " ".join(shown.split())
    assert "[red]producer" in shown
    refused = lakegate("audit", "list", "--since", "yesterday")
    assert refused.code == 2
    assert "'yesterday' is not a day such as 2026-03-01" in " ".join(refused.err.split())
