"""What can be wrong with `freshness`, `work` and `checks`. Part of `checks.py`."""

from collections.abc import Callable, Iterator

from pipelines.contracts.faults import Problem, Sound, show
from pipelines.contracts.model import Dataset
from pipelines.contracts.watching import WEEKDAYS, Freshness
from pipelines.contracts.work import Deferral

__all__ = ["check_watching"]


def check_watching(dataset: Dataset, sound: Sound) -> Iterator[Problem]:
    """The problems of when files are due, and of what a day is compared with."""
    if dataset.freshness is not None and sound("freshness"):
        yield from _freshness(dataset.freshness, sound)
    if sound("work", "fresh_within") and _is_wrong(lambda: dataset.work.fresh):
        yield Problem(
            ("work", "fresh_within"),
            show(dataset.work.fresh_within),
            "a duration of at most a day",
            "write for example PT1H",
        )
    if dataset.work.defer is not None and sound("work", "defer"):
        yield from _deferral(dataset.work.defer, sound)
    for name, said in (("volume", dataset.checks.volume), ("null_share", dataset.checks.null_share)):
        path = ("checks", name, "tolerance")
        if sound(*path) and _is_wrong(lambda said=said: said.share):
            yield Problem(path, show(said.tolerance), "a share above zero, as text", "write for example 50%")


def _freshness(freshness: Freshness, sound: Sound) -> Iterator[Problem]:
    path = ("freshness",)
    forms = [name for name in ("expected_every", "due_by") if getattr(freshness, name) is not None]
    if len(forms) != 1 and sound("freshness", "expected_every") and sound("freshness", "due_by"):
        found = "expected_every and due_by" if forms else "neither expected_every nor due_by"
        yield Problem(
            path, found, "one of the two", 'write {expected_every: P1D}, or {due_by: "08:00", weekdays: [mon, tue]}'
        )
        return
    if freshness.expected_every is not None and sound("freshness", "expected_every"):
        if _is_wrong(lambda: freshness.every):
            remedy = "write P1D (a day), P1W (a week) or PT6H (six hours)"
            yield Problem((*path, "expected_every"), show(freshness.expected_every), "an ISO 8601 duration", remedy)
        for name, default in (("weekdays", WEEKDAYS), ("zone", "UTC")):
            if getattr(freshness, name) != default and sound("freshness", name):
                yield Problem(
                    (*path, name),
                    f"{name} with expected_every",
                    f"{name} only with due_by",
                    "write due_by, or remove it",
                )
    if freshness.due_by is not None and sound("freshness", "due_by"):
        if _is_wrong(lambda: freshness.due_at):
            yield Problem(
                (*path, "due_by"), show(freshness.due_by), "a time of day, HH:MM, as text", 'write for example "08:00"'
            )
        if sound("freshness", "zone") and _is_wrong(lambda: freshness.time_zone):
            yield Problem(
                (*path, "zone"), show(freshness.zone), "a time zone of the IANA list", "write for example Europe/Berlin"
            )
        if sound("freshness", "weekdays") and len(set(freshness.weekdays)) < len(freshness.weekdays):
            yield Problem(
                (*path, "weekdays"), show(list(freshness.weekdays)), "each day once", "remove the repeated one"
            )


def _deferral(defer: Deferral, sound: Sound) -> Iterator[Problem]:
    path = ("work", "defer")
    if defer.larger_than_bytes is None and defer.older_than is None:
        yield Problem(
            path,
            "neither larger_than_bytes nor older_than",
            "one of the two, or both",
            'write {larger_than_bytes: 1000000000, hours: "20:00-06:00"}',
        )
    if sound(*path, "hours") and _is_wrong(lambda: defer.opens_and_closes):
        wanted = "two different times of day, HH:MM-HH:MM, as text"
        yield Problem((*path, "hours"), show(defer.hours), wanted, 'write for example "20:00-06:00"')
    if sound(*path, "older_than") and _is_wrong(lambda: defer.age):
        yield Problem(
            (*path, "older_than"), show(defer.older_than), "a duration of a day or more", "write for example P7D"
        )
    if sound(*path, "zone") and _is_wrong(lambda: defer.time_zone):
        wanted = "a time zone of the IANA list"
        yield Problem((*path, "zone"), show(defer.zone), wanted, "write for example Europe/Berlin")


def _is_wrong(read: Callable[[], object]) -> bool:
    try:
        read()
    except ValueError:
        return True
    return False
