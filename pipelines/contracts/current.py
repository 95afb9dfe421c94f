"""The datasets as their files are now, read again only when a file has changed: for processes that live long.

What decides is the content of the files, not their times: an edit within a clock tick counts, a touched file does not.
"""

import hashlib
from pathlib import Path

from pipelines.contracts.loading import DatasetCatalog, dataset_files, load_datasets

__all__ = ["current_datasets", "folder_digest"]

_held: dict[Path, tuple[str, DatasetCatalog]] = {}


def current_datasets(folder: Path) -> DatasetCatalog:
    """What `load_datasets` returns now; the same object as long as no file changes. Raises as it does."""
    digest = folder_digest(folder)
    held = _held.get(folder)
    if held is not None and held[0] == digest:
        return held[1]
    catalog = load_datasets(folder)
    if folder_digest(folder) == digest:  # else somebody wrote meanwhile: what was read may be neither
        _held[folder] = (digest, catalog)
    return catalog


def folder_digest(folder: Path) -> str:
    """A digest of the names and contents of all dataset files. Raises ConfigurationError when there is no such folder."""
    digest = hashlib.blake2b(digest_size=16)
    for path in dataset_files(folder):
        try:
            content = path.read_bytes()
        except OSError as error:  # gone meanwhile, or not ours to read: the loader says so
            content = type(error).__name__.encode()
        digest.update(f"{path.name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
