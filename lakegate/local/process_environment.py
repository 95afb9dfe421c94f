"""The environment of a process: what a child is given, and what this process is set to, so that no setting leads its clients elsewhere."""

from __future__ import annotations

import os
from collections.abc import Mapping

from lakegate.local.roles import CONTAINER_VARIABLES, KEY_VARIABLES
from resources.environment import DEPLOYMENT_VARIABLES

# Settings of ours that say which deployment, and which laptop: a child's are given to it, never inherited. All others are.
_OF_A_DEPLOYMENT = DEPLOYMENT_VARIABLES | {"LAKEGATE_HOME", "LAKEGATE_DAGSTER_URL", "LAKEGATE_EMF_FILE"}


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return our own environment for a child, with all that says which AWS and deployment replaced by `environment`'s."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AWS_") and name not in _OF_A_DEPLOYMENT and name != "PYTHONDONTWRITEBYTECODE"
    }
    return {**inherited, **environment}


def use_environment(environment: Mapping[str, str]) -> None:
    """Set the environment in this process, and drop the settings that would lead its AWS clients elsewhere."""
    for name in list(os.environ):
        leads_elsewhere = name.startswith("AWS_ENDPOINT_URL") or name in (
            "AWS_PROFILE",
            "AWS_DEFAULT_PROFILE",
            *KEY_VARIABLES,
            *CONTAINER_VARIABLES,
            "LAKEGATE_OPERATOR_WORKGROUP",
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
        )
        if leads_elsewhere and name not in environment:
            del os.environ[name]
    os.environ.update(environment)
