"""The type of a column is one that says exactly what its texts say; what they do not settle is text, and the file says so."""

from __future__ import annotations

import pytest

from tests.inference.support import inferred, line_of, of_csv, rows, types


def column(*values: str, name: str = "x", **told: object) -> tuple[str, str]:
    """Type and lines of a column of these cells; a second column keeps blank cells from being blank lines."""
    content = f"{name},other\n" + "".join(f"{value},z\n" for value in values)
    dataset, text = of_csv(content, **told)
    (first, *_) = dataset.file_columns
    return dataset.columns[first].type, line_of(text, first)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("1", "-2", "100000000"), "int"),
        (("0", "1", "1"), "int"),
        (("100000001", "1"), "bigint"),
        (("9007199254740993", "1"), "bigint"),
        (("9223372036854775807",), "bigint"),
        (("9223372036854775808", "1"), "decimal(38,0)"),
        (("9" * 38,), "decimal(38,0)"),
        (("9" * 39,), "string"),
        (("1" * 500, "2"), "string"),
        (("007", "12"), "string"),
        (("-01", "12"), "string"),
        (("+1", "2"), "string"),
        (("1.50", "2.25"), "decimal(11,2)"),
        (("1", "2.25"), "decimal(11,2)"),
        (("12345678.5", "2.5"), "decimal(12,1)"),
        (("1.5", "2.25"), "double"),
        (("1.12345", "2.12345"), "double"),
        (("1e5", "2"), "double"),
        (("1e5", "9007199254740992"), "double"),
        (("1e5", "9007199254740993"), "string"),
        (("1e5", "1152921504606846976"), "double"),
        (("1e5", "1152921504606846977"), "string"),
        (("1.5", "10000000000000001"), "decimal(21,1)"),
        (("0.1234567890123456789", "1.1"), "decimal(28,19)"),
        (("0.1234567890123456789e3", "1.1"), "string"),
        (("1e400", "1"), "string"),
        (("-0", "1"), "double"),
        ((".5", "1."), "double"),
        (("true", "FALSE"), "boolean"),
        (("true", "maybe"), "string"),
        (("Y", "N"), "string"),
        (("2024-01-31", "1999-12-01"), "date"),
        (("2024-01-31", "2023-02-29"), "string"),
        (("2024-01-31T10:00:00Z", "2024-01-31 10:00+02:00"), "timestamp"),
        (("2024-01-31T10:00:00", "2024-01-31 10:00:01"), "string"),
        (("31/12/2024", "01/02/2024"), "date"),
        (("12/31/2024", "1/2/2024"), "date"),
        (("01/02/2024", "03/04/2024"), "string"),
        (("31/12/2024", "12/31/2024"), "string"),
        (("31.12.24", "01.02.24"), "string"),
        (("5 Jan 2024", "31 Dec 2023"), "date"),
        (("0x1F", "1"), "string"),
        (("1_000", "1"), "string"),
        (("1,000.5", "1"), "string"),
        (("٣", "1"), "string"),
        (("inf", "1.5"), "string"),
        (("", ""), "string"),
        (("a\u202eb", "c"), "string"),
    ],
)  # fmt: skip
def test_the_type_says_what_every_text_says(values: tuple[str, ...], expected: str) -> None:
    quoted = tuple(f'"{v}"' if "," in v else v for v in values)
    assert column(*quoted)[0] == expected


@pytest.mark.parametrize("word", ["NA", "N/A", "null", "NaN", "-", "?", "None"])
def test_a_word_for_null_is_never_null_unless_told(word: str) -> None:
    kind, said = column("1", "2", word, word)
    assert kind == "string"
    assert f'2 of 4 values are "{word}"' in said
    assert "--null" in said
    assert column("1", "2", word, word, null_values=(word,))[0] == "int"


def test_a_word_told_to_be_null_reads_as_null() -> None:
    content = "x,y\n1,a\nNA,b\n,c\n"
    dataset, _ = of_csv(content, null_values=("NA",))
    assert [row["x"] for row in rows(dataset, content.encode())] == [1, None, None]


