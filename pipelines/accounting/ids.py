"""Ids that sort by the time they were made. Holds no clock and no randomness of its own: both are given."""

import secrets
import threading
from collections.abc import Callable

from pipelines.ports import Clock

__all__ = ["ID_TIME_CHARACTERS", "IdFactory"]

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_RANDOM_BITS = 80
ID_TIME_CHARACTERS = 10
"""The first characters of an id: the millisecond in which it was made."""


class IdFactory:
    """Makes ULIDs in lower case (26 characters: 48 bits of milliseconds, 80 random); each is greater than the last.

    Source: the ULID specification, with its rule for ids of the same millisecond (the random part counts up).
    """

    def __init__(self, clock: Clock, randbits: Callable[[int], int] = secrets.randbits) -> None:
        """`randbits(n)` gives n random bits; the simulator passes a seeded one."""
        self._clock = clock
        self._randbits = randbits
        self._last = 0
        self._lock = threading.Lock()

    def __call__(self) -> str:
        """The next id."""
        milliseconds = int(self._clock().timestamp() * 1000)
        with self._lock:
            fresh = (milliseconds << _RANDOM_BITS) | self._randbits(_RANDOM_BITS)
            if fresh >> _RANDOM_BITS <= self._last >> _RANDOM_BITS:
                fresh = self._last + 1
            self._last = fresh
        return "".join(_CROCKFORD[(fresh >> (5 * place)) & 31] for place in range(25, -1, -1))
