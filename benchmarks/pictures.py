"""The pictures of docs/working-in-dagster.md, taken with headless Chromium from a laptop that runs.

    python -m benchmarks.pictures http://127.0.0.1:3000 clicks [--folder docs/images]

The address is that of Dagster's pages, the name that of a dataset with a few months of days (`python -m benchmarks.year` makes some).
Nothing is launched.
"""

import argparse
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

_WIDTH, _HEIGHT = 1300, 760
_CONFIG = "ops:\n  {name}:\n    config:\n      force: false\n"
_FILES = """ops:
  make_files_due:
    config:
      dataset: {name}
      keys:
        - landing/{name}/2026-10-01/first.csv
      force: true
      asked_by: ann
      why: the sender corrected the rates
"""


def main() -> None:
    """Take them all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("dataset")
    parser.add_argument("--folder", type=Path, default=Path("docs/images"))
    given = parser.parse_args()
    from playwright.sync_api import sync_playwright

    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": _WIDTH, "height": _HEIGHT})
        page.set_default_timeout(60_000)
        for name, take in (
            ("runs-by-tag", _runs_by_tag),
            ("backfill", _backfill),
            ("backfill-config", _backfill_config),
            ("process-files", _process_files),
            ("sensor-ticks", _sensor_ticks),
        ):
            take(page, given.address, given.dataset)
            page.screenshot(path=given.folder / f"{name}.png")
            print(f"{name}.png", flush=True)
        browser.close()


def _runs_by_tag(page: Any, address: str, dataset: str) -> None:
    _open(page, f"{address}/runs?q%5B0%5D=tag%3Alakegate%2Fdataset%3D{dataset}&q%5B1%5D=status%3ASUCCESS", "Success")


def _backfill(page: Any, address: str, dataset: str) -> None:
    _open(page, f"{address}/assets/{dataset}?view=partitions", "Partitions Selected")
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_placeholder("No matching partitions").or_(page.locator("input[placeholder*='2013-01']")).last.fill(
        _days()
    )
    page.keyboard.press("Enter")
    _wait(page, "[1-9][0-9]* partitions")
    page.wait_for_timeout(1500)


def _backfill_config(page: Any, address: str, dataset: str) -> None:
    _backfill(page, address, dataset)
    page.get_by_text("Config", exact=True).click()
    page.get_by_role("button", name="Add config").click()
    page.locator(".CodeMirror").first.click()
    page.keyboard.insert_text(_CONFIG.format(name=dataset))
    page.wait_for_timeout(4000)


def _process_files(page: Any, address: str, dataset: str) -> None:
    _open(page, f"{address}/locations/lakegate/jobs/process_files/playground", "Launch Run")
    page.locator(".CodeMirror").first.click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(_FILES.format(name=dataset))
    page.wait_for_timeout(4000)


def _sensor_ticks(page: Any, address: str, _dataset: str) -> None:
    _open(page, f"{address}/locations/lakegate/sensors/landing_sensor", "View logs")


def _days() -> str:
    """Two months that ended yesterday, as the field takes them."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    return f"[{yesterday - timedelta(days=60)}...{yesterday}]"


def _open(page: Any, address: str, text: str) -> None:
    page.goto(address)
    _wait(page, text)
    page.wait_for_timeout(2000)


def _wait(page: Any, text: str) -> None:
    page.wait_for_function("pattern => new RegExp(pattern).test(document.body.innerText)", arg=text)


if __name__ == "__main__":
    main()
