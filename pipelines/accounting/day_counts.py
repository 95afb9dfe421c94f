"""A day in numbers, as the counters hold it, and among them what it has under each contract. Values and their counters' names.

The counters are kept in step with the entries by the transactions that change them (`changes.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from pipelines.accounting.entries import LedgerEntry
from pipelines.accounting.states import Outcome

__all__ = ["ContractCounts", "DayCounts", "contract_counters", "contract_counts"]


@dataclass(frozen=True, slots=True)
class ContractCounts:
    """What a day has of one contract: serving files and their rows, files that it rejected or found empty.

    `refused` are serving files, read under an older one, that this one rejected or found empty: their rows stay.
    """

    serving_files: int = 0
    rows: int = 0
    quarantined: int = 0
    empty: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class DayCounts:
    """One dataset and day in numbers, kept in step with the entries by the transactions that change them."""

    dataset: str | None
    landing_day: date
    objects: int
    outcomes: Mapping[Outcome, int]
    duplicates: int = 0
    bytes: int = 0
    serving_files: int = 0
    rows_read: int = 0
    rows_in_table: int = 0
    rows_rejected: int = 0
    quarantined_rows_read: int = 0
    deferred: int = 0
    """Of the pending ones: those that wait for other hours."""
    contracts: Mapping[str, ContractCounts] = field(default_factory=dict[str, ContractCounts])
    """By fingerprint."""


def contract_counters(entry: LedgerEntry) -> dict[str, int]:
    """What the entry counts for under the contracts it was judged by: `contract.<fingerprint>.<field of ContractCounts>`."""
    counts: dict[str, int] = {}
    facts, rejudged = entry.facts, entry.rejudged
    if facts and facts.contract and entry.serving:
        counts[f"contract.{facts.contract}.serving_files"] = 1
        counts[f"contract.{facts.contract}.rows"] = facts.rows_accepted
    elif facts and facts.contract and entry.outcome in (Outcome.QUARANTINED, Outcome.EMPTY):
        counts[f"contract.{facts.contract}.{entry.outcome.value}"] = 1
    if rejudged and rejudged.contract and entry.serving:
        counts[f"contract.{rejudged.contract}.refused"] = 1
    return counts


def contract_counts(numbers: Mapping[str, int]) -> dict[str, ContractCounts]:
    """What counters with such names say, by fingerprint."""
    found: dict[str, dict[str, int]] = {}
    for name, number in numbers.items():
        if number and name.startswith("contract."):
            _, contract, what = name.split(".")
            found.setdefault(contract, {})[what] = number
    return {contract: ContractCounts(**counts) for contract, counts in sorted(found.items())}
