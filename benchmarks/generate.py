"""Writes the benchmark's file: a wide CSV or JSON Lines feed, the same bytes for the same arguments, and the truth about it.

    python benchmarks/generate.py OUT --gigabytes 1                    # OUT/wide.csv and OUT/wide.yaml
    python benchmarks/generate.py OUT --gigabytes 1 --dirty 0.001      # and OUT/wide.truth.jsonl: line, column, rule
    python benchmarks/generate.py OUT --gigabytes 1 --format jsonl

Eighteen columns: ints, doubles, decimals, timestamps with and without offset, dates, booleans, quoted and non-ASCII
text, nulls; thirty dates in shuffled order, the worst case for a partitioned writer; some quoted newlines, so that a line
number is not a record number.
"""

import argparse
import json
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ROWS_A_BLOCK = 100_000
BYTES_A_ROW = {"csv": 186, "jsonl": 452}
NAMES = ["Anna", "Björn", "Łukasz", "Zoë", "田中", "O'Neill", "Иван", "Ana María", "John", "Mary-Jane"]
WORDS = ["red", "green chair", "blue lamp", "naïve café", "plain", "wooden table", "glass", "steel", "paper", "ink"]
COUNTRIES = ["DE", "FR", "PL", "ES", "US", "JP", "SE", "IE"]

CONTRACT = """\
name: {name}
description: The benchmark's wide table.
landing: {{key: "landing/{name}/*.{extension}", start: 2024-01-01}}
format: {{type: {form}}}
columns:
  id:          {{type: bigint, nullable: false, min: 0}}
  customer_id: {{type: int, nullable: false}}
  store_id:    {{type: int}}
  quantity:    {{type: int, min: 0, max: 1000}}
  score:       {{type: double}}
  ratio:       {{type: double, min: -1, max: 1}}
  weight:      {{type: double}}
  price:       {{type: "decimal(10,2)", min: 0, nullable: false}}
  discount:    {{type: "decimal(6,4)"}}
  event_time:  {{type: timestamp, zone: UTC, nullable: false}}
  updated_at:  {{type: timestamp}}
  event_date:  {{type: date, nullable: false}}
  birth_date:  {{type: date}}
  active:      {{type: boolean}}
  name:        {{type: string, max_length: 60}}
  code:        {{type: string, nullable: false, pattern: "[A-Z]{{2}}[0-9]{{4}}"}}
  country:     {{type: string, allowed: [DE, FR, PL, ES, US, JP, SE, IE]}}
  note:        {{type: string}}
partition_by: [event_date]
primary_key: [id]
"""
COLUMNS = ["id", "customer_id", "store_id", "quantity", "score", "ratio", "weight", "price", "discount", "event_time",
           "updated_at", "event_date", "birth_date", "active", "name", "code", "country", "note"]  # fmt: skip
TEXT = {"event_time", "updated_at", "event_date", "birth_date", "name", "code", "country", "note"}

# Kind of damage -> (column, text that replaces the cell, rule that must name it); None replaces the whole row.
DAMAGE: list[tuple[str, str, str | None, str]] = [
    ("letters in an int", "customer_id", "12x", "type"),
    ("a fraction in an int", "store_id", "2.7", "type"),
    ("an int that does not fit", "quantity", "99999999999", "number_range"),
    ("an int out of range", "quantity", "5000", "range"),
    ("words in a double", "score", "n/a", "type"),
    ("a decimal with too many digits", "price", "1.239", "number_range"),
    ("a null that must not be", "price", "", "null"),
    ("30 February", "event_date", "2024-02-30", "type"),
    ("a timestamp without its offset", "updated_at", "2024-01-05 10:00:00", "type"),
    ("a code that does not match", "code", "ab1234", "pattern"),
    ("a country that is not allowed", "country", "XX", "allowed"),
    ("yes for true", "active", "yes", "type"),
]
STRUCTURAL = [("short", "short_row"), ("long", "long_row"), ("bare", "bare_quote"), ("after", "text_after_quote")]


def _strings(values: np.ndarray) -> pa.Array:
    return pa.array(values).cast(pa.string())


