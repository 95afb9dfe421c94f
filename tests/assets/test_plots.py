"""The pictures of a dataset's past: that they say what is so, and stay small enough to be shown where they stand."""

import base64
import io
import subprocess
import sys
import warnings
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from PIL import Image

from assets import plots
from assets.plots import INLINE_CHARACTERS, Waited, latency, null_share, quarantine_rate, rows_per_day
from pipelines.accounting.day_counts import DayCounts
from pipelines.accounting.states import Outcome

LAST = date(2026, 1, 15)
BLUE, ORANGE = (47, 111, 176), (217, 115, 13)


def day(back: int, rows: int = 900, quarantined: int = 0) -> DayCounts:
    outcomes = {Outcome.LOADED: 4, Outcome.QUARANTINED: quarantined}
    return DayCounts("orders", LAST - timedelta(days=back), 4 + quarantined, outcomes, rows_in_table=rows)


def picture(told: str) -> Any:
    title, image = told.split("\n\n")
    assert title
    assert image.startswith("![plot](data:image/webp;base64,")
    return Image.open(io.BytesIO(base64.b64decode(image.split("base64,")[1][:-1]))).convert("RGB")


def painted(told: str, colour: tuple[int, int, int]) -> list[int]:
    """How many points of a colour each column of the picture has."""
    image = picture(told)
    near = [[all(abs(a - b) < 12 for a, b in zip(image.getpixel((x, y)), colour, strict=True)) for y in range(image.height)] for x in range(image.width)]  # fmt: skip
    return [sum(column) for column in near]


def bars(told: str, colour: tuple[int, int, int]) -> int:
    """How many bars of a colour stand beside each other."""
    columns = [bool(points) for points in painted(told, colour)]
    return sum(now and not before for before, now in zip([False, *columns], columns, strict=False))


def test_a_day_has_its_bar_and_an_empty_day_none() -> None:
    assert bars(rows_per_day([day(0), day(1), day(5)], LAST), BLUE) == 3
    assert bars(rows_per_day([], LAST), BLUE) == 0
    assert rows_per_day([], LAST).startswith("Rows in the table, by landing day (2025-12-17 to 2026-01-15)")


def test_days_outside_of_those_shown_change_nothing() -> None:
    inside = [day(3)]
    assert rows_per_day([*inside, day(-2, 10**9), day(plots.DAYS_SHOWN, 10**9)], LAST) == rows_per_day(inside, LAST)


def test_a_bar_is_as_high_as_its_share() -> None:
    columns = painted(quarantine_rate([day(0, quarantined=4), day(9, quarantined=1), day(20)], LAST), ORANGE)
    half, fifth = max(columns[380:]), max(columns[:380])
    assert half / fifth == pytest.approx(0.5 / 0.2, rel=0.15)


def test_latency_shows_the_latest_in_order_of_time() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    waits = [Waited(start + timedelta(hours=hour), 1, 2 + hour % 3) for hour in range(50)]
    told = latency(waits[::-1])
    assert bars(told, BLUE) == plots.DAYS_SHOWN
    assert told == latency(waits[-plots.DAYS_SHOWN :])
    assert bars(latency(waits[:1]), BLUE) == 1


def test_null_share_shows_the_largest_shares_first() -> None:
    told = null_share({"a": 0, "b": 50, "c": 100}, 100)
    assert told.startswith("Nulls in the 100 rows of this run: 2 of 3 columns have some\n")
    image = picture(told)
    rows = [
        sum(all(abs(a - b) < 12 for a, b in zip(image.getpixel((x, y)), BLUE, strict=True)) for x in range(image.width))
        for y in range(image.height)
    ]
    lengths = [length for length, before in zip(rows, [0, *rows], strict=False) if length and not before]
    assert lengths[0] == pytest.approx(2 * lengths[1], rel=0.03)
    assert null_share({"a": 0}, 3) == "No null in the 3 rows and 1 columns of this run."


def test_every_picture_is_small_enough_to_be_shown_inline_and_is_opaque_white() -> None:
    counts = [day(back, 700 + back * 7919 % 300, back % 4) for back in range(40) if back % 9]
    start = datetime(2026, 1, 1, tzinfo=UTC)
    waits = [Waited(start + timedelta(hours=3 * n), 1 + n * 31 % 17 / 10, 3 + n * 7919 % 60 / 10) for n in range(40)]
    nulls = {name: 97 * n % 800 for n, name in enumerate(("dep_time", "a_very_long_name_of_a_column", "delay", "b", "c", "d"), 1)}  # fmt: skip
    told = [rows_per_day(counts, LAST), quarantine_rate(counts, LAST), latency(waits), null_share(nulls, 842)]
    assert [len(one) < INLINE_CHARACTERS for one in told] == [True] * 4
    for one in told:
        assert picture(one).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("names", [("über", "数据", "$x_1$", "a\\b"), ("_" * 300,)])
def test_column_names_are_text_whatever_they_are(names: tuple[str, ...]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a glyph that the font lacks is a box
        assert picture(null_share(dict.fromkeys(names, 1), 2)).width > 0


def test_nothing_is_drawn_with_before_something_is_drawn() -> None:
    said = "import sys, assets.telling; print([m for m in ('matplotlib', 'PIL') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
