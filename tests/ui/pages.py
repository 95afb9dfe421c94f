"""What a person sees on Dagster's pages."""

import re
from typing import Any

from playwright.sync_api import Error

LIMIT_MS = 30_000


class Pages:
    """One tab; it remembers what the pages complained of and whom they asked."""

    def __init__(self, page: Any, address: str) -> None:
        self.page = page
        self.address = address
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        page.set_default_timeout(LIMIT_MS)
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]) if "://" in request.url else None)

    def open(self, path: str) -> None:
        self.page.goto(self.address + path)

    def shows(self, *texts: str) -> None:
        """Wait until each text stands somewhere on the page, whatever the page's white space."""
        for text in texts:
            words = r"\s+".join(map(re.escape, text.split()))
            try:
                self.page.wait_for_function(
                    "pattern => new RegExp(pattern).test(document.body.innerText)", arg=words, timeout=LIMIT_MS
                )
            except Error as error:
                shown = " ".join(self.page.inner_text("body").split())
                raise AssertionError(f"the page never showed {text!r}; it shows: {shown}") from error

    def _heard(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(message.text)
