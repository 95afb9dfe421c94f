"""Which datasets a shell means, and the one that an argument names."""

import os
from pathlib import Path

from lakegate.settings import datasets_folder
from pipelines.contracts.loading import BrokenDataset, DatasetCatalog, load_dataset, load_datasets
from pipelines.contracts.model import Dataset
from pipelines.errors import ConfigurationError

__all__ = ["load_catalog", "named_dataset"]


def load_catalog() -> DatasetCatalog:
    """Every dataset file in the folder that this shell means. Raises ConfigurationError when there is no such folder."""
    folder = datasets_folder(os.environ, Path.cwd())
    if not folder.is_dir():
        raise ConfigurationError(
            f"there is no folder {folder}: run from the project's folder, or set LAKEGATE_DATASETS"
        )
    return load_datasets(folder)


def named_dataset(name_or_path: str) -> Dataset:
    """The dataset of this name, or of this YAML file. Raises ConfigurationError that lists every fault of a wrong one."""
    if "\0" in name_or_path:
        raise ConfigurationError(f"{name_or_path!r} is neither a dataset's name nor a path")
    if name_or_path.endswith((".yaml", ".yml")) or "/" in name_or_path:
        found = load_dataset(Path(name_or_path))
    else:
        catalog = load_catalog()
        everyone: dict[str, Dataset | BrokenDataset] = {b.name or b.path.stem: b for b in catalog.broken}
        everyone |= {d.name: d for d in catalog.datasets}
        if name_or_path not in everyone:
            known = ", ".join(sorted(everyone)) or "none"
            raise ConfigurationError(
                f"there is no dataset {name_or_path!r}; known are: {known}. A path to a YAML file works too."
            )
        found = everyone[name_or_path]
    if isinstance(found, BrokenDataset):
        raise ConfigurationError(f"{found.path} is wrong:\n" + "\n".join(f"  {fault}" for fault in found.faults))
    return found
