"""infra/dagster-ecs.yaml, read: each service's container with its command, its environment and its health check."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from tests.image.dockerfile import ROOT

TEMPLATE = ROOT / "infra" / "dagster-ecs.yaml"
SERVICES = ("Code", "Daemon", "Workers", "Web")


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short tags, each kept as `{tag: value}`."""


def _keep_tag(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {suffix: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {suffix: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _keep_tag)


def template() -> dict[str, Any]:
    return yaml.load(TEMPLATE.read_text(encoding="utf-8"), _Loader)


def container(service: str) -> dict[str, Any]:
    """The one container of a service's task."""
    [found] = template()["Resources"][f"{service}Task"]["Properties"]["ContainerDefinitions"]
    return found


def environment(service: str, names: Mapping[str, str]) -> dict[str, str]:
    """A container's variables and secrets, where `names` says what parameters, attributes and secrets are."""
    own = container(service)
    values = {entry["Name"]: entry["Value"] for entry in own["Environment"]}
    values |= {entry["Name"]: entry["ValueFrom"] for entry in own["Secrets"] if "Name" in entry}
    return {name: resolved(value, names) for name, value in values.items()}


def resolved(value: Any, names: Mapping[str, str]) -> str:
    """What CloudFormation makes of a value; of a secret's place what ECS makes of it."""
    if isinstance(value, str):
        return value
    if "Sub" in value:
        text = re.sub(r"\$\{([^}]+)\}", lambda match: names[match[1]], value["Sub"])
        return names.get(text, text)
    [said] = value.values()
    return names[said]
