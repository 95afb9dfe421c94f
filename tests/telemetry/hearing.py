"""A meter that remembers, for tests."""

from collections.abc import Iterable

from pipelines.telemetry.metrics import Metric, Record


class Hearing:
    """Takes measurements as the real one does, and adds nothing up."""

    def __init__(self) -> None:
        self.heard: list[Record] = []
        self.flushes = 0

    def tell(self, records: Iterable[Record]) -> None:
        self.heard.extend(records)

    def flush(self) -> None:
        self.flushes += 1

    def sums(self, metric: Metric) -> dict[tuple[str, ...], float]:
        """By the values of its labels, in the catalogue's order."""
        found: dict[tuple[str, ...], float] = {}
        for record in self.heard:
            if record.metric is metric:
                labels = tuple(record.labels[name] for name in metric.labels)
                found[labels] = found.get(labels, 0) + record.value
        return found

    def values(self, metric: Metric) -> list[float]:
        """In the order they were told."""
        return [record.value for record in self.heard if record.metric is metric]
