"""`lakegate` as a user calls it, in this process: its door `main`, its exit code, what it wrote to which stream."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lakegate.cli.main import main

ORDERS = """
name: orders
description: Orders of a shop, one file a day.
owner: team:sales
landing: {key: "landing/orders/{day:%Y-%m-%d}.csv", day: day, start: 2026-01-01}
format: {type: csv}
columns:
  day: {type: date, from: key}
  id: {type: bigint, nullable: false}
  amount: {type: "decimal(10,2)"}
  note: {type: string}
partition_by: [day]
primary_key: [id]
"""
GOOD = b"id,amount,note\n1,1.50,a\n2,2.50,\n"
BAD = b"id,amount,note\n1,1.50,a\n2,much,b\n3,more,c\n"


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class _Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def lakegate(*arguments: object, terminal: bool = False) -> Answer:
    """Run a command; a stack trace, or an exception that leaves `main`, fails the test."""
    wrapper = _Terminal if terminal else io.TextIOWrapper
    out, err = (wrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    before = sys.argv, sys.stdout, sys.stderr
    sys.argv, sys.stdout, sys.stderr = ["lakegate", *(str(a) for a in arguments)], out, err
    code: Any = 0
    try:
        main()
    except SystemExit as stop:
        code = stop.code
    finally:
        sys.argv, sys.stdout, sys.stderr = before
    texts = [stream.buffer.getvalue().decode() for stream in (out, err)]  # type: ignore[attr-defined]
    assert not any("Traceback" in text for text in texts), texts
    return Answer(int(code or 0), *texts)


@contextmanager
def inside(folder: Path) -> Iterator[Path]:
    """A shell in this folder."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield folder
    finally:
        os.chdir(before)


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder with its content, and every folder."""
    found = {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}
    assert found
    return found
