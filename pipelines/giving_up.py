"""What a worker does with a batch that a fault of ours stopped: it gives the files back, with the reason, and tells the breaker.

So the next attempt does not wait for somebody to find the batch abandoned, and the books say what went wrong. Where the
ledger itself cannot be reached, the planner finds the batch by its failed run or its lease.
"""

from collections.abc import Sequence
from contextlib import suppress

from pipelines.accounting.entries import Claim
from pipelines.accounting.ledger import Ledger
from pipelines.accounting.states import FaultKind
from pipelines.errors import LakegateError, NewerFormatError, ThrottledError, TransientError
from pipelines.reports import VERDICTS, FileEnding, FileReport

__all__ = ["give_up", "kind_of", "tell_breaker"]


def kind_of(error: LakegateError) -> FaultKind:
    """Which sort of fault an error is, for the ledger's patience."""
    if isinstance(error, ThrottledError):
        return FaultKind.THROTTLED
    # What a newer release wrote is for its workers: no file is to blame that an older one met it.
    return FaultKind.PASSING if isinstance(error, TransientError | NewerFormatError) else FaultKind.LASTING


def tell_breaker(ledger: Ledger, claim: Claim, reports: Sequence[FileReport]) -> bool:
    """Tell that no file came to a verdict for faults of ours; whether the dataset is paused, so that they cost no file anything."""
    stopped = [report for report in reports if report.outcome is FileEnding.RETRY]
    if not stopped or any(report.outcome in VERDICTS for report in reports):
        return False
    first = stopped[0]
    code, error = first.error_code or "Unexpected", f"{first.key}: {first.error}"
    return ledger.pauses.fault(claim.batch.dataset, code, error, claim.batch_id).is_paused


def give_up(ledger: Ledger, claim: Claim, error: LakegateError) -> None:
    """Count the fault, and give the claim's files back. The caller raises the error; one of the ledger's own here adds nothing."""
    with suppress(LakegateError):
        breaker = ledger.pauses.fault(claim.batch.dataset, error.code, str(error), claim.batch_id)
        spared = breaker.is_paused or isinstance(error, NewerFormatError)
        ledger.give_up(claim, str(error), kind_of(error), spared=spared)
