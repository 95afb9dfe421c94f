"""Publishing a batch: what may go into the table, what has to leave it, and the commit, tried until its outcome is known.

For each key one version serves: the highest accepted one. The plan is made against one state of the table and everything
the ledger knew after that state; the commit fails if the table has moved on, and the plan is made again. So it does not
matter in which order versions arrive, who works on them at the same time, or how late a worker wakes up:

    look for the batch      in the table already: done, by this worker or by one before it
    current                 the state the plan is made against
    known                   asked after `current`: whatever is in that state was in the ledger before it
    find_sources            which of those versions have rows in that state
    commit                  all or nothing, only on that state

A crash before the commit leaves files that nobody sees; a crash after it is recognised by the first step.

A table beside another (rejected rows beside the good ones) is published by the same steps; which version serves is then the
other table's to say (`authority`).
"""

import json
import random
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

from pipelines.accounting.entries import order_of
from pipelines.contracts.model import Dataset
from pipelines.errors import CommitConflictError, TransientError
from pipelines.intake.objects import ObjectVersion
from pipelines.ports import Committed, Conflict, SourceVersion, TableCommit, Tables, TableSnapshot
from pipelines.publication.rewriting import rewrite_without
from pipelines.publication.staged import StagedFile
from pipelines.telemetry.metrics import COMMIT_CONFLICTS, COMMIT_RETRIES, NO_METER, Meter

__all__ = ["AcceptedFile", "KnownVersion", "Plan", "Published", "make_plan", "publish", "source_of"]

MAX_TRIES = 12
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0


@dataclass(frozen=True, slots=True)
class AcceptedFile:
    """A file of the batch whose verdict is good; its rows, if it has any, are in the staged files."""

    version: ObjectVersion


@dataclass(frozen=True, slots=True)
class KnownVersion:
    """A version of one of the batch's keys that the ledger knows and that counts beside the batch's own.

    The ledger names every other version that is committed or was ever part of a claimed batch; and a version of the batch
    itself if it was ever part of another claimed batch (it is processed again, or
    was planned anew after a release): its rows may be in the table under that batch's id. `accepted`: it counts as the
    key's content even if it has no rows. `committing` names the batch it is being committed with, if the ledger does not
    know yet how that ended: the table is asked. `retracted`: its object was removed and the dataset retracts: its rows go (from a
    table beside another only once they are gone from that one).
    `own`: it is a member of this batch, which nobody else works on.
    """

    version: ObjectVersion
    accepted: bool = False
    committing: str | None = None
    retracted: bool = False
    own: bool = False


@dataclass(frozen=True, slots=True)
class Published:
    """What publishing came to.

    `commit` is None when nothing was left to change. `found`: the batch was in the table already, and which of its files
    were superseded is the ledger's to say. `superseded` are accepted files whose rows were left out, because a higher
    version serves; `retracted` those whose object was removed meanwhile; `replaced` are versions whose rows left the table, with their number (a version that is processed
    again is among them), and `base` the state they left. `files` are the data files published, superseded rows taken out.
    """

    commit: Committed | None
    superseded: tuple[ObjectVersion, ...] = ()
    retracted: tuple[ObjectVersion, ...] = ()
    replaced: Mapping[SourceVersion, int] = field(default_factory=dict[SourceVersion, int])
    files: tuple[StagedFile, ...] = ()
    base: TableSnapshot | None = None
    found: bool = False
    tries: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """What a commit has to do: publish `serves`, leave `superseded` and `retracted` out, take `removes` away."""

    serves: tuple[ObjectVersion, ...]
    superseded: tuple[ObjectVersion, ...]
    removes: tuple[SourceVersion, ...]
    retracted: tuple[ObjectVersion, ...] = ()

    @property
    def empty(self) -> bool:
        """Nothing to change."""
        return not self.serves and not self.removes


def source_of(version: ObjectVersion) -> SourceVersion:
    """The version as tables name it."""
    return SourceVersion(version.key, version.version_id)


def make_plan(
    accepted: Sequence[AcceptedFile],
    known: Sequence[KnownVersion],
    present: Mapping[SourceVersion, int],
    loaded: Mapping[SourceVersion, int] | None = None,
) -> Plan:
    """Decide, key by key, from the batch's accepted files, what the ledger knows, and whose rows are in the table.

    A version the ledger names serves only if it is accepted or has rows: one still unread may turn out to be wrong. For a table
    beside another, `loaded` are the versions with rows in that other one, and only they count by their rows.
    """
    retracted = {source_of(k.version) for k in known if k.retracted}
    evidence = present if loaded is None else loaded
    counting = [k.version for k in known if k.accepted or source_of(k.version) in evidence]
    best = _highest((*counting, *(file.version for file in accepted)), retracted)
    mine = list(dict.fromkeys(file.version for file in accepted))
    serves = tuple(v for v in mine if v.key in best and source_of(best[v.key]) == source_of(v))
    served = {source_of(v) for v in serves}
    staying = {source_of(v) for v in best.values()} - served
    # A version of ours that has rows already was published by an earlier batch: those rows go, ours come. Beside another table,
    # a version above what serves there is another batch's that is under way, and what serves there now has to keep its
    # rows as long as our own commit there can still fail.
    own = {source_of(file.version) for file in accepted} | {source_of(k.version) for k in known if k.own}
    above = best if loaded is None else _highest(counting, retracted)
    below = {
        source_of(k.version) for k in known if (top := above.get(k.version.key)) and order_of(k.version) < order_of(top)
    }
    # Beside another table, what is retracted keeps its rows until it is out of that one: the commit there can still fail.
    staying |= retracted & (loaded or {}).keys()
    removes = tuple(s for s in present if s not in staying and (s in own or s in below or s in retracted))
    left_out = [v for v in mine if source_of(v) not in served]
    return Plan(
        serves,
        tuple(v for v in left_out if source_of(v) not in retracted),
        removes,
        tuple(v for v in left_out if source_of(v) in retracted),
    )


