"""Which deployment a command means: what the environment names, else the laptop of this folder, else the stack."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lakegate.cli.naming import load_catalog
from lakegate.settings import home_folder

if TYPE_CHECKING:
    from pipelines.gate import Gate
    from resources.environment import Deployment

__all__ = ["connect", "deployment_of"]


def connect() -> "tuple[Deployment, Gate]":
    """The deployment and its gate.

    Order: `LAKEGATE_*` variables; `LAKEGATE_STACK`; the laptop that is up in this folder; the stack called `lakegate`.
    """
    from resources.assembly import open_gate

    deployment = deployment_of()
    return deployment, open_gate(deployment, load_catalog())


def deployment_of() -> "Deployment":
    """The deployment alone; no dataset file is read."""
    from resources.environment import Deployment

    if os.environ.get("LAKEGATE_LANDING_BUCKET"):
        return Deployment.from_environment()
    if named := os.environ.get("LAKEGATE_STACK"):
        return Deployment.from_stack(named)
    home = home_folder(os.environ, Path.cwd())
    if (home / "laptop.json").exists() and not os.environ.get("AWS_ENDPOINT_URL"):
        from lakegate.local.laptop import Laptop

        return Deployment.from_environment(Laptop(home).environment())
    return Deployment.from_stack("lakegate")