def _fixed_point(units: np.ndarray, digits: int) -> pa.Array:
    fraction = pc.utf8_lpad(_strings(units % 10**digits), digits, "0")
    return pc.binary_join_element_wise(_strings(units // 10**digits), fraction, ".")


def _pick(rng: np.random.Generator, choices: list[str], rows: int) -> pa.Array:
    return pa.array(choices).take(pa.array(rng.integers(0, len(choices), rows)))


def _with_nulls(rng: np.random.Generator, values: pa.Array, share: float) -> pa.Array:
    return pc.if_else(pa.array(rng.random(len(values)) < share), pa.scalar(None, values.type), values)


def _block(rng: np.random.Generator, first_id: int, rows: int) -> dict[str, pa.Array]:
    """The cells of one block as text; null is null."""
    day = rng.integers(0, 30, rows)
    second = rng.integers(0, 86_400, rows)
    epoch = np.datetime64("2024-01-01", "D").astype("datetime64[s]").astype(np.int64)
    event = pa.array((epoch + day * 86_400 + second).astype("datetime64[s]"))
    updated = pa.array(
        ((epoch + day * 86_400 + second) * 1_000_000 + rng.integers(0, 10**12, rows)).astype("datetime64[us]")
    )
    names = pc.binary_join_element_wise(_pick(rng, NAMES, rows), _pick(rng, NAMES, rows), " ")
    quoted = pc.binary_join_element_wise(
        pa.scalar('"'), _pick(rng, NAMES, rows), pa.scalar(', ""'), _pick(rng, WORDS, rows), pa.scalar('"""'), ""
    )
    notes = pc.binary_join_element_wise(*[_pick(rng, WORDS, rows) for _ in range(3)], " ")
    folded = pc.binary_join_element_wise(
        pa.scalar('"'), notes, pa.scalar("\n"), _pick(rng, WORDS, rows), pa.scalar('"'), ""
    )
    price = _fixed_point(rng.integers(0, 10_000_000, rows), 2)
    share = _fixed_point(rng.integers(0, 10_000, rows), 4)
    letters = np.array([f"{chr(65 + i // 26)}{chr(65 + i % 26)}" for i in range(676)])
    return {
        "id": _strings(np.arange(first_id, first_id + rows)),
        "customer_id": _strings(rng.integers(0, 5_000_000, rows).astype(np.int32)),
        "store_id": _with_nulls(rng, _strings(rng.integers(0, 3_000, rows).astype(np.int32)), 0.05),
        "quantity": _strings(rng.integers(0, 1_000, rows).astype(np.int32)),
        "score": _strings(np.round(rng.normal(0, 1_000, rows), 6)),
        "ratio": _with_nulls(rng, _strings(np.round(rng.uniform(-1, 1, rows), 9)), 0.1),
        "weight": _strings(rng.gamma(2.0, 10.0, rows)),
        "price": price,
        "discount": _with_nulls(rng, share, 0.3),
        "event_time": pc.strftime(event, "%Y-%m-%dT%H:%M:%S"),
        "updated_at": pc.binary_join_element_wise(pc.strftime(updated, "%Y-%m-%dT%H:%M:%S"), pa.scalar("Z"), ""),
        "event_date": pc.strftime(event, "%Y-%m-%d"),
        "birth_date": _with_nulls(rng, pc.strftime(pa.array(rng.integers(-10_000, 12_000, rows).astype("datetime64[D]")), "%Y-%m-%d"), 0.2),
        "active": pc.if_else(pa.array(rng.random(rows) < 0.5), "true", "false"),
        "name": pc.if_else(pa.array(rng.random(rows) < 0.2), quoted, names),
        "code": pc.binary_join_element_wise(_pick(rng, letters.tolist(), rows), _strings(rng.integers(1_000, 10_000, rows)), ""),
        "country": _pick(rng, COUNTRIES, rows),
        "note": _with_nulls(rng, pc.if_else(pa.array(rng.random(rows) < 0.01), folded, notes), 0.2),
    }  # fmt: skip


def _damage_csv(rng: np.random.Generator, cells: dict[str, list[str]], row: int) -> tuple[str, str | None, str]:
    """One bad line, and the column and rule that must be reported for it."""
    texts = {name: cells[name][row] or "" for name in COLUMNS}
    kind = int(rng.integers(0, len(DAMAGE) + len(STRUCTURAL)))
    if kind < len(DAMAGE):
        _, column, text, rule = DAMAGE[kind]
        texts[column] = text or ""
        return ",".join(texts.values()), column, rule
    form, rule = STRUCTURAL[kind - len(DAMAGE)]
    values = list(texts.values())
    if form == "short":
        return ",".join(values[:-2]), None, rule
    if form == "long":
        return ",".join([*values, "x", "y"]), None, rule
    column = "code" if form == "bare" else "name"
    texts[column] = 'AB"1234' if form == "bare" else '"Anna" Smith'
    return ",".join(texts.values()), column, rule


def _write_csv(out: IO[bytes], truth: IO[str] | None, rng: np.random.Generator, rows: int, dirty: float) -> None:
    out.write((",".join(COLUMNS) + "\n").encode())
    line = 2
    for first in range(0, rows, ROWS_A_BLOCK):
        count = min(ROWS_A_BLOCK, rows - first)
        block = _block(rng, first, count)
        filled = [pc.fill_null(block[name], "") for name in COLUMNS]
        lines = pc.binary_join_element_wise(*filled, ",")
        if truth is not None:
            chosen = np.flatnonzero(rng.random(count) < dirty)
            texts = {
                name: column.take(pa.array(chosen)).to_pylist() for name, column in zip(COLUMNS, filled, strict=True)
            }
            newlines = pc.count_substring(lines, "\n").to_numpy().copy()
            whole = lines.to_pylist()
            bad: dict[int, tuple[str | None, str]] = {}
            for position, row in enumerate(chosen.tolist()):
                whole[row], column, rule = _damage_csv(rng, texts, position)
                newlines[row] = whole[row].count("\n")
                bad[row] = (column, rule)
            starts = line + np.arange(count) + np.concatenate(([0], np.cumsum(newlines)[:-1]))
            for row, (column, rule) in bad.items():
                truth.write(json.dumps({"line": int(starts[row]), "column": column, "rule": rule}) + "\n")
            lines = pa.array(whole)
        line += count + int(pc.sum(pc.count_substring(lines, "\n")).as_py())
        ended = pc.binary_join_element_wise(lines, pa.scalar(""), "\n")
        out.write("".join(ended.to_pylist()).encode())


def _unquoted(text: str) -> str:
    return text[1:-1].replace('""', '"') if text.startswith('"') else text


def _write_jsonl(out: IO[bytes], truth: IO[str] | None, rng: np.random.Generator, rows: int, dirty: float) -> None:
    line = 1
    damage = [d for d in DAMAGE if d[0] != "a null that must not be"]
    for first in range(0, rows, ROWS_A_BLOCK):
        count = min(ROWS_A_BLOCK, rows - first)
        columns = {name: column.to_pylist() for name, column in _block(rng, first, count).items()}
        chosen = set(np.flatnonzero(rng.random(count) < dirty).tolist()) if truth is not None else set[int]()
        for row in range(count):
            cells: dict[str, Any] = {name: columns[name][row] for name in COLUMNS}
            if row in chosen and truth is not None:
                _, column, text, rule = damage[int(rng.integers(0, len(damage)))]
                cells[column] = text
                truth.write(json.dumps({"line": line, "column": column, "rule": rule}) + "\n")
            parts = [_member(name, text) for name, text in cells.items() if text is not None]
            out.write(("{" + ",".join(parts) + "}\n").encode())
            line += 1


def _member(name: str, text: str) -> str:
    if name in TEXT or text in ("12x", "n/a", "yes"):
        return f'"{name}":{json.dumps(_unquoted(text), ensure_ascii=False)}'
    return f'"{name}":{text}'


def main() -> None:
    """Write the files asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--format", choices=["csv", "jsonl"], default="csv")
    parser.add_argument("--dirty", type=float, default=0.0, help="share of bad rows; also writes the truth")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--name", default="wide")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rows = max(1, int(args.gigabytes * 1e9 / BYTES_A_ROW[args.format]))
    rng = np.random.default_rng(args.seed)
    write = _write_csv if args.format == "csv" else _write_jsonl
    (args.out / f"{args.name}.yaml").write_text(
        CONTRACT.format(name=args.name, form=args.format, extension=args.format), "utf-8"
    )
    path = args.out / f"{args.name}.{args.format}"
    with path.open("wb") as out:
        if args.dirty:
            with (args.out / f"{args.name}.truth.jsonl").open("w", encoding="utf-8") as truth:
                write(out, truth, rng, rows, args.dirty)
        else:
            write(out, None, rng, rows, 0.0)
    print(f"{path}: {rows:,} rows, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
