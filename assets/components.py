"""What `dg` knows of Lakegate: a component that loads a folder of dataset files, and a scaffold for a new one.

The dataset files keep one grammar and one loader, `load_datasets`: the component adds neither
(docs/adr/0013-one-component-for-the-folder-of-datasets.md). Dagster resolves annotations: none from the future.
"""

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import click
import dagster as dg
from pydantic import Field

from assets.catalog import dataset_definitions
from assets.scaffolding import scaffold_dataset
from pipelines.contracts.current import current_datasets
from pipelines.contracts.loading import DatasetCatalog
from pipelines.errors import ConfigurationError
from pipelines.links import Links

__all__ = ["DatasetFolder", "dataset"]

_VALIDATING = "DAGSTER_IS_DEFS_VALIDATION_CLI"
"""Set by `dg check defs` and `dagster definitions validate`, and by nothing else."""
_CHECKOUT = Path(__file__).resolve().parent.parent


class DatasetFolder(dg.Component, dg.Model, dg.Resolvable):
    """All datasets of a folder: for each YAML file its landing files, table, quarantine, checks and job.

    A file that is wrong becomes a node that says every fault, and takes no other dataset down. `dg check defs` fails on it.
    """

    path: str = Field(description="The folder of the dataset files: from the current folder, else from the checkout.")

    @property
    def folder(self) -> Path:
        """The folder that `path` means."""
        near = Path.cwd() / self.path
        return near if near.is_dir() else _CHECKOUT / self.path

    @cached_property
    def catalog(self) -> DatasetCatalog:
        """The datasets, read once. Raises ConfigurationError when there is no such folder."""
        return current_datasets(self.folder)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002 - Dagster's signature
        """The definitions of these datasets. Where they are only validated, a wrong file is an error with all its faults."""
        if self.catalog.broken and os.environ.get(_VALIDATING):
            raise ConfigurationError("\n".join(f"{broken}" for broken in self.catalog.broken))
        return dataset_definitions(self.catalog, Links.of(os.environ))

    @classmethod
    def get_code_references_for_yaml(
        cls,
        yaml_path: Path,  # noqa: ARG003 - Dagster's signature, as the next two
        source_position: object,  # noqa: ARG003
        context: dg.ComponentLoadContext,  # noqa: ARG003
    ) -> Sequence[Any]:
        """None: each asset leads to its own dataset file, and `defs.yaml` says nothing of it."""
        return ()


class DatasetScaffolder(dg.Scaffolder):
    """Writes a dataset file into the folder that `assets/defs/datasets/defs.yaml` names."""

    def scaffold(self, request: dg.ScaffoldRequest) -> None:
        """Write the file. `dg` has made a folder of its name below the defs folder: it goes again, nothing is in it."""
        request.target_path.rmdir()
        tree = dg.ComponentTree.for_project(request.project_root or request.target_path)
        click.echo(scaffold_dataset(tree.load_component("datasets", DatasetFolder).folder, request.target_path.name))


@dg.scaffold_with(DatasetScaffolder)
def dataset() -> None:
    """A new dataset: one commented YAML file in the folder of dataset files.

    Nothing is called here: it is the name under which `dg scaffold defs` finds the template.
    """
