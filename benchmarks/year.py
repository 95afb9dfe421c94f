"""A year of days, three datasets: how long Dagster's pages take, how long a backfill does, and how long a fresh file waits meanwhile.

    python -m benchmarks.year [--days 365] [--real-days 365] [--folder benchmarks/data] [--pages-only]

Builds the state with the laptop itself (AWS, Dagster's daemon and web server): a small file for each day and dataset, taken in by
the landing sensor. Then one backfill of these days of all datasets, as the button in the UI starts it, with a fresh file dropped
every few seconds; then the pages, opened in headless Chromium. With fewer `--real-days` the days before them have no files:
Dagster is told of them with the metadata of a real one, which is all that its pages know of a day. `--pages-only` takes a state that is
there already.
"""

import argparse
import json
import os
import shutil
import statistics
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from lakegate.local.laptop import Laptop
from lakegate.status import look
from pipelines.accounting.states import Outcome
from pipelines.contracts.loading import load_datasets
from pipelines.gate import Gate
from resources.assembly import open_gate
from resources.environment import Deployment, client

DATASETS = ("clicks", "orders", "visits")
CONTRACT = """\
name: {name}
description: A small file a day, for the benchmark.
landing: {{key: "landing/{name}/{{day:%Y-%m-%d}}/*.csv", day: day, start: {start}}}
format: {{type: csv}}
columns:
  day: {{type: date, from: key}}
  id: {{type: bigint, nullable: false}}
  amount: {{type: "decimal(10,2)"}}
partition_by: ["month(day)"]
"""
BACKFILL = """mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
STATUS = """query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"""
_LIMIT_S = 7200.0
_ROUNDS = 3
_EVERY_S = 20.0


def main() -> None:
    """Build, backfill, open the pages, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/data"))
    parser.add_argument("--pages-only", action="store_true")
    parser.add_argument("--real-days", type=int, default=0, help="days with files, the last ones; 0: all")
    given = parser.parse_args()
    home = (given.folder / "year").resolve()
    if not given.pages_only:
        shutil.rmtree(home, ignore_errors=True)
    today = datetime.now(UTC).date()
    days = [today - timedelta(days=n) for n in reversed(range(given.days))]
    real = days[-given.real_days :]
    (home / "datasets").mkdir(parents=True, exist_ok=True)
    for name in DATASETS if not given.pages_only else ():
        text = CONTRACT.format(name=name, start=days[0])
        (home / "datasets" / f"{name}.yaml").write_text(text)
    os.environ["LAKEGATE_DATASETS"] = str(home / "datasets")
    laptop = Laptop(home / "state", any_port=True)
    try:
        environment = laptop.start()
        deployment = Deployment.from_environment(environment)
        gate = open_gate(deployment, load_datasets(home / "datasets"))
        if not given.pages_only:
            for day in real:
                for name in DATASETS:
                    _drop(deployment, name, day, "first")
        address = laptop.start_dagster(environment)
        if not given.pages_only:
            _intake(gate, len(real) * len(DATASETS))
            _tell_of(laptop.home / "dagster", [day for day in days if day not in real])
            _backfill(gate, deployment, address, real)
        _pages(address, days)
    finally:
        laptop.stop()


def _intake(gate: Gate, files: int) -> None:
    began = time.monotonic()
    while not ((rest := look(gate)).at_rest and rest.sheet.objects >= files):
        _in_time(began, rest.sentence())
        time.sleep(1)
    print(f"taken in: {rest.sheet.outcome(Outcome.LOADED):,} files in {time.monotonic() - began:.0f} s", flush=True)


def _tell_of(dagster_home: Path, days: list[date]) -> None:
    """Tell Dagster of days without files what it was told of a real one."""
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        for key in (dg.AssetKey([name]) for name in DATASETS if days):
            event = instance.get_latest_materialization_event(key)
            told = event.asset_materialization if event is not None else None
            for day in days:
                metadata = dict(told.metadata) if told is not None else {}
                instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=str(day), metadata=metadata))


