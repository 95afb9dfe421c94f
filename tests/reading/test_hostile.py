"""Input made to hurt: refused quickly, by a reason of its own, in bounded memory, and the next file is read.

The files are those of `benchmarks/hostile_files.py`; the slow ones among them run there alone. Time is the child's CPU: the machine
may be busy with other tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks.hostile_files import FILES, GOOD
from pipelines.reading.child import ChildReader
from pipelines.reading.summary import ReadRequest
from tests.reading.support import RowList, found

PEAK_LIMIT_KB = 400 * 1024
CPU_LIMIT_S = 30


@pytest.fixture(scope="module")
def reader() -> Iterator[ChildReader]:
    with ChildReader() as child:
        yield child


@pytest.mark.parametrize("name", [name for name, hostile in FILES.items() if hostile.is_quick])
def test_hostile_input_is_refused_for_its_own_reason(reader: ChildReader, name: str) -> None:
    hostile = FILES[name]
    before = 0.0 if reader.pid is None else sum(psutil.Process(reader.pid).cpu_times()[:2])
    summary = reader.read(ReadRequest(hostile.contract, None, {}), hostile.chunks, RowList())
    assert reader.pid is not None
    took_s = sum(psutil.Process(reader.pid).cpu_times()[:2]) - before
    said = {rule for rule, _, _ in found(summary)}
    assert (said & hostile.rules) or (not hostile.rules and not said), said
    assert not said & {"reader_crash", "reader_memory", "reader_time"}
    assert took_s < CPU_LIMIT_S
    contract, content = GOOD
    after = reader.read(ReadRequest(contract, None, {}), lambda: [content], RowList())
    assert after.rows_read == 1
    status = Path(f"/proc/{reader.pid}/status")
    if status.exists():
        (peak,) = [int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        assert peak < PEAK_LIMIT_KB, f"{peak:,} kB at its peak"
