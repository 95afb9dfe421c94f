"""What strangers write is shown on one line, with nothing that a terminal or a reader of logs would obey."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipelines.printable import printable


@given(st.text(st.characters(), max_size=50))
def test_whatever_it_was_it_can_be_printed_on_one_line(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    if text.isprintable():
        assert shown == text


def test_controls_directions_and_surrogates_are_told() -> None:
    assert printable("a\nb\x1b[2J\x9b\u202e\u200f\udcffé😀") == "a\\nb\\x1b[2J\\x9b\\u202e\\u200f\\udcffé😀"
