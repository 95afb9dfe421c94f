"""The assets of the tables' files: small ones put together, old states let go of. Dagster resolves annotations at decoration: none from the future."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import dagster as dg

from assets.keys import OPERATIONS, TABLES_POOL
from assets.run_tags import UPKEEP_RUN
from pipelines.gate import Gate
from pipelines.printable import markdown
from pipelines.publication.table_upkeep import (
    TableCompaction,
    TableLook,
    compact_tables,
    every_table,
    expire_states,
    look_at_tables,
)

__all__ = ["TABLE_FILES", "TABLE_STATES", "TableFiles", "TableFilesConfig", "build_table_files"]

TABLE_FILES = dg.AssetKey(["operations", "table_files"])
TABLE_STATES = dg.AssetKey(["operations", "table_states"])
_PAGE = "docs/compaction.md"


@dataclass(frozen=True, slots=True)
class TableFiles:
    """What Dagster is told; jobs are what `dg.define_asset_job` makes."""

    assets: tuple[dg.AssetsDefinition, ...]
    compaction: Any
    expiry: Any


class TableFilesConfig(dg.Config):
    """`plan_only`: say what it would gain, and change nothing. `table` and `partition`: only that one."""

    plan_only: bool = False
    table: str | None = None
    partition: str | None = None


def build_table_files(run_bytes: int, keep_states: timedelta) -> TableFiles:
    """Make the assets, and the jobs that schedules run. `run_bytes`: how many bytes a run rewrites at most."""

    @dg.asset(
        key=TABLE_FILES,
        group_name="operations",
        tags=OPERATIONS,
        kinds={"iceberg", "parquet"},
        pool=TABLES_POOL,
        required_resource_keys={"gate"},
        description="The data files of every table: how many there are, how large, and what was gained by putting the small ones together. Each partition's are "
        "rewritten as few large ones, sorted by the dataset's key, verified row by row, and committed in one transaction. **Not a row changes**, readers see no "
        "difference, and ingestion comes first: a partition whose rows it changed meanwhile is left as ingestion left it.\n\nRuns nightly by "
        "`compact_tables_schedule`. With the config `plan_only: true` it only says what it would gain; `table` and `partition` name a single one. Safe at any "
        "time, twice at once, and when it dies.",
    )
    def table_files(context: dg.AssetExecutionContext, config: TableFilesConfig) -> dg.MaterializeResult:
        gate: Gate = context.resources.gate.open()
        tables = [one for one in every_table(gate.datasets) if config.table in (None, one.table)]
        if not tables:
            raise dg.Failure(f"There is no table {config.table!r}.", allow_retries=False)
        before = look_at_tables(gate, tables, only=config.partition)
        for look in before:
            context.log.info(f"{look.table}: {look.note or look.plan.sentence()}")
        due = [one for one, look in zip(tables, before, strict=True) if look.plan.chosen]
        if config.plan_only or not due:
            return dg.MaterializeResult(metadata=_file_metadata(before, before, []))
        done = compact_tables(gate, due, only=config.partition, max_bytes=run_bytes, tell=context.log.info)
        after = look_at_tables(gate, tables, only=config.partition)
        return dg.MaterializeResult(metadata=_file_metadata(before, after, done))

    @dg.asset(
        key=TABLE_STATES,
        group_name="operations",
        tags=OPERATIONS,
        kinds={"iceberg"},
        pool=TABLES_POOL,
        required_resource_keys={"gate"},
        description=f"Old states of tables, let go of: those that were replaced more than {keep_states.days} days ago, and whose batch is done. Each commit leaves "
        "one, and every later commit reads and writes them all. No row and no file is removed by it: what no state refers to any more is an orphan from then on "
        "(`orphans`).\n\nRuns nightly by `expire_states_schedule`. Safe at any time, and twice at once.",
    )
    def table_states(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        gate: Gate = context.resources.gate.open()
        report = expire_states(gate, every_table(gate.datasets), keep_states)
        context.log.info(report.sentence())
        metadata: dict[str, Any] = {"states let go of": report.total, "sentence": report.sentence()}
        metadata |= {f"states of {table}": number for table, number in report.states.items() if number}
        if report.notes:
            metadata["notes"] = dg.MetadataValue.md("\n".join(f"- {markdown(note)}" for note in report.notes))
        metadata["read more"] = dg.MetadataValue.text(_PAGE)
        return dg.MaterializeResult(metadata=metadata)

    return TableFiles(
        (table_files, table_states),
        dg.define_asset_job(
            "compact_tables",
            selection=dg.AssetSelection.assets(TABLE_FILES),
            tags=UPKEEP_RUN,
            description="Puts the small files of tables together, sorted; not a row changes. `compact_tables_schedule` runs it nightly.",
        ),
        dg.define_asset_job(
            "expire_states",
            selection=dg.AssetSelection.assets(TABLE_STATES),
            tags=UPKEEP_RUN,
            description="Lets go of old states of tables, so that their metadata stays small. `expire_states_schedule` runs it nightly.",
        ),
    )


def _file_metadata(
    before: Sequence[TableLook], after: Sequence[TableLook], done: Sequence[TableCompaction]
) -> dict[str, dg.MetadataValue]:
    files = sum(look.plan.files for look in after)
    size = sum(look.plan.size_bytes for look in after)
    numbers = {
        "files": files,
        "small files": sum(look.plan.small_files for look in after),
        "bytes": size,
        "bytes a file": size // files if files else 0,
        "files put together": sum(one.report.files_before for one in done),
        "files that came of them": sum(one.report.files_after for one in done),
        "rows rewritten": sum(one.report.rows for one in done),
        "partitions that gave way": sum(len(one.report.gave_way) for one in done),
        "small files it could put together now": sum(look.plan.files_before for look in after),
    }
    metadata: dict[str, dg.MetadataValue] = {name: dg.MetadataValue.int(number) for name, number in numbers.items()}
    metadata["by table"] = dg.MetadataValue.md(_by_table(before, after, done))
    noted = [f"- {look.table}: {markdown(look.note)}" for look in after if look.note and look.plan.files]
    noted += [f"- {one.table}: {markdown(one.note)}" for one in done if one.note]
    if noted:
        metadata["notes"] = dg.MetadataValue.md("\n".join(noted))
    metadata["read more"] = dg.MetadataValue.text(_PAGE)
    return metadata


def _by_table(before: Sequence[TableLook], after: Sequence[TableLook], done: Sequence[TableCompaction]) -> str:
    ways = {one.table: len(one.report.gave_way) for one in done}
    lines = [
        "| table | files before | files now | small | bytes a file | would gain now | gave way |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for was, now in zip(before, after, strict=True):
        plan = now.plan
        gain = plan.files_before - plan.files_after
        lines.append(
            f"| {now.table} | {was.plan.files:,} | {plan.files:,} | {plan.small_files:,} | {plan.average_bytes:,} | "
            f"{gain:,} | {ways.get(now.table, 0):,} |"
        )
    return "\n".join(lines)
