"""Every hostile file through the reader's child process: how long, how much memory, by which rule; then a good file.

    python -m benchmarks.hostile [NAME …]

The issue's bounds: under 30 s and 1 GB of peak memory for each, and the next file is read. Memory is resident, of the child and of
this process, which makes the bytes and holds none of the rows. A new child for each file, so that its peak is the file's own.
"""

import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.hostile_files import FILES, GOOD, Hostile
from pipelines.reading.child import ChildReader
from pipelines.reading.summary import ReadRequest

_SECONDS, _BYTES = 30, 1 << 30


class _Nowhere:
    """A sink that keeps nothing."""

    def write(self, batch: Any) -> None:
        """Drop rows."""

    def reject(self, batch: Any) -> None:
        """Drop rejected rows."""

    def restart(self) -> None:
        """Nothing to forget."""


class _Peak:
    """The largest resident memory of a reader's children, looked at every 10 ms."""

    def __init__(self, reader: ChildReader) -> None:
        self._reader = reader
        self._over = threading.Event()
        self.bytes = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "_Peak":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.01):
            pid = self._reader.pid
            status = Path(f"/proc/{pid}/status")
            if pid is not None and status.exists():
                self.bytes = max(self.bytes, _field(status, "VmHWM"))


def _field(status: Path, name: str) -> int:
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(name)), 0)


def _run(name: str, hostile: Hostile) -> bool:
    chunks = list(hostile.chunks()) if name not in _STREAMED else None
    with ChildReader() as reader, _Peak(reader) as peak:
        started = time.perf_counter()
        summary = reader.read(
            ReadRequest(hostile.contract, None, {}), hostile.chunks if chunks is None else lambda: chunks, _Nowhere()
        )
        took_s = time.perf_counter() - started
        used = psutil.Process(reader.pid).cpu_times()
        of, content = GOOD
        after = reader.read(ReadRequest(of, None, {}), lambda: [content], _Nowhere())
    said = {str(violation.rule) for violation in summary.violations}
    is_right = (bool(said & hostile.rules) if hostile.rules else not said) and after.rows_read == 1
    is_within = took_s < _SECONDS and peak.bytes < _BYTES
    verdict = "ok" if is_right and is_within else "WRONG" if not is_right else "TOO MUCH"
    print(
        f"{name:42} {took_s:7.2f} s {used.user + used.system:7.2f} s of CPU {peak.bytes >> 20:6} MB {summary.rows_read:>10,} rows  "
        f"{', '.join(sorted(said)) or 'good':34} {verdict}",
        flush=True,
    )
    return is_right and is_within


_STREAMED = {name for name in FILES if "gigabyte" in name}
"""Too large to be made before the clock starts."""


def main() -> None:
    """Print a line a file; exit with 1 when one was not refused as it should be, or took too much."""
    wanted = sys.argv[1:] or list(FILES)
    good = [_run(name, FILES[name]) for name in wanted]
    own = psutil.Process().memory_info().rss
    print(f"{sum(good)} of {len(good)} as they should be; this process holds {own >> 20} MB at the end")
    raise SystemExit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
