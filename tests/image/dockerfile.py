"""The Dockerfile, read as far as ours goes: stages, and what each line of them says."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "Dockerfile"


@dataclass(frozen=True)
class Line:
    """One instruction: `RUN`, and all that follows it on its line or, after a backslash, on the next."""

    instruction: str
    rest: str

    @property
    def flags(self) -> dict[str, str]:
        return dict(re.findall(r"--(\w+)=(\S+)", self.rest))

    @property
    def words(self) -> list[str]:
        """Without flags; of the JSON form too."""
        text = re.sub(r"--\w+=\S+\s*", "", self.rest)
        return json.loads(text) if text.startswith("[") else text.split()


@dataclass
class Stage:
    """From one FROM to the next."""

    base: str
    name: str
    lines: list[Line] = field(default_factory=list)

    def all(self, instruction: str) -> list[Line]:
        return [line for line in self.lines if line.instruction == instruction]

    @property
    def environment(self) -> dict[str, str]:
        return dict(re.findall(r"(\w+)=(\S+)", " ".join(line.rest for line in self.all("ENV"))))


@dataclass(frozen=True)
class Dockerfile:
    arguments: list[Line]
    stages: list[Stage]


def read(path: Path = DOCKERFILE) -> Dockerfile:
    """Raises ValueError for a line that is not understood: what is not read here is not checked here."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE))
    arguments: list[Line] = []
    stages: list[Stage] = []
    for raw in filter(str.strip, text.splitlines()):
        match = re.fullmatch(r"(FROM|ARG|ENV|WORKDIR|COPY|RUN|VOLUME|USER|CMD) (.+)", raw)
        if match is None:
            raise ValueError(f"not understood: {raw}")
        line = Line(match[1], match[2].strip())
        if line.instruction == "FROM":
            base, _, name = line.rest.partition(" AS ")
            stages.append(Stage(base, name))
        else:
            (stages[-1].lines if stages else arguments).append(line)
    return Dockerfile(arguments, stages)
