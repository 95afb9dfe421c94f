"""What a worker does before its first run, so that no run waits for it, and before each, so that none uses an old contract."""

import gc
import importlib
import logging
import os
import time
import warnings
from pathlib import Path

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableJob

from lakegate.settings import datasets_folder
from pipelines.contracts.current import current_datasets, folder_digest
from pipelines.errors import ConfigurationError
from pipelines.reading import spare

__all__ = ["import_all", "refresh", "warm_up"]

_MODULES = (
    "lakegate.definitions",
    "obstore.auth.boto3",
    "obstore.store",
    "pipelines.ingest",
    "pyarrow.compute",
    "pyarrow.fs",
    "pyarrow.parquet",
    "pyiceberg.catalog.glue",
    "pyiceberg.io.pyarrow",
    "pyiceberg.table",
    "resources.assembly",
    "resources.athena",
    "resources.iceberg_columns",
)
"""What a run would import itself, some of it in the middle of its work."""

_log = logging.getLogger("worker")
_seen: dict[Path, str] = {}


def import_all() -> None:
    """Import what runs import, before the worker's processes are forked: they share it. Makes neither clients nor threads."""
    started = time.monotonic()
    # Said once by Dagster's processes already.
    warnings.filterwarnings("ignore", category=dg.BetaWarning)
    for name in _MODULES:
        importlib.import_module(name)
    from assets.expectations import gx_expectations

    if any(gx_expectations(dataset) for dataset in current_datasets(_folder()).datasets):
        importlib.import_module("great_expectations")
    gc.collect()
    gc.freeze()  # what is there by now stays: no process looks through it again, and its pages stay shared
    _log.info("imported what runs need in %.1f s", time.monotonic() - started)


def warm_up() -> None:
    """In each process: compose the definitions and make the clients, as the first run would."""
    started = time.monotonic()
    from lakegate.definitions import defs
    from resources.gate import GateResource

    defs().get_repository_def().get_all_jobs()
    GateResource(datasets_folder=str(_folder())).open()
    spare.prepare()
    refresh()
    _log.info("process %d is warm after %.1f s", os.getpid(), time.monotonic() - started)


def refresh() -> None:
    """Have the next run compose its definitions anew if a dataset file has changed since the last one.

    Dagster keeps the newest job it loaded for the life of a process, because its processes live for one run. There is no public
    way to make it forget.
    """
    folder = _folder()
    try:
        digest = folder_digest(folder)
    except ConfigurationError:
        digest = ""  # the run itself will say what is wrong with the folder
    if not digest or _seen.get(folder) != digest:
        _seen[folder] = digest
        ReconstructableJob.get_repository_definition.cache_clear()
        ReconstructableJob.get_definition.cache_clear()


def _folder() -> Path:
    return datasets_folder(os.environ, Path.cwd())
