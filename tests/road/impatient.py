"""Lakegate's own definitions, with less patience for workers that died: seconds where production waits a minute and more.

Everything else is what `workspace.yaml` loads. Runs load this file too, so lease and heartbeat agree.
"""

import os

from lakegate.definitions import defs
from pipelines.accounting.entries import RetryPolicy
from pipelines.intake import planning

__all__ = ["defs"]

os.environ["LAKEGATE_LEASE_S"] = "9"
os.environ["LAKEGATE_PAUSE_AFTER"] = "10000"
RetryPolicy.__init__.__defaults__ = (5, 1, 10, 24, 1)
planning.SILENT_LEASES = 1 / 3
