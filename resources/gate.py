"""The gate as a Dagster resource: opened once a process, when a run or a tick first needs it.

Dagster resolves annotations of resources: none are imported from the future.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from pipelines.contracts.loading import load_datasets
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
        """The gate; the same one for the whole life of this process. Reads the dataset files and makes the clients."""
        named = (item for item in os.environ.items() if item[0].startswith(("AWS_", "LAKEGATE_")))
        return _open(self.datasets_folder, tuple(sorted(named)))


# Not kept in the resource: Dagster makes a new one for each tick, and the sensor would read every dataset file each time.
@lru_cache(maxsize=8)
def _open(datasets_folder: str, _environment: tuple[tuple[str, str], ...]) -> Gate:
    # Here, and not above: to load the definitions nobody needs the clients of AWS, whose import takes a second.
    from resources.assembly import open_gate

    return open_gate(deployment_here(), load_datasets(Path(datasets_folder)))
