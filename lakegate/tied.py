"""A child process that ends with its parent, however that ends."""

import ctypes
import os
import signal
from collections.abc import Callable

__all__ = ["tie_to_parent"]

_PR_SET_PDEATHSIG = 1


def tie_to_parent(parent_pid: int) -> Callable[[], None] | None:
    """Return what a child runs between fork and exec to be ended with its parent; None where Linux's prctl is absent."""
    prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)
    if prctl is None:
        return None

    def tie() -> None:
        # Whatever the parent ignores or holds back is inherited: then the end of the parent would not end the child.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent_pid:  # the parent died before the call above could tie us to it
            os._exit(1)

    return tie
