"""What things are called in lineage: by the names that other producers of OpenLineage events give them, so that graphs join.

Source: OpenLineage, "Naming Conventions". A table goes by its Athena name, for that is how it is queried, and has the place of its
files, by which Spark calls an Iceberg table, as a second name. Glue's own name holds the account's id, which Lakegate does not ask for.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from pipelines.contracts.model import Dataset
from pipelines.lineage.events import DatasetName, JobRun
from pipelines.links import Links

__all__ = ["LineageNames", "job_name", "run_id_of"]


def run_id_of(batch_id: str) -> str:
    """The UUID by which lineage knows a batch: the same for every attempt at it."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"lakegate/batch/{batch_id}"))


def job_name(dataset: Dataset) -> str:
    """The job of which each batch of the dataset is a run."""
    return f"ingest_{dataset.name}"


@dataclass(frozen=True, slots=True)
class LineageNames:
    """A deployment's part of all names. `locate` gives the bucket and key prefix of a table's data files."""

    job_namespace: str
    region: str
    database: str
    landing_bucket: str
    quarantine_bucket: str
    locate: Callable[[Dataset], tuple[str, str]]
    version: str
    links: Links

    def run(self, dataset: Dataset, batch_id: str) -> JobRun:
        """The run that a batch is."""
        return JobRun(self.job_namespace, job_name(dataset), run_id_of(batch_id))

    def parent(self, dataset: Dataset, owner: str | None) -> JobRun | None:
        """The Dagster run that works on a batch; None for a worker that is none."""
        try:
            return JobRun(self.job_namespace, f"dagster.{job_name(dataset)}", str(uuid.UUID(owner or "")))
        except ValueError:
            return None

    def landing(self, dataset: Dataset) -> DatasetName:
        """Everything that lands for a dataset: by the text its keys begin with."""
        return DatasetName(f"s3://{self.landing_bucket}", _start_of(dataset.landing.key))

    def file(self, key: str) -> DatasetName:
        """One landed object."""
        return DatasetName(f"s3://{self.landing_bucket}", key)

    def table(self, dataset: Dataset) -> DatasetName:
        """A table, as Athena knows it."""
        return DatasetName(
            f"awsathena://athena.{self.region}.amazonaws.com", f"AwsDataCatalog.{self.database}.{dataset.table}"
        )

    def location(self, dataset: Dataset) -> DatasetName:
        """Where a table's files lie."""
        bucket, prefix = self.locate(dataset)
        return DatasetName(f"s3://{bucket}", prefix.removesuffix("/data"))

    def quarantine(self, dataset: Dataset) -> DatasetName:
        """Where the files of a dataset go that break its contract."""
        return DatasetName(f"s3://{self.quarantine_bucket}", f"quarantine/{dataset.name}")


def _start_of(pattern: str) -> str:
    literal = pattern.split("{", 1)[0].split("*", 1)[0]
    return literal.rstrip("/")
