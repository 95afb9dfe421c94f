"""Random nested types, and random values of them: as JSON text, and as Python has them after Arrow."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
from hypothesis import strategies as st

from pipelines.contracts.nested_types import ArrayType, DataType, MapType, ScalarType, StructType

_SCALARS = ("string", "boolean", "int", "bigint", "float", "double", "decimal(20,3)", "date", "timestamp", "json")
_NAMES = st.sampled_from(["a", "b", "_c", "d_1", "name", "zip_code"])


def types(depth: int = 3) -> st.SearchStrategy[DataType]:
    """Types of up to so many levels above the leaves."""
    leaves: st.SearchStrategy[DataType] = st.sampled_from([ScalarType(text) for text in _SCALARS])
    if not depth:
        return leaves
    inner = types(depth - 1)
    members = st.lists(st.tuples(_NAMES, inner), min_size=1, max_size=4, unique_by=lambda m: m[0])
    return st.one_of(leaves, inner.map(ArrayType), inner.map(MapType), members.map(lambda m: StructType(tuple(m))))


def nested_types() -> st.SearchStrategy[DataType]:
    """Types that are no scalars."""
    return types().filter(lambda kind: not isinstance(kind, ScalarType))


@st.composite
def values(draw: st.DrawFn, kind: DataType) -> tuple[str, Any]:
    """A value of the type: its JSON text, and what Arrow's `to_pylist` makes of it."""
    if draw(st.integers(0, 5)) == 0:
        return "null", None
    match kind:
        case ScalarType(text):
            return draw(_scalar(text))
        case ArrayType(element):
            items = draw(st.lists(values(element), max_size=3))
            return "[" + ", ".join(text for text, _ in items) + "]", [value for _, value in items]
        case MapType(inside):
            pairs = draw(st.dictionaries(st.text(max_size=4), values(inside), max_size=3))
            text = ",".join(f"{json.dumps(key)}: {text}" for key, (text, _) in pairs.items())
            return "{" + text + "}", [(key, value) for key, (_, value) in pairs.items()]
        case StructType(members):
            told: list[str] = []
            found: dict[str, Any] = {}
            for name, member in members:
                found[name] = None
                if draw(st.integers(0, 5)):
                    text, found[name] = draw(values(member))
                    spelled = draw(
                        st.sampled_from([name, name.upper(), name.replace("_", " ") if name[0] != "_" else name])
                    )
                    told.append(f"{json.dumps(spelled)}: {text}")
            return "{" + ", ".join(draw(st.permutations(told))) + "}", found


def _scalar(text: str) -> st.SearchStrategy[tuple[str, Any]]:
    match text:
        case "string":
            return st.text(max_size=6).map(lambda v: (json.dumps(v, ensure_ascii=len(v) % 2 == 0), v))
        case "boolean":
            return st.booleans().map(lambda v: (json.dumps(v), v))
        case "int":
            return st.integers(-(2**31), 2**31 - 1).map(lambda v: (str(v), v))
        case "bigint":
            return st.integers(-(2**63), 2**63 - 1).map(lambda v: (str(v), v))
        case "float":
            return st.floats(allow_nan=False, allow_infinity=False, width=32).map(
                lambda v: (repr(v), float(np.float32(v)))
            )
        case "double":
            return st.floats(allow_nan=False, allow_infinity=False).map(lambda v: (repr(v), v))
        case "decimal(20,3)":
            digits = st.integers(-(10**20) + 1, 10**20 - 1).map(lambda n: Decimal(n).scaleb(-3))
            return digits.map(lambda v: (f"{v:f}", v))
        case "date":
            return st.dates(date(1, 1, 1)).map(lambda v: (f'"{v.isoformat()}"', v))
        case "timestamp":
            moments = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001 - UTC comes next
            return moments.map(lambda v: (f'"{v.isoformat()}Z"', v.replace(tzinfo=UTC)))
        case _:
            documents = st.recursive(
                st.none() | st.booleans() | st.integers() | st.text(max_size=3),
                lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
                max_leaves=4,
            )
            return documents.map(
                lambda v: (
                    json.dumps(v),
                    None if v is None else json.dumps(v, ensure_ascii=False, separators=(",", ":")),
                )
            )
