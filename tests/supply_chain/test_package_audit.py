"""The audit fails for what nobody explained, and never passes for what it could not look at."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from requirements.audit import CLEAN, FOUND, HERE, NOT_DONE, Explained, Finding, explained, judge, main
from tests.supply_chain.advisory_server import AdvisoryServer, advisory_server

TODAY = date(2026, 12, 1)
HASH = "--hash=sha256:" + "a" * 64
EXCEPTION = '[[exception]]\nid = "CVE-1-2"\npackage = "one"\nwhy = "never called"\nuntil = {until}\n'


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[AdvisoryServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with advisory_server() as server:
        yield server


def audit(folder: Path, url: str, lock: str = f"one==1.0 {HASH}\ntwo==2.0 {HASH}\n", exceptions: str = "") -> int:
    (folder / "a.lock").write_text(lock)
    (folder / "exceptions.toml").write_text(exceptions)
    return main([folder / "a.lock"], folder / "exceptions.toml", {"LAKEGATE_OSV_URL": url}, TODAY)


def test_nothing_known_is_clean_and_every_package_was_asked_for(
    server: AdvisoryServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit(tmp_path, server.url) == CLEAN
    assert sorted(server.asked) == [("jinja2", "2.4.1"), ("one", "1.0"), ("two", "2.0")]
    assert "1 lock files, 0 vulnerabilities" in capsys.readouterr().out


def test_a_vulnerability_fails_until_it_is_explained_by_any_of_its_names(
    server: AdvisoryServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.known["one", "1.0"] = ["PYSEC-9-9", "CVE-1-2"]
    assert audit(tmp_path, server.url) == FOUND
    assert "VULNERABLE: one 1.0: PYSEC-9-9, CVE-1-2 (fixed in 99.0)" in capsys.readouterr().out
    assert audit(tmp_path, server.url, exceptions=EXCEPTION.format(until="2026-12-01")) == CLEAN
    assert "explained until 2026-12-01: never called" in capsys.readouterr().out


def test_an_explanation_that_is_past_its_day_or_of_another_package_does_not_count(
    server: AdvisoryServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.known["one", "1.0"] = ["CVE-1-2"]
    assert audit(tmp_path, server.url, exceptions=EXCEPTION.format(until="2026-11-30")) == FOUND
    assert "its explanation ended on 2026-11-30" in capsys.readouterr().out
    other = Explained("CVE-1-2", "two", "never called", date(2027, 1, 1))
    bad, said = judge([Finding("one", "1.0", ("CVE-1-2",), ())], [other], TODAY)
    assert len(bad) == 1
    assert "no fixed release" in bad[0]
    assert said == ["the explanation of CVE-1-2 (two) is not needed any more: remove it"]


def test_a_service_that_answers_nothing_to_everything_is_no_audit(
    server: AdvisoryServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.knows_nothing = True
    server.known["one", "1.0"] = ["CVE-1-2"]
    assert audit(tmp_path, server.url) == NOT_DONE
    assert capsys.readouterr().out.startswith(
        "audit: not done, the advisory service cannot be reached (http://127.0.0.1"
    )


def test_a_service_that_is_not_there_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(tmp_path, "http://127.0.0.1:9/v1/query") == NOT_DONE
    (line,) = capsys.readouterr().out.splitlines()
    assert "Connection refused" in line


@pytest.mark.parametrize(
    "lock", [f"one==1.0 {HASH}\ntwo==2.0 {HASH}\n", "one==1.0\n", "# nothing\n"], ids=["500", "no hash", "empty"]
)
def test_what_could_not_be_judged_fails(
    server: AdvisoryServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], lock: str
) -> None:
    server.broken.add("two")
    assert audit(tmp_path, server.url, lock) == FOUND
    assert "audit: a.lock: " in capsys.readouterr().out


def test_each_exception_of_ours_has_a_reason_and_a_day() -> None:
    ours = explained(HERE / "audit-exceptions.toml")
    assert ours
    for one in ours:
        assert len(one.why) > 80
        assert isinstance(one.until, date)
    (pyarrow,) = [one for one in ours if one.id == "CVE-2026-92287"]
    named = [word.rstrip(";,.") for word in pyarrow.why.split() if word.startswith("tests/")]
    assert [(HERE.parent / path).exists() for path in named] == [True]


def test_an_exception_without_a_day_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text('[[exception]]\nid = "CVE-1-2"\npackage = "one"\nwhy = "because"\n')
    with pytest.raises(TypeError, match="until"):
        explained(tmp_path / "x.toml")
