"""Lineage as a test hears it: what workers told, and the events that are made of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openlineage.client.serde import Serde

from pipelines.contracts.model import Dataset
from pipelines.lineage.describe import describe
from pipelines.lineage.naming import LineageNames
from pipelines.lineage.news import BatchNews
from pipelines.links import Links
from resources.openlineage_events import run_event
from tests.ingest.world import BUCKET, QUARANTINE

Event = dict[str, Any]


@dataclass
class Told:
    """A sink that keeps what it is told."""

    news: list[BatchNews] = field(default_factory=list)

    def tell(self, news: BatchNews) -> None:
        self.news.append(news)

    def settle(self) -> Sequence[str]:
        return ()

    def events(self, **changes: Any) -> list[Event]:
        """Everything told so far, as it would be sent."""
        return [as_json(one, names(**changes)) for one in self.news]

    def completed(self, **changes: Any) -> list[Event]:
        return [event for event in self.events(**changes) if event["eventType"] == "COMPLETE"]


def location(dataset: Dataset) -> tuple[str, str]:
    return "processed-bucket", f"processed/{dataset.table}/data"


def names(**changes: Any) -> LineageNames:
    said = {
        "job_namespace": "lakegate",
        "region": "eu-west-1",
        "database": "lake",
        "landing_bucket": BUCKET,
        "quarantine_bucket": QUARANTINE,
        "locate": location,
        "version": "0.1.0",
        "links": Links(
            "https://dagster.example.com", "https://docs.example.com", "https://git.example.com/lake/assets/datasets"
        ),
    }
    return LineageNames(**{**said, **changes})


def as_json(news: BatchNews, called: LineageNames | None = None) -> Event:
    """The event as it is written to a file or sent: through the client's own classes and their checks."""
    return json.loads(Serde.to_json(run_event(describe(news, called or names()))))


def tags(event: Event) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in event["run"]["facets"]["tags"]["tags"]}


def dataset_of(event: Event, side: str, name: str) -> Event:
    """The one input or output of that name."""
    (found,) = (one for one in event[side] if one["name"] == name)
    return found


def facets_of(event: Event) -> list[tuple[str, dict[str, Any]]]:
    """Every facet of an event, with its name."""
    found = [*event["run"]["facets"].items(), *event["job"]["facets"].items()]
    for one in (*event["inputs"], *event["outputs"]):
        for group in ("facets", "inputFacets", "outputFacets"):
            found += one.get(group, {}).items()
    return found


def without_ids(event: Event, batches: dict[str, str]) -> Event:
    """The event with what is new each time replaced by what is not: ids of batches, and bytes of data files (which hold those)."""
    text = json.dumps(event)
    for batch, name in batches.items():
        text = text.replace(batch, name)
    steady: Event = json.loads(text)
    for output in steady["outputs"]:
        if "dataQualityMetrics" in output["facets"]:
            assert output["facets"]["dataQualityMetrics"]["bytes"] == output["outputFacets"]["outputStatistics"]["size"]
            output["facets"]["dataQualityMetrics"]["bytes"] = output["outputFacets"]["outputStatistics"]["size"] = 2048
    return steady


GOLDEN = Path(__file__).parent / "golden"
