"""The limit of each dataset's pool, set in the instance itself.

A pool that Dagster meets for the first time has no limit yet: it lets in whatever waits just then, whatever `default_limit` says,
and has one only from the next look at the queue on. So each is set before its first run is requested. Dagster's public interface
has no call for this; `dagster instance concurrency set` uses the same one.
"""

from collections.abc import Iterable

import dagster as dg

__all__ = ["RUNS_PER_DATASET", "set_pool_limits"]

RUNS_PER_DATASET = 3
"""Runs that may work on one dataset at a time: one with fresh files beside one with old ones and one of a backfill."""


def set_pool_limits(instance: dg.DagsterInstance, pools: Iterable[str], limit: int = RUNS_PER_DATASET) -> list[str]:
    """Set the limit of each pool that nobody has set one for; those that were set now. What a person has set stays."""
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return []
    said = {pool.name for pool in storage.get_pool_limits() if not pool.from_default}
    missing = sorted(set(pools) - said)
    for pool in missing:
        storage.set_concurrency_slots(pool, limit)
    return missing
