"""A CloudFormation template as it is sent: JSON without a character too many, for a request takes 51,200 bytes of it.

The file is YAML with comments and CloudFormation's short tags, which are for people. Source: AWS CloudFormation User Guide,
"CloudFormation quotas" (template body size in a request), "Intrinsic function reference".
"""

import json
from pathlib import Path
from typing import Any

import yaml

from pipelines.errors import ConfigurationError

__all__ = ["as_sent"]

_WITHOUT_PREFIX = frozenset({"Ref", "Condition"})


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short tags in their long form; what looks like a date stays text."""


def _long_form(loader: _Loader, name: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)  # pyright: ignore[reportArgumentType]  # the third kind of node
    if name == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {name if name in _WITHOUT_PREFIX else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _long_form)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", yaml.SafeLoader.construct_yaml_str)


def as_sent(template: Path) -> str:
    """Return the template as one line of JSON.

    Raises:
        ConfigurationError: it is not YAML.
    """
    try:
        document = yaml.load(template.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a safe loader with more tags
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{template} was refused: it is not YAML: {error}") from error
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)
