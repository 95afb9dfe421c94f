"""Small pictures of a dataset's past, for the page of a materialization: one a metadata entry, each drawn by matplotlib.

Dagster shows Markdown beside its name only up to 1,000 characters, and behind a click beyond (`MetadataEntry.tsx` of its UI). So a
picture has to stay below 720 bytes: few colours, sharp edges, and lossless WebP, which keeps such pictures in half of what PNG
needs. Drawn on white, they read alike on a light and on a dark page.
"""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pipelines.accounting.day_counts import DayCounts
from pipelines.accounting.states import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "DAYS_SHOWN",
    "INLINE_CHARACTERS",
    "ONE_DAY",
    "Waited",
    "latency",
    "null_share",
    "quarantine_rate",
    "rows_per_day",
]

DAYS_SHOWN = 30
ONE_DAY = timedelta(days=1)
INLINE_CHARACTERS = 1000
"""Markdown of at least so many characters is behind a click in Dagster's UI."""
_WIDTH, _HEIGHT, _DPI = 460, 112, 100
_BLUE, _ORANGE = "#2f6fb0", "#d9730d"
_COLUMNS_SHOWN = 5
_STYLE: dict[Any, Any] = {
    "font.size": 7.2,
    "text.antialiased": False,
    "lines.antialiased": False,
    "patch.antialiased": False,
    "text.hinting": "force_autohint",
    "text.parse_math": False,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
}


@dataclass(frozen=True, slots=True)
class Waited:
    """How long the files of one materialization waited from landing until they were queryable, in seconds; `at` is when it was told."""

    at: datetime
    median: float
    slowest: float


def rows_per_day(counts: Sequence[DayCounts], last: date) -> str:
    """Rows in the table by landing day, of the days up to `last`; Markdown."""
    rows = {count.landing_day: count.rows_in_table for count in counts}

    def draw(axes: "Axes") -> None:
        days = _days(last)
        axes.bar(range(len(days)), [rows.get(day, 0) for day in days], width=0.8, color=_BLUE, antialiased=False)
        _count_axis(axes, max(rows.get(day, 0) for day in days))
        _day_axis(axes, days)

    return _picture(f"Rows in the table, by landing day ({_span(last)})", draw)


def quarantine_rate(counts: Sequence[DayCounts], last: date) -> str:
    """The share of the files judged that lie in quarantine, by landing day; a day without one has a dot, one without files nothing; Markdown."""
    shares = {count.landing_day: share for count in counts if (share := _quarantined_share(count)) is not None}

    def draw(axes: "Axes") -> None:
        days = _days(last)
        axes.bar(range(len(days)), [shares.get(day, 0) for day in days], width=0.8, color=_ORANGE, antialiased=False)
        clean = [at for at, day in enumerate(days) if shares.get(day) == 0]
        axes.plot(clean, [0] * len(clean), linestyle="", marker="s", markersize=2, color="black", clip_on=False)
        axes.set_ylim(0, 100)
        axes.set_yticks([0, 50, 100], ["0 %", "50 %", "100 %"])
        _day_axis(axes, days)

    return _picture(f"Files in quarantine, % of those judged ({_span(last)}; a dot: none)", draw)


