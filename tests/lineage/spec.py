"""The specification's own JSON Schemas, where a folder holds them: `spec/` of a checkout of github.com/OpenLineage/OpenLineage.

No package that could be installed brings them. `LAKEGATE_OPENLINEAGE_SPEC` names the folder (`OpenLineage.json`, and `facets/` beside it).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from uuid import UUID

from dateutil.parser import isoparse
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource

from tests.lineage.told import Event, facets_of

FORMATS = FormatChecker(())
FORMATS.checks("uuid", raises=ValueError)(lambda text: bool(UUID(text)))
FORMATS.checks("date-time", raises=ValueError)(lambda text: isoparse(text).tzinfo is not None)
FORMATS.checks("uri")(lambda text: ":" in text and " " not in text)


def spec_folder() -> Path | None:
    named = os.environ.get("LAKEGATE_OPENLINEAGE_SPEC")
    return Path(named) if named else None


class Spec:
    """The schemas of one folder."""

    def __init__(self, folder: Path) -> None:
        files = [folder / "OpenLineage.json", *sorted((folder / "facets").glob("*.json"))]
        self.schemas: dict[str, Any] = {file.name: json.loads(file.read_text(encoding="utf-8")) for file in files}
        resources = [(schema["$id"], Resource.from_contents(schema)) for schema in self.schemas.values()]
        self._registry: Registry[Any] = Registry().with_resources(resources)

    def faults(self, event: Event) -> list[str]:
        """Everything in which the event, or one of its facets, is not what the specification says."""
        core = self.schemas["OpenLineage.json"]["$id"]
        found = self._faults(f"{core}#/$defs/RunEvent", event, "event")
        for name, facet in facets_of(event):
            file, _, definition = facet["_schemaURL"].rpartition("/facets/")[2].partition("/")[2].partition("#")
            if file not in self.schemas:
                found.append(f"{name}: the specification has no {file}")
                continue
            found += self._faults(f"{self.schemas[file]['$id']}#{definition}", facet, name)
            found += self._faults(self.schemas[file]["$id"], {name: facet}, f"{name} as a facet of that name")
            if name not in self.schemas[file]["properties"]:
                found.append(f"{name}: {file} is about {list(self.schemas[file]['properties'])}")
        return found

    def _faults(self, reference: str, value: Any, what: str) -> list[str]:
        validator = Draft202012Validator({"$ref": reference}, registry=self._registry, format_checker=FORMATS)
        return [f"{what}: {'/'.join(map(str, e.path))}: {e.message}" for e in validator.iter_errors(value)]
