"""What stands in the ledger and waits for a person, as checks of each table: failed files, an older contract, late files.

| check               | fails when                                                              | severity |
|---------------------|-------------------------------------------------------------------------|----------|
| no_failed_files     | the attempts of a file are used up by faults of ours                    | ERROR    |
| contract_is_current | files in the table, or turned away, were judged by an older contract    | WARN     |
| fresh               | a file was due and has not come (`freshness.py`)                        | WARN, ERROR when two were |

A file may fail, and a contract change, without any run: the attention sensor answers all, and so does whoever executes them in
the UI. The runs that ingest leave them out: they would read every day's counters each time. Dagster resolves annotations: none
from the future.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

import dagster as dg

from assets.answers import Standing
from assets.freshness import FRESH, fresh_specs, fresh_standing
from assets.keys import counted, table_key
from pipelines.accounting.day_counts import DayCounts
from pipelines.accounting.ledger import Ledger
from pipelines.contracts.model import Dataset
from pipelines.gate import Gate
from pipelines.intake.impact import ContractImpact, impact_of
from pipelines.intake.replay import failure_reason
from pipelines.printable import printable

__all__ = ["build_standing_checks", "contract_standing", "failed_standing", "standing_keys"]

NO_FAILED_FILES = "no_failed_files"
CONTRACT_IS_CURRENT = "contract_is_current"
_SHOWN = 100


def standing_keys(dataset: Dataset) -> tuple[dg.AssetCheckKey, ...]:
    """The checks of a dataset's table that ask the ledger."""
    return tuple(spec.key for spec in _specs(dataset))


def build_standing_checks(dataset: Dataset) -> dg.AssetChecksDefinition:
    """Make these checks of a dataset's table."""

    @dg.multi_asset_check(
        name=f"look_at_{dataset.name}", specs=_specs(dataset), can_subset=True, required_resource_keys={"gate"}
    )
    def look(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        gate: Gate = context.resources.gate.open()
        names = {key.name for key in context.selected_asset_check_keys}
        if NO_FAILED_FILES in names:
            yield failed_standing(gate.ledger, dataset).result()
        if CONTRACT_IS_CURRENT in names:
            yield contract_standing(dataset, gate.ledger.counts(dataset.name)).result()
        if FRESH in names and (fresh := fresh_standing(gate, dataset)) is not None:
            yield fresh.result()

    return look


def _specs(dataset: Dataset) -> list[dg.AssetCheckSpec]:
    key = table_key(dataset)
    return [
        *fresh_specs(dataset),
        dg.AssetCheckSpec(
            NO_FAILED_FILES,
            asset=key,
            description="No file of the dataset has used up its attempts through faults of ours. Failed ones are listed with the error that ended them.",
        ),
        dg.AssetCheckSpec(
            CONTRACT_IS_CURRENT,
            asset=key,
            description="Every file in the table, and every one turned away, was judged by the contract as it is today.",
        ),
    ]


def failed_standing(ledger: Ledger, dataset: Dataset) -> Standing:
    """Whether any of the dataset's files failed: one query of the ledger's index, at most a hundred of them."""
    failed = list(islice(ledger.dead(dataset.name), _SHOWN + 1))
    shown = failed[:_SHOWN]
    number = f"{_SHOWN} files or more" if len(failed) > _SHOWN else counted(len(failed), "file")
    metadata: dict[str, dg.MetadataValue] = {"failed": dg.MetadataValue.int(len(failed))}
    if failed:
        reasons = Counter(failure_reason(entry.error) for entry in shown)
        metadata["reasons"] = dg.MetadataValue.table(
            [dg.TableRecord({"reason": why, "files": number}) for why, number in reasons.most_common()]
        )
        metadata["failed files"] = dg.MetadataValue.table(
            [
                dg.TableRecord(
                    {
                        "file": printable(entry.version.key),
                        "landing day": entry.landing_day.isoformat(),
                        "failed at (UTC)": f"{entry.changed_at:%Y-%m-%d %H:%M:%S}",
                        "error": printable(entry.error or "unknown"),
                    }
                )
                for entry in shown
            ]
        )
    told = repr([(e.ref, e.changed_at) for e in failed])
    return Standing(
        table_key(dataset),
        NO_FAILED_FILES,
        passed=not failed,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{number} failed: nothing of them is lost, and nothing tries them again by itself. Mend the cause, then run the job "
        f"`retry_failed_files` or `lakegate failed retry --dataset {dataset.name}`."
        if failed
        else "No file has failed.",
        metadata=metadata,
        mark=hashlib.sha256(told.encode()).hexdigest()[:16],
    )


def contract_standing(dataset: Dataset, counts: Sequence[DayCounts]) -> Standing:
    """Whether all was judged by today's contract, from the dataset's counters."""
    impact = impact_of(dataset, counts)
    metadata: dict[str, dg.MetadataValue] = {
        "contract": dg.MetadataValue.text(impact.contract),
        "files to process again": dg.MetadataValue.int(impact.total("to_process")),
    }
    if impact.days:
        metadata["days"] = dg.MetadataValue.table(_days(impact))
    told = "current" if impact.is_current else hashlib.sha256(repr(impact).encode()).hexdigest()[:16]
    job = " (or the job `process_again`)" if impact.total("to_process") else ""
    return Standing(
        table_key(dataset),
        CONTRACT_IS_CURRENT,
        passed=impact.is_current,
        severity=dg.AssetCheckSeverity.WARN,
        description=impact.sentence() + job,
        metadata=metadata,
        mark=f"{impact.contract}:{told}",
    )


def _days(impact: ContractImpact) -> list[dg.TableRecord]:
    return [
        dg.TableRecord(
            {
                "landing day": day.landing_day.isoformat(),
                "files in the table": day.files,
                "their rows": day.rows,
                "quarantined": day.quarantined,
                "empty": day.empty,
                "turned away today": day.refused,
            }
        )
        for day in impact.days[:_SHOWN]
    ]
