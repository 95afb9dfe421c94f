"""The nodes around a dataset's table: the files as they land, the quarantine, the rejected rows; and a broken dataset file.

No run makes them: runs of the table tell what became of each. What a person reads about them in the UI is written here, and what
all nodes of a dataset have in common: its group, owner and tags, the way to the documentation and to the line of the YAML file.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dagster as dg

from assets.column_lineage import landing_schema
from assets.columns import column_schema
from assets.keys import landing_key, quarantine_key, rejected_key
from pipelines.contracts.loading import BrokenDataset, DatasetFile
from pipelines.contracts.model import Dataset
from pipelines.contracts.rejected import bad_row_limit, rejected_dataset
from pipelines.links import Links

__all__ = ["Nodes", "broken_asset", "landing_partitions", "neighbours", "read_more", "references_of"]


def landing_partitions(dataset: Dataset) -> dg.DailyPartitionsDefinition:
    """The dataset's landing days, from its start to today inclusive (UTC)."""
    return dg.DailyPartitionsDefinition(start_date=dataset.landing.start.isoformat(), end_offset=1)


@dataclass(frozen=True, slots=True)
class Nodes:
    """What all nodes of a dataset share. `file` is where it was read from, if it was read from a file."""

    dataset: Dataset
    links: Links
    file: DatasetFile | None = None

    def shared(self, part: str) -> dict[str, Any]:
        """Arguments of an `AssetSpec`: days, group, owner, and tags by which to filter (`tag:"lakegate/part"="quarantine"`)."""
        of = self.dataset
        return {
            "partitions_def": landing_partitions(of),
            "group_name": of.group or of.name,
            "owners": [of.owner] if of.owner else None,
            "tags": {"lakegate/dataset": of.name, "lakegate/part": part},
        }

    def yaml(self, *keys: str) -> dict[str, Any]:
        """Metadata that opens the dataset file at the first of these keys that it has."""
        return _yaml_line(self.links, self.file.path, self.file.line(*keys)) if self.file else {}


def neighbours(nodes: Nodes) -> tuple[dg.AssetSpec, ...]:
    """The landing files of the dataset, its quarantine, and its rejected rows if its rows may be rejected one by one."""
    rejected = () if bad_row_limit(nodes.dataset) is None else (_rejected(nodes),)
    return (_landing(nodes), _quarantine(nodes), *rejected)


def _landing(nodes: Nodes) -> dg.AssetSpec:
    of = nodes.dataset
    return dg.AssetSpec(
        landing_key(of),
        description=f"Files that producers put under `{of.landing.key}`, as {of.format.type.upper()}. There is nothing to press here: a file that lands is "
        f"read by itself within seconds (the sensor `landing_sensor`). To have files read again, open `{of.name}` and materialize their days.",
        kinds={"s3", "json" if of.format.type.startswith("json") else "csv"},
        metadata={"dagster/column_schema": landing_schema(of)} | nodes.yaml("landing"),
        **nodes.shared("landing"),
    )


def _quarantine(nodes: Nodes) -> dg.AssetSpec:
    of = nodes.dataset
    return dg.AssetSpec(
        quarantine_key(of),
        deps=[landing_key(of)],
        description=f"Files of `{of.name}` that broke the contract, unchanged, each with a report that says what to repair. Nothing of them is in the table. "
        "**To mend one, send the corrected file again under the same key.** Where the contract was wrong, correct the dataset file and launch the job "
        f"`replay_quarantine`. {read_more(nodes.links, 'what-is-quarantined.md', 'Every reason, and the way back')}.",
        kinds={"s3"},
        metadata=nodes.yaml("rules", "columns"),
        **nodes.shared("quarantine"),
    )


def _rejected(nodes: Nodes) -> dg.AssetSpec:
    of, table = nodes.dataset, rejected_dataset(nodes.dataset)
    return dg.AssetSpec(
        rejected_key(of),
        deps=[landing_key(of)],
        description=f"Rows of `{of.name}` that broke the contract, in files whose other rows were loaded: the raw text and all reasons, in the Iceberg table "
        f"`{table.table}`. It lies in the quarantine bucket, for operators: raw rows may be personal. **To get them in, correct the whole file and send it "
        "again under the same key**: its rejected rows go when its good ones come. "
        f"{read_more(nodes.links, 'files-and-rows.md', 'More on rejected rows', 'rejected-rows')}.",
        kinds={"iceberg", "s3"},
        metadata={"dagster/table_name": table.table, "dagster/column_schema": column_schema(table)}
        | nodes.yaml("rows"),
        **nodes.shared("rejected"),
    )


def references_of(dataset: Dataset) -> dict[str, dg.MetadataValue]:
    """Links to the tables whose values columns refer to.

    They are no dependencies: a file is loaded whatever the other table holds, and the reference is looked up afterwards. As
    dependencies they would order backfills by it, stop a table when another one's check fails, and close circles.
    """
    found: dict[str, dg.MetadataValue] = {}
    for name, column in dataset.columns.items():
        if column.references is not None:
            key = dg.AssetKey([column.references.dataset])
            found[f"each {name} is looked up in"] = dg.MetadataValue.asset(key)
    return found


def broken_asset(broken: BrokenDataset, links: Links) -> dg.AssetSpec:
    """The node that stands for a dataset whose YAML is wrong: it shows every fault, and takes no other dataset down."""
    faults = "\n".join(f"- `{fault}`" for fault in broken.faults)
    return dg.AssetSpec(
        dg.AssetKey(["broken", broken.path.name]),
        description=f"{broken.path.name} is wrong and is not loaded. Its files wait in the ledger; nothing is lost. **Correct the file, then "
        f"press Reload definitions.**\n\n{faults}",
        group_name="broken",
        kinds={"yaml"},
        metadata=_yaml_line(links, broken.path, min((fault.line for fault in broken.faults), default=1)),
    )


def _yaml_line(links: Links, path: Path, line: int) -> dict[str, Any]:
    """Metadata by which the UI opens a dataset file at a line: in the browser where its address is known, else in the editor."""
    label = f"{path.name}, line {line}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        if links.datasets:
            where = dg.UrlCodeReference(url=f"{links.datasets}/{quote(path.name)}#L{line}", label=label)
        else:
            where = dg.LocalFileCodeReference(file_path=str(path.resolve()), line_number=line, label=label)
        return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[where])}


def read_more(links: Links, page: str, words: str, anchor: str = "") -> str:
    """These words, leading to a page of the documentation, or with its path where no address is known."""
    where = links.page(page, anchor)
    return f"[{words}]({where})" if links.docs else f"{words}: `{where}`"
