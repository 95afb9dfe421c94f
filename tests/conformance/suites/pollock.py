"""Pollock, 2,290 polluted files of one table: run where LAKEGATE_POLLOCK names a checkout of HPI-Information-Systems/Pollock.

Each file is read under the source file's contract, `,` and UTF-8 as declared: as text, and with types; and with the delimiter left to be told. What a polluted file says is
what is in it by RFC 4180, not what was in it before: a row that lost a delimiter must be refused, one line end instead of another not.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.conformance.cases import Broken, Case, Rows, Says
from tests.conformance.suite import Suite
from tests.conformance.suites.as_text import says
from tests.reading.support import dataset

FOLDER = Path(os.environ.get("LAKEGATE_POLLOCK") or "/nowhere") / "polluted_files" / "csv"
NAMES = ("DATE", "TIME", "Qty", "PRODUCTID", "Price", "ProductType", "ProductDescription", "URL", "Comments")
STRINGS = {name.lower(): {"type": "string", "source": name} for name in NAMES}
TEXT = dataset(STRINGS)
AUTO = dataset(STRINGS, {"type": "csv", "delimiter": "auto"})
BY_OTHERS = [dataset(STRINGS, {"type": "csv", "delimiter": mark}) for mark in ";\t| "]
TYPED = dataset(
    {
        "date": {"type": "string", "source": "DATE", "nullable": False, "pattern": "[0-9]{2}/[0-9]{2}/20[0-9]{2}"},
        "time": {"type": "string", "source": "TIME", "pattern": "[0-9]{2}:[0-9]{2}"},
        "quantity": {"type": "int", "source": "Qty", "min": 0},
        "product": {"type": "string", "source": "PRODUCTID", "pattern": "[A-Z]{2}-[0-9]{4}"},
        "price": {"type": "string", "source": "Price", "pattern": r"\$[0-9]+(\.[0-9]+)?"},
        "kind": {"type": "string", "source": "ProductType"},
        "description": {"type": "string", "source": "ProductDescription"},
        "url": {"type": "string", "source": "URL", "pattern": "https://[^ ]+"},
        "comments": {"type": "string", "source": "Comments"},
    }
)
KINDS = ("file_", "row_more_sep", "row_less_sep", "row_extra_quote", "row_field_delimiter", "source")


def cases(kind: str) -> Iterator[Case]:
    for path in sorted(FOLDER.glob("*.csv"), key=lambda p: [int(n) for n in re.findall("[0-9]+", p.name)] or [0]):
        if path.name.startswith(kind):
            content = path.read_bytes()
            yield Case(path.name, content, TEXT, says(TEXT, content))
            yield Case(f"{path.name}, typed", content, TYPED, says(TYPED, content))
            yield Case(f"{path.name}, delimiter auto", content, AUTO, says_by_any(content))


def says_by_any(content: bytes) -> Says:
    """What a file says whose delimiter is to be told from it: rows by `,`, or by the one other delimiter by which it has some."""
    said = says(TEXT, content)
    if isinstance(said, Rows):
        return said
    others = [other for other in (says(contract, content) for contract in BY_OTHERS) if isinstance(other, Rows)]
    return others[0] if others else Broken()


SUITES = tuple(
    Suite(f"Pollock {kind.rstrip('_')}", partial(cases, kind), folder=FOLDER, is_shared=False) for kind in KINDS
)
