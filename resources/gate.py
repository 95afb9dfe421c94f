"""The gate as a Dagster resource: opened once a process, when a run or a tick first needs it.

Dagster resolves annotations of resources: none are imported from the future.
"""

import os
from pathlib import Path

import dagster as dg
from pydantic import PrivateAttr

from pipelines.contracts.loading import load_datasets
from pipelines.gate import Gate
from resources.assembly import open_gate
from resources.environment import Deployment

__all__ = ["GateResource", "deployment_here"]


def deployment_here() -> Deployment:
    """The deployment that `LAKEGATE_*` variables name, else that of the stack `LAKEGATE_STACK` (default `lakegate`)."""
    if os.environ.get("LAKEGATE_LANDING_BUCKET"):
        return Deployment.from_environment()
    return Deployment.from_stack(os.environ.get("LAKEGATE_STACK", "lakegate"))


class GateResource(dg.ConfigurableResource):
    """Everything a run needs of the world: object store, ledger, tables, queue and reader of one deployment."""

    datasets_folder: str

    _gate: Gate | None = PrivateAttr(default=None)

    def open(self) -> Gate:
        """The gate; the same one for the whole life of this process. Reads the dataset files and makes the clients."""
        if self._gate is None:
            self._gate = open_gate(deployment_here(), load_datasets(Path(self.datasets_folder)))
        return self._gate
