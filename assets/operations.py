"""The assets of the one who keeps it running: the sweep, the balance sheet with the check that it adds up, orphans.

What they find is decided in the core; here it is told: numbers that plot over time, tables, sentences. Names and keys come from
strangers and are escaped for Markdown. Dagster resolves annotations at decoration: none from the future.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import dagster as dg

from assets.keys import OPERATIONS, counted
from assets.run_tags import SWEEP_RUN
from pipelines.accounting.proof import Proof, prove
from pipelines.accounting.states import Outcome
from pipelines.gate import Gate
from pipelines.intake.sweep import sweep
from pipelines.intake.sweep_report import SweepReport
from pipelines.printable import markdown
from pipelines.publication.orphans import OrphanReport, find_orphans

__all__ = ["BALANCE_SHEET", "LANDING_SWEEP", "ORPHANS", "Operations", "OrphanConfig", "build_operations"]

ORPHANS = dg.AssetKey(["operations", "orphans"])
LANDING_SWEEP = dg.AssetKey(["operations", "landing_sweep"])
BALANCE_SHEET = dg.AssetKey(["operations", "balance_sheet"])
ADDS_UP = "balance_sheet_adds_up"
_PAGE = "docs/operating.md, “The sweep and the balance sheet”"
_MOST_SHOWN = 100
_UNCLAIMED = "(no dataset)"


@dataclass(frozen=True, slots=True)
class Operations:
    """What Dagster is told of operations; `job` is what `dg.define_asset_job` makes."""

    assets: tuple[dg.AssetsDefinition, ...]
    job: Any


class OrphanConfig(dg.Config):
    """Whether orphans are removed, or only reported; without it, what the deployment says (`LAKEGATE_REMOVE_ORPHANS`)."""

    remove: bool | None = None


def build_operations(
    grace: timedelta, orphan_grace: timedelta, *, removes_orphans: bool, tables: Sequence[dg.AssetKey] = ()
) -> Operations:
    """Make the assets and the job that a schedule runs.

    `grace`: younger versions in the bucket are left to their events. `orphan_grace`: younger files may still be committed.
    `tables`: what the balance sheet counts; it stands behind them in the graph.
    """

    @dg.asset(
        key=LANDING_SWEEP,
        group_name="operations",
        tags=OPERATIONS,
        kinds={"s3"},
        required_resource_keys={"gate"},
        description="Lists every version under `landing/` and compares it with the ledger. What no event told of (S3 promises each event at "
        "least once, but queues are purged, notifications switched off, buckets restored) is registered and processed like any other "
        "file; deletions that no event told of are recorded.\n\nRuns daily by `sweep_schedule`. **Run it by hand** after a change to the "
        "bucket's notifications, after the queue was purged or down for longer than four days, or when a producer misses a file. It is "
        "safe at any time and as often as you like: a second sweep finds nothing left to do.",
    )
    def landing_sweep(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        gate: Gate = context.resources.gate.open()
        report = sweep(gate, grace=grace)
        context.log.info(report.sentence())
        for kind, named in report.findings.items():
            for what in named:
                context.log.info(f"{kind}: {what}")
        return dg.MaterializeResult(metadata=_sweep_metadata(report))

    @dg.asset(
        key=BALANCE_SHEET,
        deps=[LANDING_SWEEP, *tables],
        group_name="operations",
        tags=OPERATIONS,
        kinds={"dynamodb"},
        required_resource_keys={"gate"},
        check_specs=[
            dg.AssetCheckSpec(
                ADDS_UP,
                asset=BALANCE_SHEET,
                blocking=True,
                description="Each object version is in exactly one outcome; over the files that serve, rows read = rows in the tables + rows "
                "rejected; ledger and landing bucket agree (the latest sweep); ledger and tables agree, file by file.",
            )
        ],
        description="Start here: where every file and every row is, by dataset.\n\nProved against the ledger's own counters, against the bucket (the "
        "latest sweep) and against the tables (one query a table). `sweep_schedule` does it once a day; **press Materialize to have it now**: "
        "before you rely on the tables for something that must be complete, and after anybody worked on tables or ledger outside of "
        "Lakegate. It changes nothing. The same on the command line: `lakegate status --prove`.\n\nWhat is red leads further: the dataset's table "
        "(its checks), its quarantine, `dead_letters`, `landing_sweep`.",
    )
    def balance_sheet(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        gate: Gate = context.resources.gate.open()
        proof = prove(gate)
        context.log.info(proof.sentence())
        for problem in proof.problems:
            context.log.error(problem)
        return dg.MaterializeResult(metadata=_sheet_metadata(proof), check_results=[_adds_up(proof)])

    @dg.asset(
        key=ORPHANS,
        group_name="operations",
        tags=OPERATIONS,
        kinds={"s3"},
        required_resource_keys={"gate"},
        description="Files that attempts which died left behind: data files that no snapshot of their table refers to, and copies in "
        "quarantine that no verdict names. They are invisible to queries and cost storage only. An orphan is older than "
        f"{orphan_grace.total_seconds() / 3600:g} hours, and no batch at work owns it.\n\nThey are "
        f"{'removed' if removes_orphans else 'reported, and left where they are'} (`LAKEGATE_REMOVE_ORPHANS`); a run with the config "
        "`remove: true` removes them. Metadata files of tables that no kept state refers to are among them, from a hundred a table on.",
    )
    def orphans(context: dg.AssetExecutionContext, config: OrphanConfig) -> dg.MaterializeResult:
        gate: Gate = context.resources.gate.open()
        remove = removes_orphans if config.remove is None else config.remove
        report = find_orphans(gate, grace=orphan_grace, remove=remove, tell=context.log.info)
        context.log.info(report.sentence())
        return dg.MaterializeResult(metadata=_orphan_metadata(report))

    return Operations(
        assets=(landing_sweep, balance_sheet, orphans),
        job=dg.define_asset_job(
            "sweep",
            tags=SWEEP_RUN,
            selection=dg.AssetSelection.assets(LANDING_SWEEP, BALANCE_SHEET, ORPHANS),
            description="Compares the landing bucket with the ledger, registers what no event told of, proves the balance sheet, and "
            "looks for files that dead attempts left behind. Safe at any time; `sweep_schedule` runs it daily.",
        ),
    )


def _adds_up(proof: Proof) -> dg.AssetCheckResult:
    problems = proof.problems
    metadata: dict[str, Any] = {"problems": dg.MetadataValue.int(len(problems))}
    if problems:
        metadata["what does not add up"] = dg.MetadataValue.md(_bullets(problems))
    return dg.AssetCheckResult(
        check_name=ADDS_UP,
        passed=not problems,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata=metadata,
        description=f"{proof.sentence()[0].upper()}{proof.sentence()[1:]}."
        + (f" First: {problems[0]}. What to do is in {_PAGE}." if problems else ""),
    )


# ---- metadata -----------------------------------------------------------------------------------------------------


def _sweep_metadata(report: SweepReport) -> dict[str, dg.MetadataValue]:
    numbers = {
        "versions listed": "listed",
        "known": "known",
        "registered without an event": "registered",
        "left to their events": "young",
        "deletions recorded without an event": "removed",
        "back without an event": "restored",
        "gone without an event": "missing",
        "gone in all": "gone",
    }
    metadata: dict[str, dg.MetadataValue] = {
        name: dg.MetadataValue.int(report.total(of)) for name, of in numbers.items()
    }
    metadata["differences"] = dg.MetadataValue.int(len(report.problems))
    metadata["sentence"] = dg.MetadataValue.text(report.sentence())
    head = f"| dataset | {' | '.join(numbers)} |\n|---|{'---:|' * len(numbers)}\n"
    lines = (
        f"| {_name(line.dataset)} | " + " | ".join(f"{getattr(line, of):,}" for of in numbers.values()) + " |"
        for line in sorted(report.datasets.values(), key=lambda line: line.dataset or "~")
    )
    metadata["by dataset"] = dg.MetadataValue.md(head + "\n".join(lines))
    found = [f"{kind}: {what}" for kind, named in report.findings.items() for what in named]
    if found or report.problems:
        metadata["found"] = dg.MetadataValue.md(_bullets([*report.problems, *found]))
    metadata["read more"] = dg.MetadataValue.text(_PAGE)
    return metadata


def _sheet_metadata(proof: Proof) -> dict[str, dg.MetadataValue]:
    sheet = proof.sheet
    metadata: dict[str, dg.MetadataValue] = {
        "objects": dg.MetadataValue.int(sheet.objects),
        **{f"objects {outcome.value}": dg.MetadataValue.int(sheet.outcome(outcome)) for outcome in Outcome},
        "rows in tables": dg.MetadataValue.int(sum(t.rows or 0 for t in proof.tables if not t.is_rejected)),
        "rows rejected": dg.MetadataValue.int(sum(t.rows or 0 for t in proof.tables if t.is_rejected)),
        "problems": dg.MetadataValue.int(len(proof.problems)),
        "sentence": dg.MetadataValue.text(proof.sentence()),
        "sheet": dg.MetadataValue.md(_sheet(proof)),
    }
    if proof.notes:
        metadata["notes"] = dg.MetadataValue.md(_bullets(proof.notes))
    metadata["read more"] = dg.MetadataValue.text(_PAGE)
    return metadata


def _sheet(proof: Proof) -> str:
    """The sheet as Markdown: a line a dataset, what the ledger says beside what was counted."""
    shown = [o for o in Outcome if proof.sheet.outcome(o)]
    names = [
        "objects", *(o.value for o in shown), "rows read", "rows in table", "counted there", "rows rejected", "counted there ",
    ]  # fmt: skip
    swept = {bucket.dataset: bucket.at for bucket in proof.buckets}
    lines = [f"| dataset | {' | '.join(names)} | bucket compared (UTC) |", f"|---|{'---:|' * len(names)}---|"]
    for dataset in sorted({line.dataset for line in proof.sheet.lines}, key=lambda name: name or "~"):
        counts = [line.counts for line in proof.sheet.lines if line.dataset == dataset]
        cells = [
            sum(c.objects for c in counts),
            *(sum(c.outcomes.get(o, 0) for c in counts) for o in shown),
            sum(c.rows_read for c in counts),
            sum(c.rows_in_table for c in counts),
            proof.rows(dataset) if dataset else None,
            sum(c.rows_rejected for c in counts),
            proof.rows(dataset, rejected=True) if dataset else None,
        ]
        at = swept.get(dataset)
        told = " | ".join("" if cell is None else f"{cell:,}" for cell in cells)
        lines.append(f"| {_name(dataset)} | {told} | {f'{at:%Y-%m-%d %H:%M}' if at else 'never'} |")
    return "\n".join(lines)


def _orphan_metadata(report: OrphanReport) -> dict[str, dg.MetadataValue]:
    metadata: dict[str, dg.MetadataValue] = {
        "files looked at": dg.MetadataValue.int(report.files),
        "orphans": dg.MetadataValue.int(report.orphans),
        "orphan bytes": dg.MetadataValue.int(report.orphan_bytes),
        "removed": dg.MetadataValue.int(report.removed),
        "of batches at work": dg.MetadataValue.int(report.owned),
        "too young": dg.MetadataValue.int(report.young),
        "of other programs": dg.MetadataValue.int(report.foreign),
        "sentence": dg.MetadataValue.text(report.sentence()),
    }
    named = [orphan.sentence() for orphan in report.named]
    left = [f"left alone: {orphan.sentence()}" for orphan in report.named_foreign]
    if told := [*report.notes, *named, *left]:
        metadata["found"] = dg.MetadataValue.md(_bullets(told))
    metadata["read more"] = dg.MetadataValue.text(_PAGE)
    return metadata


def _name(dataset: str | None) -> str:
    return f"`{dataset}`" if dataset else _UNCLAIMED


def _bullets(lines: Sequence[str]) -> str:
    listed = [f"- {markdown(line)}" for line in lines[:_MOST_SHOWN]]
    if len(lines) > _MOST_SHOWN:
        listed.append(f"- … and {counted(len(lines) - _MOST_SHOWN, 'line')} more")
    return "\n".join(listed)
