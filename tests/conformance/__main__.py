"""`make conformance`: every suite at hand, as a table; it fails when a case ended as none may.

With LAKEGATE_REQUIRE_SHARED=1 a suite of the shared data that is not at hand is a failure too.
"""

from __future__ import annotations

import os
import sys

from tests.conformance.all_suites import SUITES
from tests.conformance.cases import Outcome, Tally, table
from tests.conformance.running import run


def main() -> int:
    """Run, print, and say by the exit code whether all is well."""
    wanted = sys.argv[1:]
    chosen = [s for s in SUITES if not wanted or any(w in s.name for w in wanted)]
    tallies: list[Tally] = []
    for tally in run(chosen):
        print(f"{tally.suite} …", file=sys.stderr, flush=True)
        tallies.append(tally)
    print(table(tallies))
    for tally in tallies:
        for reason in dict.fromkeys(end.why for end in tally.endings if end.outcome is Outcome.DECIDED):
            cases = [end.case for end in tally.endings if end.outcome is Outcome.DECIDED and end.why == reason]
            print(f"by decision, {tally.suite}: {reason}: {', '.join(cases[:4])}{', …' if len(cases) > 4 else ''}")
    wrong = [(tally.suite, end) for tally in tallies for end in tally.wrong]
    for suite, end in wrong:
        print(f"{end.outcome}  {suite}  {end.case}: {end.why}")
    required = os.environ.get("LAKEGATE_REQUIRE_SHARED") == "1"
    skipped = [t.suite for t, s in zip(tallies, chosen, strict=True) if t.missing and s.is_shared] if required else []
    if skipped:
        print(f"not run: {', '.join(skipped)}")
    return 1 if wrong or skipped else 0


if __name__ == "__main__":
    sys.exit(main())
