"""Runs one command to its end and says what it took, with all its descendants, even those that outlive their parents (a JVM does).

    python benchmarks/reaper.py REPORT LIMIT_S COMMAND…

Orphans come to this process (Linux' child subreaper), which waits for them all, so that the operating system's account has their time. It
starts one process, imports the standard library alone, and writes `{"exit_code", "cpu_s", "wall_s"}` to REPORT.
"""

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
TIMED_OUT = 124


def main() -> None:
    """Run, wait, report."""
    report, limit_s, *command = sys.argv[1:]
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) or prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl: cannot become the reaper of orphans")
    started = time.perf_counter()
    process = subprocess.Popen(command, start_new_session=True)
    # When whoever measures is killed, nothing of what is measured goes on.
    signal.signal(signal.SIGTERM, lambda *_: os.killpg(process.pid, signal.SIGKILL))
    try:
        code = process.wait(float(limit_s))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        code = TIMED_OUT
    wall_s = time.perf_counter() - started
    deadline = time.monotonic() + 30
    while _has_children():
        if time.monotonic() > deadline:
            os.killpg(process.pid, signal.SIGKILL)
        time.sleep(0.02)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = {"exit_code": code, "cpu_s": used.ru_utime + used.ru_stime, "wall_s": wall_s}
    Path(report).write_text(json.dumps(found))


def _has_children() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


if __name__ == "__main__":
    main()
