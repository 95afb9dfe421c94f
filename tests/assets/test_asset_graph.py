"""What Dagster is told: the graph of the committed datasets, what is said about each, and how wrong files show."""

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.columns import column_schema
from assets.tables import build_assets
from lakegate.definitions import build_defs
from lakegate.settings import repository_root
from pipelines.contracts.loading import DatasetCatalog, load_datasets
from pipelines.contracts.model import Dataset
from pipelines.links import Links
from resources.gate import GateResource
from tests.assets.stage import DEPARTURES
from tests.ingest.world import dataset
from tests.reading.support import dataset as nested

GRAPH = Path(__file__).with_name("asset_graph.txt")
COMMITTED = repository_root() / "assets" / "datasets"


def definitions_of(folder: Path) -> dg.Definitions:
    return build_defs(load_datasets(folder), GateResource(datasets_folder=str(folder)))


def first_sentence(text: str | None) -> str:
    return re.split(r"(?<=\.)\s", (text or "").strip(), maxsplit=1)[0]


def opened(metadata: Mapping[str, Any]) -> str:
    """The file and line that "open in editor" leads to."""
    found = metadata.get("dagster/code_references")
    if found is None:
        return ""
    [reference] = found.code_references
    return f"{Path(reference.file_path).relative_to(COMMITTED)}:{reference.line_number}"


def drawn(defs: dg.Definitions) -> str:
    """The graph as text: a paragraph an asset."""
    graph = defs.resolve_asset_graph()
    paragraphs: list[str] = []
    for key in sorted(graph.get_all_asset_keys(), key=lambda k: k.path):
        node = graph.get(key)
        partitions = node.partitions_def
        lines = {
            "group": node.group_name,
            "after": ", ".join(sorted(parent.to_user_string() for parent in node.parent_keys)),
            "kinds": ", ".join(sorted(node.kinds)),
            "owners": ", ".join(node.owners),
            "tags": ", ".join(f"{name}={value}" for name, value in sorted(node.tags.items()) if not name.startswith("dagster/kind/")),
            "says": first_sentence(node.description),
            "opens": opened(node.metadata),
            "days": f"from {partitions.start.date()}" if isinstance(partitions, dg.DailyPartitionsDefinition) else "",
            "checks": ", ".join(sorted(check.name for check in node.check_keys)),
            "made by": ", ".join(sorted(job.name for job in defs.resolve_all_job_defs() if key in job.asset_layer.executable_asset_keys and not job.name.startswith("__"))),
        }  # fmt: skip
        told = "".join(f"    {name}: {value}\n" for name, value in lines.items() if value)
        paragraphs.append(f"{key.to_user_string()}\n{told}")
    sensors = "".join(
        f"sensor {s.name}: {', '.join(sorted(j.name for j in s.jobs) if s.targets else ['no runs'])}\n"
        for s in defs.sensors or ()
    )
    schedules = "".join(
        f"schedule {s.name}: {s.job_name}, {s.cron_schedule}\n"
        for s in defs.schedules or ()
        if isinstance(s, dg.ScheduleDefinition)
    )
    return "\n".join(paragraphs) + f"\n{sensors}{schedules}"


def test_the_graph_of_the_committed_datasets_is_the_one_written_down() -> None:
    """After a wanted change: `LAKEGATE_WRITE_GRAPH=1 pytest tests/assets/test_asset_graph.py`, and read the difference."""
    found = drawn(definitions_of(COMMITTED))
    if os.environ.get("LAKEGATE_WRITE_GRAPH"):
        GRAPH.write_text(found)
    assert found == GRAPH.read_text()


FRESH = """
import os, socket, sys, time
seen = []
def watch(event, args):
    if event == "open" and isinstance(args[0], str) and {folder!r} in args[0]:
        seen.append(args[0])
    if event in ("socket.connect", "socket.getaddrinfo", "socket.bind"):
        raise AssertionError(f"the network was used: {{event}} {{args}}")
sys.addaudithook(watch)
import lakegate.definitions
assert not seen, seen
found = lakegate.definitions.defs()
found.get_repository_def().load_all_definitions()
heavy = ("boto3", "botocore", "great_expectations", "pandas", "matplotlib", "pyiceberg", "celery", "openlineage", "duckdb", "polars")
print([name for name in heavy if name in sys.modules])
print(time.process_time())
keys = (key.to_user_string() for key in found.resolve_asset_graph().get_all_asset_keys())
print(len(set(seen)), sorted(key for key in keys if not key.startswith("operations/")))
"""


