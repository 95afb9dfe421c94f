"""Loading datasets: from YAML files to datasets, or to everything that is wrong with them, line by line.

An outcome is a value: a file is a `Dataset` or a `BrokenDataset`, and a broken one takes no other down. All faults of a file
are listed at once: after the shapes are checked (`model_faults.py`), refused keys are set aside and what remains is checked
for meaning (`checks.py`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from pipelines.contracts.checks import check
from pipelines.contracts.faults import Fault, KeyPath, Problem, format_path, show
from pipelines.contracts.key_pattern import KeyPattern
from pipelines.contracts.model import Dataset
from pipelines.contracts.model_faults import read_model
from pipelines.contracts.rule_checks import reference_problems
from pipelines.contracts.yaml_source import MAX_BYTES, Position, YamlDocument, read_yaml
from pipelines.errors import ConfigurationError
from pipelines.intake.routing import overlaps

__all__ = [
    "BrokenDataset",
    "DatasetCatalog",
    "DatasetFile",
    "Fault",
    "Overlaps",
    "dataset_files",
    "load_dataset",
    "load_datasets",
    "parse_dataset",
]

Overlaps = Callable[[KeyPattern, KeyPattern], bool]
"""Whether there is a key that both patterns match."""


@dataclass(frozen=True, slots=True)
class BrokenDataset:
    """A dataset file that is not loaded, with all its faults, in the order of their lines.

    `name` is what the file calls the dataset, or None where that cannot be read.
    """

    path: Path
    name: str | None
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        """One fault a line."""
        return "\n".join(str(fault) for fault in self.faults)


@dataclass(frozen=True, slots=True)
class DatasetFile:
    """The file of a dataset, and the lines of its keys on the top level."""

    path: Path
    lines: Mapping[str, int]

    def line(self, *keys: str) -> int:
        """The line of the first of these keys that the file has; 1 if it has none."""
        return next((self.lines[key] for key in keys if key in self.lines), 1)


@dataclass(frozen=True, slots=True)
class DatasetCatalog:
    """All datasets of a folder, in the order of their file names, and the files that are wrong; `files` by dataset."""

    datasets: tuple[Dataset, ...]
    broken: tuple[BrokenDataset, ...] = ()
    files: Mapping[str, DatasetFile] = field(default_factory=dict[str, DatasetFile])

    def find(self, name: str) -> Dataset | BrokenDataset | None:
        """The dataset of that name, or its broken file, or None."""
        for dataset in self.datasets:
            if dataset.name == name:
                return dataset
        return next((b for b in self.broken if name in (b.name, b.path.stem)), None)


def load_dataset(path: Path) -> Dataset | BrokenDataset:
    """Load one dataset file. Never raises: what cannot be read is a broken dataset too."""
    return _load(path)[0]


def parse_dataset(raw: bytes, path: Path) -> Dataset | BrokenDataset:
    """Read a dataset from the bytes of its file; `path` names it in messages and gives the name it must have."""
    return _parse(raw, path)[0]


def load_datasets(folder: Path, overlaps: Overlaps = overlaps) -> DatasetCatalog:
    """Load every dataset file of a folder: `*.yaml`, not in sub-folders; names that start with a dot are left alone.

    `overlaps` decides whether two key patterns share keys (`pipelines.intake.routing.overlaps` unless given): both
    datasets are broken then, because a file of theirs could go to either. A reference to what no dataset has is a fault too.
    Raises ConfigurationError when there is no such folder.
    """
    loaded = [(path, *_load(path)) for path in dataset_files(folder)]
    sound = [d for _, d, _ in loaded if isinstance(d, Dataset)]
    problems = _shared_keys(sound, overlaps)
    by_name = {d.name: d for d in sound}
    wrong = {name for path, d, _ in loaded if isinstance(d, BrokenDataset) for name in (d.name, path.stem) if name}
    for dataset in sound:
        if unmet := list(reference_problems(dataset, by_name, wrong)):
            problems.setdefault(dataset.name, []).extend(unmet)
    datasets: list[Dataset] = []
    broken: list[BrokenDataset] = []
    files: dict[str, DatasetFile] = {}
    for path, outcome, document in loaded:
        if isinstance(outcome, BrokenDataset):
            broken.append(outcome)
        elif outcome.name in problems:
            faults = tuple(_place(path, document, problem) for problem in problems[outcome.name])
            broken.append(BrokenDataset(path, outcome.name, faults))
        else:
            datasets.append(outcome)
            lines = {str(at[0]): position.line for at, position in document.positions.items() if len(at) == 1}
            files[outcome.name] = DatasetFile(path, lines)
    return DatasetCatalog(tuple(datasets), tuple(broken), files)


def dataset_files(folder: Path) -> list[Path]:
    """The paths that `load_datasets` reads, in the order of their names. Raises ConfigurationError when there is no such folder."""
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is no folder: set LAKEGATE_DATASETS to the folder of your dataset files")
    return sorted(p for p in folder.iterdir() if p.suffix in (".yaml", ".yml") and not p.name.startswith("."))


def _shared_keys(datasets: Sequence[Dataset], overlaps: Overlaps) -> dict[str, list[Problem]]:
    problems: dict[str, list[Problem]] = {}
    for one, other in combinations(datasets, 2):
        if not overlaps(one.key_pattern, other.key_pattern):
            continue
        for mine, theirs in ((one, other), (other, one)):
            found = f"{show(mine.landing.key)}, which shares keys with {theirs.name}'s {show(theirs.landing.key)}"
            remedy = f"change the prefix of {mine.name} or of {theirs.name}"
            problems.setdefault(mine.name, []).append(
                Problem(("landing", "key"), found, "keys that no other dataset claims", remedy)
            )
    return problems


def _load(path: Path) -> tuple[Dataset | BrokenDataset, YamlDocument]:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as fault:
        document = YamlDocument()
        problem = Problem(
            (),
            fault.strerror or "a file that cannot be read",
            "a file that can be read",
            "check the file and its permissions",
        )
        return BrokenDataset(path, None, (_place(path, document, problem),)), document
    return _parse(raw, path)


def _parse(raw: bytes, path: Path) -> tuple[Dataset | BrokenDataset, YamlDocument]:
    document = read_yaml(raw)
    placed = [(fault.position, fault.problem) for fault in document.faults]
    dataset: Dataset | None = None
    name: str | None = None
    if document.data is not None or not placed:
        problems, dataset = _read(document.data, frozenset(document.unsound), path)
        placed += [(document.position(problem.path), problem) for problem in problems]
        given: Any = document.data.get("name") if isinstance(document.data, dict) else None
        name = given if isinstance(given, str) else None
    if not placed and dataset is not None:
        return dataset, document
    # One key may break two checks in the same way (a union's branches): each line is said once.
    faults = dict.fromkeys(_fault(path, position, problem) for position, problem in placed)
    return BrokenDataset(path, name, tuple(sorted(faults, key=lambda f: (f.line, f.column)))), document


def _read(data: Any, unsound: frozenset[KeyPath], path: Path) -> tuple[list[Problem], Dataset | None]:
    model = read_model(data, unsound)
    problems = list(model.problems)
    if path.suffix == ".yml":
        problems.append(
            Problem((), f"the file {path.name}", f"{path.stem}.yaml", "rename the file: dataset files end in .yaml")
        )
    if model.dataset is None:
        return problems, None
    name = model.dataset.name
    if ("name",) not in model.unsound and name != path.stem:
        found, expected = f"{show(name)} in {path.name}", f"{path.stem}, the file's name"
        problems.append(
            Problem(("name",), found, expected, f"rename the file to {name}.yaml, or the dataset to {path.stem}")
        )
    problems += check(model.dataset, model.unsound)
    return problems, model.dataset


def _place(path: Path, document: YamlDocument, problem: Problem) -> Fault:
    return _fault(path, document.position(problem.path), problem)


def _fault(path: Path, position: Position, problem: Problem) -> Fault:
    return Fault(
        file=str(path),
        line=position.line,
        column=position.column,
        key=format_path(problem.path),
        found=problem.found,
        expected=problem.expected,
        remedy=problem.remedy,
    )
