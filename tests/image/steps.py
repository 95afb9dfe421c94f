"""`make image-steps`: what the Dockerfile says, line by line, in an empty folder that stands for the image's root, without an engine.

COPY copies what it names and nothing else, RUN runs with an empty environment. So it proves that the copied files are enough, that
the locked packages are enough for the four services, and that nothing of this checkout or of `.venv` is needed. It does not prove
what only an engine does: the base image, layers, the user, the read-only root file system.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.image.dockerfile import ROOT, Line, Stage, read

_KEPT = ("PIP_", "UV_", "SSL_")
_KEPT_ENDINGS = ("_PROXY", "_proxy", "_CA_BUNDLE", "_CERT")
"""What says where packages come from: an engine's build would be told by its own settings."""
_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", ".DS_Store")


def clean_environment(root: Path, also: dict[str, str] | None = None) -> dict[str, str]:
    """What a RUN line finds: the paths of a system, and where packages come from."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(_KEPT) or name.endswith(_KEPT_ENDINGS)}
    python = Path(sys.base_prefix) / "bin"
    own = {"PATH": f"{python}:/usr/bin:/bin", "HOME": str(root / "tmp"), "IMAGE_ROOT": str(root), "LANG": "C.UTF-8"}
    # uv's cache belongs to this user, not to a build; what it holds was checked by its hash.
    cache = os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv"))
    return {**kept, **own, "UV_CACHE_DIR": cache, **(also or {})}


def build(root: Path, *, told: bool = False) -> None:
    """Carry out the Dockerfile's stages below `root`. Raises CalledProcessError with the step that failed."""
    (root / "tmp").mkdir(parents=True)
    *builders, final = read().stages
    for stage in builders:
        _carry_out(stage, root, told=told)
    for line in final.all("COPY"):
        assert line.flags.get("from"), f"the last stage takes everything from a builder: {line.rest}"
        source, target = line.words
        assert source == target, "a moved environment would not find its Python"
    shutil.rmtree(root / "src")
    shutil.rmtree(root / "opt" / "tools")


def _carry_out(stage: Stage, root: Path, *, told: bool) -> None:
    here = root
    for line in stage.lines:
        if line.instruction == "WORKDIR":
            here = root / line.rest.lstrip("/")
            here.mkdir(parents=True, exist_ok=True)
        elif line.instruction == "COPY":
            _copy(line, here)
        elif line.instruction == "RUN":
            began = time.monotonic()
            subprocess.run(["/bin/sh", "-c", line.rest], cwd=here, env=clean_environment(root), check=True)
            if told:
                print(f"{time.monotonic() - began:6.1f} s  {line.rest}", flush=True)
        else:
            raise ValueError(f"not carried out: {line}")


def _copy(line: Line, here: Path) -> None:
    *sources, target = line.words
    for source in sources:
        path = ROOT / source
        place = here / target / path.name if target.endswith("/") else here / target
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, place, ignore=_IGNORED, dirs_exist_ok=True)
        else:
            shutil.copy2(path, place)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.image.steps")
    parser.add_argument("--keep", type=Path, help="build there and leave it (default: a temporary folder)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lakegate-image-") as made:
        root = given.keep or Path(made) / "root"
        build(root, told=True)
        size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink())
        print(f"the image would add {size / 1e6:.0f} MB to its base")


if __name__ == "__main__":
    main()
