"""The objects with which `lakegate setup` tries the wiring: their keys, which belong to no dataset and to no account. Pure.

Only keys of exactly this form are meant. Everything else under `landing/` is somebody's file and is accounted for.
"""

import re

__all__ = ["is_wiring_test", "wiring_test_id", "wiring_test_key"]

_FORM = re.compile(r"landing/\.lakegate/wiring-([0-9a-f]{32})")


def wiring_test_key(test_id: str) -> str:
    """The key of a test object; `test_id` is 32 hexadecimal digits."""
    key = f"landing/.lakegate/wiring-{test_id}"
    if not _FORM.fullmatch(key):
        raise ValueError(f"{test_id!r} is not 32 hexadecimal digits")
    return key


def wiring_test_id(key: str) -> str | None:
    """The id of the test that a key belongs to; None for every other key."""
    found = _FORM.fullmatch(key)
    return found[1] if found else None


def is_wiring_test(key: str) -> bool:
    """Whether a key is that of a test object."""
    return wiring_test_id(key) is not None
