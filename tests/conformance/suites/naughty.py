"""The big list of naughty strings: each is the same in a cell of CSV and of JSON, as a key, and queried from the table."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.conformance.cases import Case, Ending, Outcome, Row, Rows
from tests.conformance.suite import Suite, conformance
from tests.conformance.written import Rescued
from tests.reading.support import dataset

FOLDER = conformance("blns")
COLUMNS = {"n": {"type": "int"}, "s": {"type": "string"}}
CONTRACT = """
name: naughty
description: Strings that break things.
owner: team:tests
landing: {{key: "landing/naughty/{{part}}.{form}", start: 2026-01-01}}
format: {{type: {form}}}
columns:
  part: {{type: string, from: key}}
  n: {{type: int}}
  s: {{type: string}}
"""


def strings() -> list[str]:
    """The strings that are text: what no encoding of text has cannot be sent as text."""
    texts: list[str] = []
    for one in json.loads((FOLDER / "blns.base64.json").read_text("utf-8")):
        try:
            texts.append(base64.b64decode(one).decode("utf-8"))
        except UnicodeDecodeError:
            continue
    return texts


def as_csv(numbered: list[tuple[int, str]]) -> bytes:
    """A file whose second column holds the strings, quoted."""
    rows = ['{},"{}"'.format(n, text.replace('"', '""')) for n, text in numbered]
    return "\n".join(["n,s", *rows]).encode("utf-8")


def as_json(numbered: list[tuple[int, str]], form: str, *, is_ascii: bool) -> bytes:
    """The same as JSON."""
    objects = [json.dumps({"n": n, "s": text}, ensure_ascii=is_ascii) for n, text in numbered]
    return ("\n".join(objects) if form == "jsonl" else f"[{', '.join(objects)}]").encode("utf-8")


def cells() -> Iterator[Case]:
    """Each string in files of its own, and all in one."""
    texts = list(enumerate(strings()))
    contracts = {form: dataset(COLUMNS, form) for form in ("csv", "jsonl", "json")}
    for numbered in [*([one] for one in texts), texts]:
        name = f"string {numbered[0][0]}" if len(numbered) == 1 else "all strings"
        rows: list[Row] = [{"n": n, "s": text} for n, text in numbered]
        yield Case(f"{name}, csv", as_csv(numbered), contracts["csv"], Rows(rows))
        for form in ("jsonl", "json"):
            for is_ascii in (True, False):
                yield Case(f"{name}, {form}", as_json(numbered, form, is_ascii=is_ascii), contracts[form], Rows(rows))


def keys() -> Iterator[Case]:
    """Each string as the name of a member that the contract does not know: it comes back in `_rescued`."""
    contract = dataset({"n": {"type": "int"}}, "jsonl", schema={"new_columns": "rescue"})
    for number, text in enumerate(strings()):
        if text.strip().casefold() != "n":
            content = json.dumps({"n": number, text: "x"}).encode("utf-8")
            yield Case(f"key {number}", content, contract, Rows([{"n": number, "_rescued": Rescued({text: "x"})}]))


def queried() -> Iterator[Ending]:
    """Written by `lakegate convert`, read by two readers that are not ours."""
    import duckdb

    from pipelines.contracts.loading import load_dataset
    from resources.folder import folder_tables
    from tests.cli.command import inside, lakegate

    texts = list(enumerate(strings()))
    for form in ("csv", "jsonl", "json"):
        with tempfile.TemporaryDirectory() as folder, inside(Path(folder)):
            Path("naughty.yaml").write_text(CONTRACT.format(form=form))
            content = as_csv(texts) if form == "csv" else as_json(texts, form, is_ascii=False)
            Path(f"all.{form}").write_bytes(content)
            answer = lakegate("convert", "-d", "naughty.yaml", "--out", "out", f"all.{form}")
            by_duckdb = duckdb.sql(
                "SELECT n, s FROM read_parquet('out/processed/naughty/data/**/*.parquet') ORDER BY n"
            ).fetchall()
            table = folder_tables(Path("out")).load(load_dataset(Path("naughty.yaml"))).scan().to_arrow()
            by_iceberg = sorted(zip(table["n"].to_pylist(), table["s"].to_pylist(), strict=True))
        for reader, rows in (("DuckDB", by_duckdb), ("PyIceberg", by_iceberg)):
            got = dict(rows)
            for number, text in texts:
                is_same = answer.code == 0 and got.get(number) == text and len(rows) == len(texts)
                outcome = Outcome.EXACT if is_same else Outcome.SILENT
                yield Ending(f"string {number}, {form}, {reader}", outcome, "" if is_same else repr(got.get(number)))


SUITES = (
    Suite("blns, a cell", cells, folder=FOLDER),
    Suite("blns, a key", keys, folder=FOLDER),
    Suite("blns, queried", beyond=queried, folder=FOLDER),
)
