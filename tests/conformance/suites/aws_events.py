"""Event bodies that others published: each is understood, or named as what it is not."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.intake.events import Notification, parse_message
from tests.conformance.cases import Ending, Outcome
from tests.conformance.suite import Suite, conformance
from tests.intake.test_events import OURS, POWERTOOLS, bodies_in, bucket_named_in

FOLDER = conformance("aws_events")


def bodies() -> Iterator[Ending]:
    for path in sorted((FOLDER / "powertools").glob("*.json")):
        for number, body in enumerate(bodies_in(path)):
            try:
                ours = bucket_named_in(body)
            except ValueError:
                ours = OURS
            found = parse_message(body, ours)
            kind = found.events[0].kind.value if isinstance(found, Notification) else type(found).__name__
            wanted = POWERTOOLS.get(path.stem)
            right = Outcome.QUARANTINED if kind == "Unintelligible" else Outcome.EXACT
            yield Ending(f"{path.stem} {number}", right if kind == wanted else Outcome.SILENT, f"{kind} for {wanted}")


SUITES = (Suite("aws_events", beyond=bodies, folder=FOLDER),)