def test_a_fresh_interpreter_loads_the_definitions_quickly_without_aws_and_reads_nothing_on_import(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "my-datasets"
    folder.mkdir()
    (folder / "departures.yaml").write_text(DEPARTURES)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LAKEGATE_"))}
    environment |= {"LAKEGATE_DATASETS": str(folder), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FRESH.format(folder=str(folder)))],
        env=environment,
        cwd=repository_root(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    modules, cpu_s, loaded = done.stdout.splitlines()[-3:]
    assert modules == "[]"
    assert float(cpu_s) < 4, "each run loads the definitions anew: what was imported?"
    assert loaded == "1 ['departures', 'landing/departures_landing', 'quarantine/departures_quarantine']"


def test_a_broken_dataset_is_a_node_that_says_every_fault_and_the_others_work(tmp_path: Path) -> None:
    (tmp_path / "departures.yaml").write_text(DEPARTURES)
    wrong = (
        DEPARTURES.replace("departures", "arrivals").replace("type: int", "type: integer").replace("owner:", "owned:")
    )
    (tmp_path / "arrivals.yaml").write_text(wrong)
    defs = definitions_of(tmp_path)
    graph = defs.resolve_asset_graph()
    assert {key.to_user_string() for key in graph.get_all_asset_keys() if key.path[0] != "operations"} == {
        "departures",
        "landing/departures_landing",
        "quarantine/departures_quarantine",
        "broken/arrivals.yaml",
    }
    node = graph.get(dg.AssetKey(["broken", "arrivals.yaml"]))
    assert (node.group_name, node.kinds) == ("broken", {"yaml"})
    [broken] = load_datasets(tmp_path).broken
    assert len(broken.faults) >= 3
    assert all(f"- `{fault}`" in (node.description or "") for fault in broken.faults)
    assert (node.description or "").startswith("arrivals.yaml is wrong and is not loaded. ")
    assert [job.name for job in defs.jobs or () if job.name.startswith("ingest_")] == ["ingest_departures"]
    defs.get_repository_def().load_all_definitions()


def test_datasets_that_are_all_broken_leave_definitions_that_load(tmp_path: Path) -> None:
    (tmp_path / "arrivals.yaml").write_text("name: arrivals\n")
    defs = definitions_of(tmp_path)
    defs.get_repository_def().load_all_definitions()
    assert [sensor.name for sensor in defs.sensors or ()] == ["dead_letter_sensor", "alert_sensor"]


@pytest.mark.parametrize("stem", ["two words", "UPPER", "a.b", "naïve", "-"])
def test_a_broken_file_of_any_name_is_a_node(tmp_path: Path, stem: str) -> None:
    (tmp_path / f"{stem}.yaml").write_text("name: [\n")
    (tmp_path / "departures.yaml").write_text(DEPARTURES)
    defs = definitions_of(tmp_path)
    defs.get_repository_def().load_all_definitions()
    assert [key.path[0] for key in defs.resolve_asset_graph().get_all_asset_keys()].count("broken") == 1


def test_two_broken_files_that_differ_in_their_ending_are_two_nodes(tmp_path: Path) -> None:
    for suffix in ("yaml", "yml"):
        (tmp_path / f"arrivals.{suffix}").write_text("name: [\n")
    (tmp_path / "departures.yaml").write_text(DEPARTURES)
    defs = definitions_of(tmp_path)
    defs.get_repository_def().load_all_definitions()
    names = {key.path[-1] for key in defs.resolve_asset_graph().get_all_asset_keys() if key.path[0] == "broken"}
    assert names == {"arrivals.yaml", "arrivals.yml"}


def test_the_table_schema_says_types_constraints_and_where_a_column_comes_from() -> None:
    schema = column_schema(dataset(DEPARTURES))
    columns = {column.name: column for column in schema.columns}
    assert list(columns)[:4] == ["day", "flight", "origin", "delay"]
    assert [columns[n].type for n in ("day", "flight", "_source_line", "_ingested_at")] == [
        "date",
        "int",
        "bigint",
        "timestamp",
    ]
    assert columns["day"].description == "From the object's key."
    assert columns["flight"].description == "Number."
    assert columns["flight"].constraints == dg.TableColumnConstraints(nullable=False, other=["at least 1"])
    assert columns["origin"].constraints.other == ["one of EWR, JFK, LGA"]
    assert columns["_source_file"].description == "The key of the object the row came from."


def test_a_nested_column_shows_its_type_as_athena_writes_it() -> None:
    of = nested({"actor": {"type": "struct<id:bigint,tags:array<string>>"}}, "json")
    shown = {column.name: column.type for column in column_schema(of).columns}
    assert shown["actor"] == "struct<id: bigint, tags: array<string>>"


def test_an_asset_says_what_it_is_and_how_it_is_backfilled() -> None:
    of = dataset(DEPARTURES)
    table = build_assets(of, Links()).table
    [spec] = table.specs
    assert spec.description is not None
    assert spec.description.startswith(of.description)
    assert spec.metadata["dagster/table_name"] == "departures"
    assert spec.metadata["dagster/column_schema"] == column_schema(of)
    assert spec.metadata["landing pattern"] == "landing/departures/{day:%Y-%m-%d}/*.csv"
    assert (spec.metadata["partitioned by"], spec.metadata["primary key"]) == ("day", "flight")
    assert table.backfill_policy == dg.BackfillPolicy.multi_run(max_partitions_per_run=31)
    assert table.op.pool == "write_departures"


def test_today_is_a_partition_and_tomorrow_is_not() -> None:
    partitions = build_assets(dataset(DEPARTURES), Links()).table.partitions_def
    assert partitions is not None
    before = datetime.now(UTC)
    tomorrow = (before + timedelta(days=1)).date()
    if before.date() == datetime.now(UTC).date():  # else midnight passed in between
        assert partitions.has_partition_key(before.date().isoformat())
        assert not partitions.has_partition_key(tomorrow.isoformat())
    assert partitions.get_first_partition_key() == "2024-01-01"


def test_a_hundred_datasets_load_within_a_few_seconds() -> None:
    texts = [DEPARTURES.replace("departures", f"set{n}") for n in range(100)]
    found: list[Dataset] = [dataset(text) for text in texts]
    defs = build_defs(DatasetCatalog(tuple(found)), GateResource(datasets_folder="unused"))
    defs.get_repository_def().load_all_definitions()
    keys = defs.resolve_asset_graph().get_all_asset_keys()
    assert len([key for key in keys if key.path[0] != "operations"]) == 300


def test_every_node_of_a_dataset_opens_its_yaml_file_at_the_line_that_speaks_of_it(tmp_path: Path) -> None:
    path = tmp_path / "departures.yaml"
    path.write_text("# why\n\n" + DEPARTURES + "rows: {on_bad: quarantine_rows}\n")
    found = definitions_of(tmp_path).resolve_asset_graph()
    lines = path.read_text().splitlines()
    for asset, opens in (
        (["departures"], "name:"),
        (["landing", "departures_landing"], "landing:"),
        (["quarantine", "departures_quarantine"], "columns:"),
        (["rejected", "departures__rejected"], "rows:"),
    ):
        [reference] = found.get(dg.AssetKey(asset)).metadata["dagster/code_references"].code_references
        assert reference.file_path == str(path)
        assert lines[reference.line_number - 1].startswith(opens)


def test_a_broken_node_opens_its_file_at_the_first_fault(tmp_path: Path) -> None:
    path = tmp_path / "departures.yaml"
    path.write_text(DEPARTURES.replace("type: int", "type: in"))
    [broken] = load_datasets(tmp_path).broken
    node = definitions_of(tmp_path).resolve_asset_graph().get(dg.AssetKey(["broken", "departures.yaml"]))
    [reference] = node.metadata["dagster/code_references"].code_references
    assert (reference.file_path, reference.line_number) == (str(path), broken.faults[0].line)
    assert "type: in" in path.read_text().splitlines()[reference.line_number - 1]


def test_where_the_dataset_files_have_an_address_the_nodes_lead_there(tmp_path: Path) -> None:
    (tmp_path / "departures.yaml").write_text(DEPARTURES)
    links = Links(docs="https://docs.example", datasets="https://git.example/lake/blob/main/datasets")
    found = build_defs(load_datasets(tmp_path), GateResource(datasets_folder="unused"), links=links)
    graph = found.resolve_asset_graph()
    [reference] = graph.get(dg.AssetKey("departures")).metadata["dagster/code_references"].code_references
    assert reference.url == "https://git.example/lake/blob/main/datasets/departures.yaml#L2"
    quarantine = graph.get(dg.AssetKey(["quarantine", "departures_quarantine"])).description or ""
    assert "(https://docs.example/what-is-quarantined.md)" in quarantine


def test_a_reference_to_another_dataset_is_shown_and_is_no_dependency() -> None:
    """As a dependency it would order backfills, stop a table when another's check fails, and close circles."""
    graph = definitions_of(COMMITTED).resolve_asset_graph()
    flights = graph.get(dg.AssetKey("flights"))
    assert flights.metadata["each origin is looked up in"] == dg.MetadataValue.asset(dg.AssetKey("airports"))
    assert flights.parent_keys == {dg.AssetKey(["landing", "flights_landing"])}


def test_datasets_that_refer_to_each_other_load(tmp_path: Path) -> None:
    for one, other in (("departures", "arrivals"), ("arrivals", "departures")):
        text = DEPARTURES.replace("departures", one)
        assert "origin: {" in text
        (tmp_path / f"{one}.yaml").write_text(text.replace("origin: {", f"origin: {{references: {other}.origin, "))
    defs = definitions_of(tmp_path)
    assert not load_datasets(tmp_path).broken
    defs.get_repository_def().load_all_definitions()


def test_the_balance_sheet_stands_behind_every_table_and_says_that_one_starts_there() -> None:
    graph = definitions_of(COMMITTED).resolve_asset_graph()
    sheet = graph.get(dg.AssetKey(["operations", "balance_sheet"]))
    assert {key.to_user_string() for key in sheet.parent_keys} == {
        *("airports", "flights", "planes", "weather"),
        "operations/landing_sweep",
    }
    assert (sheet.description or "").startswith("Start here: ")
