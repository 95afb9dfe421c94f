"""Lakegate's own definitions, with less patience for workers that died: seconds where production waits a minute and more.

Everything else is what `workspace.yaml` loads. Runs load this file too, so lease and heartbeat agree.
"""

from lakegate.definitions import defs
from pipelines.accounting.entries import RetryPolicy
from pipelines.accounting.heartbeat import Heartbeat
from pipelines.accounting.ledger import Ledger
from pipelines.intake import planning

__all__ = ["defs"]

LEASE_S = 9.0
Ledger.claim.__defaults__ = (LEASE_S,)
Ledger.renew.__defaults__ = (LEASE_S,)
Heartbeat.__init__.__defaults__ = (LEASE_S,)
RetryPolicy.__init__.__defaults__ = (5, 1, 10)
planning.SILENCE_S = 3
