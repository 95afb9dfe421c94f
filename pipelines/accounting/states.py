"""The closed sets of the books: states of an object version, the outcome people are shown, states of a batch.

Stored on an entry are the states that the entry itself decides. `claimed` and `committing` are facts of its batch: they
are written once, on the batch, and shown on each member when it is read. So a claim costs one write, not one a file.
"""

from enum import StrEnum

__all__ = ["DUE_STATES", "LIVE_BATCH_STATES", "BatchState", "FaultKind", "Lane", "Outcome", "State", "Trigger"]


class State(StrEnum):
    """Where an object version stands (DESIGN.md, section 4)."""

    SEEN = "seen"
    PLANNED = "planned"
    CLAIMED = "claimed"  # shown, never stored: the batch is claimed
    COMMITTING = "committing"  # shown, never stored: the batch is being published
    RETRY_WAIT = "retry_wait"
    ARCHIVED = "archived"
    COMMITTED = "committed"
    QUARANTINED = "quarantined"
    EMPTY = "empty"
    UNROUTED = "unrouted"
    DEAD = "dead"
    GONE = "gone"  # the version was deleted before it could be read


class Outcome(StrEnum):
    """What people are told; each object version is in exactly one."""

    PENDING = "pending"
    LOADED = "loaded"
    SUPERSEDED = "superseded"
    REMOVED = "removed"
    QUARANTINED = "quarantined"
    EMPTY = "empty"
    UNROUTED = "unrouted"
    FAILED = "failed"


class BatchState(StrEnum):
    """Where a batch stands. `done` and `released` are final; a released batch keeps its slot until it is cleared."""

    PLANNED = "planned"
    CLAIMED = "claimed"
    COMMITTING = "committing"
    DONE = "done"
    RELEASED = "released"


class FaultKind(StrEnum):
    """What sort of fault of ours put a version back: how often and how long after it is tried again hangs on it."""

    THROTTLED = "throttled"  # a service asks for patience
    PASSING = "passing"  # a service, the network or the disk had a bad moment
    LASTING = "lasting"  # it needs a person: a permission, a key, a table of another shape
    DEATH = "death"  # the worker died with it in hand, and nobody could say why


class Trigger(StrEnum):
    """Why a version is due, or a batch was planned. `removal`: its object went, or came back into sight."""

    EVENT = "event"
    BACKFILL = "backfill"
    REPLAY = "replay"
    SWEEP = "sweep"
    REMOVAL = "removal"


class Lane(StrEnum):
    """In which lane a file travels to its run; in the order in which they go. Each has places of its own."""

    FRESH = "fresh"  # it landed, or was removed, a short while ago
    ASKED = "asked"  # a person asked for it again
    BACKLOG = "backlog"  # everything else


DUE_STATES = frozenset({State.SEEN, State.RETRY_WAIT})
"""States in which a version waits to be planned."""
LIVE_BATCH_STATES = (BatchState.PLANNED, BatchState.CLAIMED, BatchState.COMMITTING)
"""States in which a batch holds its members."""