def _backfill(gate: Gate, deployment: Deployment, address: str, days: list[date]) -> None:
    quiet = [_wait_for_a_fresh_file(gate, deployment, DATASETS[0], days[-1], f"quiet{n}") for n in range(3)]
    began = time.monotonic()
    selection = [{"path": [name]} for name in DATASETS]
    params = {"partitionNames": [str(day) for day in days], "assetSelection": selection, "fromFailure": False}
    answer = _ask(address, BACKFILL, {"p": params})["launchPartitionBackfill"]
    backfill = answer["backfillId"]
    waits: list[float] = []
    busy = ("REQUESTED",)
    while _ask(address, STATUS, {"id": backfill})["partitionBackfillOrError"]["status"] in busy:
        _in_time(began, "the backfill is not done")
        name = DATASETS[len(waits) % len(DATASETS)]
        waits.append(_wait_for_a_fresh_file(gate, deployment, name, days[-1], f"busy{len(waits)}"))
        time.sleep(max(0.0, _EVERY_S - waits[-1]))
    took = time.monotonic() - began
    status = _ask(address, STATUS, {"id": backfill})["partitionBackfillOrError"]["status"]
    runs = f"{len(DATASETS)} datasets x {len(days)} days"
    print(f"backfill of {runs}: {status} in {took:.0f} s")
    print(f"a fresh file is loaded after, without a backfill:  {_spread(quiet)}")
    print(f"a fresh file is loaded after, during the backfill: {_spread(waits)}", flush=True)


def _wait_for_a_fresh_file(gate: Gate, deployment: Deployment, name: str, day: date, file: str) -> float:
    began = time.monotonic()
    key = _drop(deployment, name, day, file)
    while not any(e.outcome is Outcome.LOADED for e in gate.ledger.entries(deployment.landing_bucket, key)):
        _in_time(began, f"{key} is not loaded")
        time.sleep(0.2)
    return time.monotonic() - began


def _pages(address: str, days: list[date]) -> None:
    from playwright.sync_api import sync_playwright

    month = f"{days[-1]:%Y-%m}"
    pages: list[tuple[str, str, str]] = [
        ("assets, all", "/assets", DATASETS[-1]),
        ("asset", f"/assets/{DATASETS[0]}", "Latest materialization"),
        ("asset, partitions", f"/assets/{DATASETS[0]}?view=partitions", month),
        ("asset, one day", f"/assets/{DATASETS[0]}?view=partitions&partition={days[-1]}", "rows loaded"),
        ("asset, events", f"/assets/{DATASETS[0]}?view=events", "Materializ"),
        ("graph", "/asset-groups", DATASETS[0]),
        ("runs", "/runs", "Success"),
        ("runs of a dataset", f"/runs?q%5B0%5D=tag%3Alakegate%2Fdataset%3D{DATASETS[0]}", "Success"),
        ("backfills", "/runs?view=backfills", "Completed|In progress|No backfills"),
        ("sensor", "/locations/lakegate/sensors/landing_sensor", "landing_sensor"),
    ]
    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    print(f"{'page':<22}{'median s':>10}{'worst s':>10}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1500, "height": 1200})
        page.set_default_timeout(60_000)
        page.goto(address + "/assets")  # the program itself is loaded once
        for name, path, text in pages:
            took = [_seconds(lambda path=path, text=text: _open(page, address + path, text)) for _ in range(_ROUNDS)]
            print(f"{name:<22}{statistics.median(took):>10.1f}{max(took):>10.1f}", flush=True)
        browser.close()


def _open(page: Any, address: str, text: str) -> None:
    page.goto("about:blank")
    page.goto(address)
    page.wait_for_function("pattern => new RegExp(pattern).test(document.body.innerText)", arg=text)


def _drop(deployment: Deployment, name: str, day: date, file: str) -> str:
    key = f"landing/{name}/{day}/{file}.csv"
    body = "id,amount\n" + "".join(f"{n},{n}.50\n" for n in range(20))
    client("s3").put_object(Bucket=deployment.landing_bucket, Key=key, Body=body.encode())
    return key


def _ask(address: str, query: str, variables: dict[str, Any]) -> dict[str, Any]:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{address}/graphql", data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as response:
        return json.load(response)["data"]


def _seconds(what: Callable[[], None]) -> float:
    began = time.monotonic()
    what()
    return time.monotonic() - began


def _spread(seconds: list[float]) -> str:
    if not seconds:
        return "never measured"
    return f"median {statistics.median(seconds):.1f} s, worst {max(seconds):.1f} s ({len(seconds)} files)"


def _in_time(began: float, told: str) -> None:
    if time.monotonic() - began > _LIMIT_S:
        raise SystemExit(f"not within {_LIMIT_S:.0f} s: {told}")


if __name__ == "__main__":
    main()