def test_blank_cells_are_null_in_columns_that_are_not_text() -> None:
    kind, said = column("1", "", "3")
    assert kind == "int"
    assert "2 values, 1 null" in said


def test_identifiers_get_64_bits_and_codes_stay_text() -> None:
    assert column("1", "2", name="customer_id")[0] == "bigint"
    assert column("10115", "80331", name="zip")[0] == "string"


def test_money_is_decimal_and_measurements_are_not() -> None:
    assert column("2.55", "3.3", "4.125", name="UnitPrice")[0] == "decimal(12,3)"
    assert column("2.55", "3.3", "4.125", name="height")[0] == "double"


def test_eight_digits_are_a_day_only_where_the_name_says_so() -> None:
    kind, said = column("20240131", "20231201", name="order_date")
    assert kind == "date"
    assert 'format: "%Y%m%d"' in said
    assert column("20240131", "20231201", name="batch")[0] == "int"
    assert column("20240131", "20230229", name="order_date")[0] == "string"  # no such day: told by the second reading


def test_a_time_without_an_offset_needs_its_zone_told() -> None:
    kind, said = column("2024-01-31 10:00:00")
    assert kind == "string"
    assert "--zone" in said
    kind, said = column("2024-01-31 10:00:00", zone="Europe/Berlin")
    assert kind == "timestamp"
    assert "zone: Europe/Berlin" in said.replace('"', "")


def test_a_local_time_that_the_zone_skips_makes_the_column_text_and_says_why() -> None:
    kind, said = column("2024-03-31 02:30:00", zone="Europe/Berlin")
    assert kind == "string"
    assert "does not exist" in said


def test_an_open_order_of_day_and_month_is_said() -> None:
    assert "nothing tells day from month" in column("01/02/2024", "03/04/2024")[1]


def test_forms_that_mix_are_counted() -> None:
    said = column("2024-01-31", "01/31/2024", "2024-02-01")[1]
    assert "2 as ISO 8601 date" in said
    assert "1 as %m/%d/%Y" in said


def test_the_first_value_that_is_no_number_is_named_with_its_place() -> None:
    assert '1 of 4 are no numbers, such as "C7" on line 4 of "rows.csv"' in column("1", "2", "C7", "4")[1]


def test_what_a_file_holds_cannot_leave_its_comment() -> None:
    dataset, text = of_csv('x,y\n1,z\n2,z\n"3\nname: evil",z\n')
    assert types(dataset) == {"x": "string", "y": "string"}
    assert dataset.name == "rows"
    assert "\nname: evil" not in text


def test_kinds_of_json_count() -> None:
    records = b"""[
      {"n": 1, "t": "1", "b": true, "o": {"a": 1}, "a": [1], "m": 1, "d": "2024-01-31", "z": "2024-01-31T00:00:00Z", "e": null, "f": 1.5},
      {"n": 2, "t": "2", "b": false, "o": null, "a": [], "m": "1", "d": "2024-02-01", "z": "2024-01-31T00:00:00Z", "e": null, "f": 1e2}
    ]"""
    dataset, text = inferred({"rows.json": records})
    assert types(dataset) == {
        "n": "int", "t": "string", "b": "boolean", "o": "json", "a": "json", "m": "json", "d": "date", "z": "timestamp",
        "e": "json", "f": "double",
    }  # fmt: skip
    assert "several kinds (1 number, 1 text)" in line_of(text, "m")


def test_numbers_of_json_that_no_type_holds_are_kept_as_json() -> None:
    digits = "1" * 60
    dataset, _ = inferred({"rows.jsonl": f'{{"n": {digits}}}\n{{"n": 2}}\n'.encode()})
    assert types(dataset) == {"n": "json"}
    assert [row["n"] for row in rows(dataset, f'{{"n": {digits}}}\n'.encode())] == [digits]
