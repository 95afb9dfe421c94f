"""What a soak found: a line fitted over each series, and the picture. Both from `soak.json` alone, so that it can be drawn again.

python -m benchmarks.soak_report soak.json soak.png
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["draw", "fits"]

TOLERANCE = 0.10
"""A series grows when its slope for an hour is more than this share of its mean, beyond twice the slope's standard error."""
_FLOOR = {"MB": 8.0, "files": 3.0, "threads": 3.0, "s": 0.3, "requests": 2.0, "load": 0.5, "GB": 0.1}
"""Growth in an hour that is none, by unit: what a warm cache or one more connection makes."""
_NOT_JUDGED = ("ministack", "athena", "soak", "load average", "disk")
"""The laptop's AWS keeps its state in memory, the soak what it put, and the disk every file: drawn, and told, but no fault."""


def fits(report: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """For each series its mean, its slope an hour, that as a share of the mean, and whether it is flat; after the warm-up alone."""
    found: dict[str, dict[str, Any]] = {}
    for name, series in report["series"].items():
        at = np.array([t for t, v in series["points"] if t >= report["warm_up_s"] and v is not None]) / 3600
        values = np.array([v for t, v in series["points"] if t >= report["warm_up_s"] and v is not None], dtype=float)
        if len(at) < 5 or np.ptp(at) == 0:
            continue
        slope, base = np.polyfit(at, values, 1)
        left = values - slope * at - base
        error = float(np.sqrt((left @ left) / max(1, len(at) - 2) / ((at - at.mean()) @ (at - at.mean()))))
        mean = float(values.mean())
        sure = float(slope) - 2 * error
        grows = sure > max(TOLERANCE * abs(mean), _FLOOR[series["unit"]])
        found[name] = {
            "unit": series["unit"],
            "mean": round(mean, 3),
            "slope_an_hour": round(float(slope), 3),
            "standard_error": round(error, 3),
            "share_an_hour": round(float(slope) / mean, 4) if mean else 0.0,
            "judged": not any(part in name for part in _NOT_JUDGED),
            "flat": not grows,
        }
    return found


_PANELS: Sequence[tuple[str, str, str]] = (
    ("memory ", "memory (PSS), MB", "MB"),
    ("open files ", "open file descriptors", "files"),
    ("threads ", "threads", "threads"),
    ("tick", "tick of the landing sensor, s", "s"),
    ("ledger ", "ledger requests a tick", "requests"),
    ("latency", "PUT to committed, s", "s"),
    ("backlog", "files not settled", "files"),
    ("load average", "load average of the machine", "load"),
    ("disk", "disk, GB", "GB"),
)


def draw(report: Mapping[str, Any], picture: Path) -> None:
    """Draw every series over time, with the kills as vertical lines."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(len(_PANELS), 1, figsize=(12, 2.6 * len(_PANELS)), sharex=True)
    colours = {"pause": "tab:orange"}
    for panel, (start, title, _) in zip(panels, _PANELS, strict=True):
        for name, series in report["series"].items():
            if name.startswith(start):
                points = [(t / 60, v) for t, v in series["points"] if v is not None]
                dots = start in ("tick", "latency")
                style = {"linestyle": "", "marker": ".", "markersize": 2} if dots else {"linewidth": 1}
                panel.plot(*zip(*points, strict=True) if points else ([], []), label=name.removeprefix(start), **style)
        for kill in report["kills"]:
            panel.axvline(kill["at"] / 60, color=colours.get(kill["what"], "tab:red"), alpha=0.25, linewidth=0.8)
        panel.axvline(report["warm_up_s"] / 60, color="grey", linestyle="--", linewidth=0.8)
        panel.set_title(title, loc="left", fontsize=9)
        panel.set_ylim(bottom=0)
        if len(panel.get_legend_handles_labels()[0]) > 1:
            panel.legend(fontsize=6, ncols=6, loc="upper right")
    panels[-1].set_xlabel("minutes; red: a process killed, orange: the AWS paused, dashed: end of the warm-up")
    figure.suptitle(
        f"{report['minutes']:.0f} minutes at {report['rate']:g} files a second: {report['files']['files']:,} files, {len(report['kills'])} kills and pauses"
    )
    figure.tight_layout()
    figure.savefig(picture, dpi=90)
    plt.close(figure)


def main() -> None:
    """Draw again what a soak wrote."""
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))


if __name__ == "__main__":
    main()
