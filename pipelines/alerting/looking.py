"""What the ledger, the dead-letter queue and the dataset files show to be wrong now.

Nothing here scans: of a dataset's quarantine and of its failed files those are listed, newest first and a thousand at most, that
came since the oldest condition still known began. Breakers are read in one call.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from pipelines.accounting.breaker import Breaker
from pipelines.accounting.entries import LedgerEntry
from pipelines.alerting.conditions import (
    MOST_ITEMS,
    Condition,
    Item,
    Kind,
    Look,
    Severity,
    counted,
    short,
    without_account,
)
from pipelines.alerting.memory import Memory
from pipelines.errors import LakegateError
from pipelines.gate import Gate
from pipelines.intake.replay import failure_reason
from pipelines.publication.quarantine import quarantine_id
from pipelines.reading.violations import Rule

__all__ = ["FIRST_LOOK_BACK", "LAG", "blind", "look_at_gate"]

FIRST_LOOK_BACK = timedelta(hours=4)
"""How far back the very first look goes; what came before is history."""
LAG = timedelta(minutes=10)
"""How much of what was looked at is looked at again: the index lags behind, and clocks differ."""
_MOST_LISTED = 1000
_LONGEST_REASON = 120
_EVER = datetime(2000, 1, 1, tzinfo=UTC)


def look_at_gate(gate: Gate, memory: Memory, now: datetime) -> Look:
    """Everything that can be seen without Dagster.

    Raises TransientError, PermanentError: the ledger or the queue does not answer (see `blind`).
    """
    names = sorted({*gate.ledger.datasets(), *(dataset.name for dataset in gate.datasets.datasets)})
    looks = [Look(tuple(_paused(gate, gate.ledger.pauses.breakers(names).values())))]
    for name in names:
        looks.append(_quarantined(gate, name, memory, now))
        looks.append(_failed(gate, name, memory))
    looks.append(Look((*_broken(gate, now), *_dead_letters(gate, now))))
    return Look(
        tuple(condition for look in looks for condition in look.conditions),
        frozenset(unsure for look in looks for unsure in look.unsure),
    )


def blind(gate: Gate, error: LakegateError, now: datetime) -> Look:
    """What is told when nobody can look: that, and that nothing is known to be over."""
    condition = Condition(
        kind=Kind.BLIND,
        dataset=None,
        reason=error.code,
        severity=Severity.CRITICAL,
        headline=f"cannot see what is wrong: {error.code}",
        happened=f"The alert sensor cannot read the ledger or the queue: {short(without_account(str(error)), 400)}. "
        "Other alerts wait until it can; intake and runs probably stand still for the same reason.",
        todo="Mend the cause (`lakegate status` shows whether it is mended). Nothing is lost: messages and the ledger wait.",
        since=now,
        links=_links(gate, {}, ("operating.md", "when-aws-misbehaves")),
    )
    return Look((condition,), frozenset((kind, None) for kind in Kind if kind is not Kind.BLIND))


# ---- files


@dataclass(frozen=True, slots=True)
class _Words:
    """What is said of files that wait for the same reason."""

    what: str
    severity: Severity
    happened: str
    todo: str
    links: Mapping[str, str]


def _quarantined(gate: Gate, name: str, memory: Memory, now: datetime) -> Look:
    def words(rule: str) -> _Words:
        known = Rule(rule) if rule in _RULES else None
        return _Words(
            what=f"in quarantine: {rule}",
            severity=Severity.WARNING,
            happened=f"The contract was broken{f': {known.meaning}' if known else ''}. Nothing of these files is in the table, their keys keep "
            "the rows they had, and other files are not held up.",
            todo=(f"{known.remedy[0].upper()}{known.remedy[1:]}. " if known else "")
            + "A corrected file goes to the same key. Every fault: "
            f"`lakegate quarantine list --dataset {name} --reason {rule}`, then `lakegate quarantine show ID`. After a change of the "
            f"contract: `lakegate quarantine replay --dataset {name} --reason {rule}`.",
            links=_links(
                gate,
                {"quarantine": gate.links.asset(["quarantine", f"{name}_quarantine"], view="events")},
                ("what-is-quarantined.md", ""),
                ("operating.md", "replay"),
            ),
        )

    last = memory.looked_at - LAG if memory.looked_at else now - FIRST_LOOK_BACK
    found = gate.ledger.newly_quarantined(name, memory.since(Kind.QUARANTINE, name, last))
    return _grouped(gate, Kind.QUARANTINE, name, found, _first_rule, words)


def _failed(gate: Gate, name: str, memory: Memory) -> Look:
    def words(reason: str) -> _Words:
        return _Words(
            what=f"failed: {reason}",
            severity=Severity.ERROR,
            happened="Their attempts were used up by a fault of ours or of AWS, not of the files. Nothing of them is lost, their keys keep the "
            "rows they had, and nothing tries them again by itself.",
            todo=f"Mend the cause (`lakegate failed list --dataset {name}` shows each error), then `lakegate failed retry --dataset {name}`, "
            "or the job `retry_failed_files`.",
            links=_links(gate, {"checks": gate.links.asset([name], view="checks")}, ("operating.md", "failed-files")),
        )

    last = memory.looked_at - LAG if memory.looked_at else _EVER
    found = gate.ledger.newly_dead(name, memory.since(Kind.FAILED_FILES, name, last))
    return _grouped(gate, Kind.FAILED_FILES, name, found, lambda e: _reason(e.error), words)


def _grouped(
    gate: Gate,
    kind: Kind,
    name: str,
    found: Iterator[LedgerEntry],
    reason_of: Callable[[LedgerEntry], str],
    words_of: Callable[[str], _Words],
) -> Look:
    """One condition a reason. Beyond the thousandth file others may stand unseen: then nothing of it is said to be over."""
    listed = list(islice(found, _MOST_LISTED + 1))
    is_capped = len(listed) > _MOST_LISTED
    groups: dict[str, list[LedgerEntry]] = {}
    for entry in listed[:_MOST_LISTED]:
        groups.setdefault(reason_of(entry), []).append(entry)
    conditions: list[Condition] = []
    for reason, files in sorted(groups.items()):
        words = words_of(reason)
        conditions.append(
            Condition(
                kind=kind,
                dataset=name,
                reason=reason,
                severity=words.severity,
                headline=f"{counted(len(files), 'file', is_capped=is_capped)} {words.what}",
                happened=words.happened,
                todo=words.todo,
                since=files[-1].changed_at,
                count=len(files),
                is_capped=is_capped,
                newest=files[0].changed_at,
                owner=_owner(gate, name),
                items=tuple(_item(file, with_place=kind is Kind.QUARANTINE) for file in files[:MOST_ITEMS]),
                links=words.links,
            )
        )
    return Look(tuple(conditions), frozenset({(kind, name)}) if is_capped else frozenset())


def _first_rule(entry: LedgerEntry) -> str:
    return entry.facts.rules[0] if entry.facts and entry.facts.rules else "unknown"


def _item(entry: LedgerEntry, *, with_place: bool) -> Item:
    facts = entry.facts
    if not with_place or facts is None:
        return Item(short(entry.version.key))
    column = short(facts.column) if facts.column else None
    return Item(short(entry.version.key), facts.line, column, id=quarantine_id(entry.version))


# ---- datasets and the deployment


def _paused(gate: Gate, breakers: Iterable[Breaker]) -> Iterator[Condition]:
    for breaker in breakers:
        if not breaker.is_paused or breaker.paused_at is None:
            continue
        name, reason = breaker.dataset, short(without_account(breaker.reason), 400)
        by_hand = breaker.until is None
        happened = (
            f"{short(breaker.by)} paused it: {reason}."
            if by_hand
            else f"{counted(breaker.times, 'batch')} in a row were stopped the same way, {breaker.code}: {reason}. "
            f"One file is tried again by itself about {breaker.until:%Y-%m-%d %H:%M} UTC."
        )
        yield Condition(
            kind=Kind.PAUSED,
            dataset=name,
            reason="by_hand" if by_hand else "breaker",
            severity=Severity.WARNING if by_hand else Severity.ERROR,
            headline=f"paused by {short(breaker.by, 40)}" if by_hand else f"paused: {breaker.code}",
            happened=f"{happened} Until it goes on, nothing of it is planned; nothing of it is lost.",
            todo=f"`lakegate resume {name}` lets it go on."
            if by_hand
            else f"Mend the cause. It goes on by itself then; `lakegate resume {name}` lets it go on now.",
            since=breaker.paused_at,
            owner=_owner(gate, name),
            links=_links(
                gate, {"table": gate.links.asset([name], view="events")}, ("operating.md", "when-aws-misbehaves")
            ),
        )


def _broken(gate: Gate, now: datetime) -> Iterator[Condition]:
    for broken in gate.datasets.broken:
        name = broken.name or broken.path.stem
        yield Condition(
            kind=Kind.BROKEN_DATASET,
            dataset=short(name, 100),
            reason="dataset_file",
            severity=Severity.ERROR,
            headline=f"its dataset file is wrong: {counted(len(broken.faults), 'fault')}",
            happened="The dataset is not loaded. Files that land for it are counted as unrouted and wait; other datasets go on.",
            todo="Correct the file: `lakegate datasets check` lists every fault with its line. What waits is taken up by itself then.",
            since=now,
            count=len(broken.faults),
            items=tuple(Item(short(str(fault))) for fault in broken.faults[:MOST_ITEMS]),
            links=_links(gate, {}, ("adding-a-dataset.md", "")),
        )


def _dead_letters(gate: Gate, now: datetime) -> Iterator[Condition]:
    waiting = gate.dead_letters.depth() if gate.dead_letters is not None else 0
    if waiting:
        yield Condition(
            kind=Kind.DEAD_LETTERS,
            dataset=None,
            reason="dead_letters",
            severity=Severity.ERROR,
            headline=f"about {counted(waiting, 'dead letter')}",
            happened="Messages of the landing bucket's queue could not be taken in five tries. What they tell of may not be in the ledger; SQS "
            "keeps each for 14 days.",
            todo="`lakegate dlq list` says why each is there and what to do; `lakegate dlq redrive` sends them back, `discard` deletes those of strangers.",
            since=now,
            count=waiting,
            links=_links(
                gate,
                {"dead letters": gate.links.asset(["operations", "dead_letters"])},
                ("operating.md", "dead-letters"),
            ),
        )


# ---- helpers

_RULES = frozenset(rule.value for rule in Rule)


def _reason(error: str | None) -> str:
    return short(without_account(failure_reason(error)), _LONGEST_REASON)


def _owner(gate: Gate, name: str) -> str | None:
    return next((dataset.owner for dataset in gate.datasets.datasets if dataset.name == name), None)


def _links(gate: Gate, pages: dict[str, str | None], *documents: tuple[str, str]) -> dict[str, str]:
    known = {label: address for label, address in pages.items() if address}
    return known | {_label(name, anchor): gate.links.page(name, anchor) for name, anchor in documents}


def _label(page: str, anchor: str) -> str:
    return f"docs on {(anchor or page.removesuffix('.md')).replace('-', ' ')}"
