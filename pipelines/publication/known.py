"""What the ledger knows beside a batch's own files, as publishing needs it: every version that may have rows, or may count."""

from collections.abc import Collection, Sequence

from pipelines.accounting.entries import Claim, LedgerEntry, VersionRef
from pipelines.accounting.ledger import Ledger
from pipelines.accounting.states import Outcome, State, Trigger
from pipelines.accounting.transitions import awaits_retraction
from pipelines.intake.objects import ObjectVersion
from pipelines.publication.publish import KnownVersion

__all__ = ["known_versions"]


def known_versions(
    ledger: Ledger,
    claim: Claim,
    entries: Sequence[LedgerEntry],
    published: Sequence[ObjectVersion] | None = None,
    *,
    removed: Collection[VersionRef] = (),
    retracts: bool = False,
) -> list[KnownVersion]:
    """Every other version of these members' keys, and those of the batch itself that may have rows from before.

    Another batch that is committing right now may hold an accepted version without a row: only the table knows then.
    After the commit, `published` are the batch's versions that it brought into the table: all members are named, and these
    are accepted. `removed` are the members whose rows the batch takes out; where the dataset `retracts`, the others whose object
    was removed since are left out too. Versions of other batches are retracted only where the ledger has decided that they will be.
    """
    mine = {entry.ref for entry in claim.members}
    known: dict[VersionRef, KnownVersion] = {}
    for beside in ledger.versions_beside([entry.ref for entry in entries]).values():
        for entry in beside:
            # A member that was settled may be in another batch by now: then it is that one's business.
            if entry.ref not in mine or entry.batch_id != claim.batch_id:
                committing = entry.batch_id if entry.state is State.COMMITTING else None
                gone = entry.outcome is Outcome.REMOVED or awaits_retraction(entry)
                accepted = entry.state is State.COMMITTED and not gone
                known[entry.ref] = KnownVersion(entry.version, accepted, committing, retracted=gone)
            elif entry.ref in removed or (retracts and entry.object_removed):
                accepted = entry.version in (published or ())
                known[entry.ref] = KnownVersion(entry.version, accepted, retracted=True, own=True)
            elif published is not None:
                known[entry.ref] = KnownVersion(entry.version, entry.version in published, own=True)
            elif claim.epoch > 1 or not _is_first_time(entry):
                # Settled already by this claim: an earlier attempt had published it.
                known[entry.ref] = KnownVersion(entry.version, entry.state is State.COMMITTED, own=True)
    return list(known.values())


def _is_first_time(entry: LedgerEntry) -> bool:
    return entry.attempts == 0 and entry.facts is None and entry.trigger is Trigger.EVENT
