"""Paths into JSON: what is one, in one spelling; and what is said about a text that is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.contracts.json_paths import JsonPath, PathError, parse_path, path_text

STEPS = st.lists(st.text(max_size=5) | st.integers(0, 10**9 - 1), max_size=5).map(tuple)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("$", JsonPath(())),
        ("$.actor.login", JsonPath(("actor", "login"))),
        ('$["first name"].x-y', JsonPath(("first name", "x-y"))),
        ('$.a["\\u00e9\\""][0][12]', JsonPath(("a", 'é"', 0, 12))),
        ("$.größe", JsonPath(("größe",))),
        ("$.Records[*]", JsonPath(("Records",), each=True)),
        ('$.items[*].price["net value"][1]', JsonPath(("items",), each=True, inner=("price", "net value", 1))),
        ("$.items[*]#", JsonPath(("items",), each=True, number=True)),
        ("$[*]", JsonPath((), each=True)),
    ],
)
def test_a_path_is_read_by_its_steps(text: str, path: JsonPath) -> None:
    assert parse_path(text) == path
    assert parse_path(str(path)) == path


@given(steps=STEPS, each=st.booleans(), inner=STEPS)
def test_any_key_can_be_written_and_is_read_back(
    steps: tuple[str | int, ...], each: bool, inner: tuple[str | int, ...]
) -> None:
    path = JsonPath(steps, each, inner if each else ())
    assert parse_path(str(path)) == path


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ""),
        ("actor.login", "actor.login"),
        ("$actor", "actor at character 2"),
        ("$.", ". at character 2"),
        ("$..login", "..login at character 2"),
        ("$.1st", ".1st at character 2"),
        ("$['a']", "['a'] at character 2"),
        ('$["a]', '["a] at character 2'),
        ('$["\\x"]', 'at character 2'),
        ("$.a[-1]", "[-1] at character 4"),
        ("$.a[01]", "[01] at character 4"),
        ("$.a[1:2]", "[1:2] at character 4"),
        ("$.a[*].b[*]", "[*] at character 9"),
        ("$.a.*", ".* at character 4"),
        ("$.a#", "# at character 4"),
        ("$.a[*].b#", "# at character 9"),
        ("$.a b", "b at character 4"),
        ("$" + ".a" * 33, "at character"),
    ],
)  # fmt: skip
def test_a_text_that_is_no_path_is_refused_where_it_goes_wrong(text: str, found: str) -> None:
    with pytest.raises(PathError) as fault:
        parse_path(text)
    assert found in fault.value.found
    assert fault.value.expected
    assert fault.value.remedy


@given(st.text('$.[]*#"\\ab01', max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        path = parse_path(text)
    except PathError:
        return
    assert parse_path(str(path)) == path


def test_steps_are_shown_as_a_path() -> None:
    assert path_text(("labels", 3, "color")) == "labels[3].color"
    assert path_text(("$", "first name", 'a"b')) == '$["first name"]["a\\"b"]'
