"""The gate as a Dagster resource: opened once a process, when a run or a tick first needs it.

Dagster resolves annotations of resources: none are imported from the future.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from pipelines.contracts.current import current_datasets
from pipelines.contracts.loading import DatasetCatalog
from pipelines.gate import Gate

if TYPE_CHECKING:
    from resources.environment import Deployment

__all__ = ["GateResource", "deployment_here"]


def deployment_here() -> "Deployment":
    """The deployment that `LAKEGATE_*` variables name, else that of the stack `LAKEGATE_STACK` (default `lakegate`)."""
    from resources.environment import Deployment

    if os.environ.get("LAKEGATE_LANDING_BUCKET"):
        return Deployment.from_environment()
    return Deployment.from_stack(os.environ.get("LAKEGATE_STACK", "lakegate"))


class GateResource(dg.ConfigurableResource):
    """Everything a run needs of the world: object store, ledger, tables, queue and reader of one deployment."""

    datasets_folder: str

    def open(self) -> Gate:
        """The gate; the same one in this process until a dataset file or the environment changes. Makes the clients."""
        named = (item for item in os.environ.items() if item[0].startswith(("AWS_", "LAKEGATE_", "OTEL_")))
        return _open(_Held(current_datasets(Path(self.datasets_folder))), tuple(sorted(named)))


class _Held:
    """A catalog as a key: the same as long as its files are, and cheaper to compare than they are."""

    def __init__(self, catalog: DatasetCatalog) -> None:
        self.catalog = catalog

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and other.catalog is self.catalog

    def __hash__(self) -> int:
        return id(self.catalog)


# Not kept in the resource: Dagster makes a new one for each tick, and the clients would be made each time.
@lru_cache(maxsize=2)
def _open(held: _Held, _environment: tuple[tuple[str, str], ...]) -> Gate:
    # Here, and not above: to load the definitions nobody needs the clients of AWS, whose import takes a second.
    from resources.assembly import open_gate

    return open_gate(deployment_here(), held.catalog)
