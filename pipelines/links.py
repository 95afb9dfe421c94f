"""Addresses that messages to people carry: the pages of Dagster, the documentation, and the dataset files.

Where the address of Dagster's pages is not known (`LAKEGATE_DAGSTER_URL`), there is no link; a page of the documentation is
named by its path in the repository then (`LAKEGATE_DOCS_URL`). `LAKEGATE_DATASETS_URL` is the folder of the dataset files in a browser.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from pipelines.errors import ConfigurationError

__all__ = ["Links"]


@dataclass(frozen=True, slots=True)
class Links:
    """The addresses of a deployment, without a slash at the end; None where it is not known."""

    dagster: str | None = None
    docs: str | None = None
    datasets: str | None = None

    @staticmethod
    def of(environment: Mapping[str, str]) -> "Links":
        """As `LAKEGATE_DAGSTER_URL`, `LAKEGATE_DOCS_URL` and `LAKEGATE_DATASETS_URL` say. Raises ConfigurationError for what is no address."""
        said = ("LAKEGATE_DAGSTER_URL", "LAKEGATE_DOCS_URL", "LAKEGATE_DATASETS_URL")
        return Links(*(_address(environment, name) for name in said))

    def run(self, run_id: str) -> str | None:
        """The page of a run."""
        return f"{self.dagster}/runs/{quote(run_id, safe='')}" if self.dagster else None

    def asset(self, key: Sequence[str], *, view: str = "overview", partition: str | None = None) -> str | None:
        """The page of an asset: its `overview`, `checks`, `events`, `partitions` or `lineage`; of one partition, if given."""
        if not self.dagster:
            return None
        path = "/".join(quote(part, safe="") for part in key)
        chosen = f"&partition={quote(partition, safe='')}" if partition is not None else ""
        return f"{self.dagster}/assets/{path}?view={view}{chosen}"

    def dataset_file(self, name: str) -> str | None:
        """The YAML file of a dataset."""
        return f"{self.datasets}/{name}.yaml" if self.datasets else None

    def page(self, name: str, anchor: str = "") -> str:
        """A page of the documentation, such as `operating.md`, at a heading."""
        at = f"#{anchor}" if anchor else ""
        return f"{self.docs or 'docs'}/{name}{at}"


def _address(environment: Mapping[str, str], name: str) -> str | None:
    said = environment.get(name)
    if not said:
        return None
    if not said.startswith(("http://", "https://")):
        raise ConfigurationError(f"{name} is {said!r}: it must be an address that starts with http:// or https://")
    return said.rstrip("/")
