"""Where the index lists what waits to be planned: the stretches of a partition. Pure.

A partition (`due#<dataset>#<shard>`) has stretches, one after the other in the order of its sort key:

    !<time>#…             what was announced within a day of its landing: by when it landed, or may be tried again
    +<time>#…             what people asked for again: by when they did
    <landing_day>#<time>  everything else: old events, what sweeps found, what was put back long after it landed
    ~<time>#…             what its dataset defers: by when it landed

What is deferred is read only while nothing has to wait, so it stands in nobody's way and a changed dataset file is heeded at once.
So the newest files are read from the end of the first stretch, whatever lies before them, and each stretch has its share of a look
(`waiting.py`). A stretch only says where to look; what a file is, is said by its entry. Releases up to 0.2.0 list everything by
day and read all stretches as one: nothing has to be migrated, and either can read what the other wrote.
"""

from datetime import timedelta

from pipelines.accounting.entries import LedgerEntry
from pipelines.accounting.keys import iso, short_version
from pipelines.accounting.states import State, Trigger

__all__ = ["AFTER", "ASKED", "DAYS", "DEFERRED", "EVENTS", "RECENT", "place_of"]

RECENT = timedelta(days=1)
"""How long after its landing an event is listed as one; nothing older can be fresh."""
EVENTS, ASKED, DAYS, DEFERRED = "!", "+", "0", "~"
AFTER = ":"
"""Sorts after every landing day."""


def place_of(entry: LedgerEntry) -> str:
    """The sort key under which the index lists an entry that is due."""
    tail = f"{entry.ref.object_id}#{short_version(entry.ref.version_id)}"
    due_at = entry.next_at or entry.changed_at
    if entry.deferred is not None:
        return f"{DEFERRED}{iso(entry.version.landed_at)}#{tail}"
    if entry.trigger is Trigger.REPLAY:
        return f"{ASKED}{iso(due_at)}#{tail}"
    if entry.trigger is Trigger.REMOVAL:
        return f"{EVENTS}{iso(due_at)}#{tail}"
    if entry.trigger is Trigger.EVENT and entry.changed_at - entry.version.landed_at <= RECENT:
        # Clocks differ a little: what landed "in a moment" would be looked for in vain until then.
        landed_at = min(entry.version.landed_at, entry.changed_at)
        return f"{EVENTS}{iso(due_at if entry.state is State.RETRY_WAIT else landed_at)}#{tail}"
    return f"{entry.landing_day.isoformat()}#{iso(due_at)}#{tail}"
