"""Headless Chromium for the pages. Without one the tests are skipped, saying so; with LAKEGATE_REQUIRE_BROWSER=1 they fail."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.road.road import Road
from tests.ui.pages import Pages

NAMES = ("chromium", "chromium-browser", "google-chrome")
REQUIRED = "LAKEGATE_REQUIRE_BROWSER"


def chromium_path() -> str:
    """Where Chromium is; the test is skipped, or fails where a browser is required, when there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is not None:
        return found
    why = f"no Chromium on this machine (looked for {', '.join(NAMES)})"
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{why}, and {REQUIRED}=1 says that there must be one")
    pytest.skip(why)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    path = chromium_path()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def pages(browser: Any, road: Road) -> Iterator[Pages]:
    """Dagster's pages; at the end no page has complained and nothing was asked of another host."""
    context = browser.new_context(viewport={"width": 1500, "height": 1400})
    pages = Pages(context.new_page(), road.address)
    yield pages
    context.close()
    assert pages.complaints == []
    assert pages.hosts == {road.address.removeprefix("http://")}