def _highest(versions: Iterable[ObjectVersion], retracted: Collection[SourceVersion]) -> dict[str, ObjectVersion]:
    """The highest version of each key, of those that were not retracted."""
    best: dict[str, ObjectVersion] = {}
    for version in versions:
        if source_of(version) in retracted:
            continue
        if version.key not in best or order_of(version) > order_of(best[version.key]):
            best[version.key] = version
    return best


def publish(
    tables: Tables,
    dataset: Dataset,
    batch_id: str,
    accepted: Sequence[AcceptedFile],
    staged: Sequence[StagedFile],
    known: Callable[[], Sequence[KnownVersion]],
    *,
    properties: Mapping[str, str] | None = None,
    before_commit: Callable[[], None] = lambda: None,
    authority: Dataset | None = None,
    fence: bool = False,
    max_tries: int = MAX_TRIES,
    pause: Callable[[float], None] = time.sleep,
    meter: Meter = NO_METER,
) -> Published:
    """Publish the batch's accepted files in one commit; doing it again finds it done.

    With `authority`, `dataset` is a table beside that one, which says what serves. It is committed to only when rows come or
    go, or when `fence` asks for it: a commit of an earlier attempt that is still under way can then no longer succeed.

    `known` reads the ledger, consistently, each time it is called. `before_commit` may raise to stop a worker that has
    lost its claim. Raises CommitConflictError when other writers came first `max_tries` times, TransientError when the
    catalog kept failing; in both cases nothing of the batch is in the table, or the next try finds it.
    """
    unknown: TransientError | None = None
    for tries in range(1, max_tries + 1):
        if tries > 1:
            meter.tell((COMMIT_RETRIES.of(1, dataset=(authority or dataset).name),))
            pause(random.uniform(0, min(_FIRST_PAUSE_S * 2**tries, _LONGEST_PAUSE_S)))  # noqa: S311  # jitter, no secret
        if (done := tables.find_batch(dataset, batch_id)) is not None:
            return Published(done, found=True, tries=tries)
        base = tables.current(dataset)
        others = list(known())
        sources = tuple(dict.fromkeys(source_of(k.version) for k in others))
        present = _rows(tables, base, dataset, sources)
        if authority is not None and not (staged or present or fence):
            return Published(None, tries=tries)
        others = [_ask_table(tables, authority or dataset, k) for k in others]
        loaded = None if authority is None else _rows(tables, tables.current(authority), authority, sources)
        plan = make_plan(accepted, others, present, loaded)
        superseded = tuple(source_of(v) for v in plan.superseded)
        adds = rewrite_without(staged, (*superseded, *map(source_of, plan.retracted)))
        if not fence and (plan.empty if authority is None else not (adds or plan.removes)):
            return Published(None, plan.superseded, plan.retracted, tries=tries)
        change = TableCommit(
            batch_id=batch_id,
            adds=adds,
            sources=tuple(source_of(v) for v in plan.serves),
            removes=plan.removes,
            base=base,
            properties={**(properties or {}), **_say_superseded(superseded)},
        )
        before_commit()
        try:
            outcome = tables.commit(dataset, change)
        except TransientError as error:
            # Whether it went through is looked up at the top; if not, the next plan is on a state that rules it out.
            unknown = error
            continue
        match outcome:
            case Committed():
                replaced = {source: present[source] for source in plan.removes}
                return Published(outcome, plan.superseded, plan.retracted, replaced, change.adds, base, tries=tries)
            case Conflict():
                meter.tell((COMMIT_CONFLICTS.of(1, dataset=(authority or dataset).name),))
                unknown = None
            case _ as never:
                assert_never(never)
    if (done := tables.find_batch(dataset, batch_id)) is not None:
        return Published(done, found=True, tries=max_tries)
    if unknown is not None:
        raise unknown
    raise CommitConflictError(
        f"Other writers committed to the table {dataset.table} {max_tries} times before the batch {batch_id} could; "
        "it is tried again later. If this lasts, let fewer runs write to one table at a time."
    )


def _rows(
    tables: Tables, base: TableSnapshot, dataset: Dataset, sources: Sequence[SourceVersion]
) -> dict[SourceVersion, int]:
    return {found.source: found.rows for found in tables.find_sources(base, dataset, sources)}


def _ask_table(tables: Tables, dataset: Dataset, known: KnownVersion) -> KnownVersion:
    """A version whose commit is under way counts once that commit is in the table: without rows, nothing else would tell.

    If it lands after the state we plan against, our own commit conflicts.
    """
    if known.accepted or known.committing is None:
        return known
    return replace(known, accepted=tables.find_batch(dataset, known.committing) is not None)


def _say_superseded(versions: Sequence[SourceVersion]) -> Mapping[str, str]:
    if not versions:
        return {}
    text = json.dumps([v.version_id for v in versions], separators=(",", ":"))
    return {"lakegate.superseded": text if len(text) <= 1000 else f"{len(versions)} versions"}