def latency(waits: Sequence[Waited]) -> str:
    """Seconds from landing to queryable, of the latest materializations in order of time: median and slowest file; Markdown."""
    shown = sorted(waits, key=lambda wait: wait.at)[-DAYS_SHOWN:]

    def draw(axes: "Axes") -> None:
        places = range(len(shown))
        slowest = [wait.slowest for wait in shown]
        axes.bar(places, slowest, width=0.8, color=_BLUE, antialiased=False)
        axes.plot(
            places,
            [wait.median for wait in shown],
            linestyle="",
            marker="s",
            markersize=2.5,
            color="black",
            clip_on=False,
        )
        axes.set_xlim(-0.6, max(len(shown), 10) - 0.4)
        ticks = sorted({0, (len(shown) - 1) // 2, len(shown) - 1}) if len(shown) > 14 else sorted({0, len(shown) - 1})
        axes.set_xticks(ticks, [f"{shown[t].at:%d %b %H:%M}" for t in ticks])
        if len(ticks) > 1:
            axes.get_xticklabels()[-1].set_horizontalalignment("right")
            axes.get_xticklabels()[0].set_horizontalalignment("left")
        _seconds_axis(axes, max(slowest))

    return _picture("Seconds from landing to queryable: slowest file (bar), median (dot)", draw)


def null_share(column_nulls: Mapping[str, int], rows: int) -> str:
    """The columns with the largest share of nulls in the rows that a run published; Markdown."""
    shares = sorted(((nulls / rows, name) for name, nulls in column_nulls.items() if nulls), reverse=True)
    if not shares:
        return f"No null in the {rows:,} rows and {len(column_nulls)} columns of this run."
    shown = shares[:_COLUMNS_SHOWN][::-1]

    def draw(axes: "Axes") -> None:
        axes.barh(range(len(shown)), [100 * share for share, _ in shown], height=0.7, color=_BLUE, antialiased=False)
        axes.set_yticks(range(len(shown)), [name if len(name) <= 18 else f"{name[:17]}…" for _, name in shown])
        axes.set_ylim(-0.6, max(len(shown), 3) - 0.4)
        top = next(t for t in (1, 5, 20, 50, 100) if t >= 100 * shown[-1][0])
        axes.set_xlim(0, top)
        axes.set_xticks([0, top], ["0 %", f"{top} %"])
        for place, (share, _) in enumerate(shown):
            text = f"{100 * share:.0f} %" if share >= 0.05 else f"{100 * share:.1g} %"
            axes.text(100 * share + top / 80, place, text, va="center")

    first = f", the first {len(shown)}" if len(shares) > len(shown) else ""
    title = f"Nulls in the {rows:,} rows of this run: {len(shares)} of {len(column_nulls)} columns have some{first}"
    return _picture(title, draw, left=0.24)


# ---- axes ---------------------------------------------------------------------------------------------------------


def _days(last: date) -> list[date]:
    return [last - timedelta(days=back) for back in range(DAYS_SHOWN - 1, -1, -1)]


def _span(last: date) -> str:
    return f"{_days(last)[0]} to {last}"


def _quarantined_share(count: DayCounts) -> float | None:
    judged = (Outcome.LOADED, Outcome.SUPERSEDED, Outcome.QUARANTINED, Outcome.EMPTY)
    files = sum(count.outcomes.get(outcome, 0) for outcome in judged)
    return 100 * count.outcomes.get(Outcome.QUARANTINED, 0) / files if files else None


def _day_axis(axes: "Axes", days: Sequence[date]) -> None:
    axes.set_xlim(-0.6, len(days) - 0.4)
    ticks = range(len(days) - 1, -1, -7)
    axes.set_xticks(list(ticks), [f"{days[t].day} {days[t]:%b}" for t in ticks])


def _count_axis(axes: "Axes", most: int) -> None:
    top = max(most, 1)
    axes.set_ylim(0, top)
    axes.set_yticks([0, top] if most else [0], ["0", f"{top:,}"] if most else ["0"])


def _seconds_axis(axes: "Axes", most: float) -> None:
    top = max(most, 0.1)
    axes.set_ylim(0, top)
    axes.set_yticks([0, top], ["0 s", f"{top:,.1f} s" if top < 100 else f"{top:,.0f} s"])


# ---- pictures -----------------------------------------------------------------------------------------------------


def _picture(title: str, draw: Callable[["Axes"], None], left: float = 0.12) -> str:
    """One picture as Markdown, under its title: the words in a picture are what makes it large."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH / _DPI, _HEIGHT / _DPI), dpi=_DPI, facecolor="white")
        draw(figure.add_axes((left, 0.2, 0.955 - left, 0.74)))
        content = _webp(figure)
    return f"{title}\n\n![plot](data:image/webp;base64,{base64.b64encode(content).decode()})"


def _webp(figure: "Figure") -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = Image.frombuffer("RGBA", (_WIDTH, _HEIGHT), bytes(canvas.buffer_rgba()))
    few = drawn.convert("RGB").quantize(4, dither=Image.Dither.NONE)
    content = io.BytesIO()
    few.convert("RGB").save(content, "WEBP", lossless=True, quality=90, method=5)
    return content.getvalue()
