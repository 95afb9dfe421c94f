"""Which lines of JSON Lines are one flat object of known keys, each value written as its column wants it: one regular expression a file.

A line of that form is still parsed with every guard of `json_fast.py`. One of another form is not therefore wrong: the strict way
decides, and for that line alone.
"""
# pyright: reportAttributeAccessIssue=false
# pyarrow.compute makes its functions when it is imported: the checker cannot see them.

import re
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contracts.model import Column, ColumnType
from pipelines.reading.json_blocks import JsonBlock

__all__ = ["LineForm"]

_MAX_KEY_CHARACTERS = 5_000
"""Keys with more characters together overflow the automaton's memory: it would take a hundred times as long."""
_INT = "-?(?:0|[1-9][0-9]{0,8}|1[0-9]{9}|20[0-9]{8})"
_BIGINT = "-?(?:0|[1-9][0-9]{0,17}|[1-8][0-9]{18})"
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_DOUBLE = r"-?(?:0|[1-9][0-9]{0,199})(?:\.[0-9]{1,200})?(?:[eE][+-]?[0-9]{1,2})?"
_FLOAT = (
    r"-?(?:0|[1-9][0-9]{0,29})(?:\.[0-9]{1,30})?"
    r"|-?(?:0|[1-9][0-9]{0,16})(?:\.[0-9]{1,17})?[eE][+-]?1?[0-9]"
)
"""Numbers that become neither infinite nor zero."""
_BOOLEAN = "true|false"
_STRING = (
    r'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u(?:[0-9a-cA-CefEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2})'
    r'|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*"'
)
_SPACE = r"[ \t]*"


class LineForm:
    """The form of a file's lines. Where it `tells_values`, a number of it lies inside its column's type, but for the largest whole ones."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        """Expect the columns by their keys in the file."""
        self.tells_values = sum(map(len, columns)) <= _MAX_KEY_CHARACTERS
        self._danger: str | None = None
        if self.tells_values:
            keys_by_value: dict[str, list[str]] = {}
            for key, column in columns.items():
                keys_by_value.setdefault(_value(column), []).append(re.escape(key))
            members = [_member("|".join(keys), value) for value, keys in keys_by_value.items()]
        else:  # which key has which value is left to the parser
            members = [_member(r'[^"\\\x00-\x1f]*', f"{_NUMBER}|{_STRING}|{_BOOLEAN}")]
            scales = [column.decimal_digits[1] for column in columns.values() if column.kind is ColumnType.DECIMAL]
            if scales:  # long decimals wrap around in silence, and `1e-999999999` ends the process
                self._danger = f"[0-9.]{{{39 - max(scales)}}}|[0-9.][eE]-[0-9]{{2}}"
        member = f"(?:{'|'.join(members)})"
        self._pattern = rf"^\{{{_SPACE}{member}(?:{_SPACE},{_SPACE}{member})*{_SPACE}\}}\r?\n$"

    def has(self, block: JsonBlock) -> npt.NDArray[np.bool_]:
        """Which lines of a block, whose content is UTF-8, have the form; a last line without its line feed has not."""
        offsets = np.concatenate((block.starts[:1], block.ends)).astype(np.int32)
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(block.content)]
        # As bytes: what is valid UTF-8 is known already, and the automaton is smaller.
        lines = pa.Array.from_buffers(pa.binary(), len(block.ends), buffers)
        has_form = pc.match_substring_regex(lines, self._pattern)
        if self._danger is not None:
            has_form = pc.and_not(has_form, pc.match_substring_regex(lines, self._danger))
        return has_form.to_numpy(zero_copy_only=False)


def _member(key: str, value: str) -> str:
    return rf'"(?:{key})"{_SPACE}:{_SPACE}(?:{value}|null)'


def _value(column: Column) -> str:
    match column.kind:
        case ColumnType.BOOLEAN:
            return _BOOLEAN
        case ColumnType.INT:
            return _INT
        case ColumnType.BIGINT:
            return _BIGINT
        case ColumnType.FLOAT:
            return _FLOAT
        case ColumnType.DOUBLE:
            return _DOUBLE
        case ColumnType.DECIMAL:
            precision, scale = column.decimal_digits
            whole = f"(?:0|[1-9][0-9]{{0,{precision - scale - 1}}})" if precision > scale else "0"
            number = f"-?{whole}" + (rf"(?:\.[0-9]{{1,{scale}}})?" if scale else "")
            return f'{number}|"{number}"'
        case _:
            return _STRING
