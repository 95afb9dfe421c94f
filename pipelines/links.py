"""Addresses that messages to people carry: the pages of Dagster, the documentation, and the dataset files.

Where the address of Dagster's pages is not known (`LAKEGATE_DAGSTER_URL`), there is no link; a page of the documentation is
named by its path in the repository then (`LAKEGATE_DOCS_URL`). `LAKEGATE_TRACE_URL` is where a trace is shown, with `{trace_id}` in it. `LAKEGATE_DATASETS_URL` is the folder of the dataset files in a browser.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from pipelines.errors import ConfigurationError

__all__ = ["Links"]

_TRACE_ID = "{trace_id}"


@dataclass(frozen=True, slots=True)
class Links:
    """The addresses of a deployment, without a slash at the end; None where it is not known.

    `objects` is that of S3 where it is not AWS's own, but the laptop's, say.
    """

    dagster: str | None = None
    docs: str | None = None
    datasets: str | None = None
    objects: str | None = None
    traces: str | None = None

    @staticmethod
    def of(environment: Mapping[str, str]) -> "Links":
        """As `LAKEGATE_DAGSTER_URL`, `LAKEGATE_DOCS_URL`, `LAKEGATE_DATASETS_URL` and `LAKEGATE_TRACE_URL` say, and AWS's own `AWS_ENDPOINT_URL_S3` or
        `AWS_ENDPOINT_URL`.

        Raises ConfigurationError for what is no address.
        """
        of_s3 = "AWS_ENDPOINT_URL_S3" if environment.get("AWS_ENDPOINT_URL_S3") else "AWS_ENDPOINT_URL"
        said = ("LAKEGATE_DAGSTER_URL", "LAKEGATE_DOCS_URL", "LAKEGATE_DATASETS_URL", of_s3)
        return Links(*(_address(environment, name) for name in said), traces=_template(environment))

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

    def trace(self, trace_id: str) -> str | None:
        """The page of a trace."""
        return self.traces.replace(_TRACE_ID, trace_id) if self.traces else None

    def object(self, bucket: str, key: str) -> str:
        """Where a browser shows an object: the page of the AWS console, or the object itself on another S3."""
        if self.objects is None:
            return f"https://console.aws.amazon.com/s3/object/{quote(bucket, safe='')}?prefix={quote(key, safe='')}"
        return f"{self.objects}/{quote(bucket, safe='')}/{quote(key)}"

    def page(self, name: str, anchor: str = "") -> str:
        """A page of the documentation, such as `operating.md`, at a heading."""
        at = f"#{anchor}" if anchor else ""
        return f"{self.docs or 'docs'}/{name}{at}"


def _template(environment: Mapping[str, str]) -> str | None:
    said = _address(environment, "LAKEGATE_TRACE_URL")
    if said is not None and _TRACE_ID not in said:
        raise ConfigurationError(
            f"LAKEGATE_TRACE_URL is {said!r}: it must have {_TRACE_ID} in it, where a trace's id goes"
        )
    return said


def _address(environment: Mapping[str, str], name: str) -> str | None:
    said = environment.get(name)
    if not said:
        return None
    if not said.startswith(("http://", "https://")):
        raise ConfigurationError(f"{name} is {said!r}: it must be an address that starts with http:// or https://")
    return said.rstrip("/")
