"""The tables of docs/metrics.md, from the catalogue. `python -m pipelines.telemetry.page` writes them into the page."""

import re
from collections.abc import Mapping
from math import prod
from pathlib import Path

from pipelines.telemetry.metrics import CATALOGUE, LABELS, Kind, Metric
from pipelines.telemetry.names import cloudwatch_unit, dimension_sets, prometheus_name

__all__ = ["PAGE", "sections", "with_sections"]

PAGE = Path("docs/metrics.md")
_PRICE = 0.30
"""US dollars a month for one of the first 10,000 custom metrics, us-east-1, November 2026."""


def sections() -> Mapping[str, str]:
    """The text between each pair of marks on the page, by the mark's name."""
    return {"metrics": _metrics(), "labels": _labels(), "series": _series()}


def with_sections(page: str) -> str:
    """The page with its tables as they are now. Raises ValueError for a page without one of the marks."""
    for name, text in sections().items():
        mark = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        if not mark.search(page):
            raise ValueError(f"the page has no marks for {name}")
        page = mark.sub(lambda found, text=text: f"{found[1]}{text}\n{found[2]}", page)
    return page


def _metrics() -> str:
    parts: list[str] = []
    for metric in CATALOGUE:
        labels = ", ".join(f"`{name}`" for name in metric.labels) or "none"
        unit = f"`{metric.unit}`, in CloudWatch `{cloudwatch_unit(metric)}`"
        told = f"{metric.kind.value}; unit {unit}; labels: {labels}"
        if metric.kind is Kind.GAUGE and metric.labels:
            told += f"; over its labels the {'greatest' if metric.total.value == 'max' else 'sum'}"
        if metric.bounds:
            told += f"; buckets up to {', '.join(f'{bound:g}' for bound in metric.bounds)}"
        parts.append(
            f"### `{metric.name}`\n\nPrometheus: `{prometheus_name(metric)}` · {told}\n\n{metric.meaning}\n*{metric.watch}*\n"
        )
    return "\n".join(parts)


def _labels() -> str:
    rows = [
        f"| `{label.name}` | {label.meaning} | {', '.join(f'`{value}`' for value in label.values) or 'as they come, 500 at most'} |"
        for label in LABELS.values()
    ]
    return "\n".join(["| label | says | values |", "|---|---|---|", *rows])


def _series() -> str:
    rows = ["| metric | told under | of the deployment | of each dataset |", "|---|---|---:|---:|"]
    fixed = each = 0
    for metric in CATALOGUE:
        of_deployment, of_dataset = _counted(metric)
        under = ", ".join(f"[{', '.join(part)}]" for part in dimension_sets(metric))
        rows.append(f"| `{metric.name}` | {under} | {of_deployment} | {of_dataset or ''} |")
        fixed, each = fixed + of_deployment, each + of_dataset
    rows.append(f"| at most | | **{fixed}** | **{each}** |")
    return "\n".join(rows) + (
        f"\n\nSo at most {fixed} series and {each} more for each dataset: {fixed * _PRICE:.0f} and {each * _PRICE:.0f} US dollars a month, if all "
        f"of them had data in every hour, at {_PRICE:.2f} US dollars a series and month (the first 10,000; us-east-1, November 2026)."
    )


def _counted(metric: Metric) -> tuple[int, int]:
    """Series at most: of the whole deployment, and more for each dataset."""
    fixed = each = 0
    for part in dimension_sets(metric):
        number = prod(LABELS[name].count for name in part if name != "dataset")
        if "dataset" in part:
            each += number
        else:
            fixed += number
    return fixed, each


if __name__ == "__main__":
    PAGE.write_text(with_sections(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
