"""Any CSV file under a contract of its own names, and what the reference reader says is in it."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.contracts.model import Dataset
from tests.conformance.cases import Broken, Fault, Rows, Says
from tests.reading.reference_csv import tokenize
from tests.reading.reference_verdict import BOM, csv_says
from tests.reading.support import dataset


def says_as_text(content: bytes, types: Mapping[str, str] | None = None, delimiter: str = ",") -> tuple[Dataset, Says]:
    """The contract, of text columns c0, c1 … but for `types`, and what the file says under it."""
    records = tokenize(content.removeprefix(BOM), delimiter)
    names = [f.text.encode("latin-1").decode("utf-8", "replace") for f in records[0].fields] if records else []
    distinct = [name for name in dict.fromkeys(names) if name.strip()] or ["a"]
    columns = {
        f"c{i}": {"type": (types or {}).get(f"c{i}", "string"), "source": name} for i, name in enumerate(distinct)
    }
    contract = dataset(columns, {"type": "csv", "delimiter": delimiter}, limits={"columns": 20_000})
    return contract, says(contract, content)


def says(contract: Dataset, content: bytes) -> Says:
    """What a CSV file says under a contract, by the reference reader; every fault with its place."""
    said = csv_says(contract, content)
    if not said.faults:
        return Rows(said.rows)
    faults = [Fault(frozenset({rule}), line, column) for (rule, column), (line, _) in said.faults.items()]
    return Broken(faults if said.is_certain else ())
