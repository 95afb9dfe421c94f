"""What `lakegate doctor` looks at and finds: checks that know nothing of each other, run side by side, each for a limited time.

One that fails hides no other. One that makes no sense without another says which; one that raises could not look.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pipelines.errors import LakegateError

__all__ = ["Check", "Diagnosis", "Finding", "Verdict", "examine"]


class Verdict(StrEnum):
    """What a check came to. `unknown`: it could not look. `skipped`: there is nothing to look at, or another check failed before."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found, what was expected instead, and what to do."""

    verdict: Verdict
    found: str
    expected: str = ""
    todo: str = ""
    blocked: bool = False
    """Skipped, because another check failed before it."""

    @classmethod
    def ok(cls, found: str) -> "Finding":
        """All is as it should be."""
        return cls(Verdict.OK, found)

    @classmethod
    def wrong(cls, found: str, expected: str, todo: str) -> "Finding":
        """It cannot work like this."""
        return cls(Verdict.WRONG, found, expected, todo)

    @classmethod
    def warning(cls, found: str, expected: str, todo: str) -> "Finding":
        """It works, and somebody should know."""
        return cls(Verdict.WARNING, found, expected, todo)

    @classmethod
    def unknown(cls, found: str, todo: str) -> "Finding":
        """It could not be looked at."""
        return cls(Verdict.UNKNOWN, found, "", todo)

    @classmethod
    def skipped(cls, found: str) -> "Finding":
        """There is nothing to look at."""
        return cls(Verdict.SKIPPED, found)


@dataclass(frozen=True, slots=True)
class Check:
    """One look at one thing. It is not taken while a check of `needs` is wrong or unknown."""

    name: str
    look: Callable[[], Finding]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a check found, and how long it took."""

    name: str
    finding: Finding
    seconds: float


def examine(checks: Sequence[Check], *, limit_s: float = 30.0) -> tuple[Diagnosis, ...]:
    """Run all checks, those that wait for none at once; the diagnoses in the order of the checks.

    A check that takes longer than `limit_s` is left behind in its thread and is unknown.
    """
    done: dict[str, Diagnosis] = {}
    names = {check.name for check in checks}
    left = list(checks)
    while left:
        ready = [check for check in left if not (set(check.needs) & names) - set(done)]
        if not ready:
            raise ValueError(f"these checks wait for each other: {', '.join(check.name for check in left)}")
        left = [check for check in left if check not in ready]
        done |= _together(ready, done, limit_s)
    return tuple(done[check.name] for check in checks)


def _together(ready: Sequence[Check], done: Mapping[str, Diagnosis], limit_s: float) -> dict[str, Diagnosis]:
    found: dict[str, Diagnosis] = {}
    settled: dict[str, Diagnosis] = {}
    running: list[tuple[Check, threading.Thread]] = []
    began = time.monotonic()
    for check in ready:
        cause = next((n for n in check.needs if n in done and _stops(done[n].finding)), None)
        if cause is not None:
            settled[check.name] = Diagnosis(
                check.name, Finding(Verdict.SKIPPED, f"not looked at, because of: {cause}", blocked=True), 0.0
            )
            continue
        thread = threading.Thread(target=_run, args=(check, found), name=f"doctor-{check.name}", daemon=True)
        thread.start()
        running.append((check, thread))
    for check, thread in running:
        thread.join(max(0.0, began + limit_s - time.monotonic()))
        late = Finding.unknown(f"no answer in {limit_s:.0f} s", "look whether this machine reaches AWS; try again")
        settled[check.name] = found.get(check.name) or Diagnosis(check.name, late, limit_s)
    return settled


def _stops(finding: Finding) -> bool:
    return finding.verdict in (Verdict.WRONG, Verdict.UNKNOWN) or finding.blocked


def _run(check: Check, found: dict[str, Diagnosis]) -> None:
    began = time.monotonic()
    try:
        finding = check.look()
    except LakegateError as error:
        finding = Finding.unknown(str(error), "see the message")
    except Exception as error:  # noqa: BLE001 - a door: whatever stops one check must not stop the others
        finding = Finding.unknown(
            f"the check itself failed: {type(error).__name__}: {error}", "report it with this message"
        )
    found[check.name] = Diagnosis(check.name, finding, time.monotonic() - began)
