"""Any text becomes a name that a column may have."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.contracts.names import plain_name


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("dep_time", "dep_time"),
        ("Dep Time", "dep_time"),
        ("  dep--time ", "dep_time"),
        ("DepTime", "deptime"),
        ("_source_file", "source_file"),
        ("2nd", "c_2nd"),
        ("größe", "grosse"),
        ("Österreich", "osterreich"),
        ("Province/State", "province_state"),
        ("价格", ""),
        ("---", ""),
    ],
)
def test_a_name_is_made_plain(name: str, plain: str) -> None:
    assert plain_name(name) == plain


@settings(deadline=None)
@given(st.text(max_size=30))
def test_a_plain_name_is_a_column_name_and_stays_as_it_is(name: str) -> None:
    plain = plain_name(name)
    assert plain == "" or re.fullmatch(r"[a-z][a-z0-9_]*", plain)
    assert plain_name(plain) == plain
