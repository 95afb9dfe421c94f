"""Versions made due again because a person asks for it: failed ones, quarantined ones, those read under an older contract.

Nothing is processed here: what is due is planned and run as any other, by the landing sensor. Who asked, and why, stays in the
history of each version. Each selection reads one index of the ledger, page by page; none looks at every entry.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from pipelines.accounting.audit import Deed
from pipelines.accounting.entries import LedgerEntry, VersionRef
from pipelines.accounting.ledger import Ledger
from pipelines.accounting.states import Trigger
from pipelines.contracts.schema import fingerprint
from pipelines.errors import ConfigurationError, ObjectGoneError
from pipelines.gate import Gate
from pipelines.intake.backfill import is_judged_by, unknown_keys
from pipelines.printable import printable
from pipelines.publication.quarantine import load_report, quarantine_id

__all__ = [
    "Asked",
    "Replayed",
    "failed_for",
    "failure_reason",
    "find_quarantined",
    "make_due_in_parts",
    "process_keys",
    "quarantined_for",
    "replay_quarantined",
    "retry_failed",
    "rules_of",
]

_AT_ONCE = 500
_LONGEST_WORDS = 300
_SHORTEST_ID = 4
_CHANGING = re.compile(r"\w+://\S*[^\s:;,.]|'[^']*'|\"[^\"]*\"|\b[0-9a-fA-F]{8,}\b|\d+")


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks for versions to be processed again, and why: kept in the history of each, and in the audit log.

    `run` is the Dagster run that asks for them.
    """

    by: str
    why: str = ""
    run: str | None = None

    def to(self, what: str, dataset: str | None = None, **arguments: object) -> Deed:
        """What the audit log is told of it."""
        return Deed(self.by, what, dataset, arguments, self.why, self.run)

    def words(self, what: str) -> str:
        """One line, of at most 300 characters: `replayed by ann: the contract allows it now`."""
        said = f"{what} by {printable(self.by)}" + (f": {printable(self.why)}" if self.why else "")
        return said[:_LONGEST_WORDS]


@dataclass(frozen=True, slots=True)
class Replayed:
    """`due` wait for the landing sensor now; `held` are with a live run; `left` had been settled otherwise meanwhile.

    `current` were judged by today's contract already, and nobody asked for them all the same.
    """

    due: int = 0
    held: int = 0
    left: int = 0
    current: int = 0


# ---- failed


def failure_reason(error: str | None) -> str:
    """What failures have in common: the error without what differs from file to file (names, numbers, ids)."""
    return printable(_CHANGING.sub("…", error or "unknown"))


def failed_for(ledger: Ledger, dataset: str | None = None, text: str | None = None) -> Iterator[LedgerEntry]:
    """Versions whose attempts are used up, in whose error `text` stands (any case), oldest first in each dataset."""
    wanted = (text or "").casefold()
    return (entry for entry in ledger.dead(dataset) if wanted in (entry.error or "unknown").casefold())


def retry_failed(ledger: Ledger, asked: Asked, *, dataset: str | None = None, text: str | None = None) -> Replayed:
    """Make failed versions due again, with all their attempts."""
    refs = (entry.ref for entry in failed_for(ledger, dataset, text))
    return make_due_in_parts(ledger, refs, asked.words("retried"), asked.to("retry failed files", dataset, error=text))


# ---- quarantined


def rules_of(gate: Gate, entry: LedgerEntry) -> tuple[str, ...]:
    """The first rules that a quarantined version broke: from the ledger, or where it has none, from the report."""
    if entry.facts is None or entry.facts.rules or entry.facts.report_key is None:
        return entry.facts.rules if entry.facts else ()
    try:
        report = load_report(gate.store, gate.quarantine_bucket, entry.facts.report_key)
    except ObjectGoneError:
        return ()
    return tuple(dict.fromkeys(violation.rule for violation in report.violations))


def quarantined_for(gate: Gate, dataset: str | None = None, rule: str | None = None) -> Iterator[LedgerEntry]:
    """Versions in quarantine that nothing has superseded and that broke `rule` among the first, oldest first in each dataset."""
    return (e for e in gate.ledger.quarantined(dataset) if rule is None or rule in rules_of(gate, e))


