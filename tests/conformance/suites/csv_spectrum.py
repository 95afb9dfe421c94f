"""csv-spectrum: a JSON of what is in it beside each CSV."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.conformance.cases import Broken, Case, Fault, Rows
from tests.conformance.suite import Suite, conformance
from tests.reading.support import dataset

FOLDER = conformance("csv-spectrum")
NO_CSV = {"location_coordinates": Fault(frozenset({"bare_quote"}), 2, "c1")}
"""Beyond RFC 4180: a quote inside a field that does not start with one."""


def cases() -> Iterator[Case]:
    for path in sorted((FOLDER / "csvs").glob("*.csv")):
        said = json.loads((FOLDER / "json" / f"{path.stem}.json").read_text("utf-8"))
        wanted: list[dict[str, str]] = [said] if isinstance(said, dict) else said
        contract = dataset({f"c{i}": {"type": "string", "source": name} for i, name in enumerate(wanted[0])})
        content = path.read_bytes()
        if (
            path.stem == "newlines_crlf" and b"\r" not in content
        ):  # a copy that has lost its CRs, beside a JSON that has not
            wanted = [{name: text.replace("\r\n", "\n") for name, text in row.items()} for row in wanted]
        rows = [{f"c{i}": text for i, text in enumerate(row.values())} for row in wanted]
        fault = NO_CSV.get(path.stem)
        yield Case(path.name, content, contract, Broken([fault]) if fault else Rows(rows))


SUITES = (Suite("csv-spectrum", cases, folder=FOLDER),)
