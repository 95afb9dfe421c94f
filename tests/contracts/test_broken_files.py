"""Golden cases: each folder under `broken/` holds one dataset file and `expected.txt`, the faults it has, line by line.

To add a case, add a folder; when `expected.txt` is not there yet, the failure prints what to put into it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.contracts.loading import BrokenDataset, parse_dataset

CASES = sorted(p for p in (Path(__file__).parent / "broken").iterdir() if p.is_dir())


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_a_broken_file_gets_all_its_faults_at_once(folder: Path) -> None:
    (file,) = [p for p in folder.iterdir() if p.name != "expected.txt"]
    outcome = parse_dataset(file.read_bytes(), Path(file.name))
    assert isinstance(outcome, BrokenDataset), "the file is not broken at all"
    golden = folder / "expected.txt"
    expected = golden.read_text(encoding="utf-8") if golden.exists() else "(no expected.txt)"
    assert str(outcome) + "\n" == expected


def test_every_message_says_where_what_and_what_to_do() -> None:
    for folder in CASES:
        (file,) = [p for p in folder.iterdir() if p.name != "expected.txt"]
        outcome = parse_dataset(file.read_bytes(), Path(file.name))
        assert isinstance(outcome, BrokenDataset)
        for fault in outcome.faults:
            assert fault.line >= 1
            assert fault.column >= 1
            assert fault.found
            assert fault.expected
            assert fault.remedy
            assert "\n" not in str(fault)
            assert "pydantic" not in str(fault).lower()