def find_quarantined(gate: Gate, ids: Collection[str], dataset: str | None = None) -> list[LedgerEntry]:
    """The quarantined versions with these ids, or beginnings of ids that say which.

    Raises ConfigurationError when an id says none, or more than one.
    """
    short = [id_ for id_ in ids if len(id_) < _SHORTEST_ID]
    if short:
        raise ConfigurationError(
            f"{short[0]!r} is too short for the beginning of an id: give {_SHORTEST_ID} characters or more"
        )
    found: dict[str, list[LedgerEntry]] = {id_: [] for id_ in ids}
    for entry in gate.ledger.quarantined(dataset):
        name = quarantine_id(entry.version)
        for id_, entries in found.items():
            if name.startswith(id_):
                entries.append(entry)
    for id_, entries in found.items():
        if not entries:
            raise ConfigurationError(f"no file in quarantine has the id {id_!r}; see `lakegate quarantine list`")
        if len(entries) > 1:
            raise ConfigurationError(
                f"{len(entries)} files in quarantine have an id that begins with {id_!r}: say more of it"
            )
    return list({entry.ref: entry for entries in found.values() for entry in entries}.values())


def replay_quarantined(
    gate: Gate, asked: Asked, *, dataset: str | None = None, rule: str | None = None, ids: Sequence[str] = ()
) -> Replayed:
    """Make quarantined versions due again: those with these ids, else those of a dataset, of a rule.

    Raises ConfigurationError when an id says none or more than one (nothing was made due), or when nothing says which.
    """
    if ids:
        chosen: Iterable[LedgerEntry] = find_quarantined(gate, ids, dataset)
        chosen = [entry for entry in chosen if rule is None or rule in rules_of(gate, entry)]
    elif dataset is not None:
        chosen = quarantined_for(gate, dataset, rule)
    else:
        raise ConfigurationError("say which files: ids, or a dataset (see `lakegate quarantine list`)")
    deed = asked.to("replay quarantined files", dataset, rule=rule, ids=ids)
    return make_due_in_parts(gate.ledger, (entry.ref for entry in chosen), asked.words("replayed"), deed)


# ---- by name


def process_keys(
    gate: Gate, asked: Asked, keys: Sequence[str], *, dataset: str | None = None, force: bool = True
) -> Replayed:
    """Make the versions of these keys due again: those that serve and those never accepted.

    Without `force`, none that today's contract has judged already. Raises ConfigurationError when no key is given, or one that the
    ledger has no object of, that no dataset claims, or that is another dataset's than `dataset`: nothing was made due.
    """
    if not keys:
        raise ConfigurationError("say which files: their keys as they stand in the landing bucket")
    contracts = {of.name: fingerprint(of) for of in gate.datasets.datasets}
    found = {key: gate.ledger.entries(gate.landing_bucket, key) for key in dict.fromkeys(keys)}
    if unknown := [key for key, entries in found.items() if not entries]:
        raise ConfigurationError(unknown_keys(unknown, gate.landing_bucket))
    for key, entries in found.items():
        of = entries[-1].dataset
        if of not in contracts or (dataset is not None and of != dataset):
            claimed = f"belongs to the dataset {of}" if of is not None else "is claimed by no dataset"
            wanted = f", not to {dataset}" if dataset is not None and of is not None else ""
            raise ConfigurationError(f"{printable(key)} {claimed}{wanted}")
    versions = [entry for entries in found.values() for entry in entries if entry.dataset in contracts]
    chosen = [e for e in versions if force or not is_judged_by(e, contracts[e.dataset or ""])]
    deed = asked.to("process files again", dataset, keys=keys, force=force)
    done = make_due_in_parts(gate.ledger, (entry.ref for entry in chosen), asked.words("processed again"), deed)
    return replace(done, current=len(versions) - len(chosen))


# ---- both


def make_due_in_parts(ledger: Ledger, refs: Iterable[VersionRef], reason: str, deed: Deed) -> Replayed:
    """Make versions due again, some hundreds at a time: memory does not grow with their number. `deed` goes to the audit log."""
    due = held = left = 0
    waiting = iter(refs)
    with ledger.audit.doing(deed) as outcome:
        outcome.update(due=0, held=0, left=0)
        while some := list(islice(waiting, _AT_ONCE)):
            made = ledger.make_due(some, Trigger.REPLAY, reason)
            due, held, left = due + len(made.due), held + len(made.held), left + len(made.left)
            outcome.update(due=due, held=held, left=left)
    return Replayed(due, held, left)
