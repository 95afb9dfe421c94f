"""Writes a benchmark's file, the same bytes for the same arguments, its contract, and the truth about it, taken before anything is text.

    python -m benchmarks.generate OUT --gigabytes 1                    # OUT/wide.csv, wide.yaml, wide.truth.json
    python -m benchmarks.generate OUT --gigabytes 1 --dirty 0.001      # and wide.truth.jsonl: line, id, column, rule and text of each bad row
    python -m benchmarks.generate OUT --gigabytes 1 --format jsonl
    python -m benchmarks.generate OUT --gigabytes 1 --feed letters     # the second feed, CSV only

`wide.truth.json` speaks of the good rows alone (`truth.py`). Blocks of rows are made side by side and written in order.
"""

import argparse
import json
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.blocks import rows_of, texts_of
from benchmarks.damage import Bad, damaged_csv, damaged_json
from benchmarks.feeds import FEEDS, WIDE, Feed
from benchmarks.truth import Truth, take

__all__ = ["Plan", "generate"]

_ROWS_A_BLOCK = 50_000
_BYTES_A_ROW = {("wide", "csv"): 200, ("wide", "jsonl"): 385, ("letters", "csv"): 82}
_MAKERS = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """What is generated: `size_bytes` about, `dirty` the share of bad rows (0 to 1)."""

    feed: str
    form: str
    size_bytes: int
    dirty: float = 0.0
    seed: int = 42

    @property
    def rows(self) -> int:
        """The rows of the file, good and bad."""
        return max(1, self.size_bytes // _BYTES_A_ROW[self.feed, self.form])


@dataclass(frozen=True, slots=True)
class _Block:
    content: bytes
    lines: int
    truth: Truth
    bad: list[tuple[int, int, Bad]]  # the line within the block, from 0; the id


def generate(plan: Plan, folder: Path) -> Path:
    """Write the file, its contract and its truth into `folder`; the file's path. What was there is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    feed = FEEDS[plan.feed]
    path = folder / f"{feed.name}.{plan.form}"
    (folder / f"{feed.name}.yaml").write_text(feed.contract_for(plan.form, dirty=plan.dirty > 0), "utf-8")
    truth, line = Truth(), 1
    with path.open("wb") as out, (folder / f"{feed.name}.truth.jsonl").open("w", encoding="utf-8") as told:
        if plan.form == "csv":
            out.write((feed.delimiter.join(feed.columns) + "\n").encode())
            line = 2
        for block in _blocks(plan):
            out.write(block.content)
            truth += block.truth
            for at, identity, bad in block.bad:
                told.write(json.dumps({"line": line + at, "id": identity, **asdict(bad)}) + "\n")
            line += block.lines
    truth.write(folder / f"{feed.name}.truth.json")
    return path


def _blocks(plan: Plan) -> Iterator[_Block]:
    firsts = range(0, plan.rows, _ROWS_A_BLOCK)
    if len(firsts) == 1:
        yield _block(plan, 0)
        return
    waiting: deque[Future[_Block]] = deque()
    with ProcessPoolExecutor(_MAKERS, mp_context=get_context("spawn")) as pool:
        for first in firsts:
            waiting.append(pool.submit(_block, plan, first))
            if len(waiting) > 2 * _MAKERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _block(plan: Plan, first_id: int) -> _Block:
    feed = FEEDS[plan.feed]
    rows = rows_of(feed, plan.seed, first_id, min(_ROWS_A_BLOCK, plan.rows - first_id), first_id / plan.rows)
    # A stream of its own: the good rows of a dirty file are those of the clean one.
    rng = np.random.default_rng([plan.seed, first_id, 1])
    chosen = np.flatnonzero(rng.random(rows.num_rows) < plan.dirty)
    parts = _csv_cells(feed, rows) if plan.form == "csv" else _json_members(rows)
    lines = pc.binary_join_element_wise(*parts, feed.delimiter) if plan.form == "csv" else _json_lines(parts)
    bad: list[Bad] = []
    if len(chosen):
        makes = damaged_csv if plan.form == "csv" else damaged_json
        taken = [column.take(pa.array(chosen)).to_pylist() for column in parts]
        bad = [makes(rng, list(cells)) for cells in zip(*taken, strict=True)]
        is_bad = np.zeros(rows.num_rows, bool)
        is_bad[chosen] = True
        lines = pc.replace_with_mask(lines, pa.array(is_bad), pa.array([b.raw for b in bad]))
        truth = take(rows.filter(pa.array(~is_bad)))
    else:
        truth = take(rows)
    newlines = 1 + pc.count_substring(lines, "\n").to_numpy()
    starts = np.cumsum(newlines) - newlines
    ended = pc.binary_join_element_wise(lines, pa.scalar("\n"), "")
    offsets = np.frombuffer(ended.buffers()[1], np.int32)
    content = bytes(memoryview(ended.buffers()[2])[: offsets[rows.num_rows]])
    if feed.encoding != "utf-8":
        content = content.decode().encode(feed.encoding)
    told = [(int(starts[row]), first_id + int(row), one) for row, one in zip(chosen, bad, strict=True)]
    return _Block(content, int(newlines.sum()), truth, told)


def _csv_cells(feed: Feed, rows: pa.RecordBatch) -> list[pa.Array]:
    """Each column as it stands in the file: quoted where it must be, empty for null."""
    cells: list[pa.Array] = []
    for name, text in texts_of(rows).items():
        if pa.types.is_string(feed.columns[name]):
            inside = pc.replace_substring(text, '"', '""')
            quoted = pc.binary_join_element_wise(pa.scalar('"'), inside, pa.scalar('"'), "")
            text = pc.if_else(pc.match_substring_regex(text, f'["\n{feed.delimiter}]'), quoted, text)
        cells.append(pc.fill_null(text, ""))
    return cells


def _json_members(rows: pa.RecordBatch) -> list[pa.Array]:
    """Each column as `"name":value`, empty for null. Of what JSON escapes, the texts have quotes and newlines only."""
    members: list[pa.Array] = []
    for name, text in texts_of(rows).items():
        kind = rows.schema.field(name).type
        bare = (
            pa.types.is_integer(kind)
            or pa.types.is_floating(kind)
            or pa.types.is_decimal(kind)
            or pa.types.is_boolean(kind)
        )
        if pa.types.is_string(kind):
            text = pc.replace_substring(pc.replace_substring(text, '"', '\\"'), "\n", "\\n")
        before, after = (f'"{name}":', "") if bare else (f'"{name}":"', '"')
        members.append(pc.fill_null(pc.binary_join_element_wise(pa.scalar(before), text, pa.scalar(after), ""), ""))
    return members


def _json_lines(members: list[pa.Array]) -> pa.Array:
    first, *others = members
    led = [pc.if_else(pc.equal(m, ""), m, pc.binary_join_element_wise(pa.scalar(","), m, "")) for m in others]
    return pc.binary_join_element_wise(pa.scalar("{"), first, *led, pa.scalar("}"), "")


def main() -> None:
    """Write the files asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--format", choices=["csv", "jsonl"], default="csv")
    parser.add_argument("--feed", choices=list(FEEDS), default=WIDE.name)
    parser.add_argument("--dirty", type=float, default=0.0, help="the share of bad rows, in the wide feed")
    parser.add_argument("--seed", type=int, default=42)
    given = parser.parse_args()
    if given.feed != WIDE.name and (given.dirty or given.format != "csv"):
        parser.error("the second feed is clean CSV only")
    plan = Plan(given.feed, given.format, int(given.gigabytes * 1e9), given.dirty, given.seed)
    path = generate(plan, given.out)
    print(f"{path}: {plan.rows:,} rows, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
