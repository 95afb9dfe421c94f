"""The sign of life of a worker: renews the lease of its claim while it works, and says when the claim is lost."""

import threading
from types import TracebackType
from typing import Self

from pipelines.accounting.entries import Claim, Reading
from pipelines.accounting.ledger import Ledger
from pipelines.errors import ClaimLostError, LakegateError, TransientError

__all__ = ["Heartbeat"]


class Heartbeat:
    """Renews a claim every third of its lease, in a thread of its own, until it is left.

    A renewal that fails for a fault of the moment is tried again at the next beat: the lease outlives two of them.
    """

    def __init__(self, ledger: Ledger, claim: Claim, lease_s: float | None = None) -> None:
        """Nothing starts before the context is entered."""
        self._ledger = ledger
        self._claim = claim
        self._lease_s = lease_s or ledger.lease_s
        self.reading: Reading | None = None
        """How far the file under way is, where that is worth telling: each beat carries it into the ledger."""
        self._left = threading.Event()
        self._fault: LakegateError | None = None
        self._thread = threading.Thread(target=self._beat_on, name=f"heartbeat-{claim.batch_id}", daemon=True)

    def check(self) -> None:
        """Raise ClaimLostError when another worker has the batch: the caller writes nothing more."""
        if self._fault is not None:
            raise ClaimLostError(str(self._fault)) from self._fault

    def renew(self) -> None:
        """Renew now, and raise ClaimLostError when the claim is lost: the last look before something becomes visible."""
        self.check()
        self._ledger.renew(self._claim, self._lease_s, self.reading)

    def beat(self) -> bool:
        """Renew once; whether there is anything left to keep alive."""
        try:
            self._ledger.renew(self._claim, self._lease_s, self.reading)
        except TransientError:
            return True
        except LakegateError as error:
            self._fault = error
            return False
        return True

    def _beat_on(self) -> None:
        while not self._left.wait(self._lease_s / 3) and self.beat():
            pass

    def __enter__(self) -> Self:
        """Start beating."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop beating."""
        self._left.set()
        self._thread.join()
