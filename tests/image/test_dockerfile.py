"""The Dockerfile consists of the steps that `make image-steps` carries out, and of nothing that the image should not have."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.image.dockerfile import ROOT, read
from tests.image.steps import clean_environment

BUILD = ROOT / "infra" / "image" / "build.sh"
REQUIREMENTS = ROOT / "requirements"
IN_PRODUCTION = ("workers", "postgres", "telemetry")


def pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)==([^\s;\\]+)", (REQUIREMENTS / lock).read_text(), re.MULTILINE))


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower().replace(".", "-") for requirement in requirements}


def test_the_builder_runs_each_step_once_in_the_scripts_order_and_nothing_else() -> None:
    builder, final = read().stages
    steps = re.findall(r"^([a-z]+)\)", BUILD.read_text(), re.MULTILINE)
    assert [line.rest for line in builder.all("RUN")] == [f"sh infra/image/build.sh {step}" for step in steps]
    assert final.all("RUN") == []
    assert final.base == builder.base == "${BASE}"


def test_nothing_is_copied_but_files_of_the_checkout_and_what_the_builder_made() -> None:
    builder, final = read().stages
    ignored = {line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] not in "#"}
    for line in builder.all("COPY"):
        assert line.flags == {}
        for source in line.words[:-1]:
            assert (ROOT / source).exists(), source
            assert f"!{source.split('/')[0]}" in ignored, source
    assert [line.flags for line in final.all("COPY")] == [{"from": "builder"}] * 2
    assert [line.words for line in final.all("COPY")] == [["/opt/lakegate", "/opt/lakegate"], ["/app", "/app"]]


def test_the_image_runs_as_nobody_of_note_and_listens_to_nobody_unless_told() -> None:
    _, final = read().stages
    [user] = final.all("USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user.rest)
    assert final.lines[-1].instruction == "CMD"
    assert final.lines[-1].words == ["lakegate", "web", "--workspace", "/app/workspace.yaml"]
    assert final.all("VOLUME")[0].words == ["/tmp"]


def test_no_secret_no_floating_base_and_no_setting_that_forbids_byte_code() -> None:
    dockerfile = read()
    [base] = dockerfile.arguments
    assert re.fullmatch(r"BASE=python:3\.11-slim-[a-z]+", base.rest)
    for stage in dockerfile.stages:
        assert stage.all("ARG") == []
        for name in stage.environment:
            assert not re.search("PASSWORD|SECRET|TOKEN|CREDENTIAL|_KEY|POSTGRES", name)
        assert "PYTHONDONTWRITEBYTECODE" not in stage.environment
    assert BUILD.read_text().count("--compile-bytecode") == 2


@pytest.mark.parametrize("said", ["ADD https://example.com/x /x", "RUN curl x | sh && ADD y", "SHELL sh"])
def test_a_line_that_is_not_understood_is_no_line_that_is_checked(said: str, tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text(f"FROM x AS y\n{said}\n")
    if said.startswith("RUN"):
        assert [line.rest for line in read(path).stages[0].all("RUN")] == [said[4:]]
    else:
        with pytest.raises(ValueError, match="not understood"):
            read(path)


def test_a_step_that_is_unknown_or_fails_stops_the_build(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    for step, code in (("nonsense", 2), ("packages", 127)):
        ran = subprocess.run(
            ["/bin/sh", str(BUILD), step], env=clean_environment(tmp_path), capture_output=True, text=True, check=False
        )
        assert ran.returncode == code, ran.stderr


def test_what_production_installs_is_the_base_and_its_three_extras_in_the_tested_versions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    production, tested = pins("production.lock"), pins("dev.lock")
    asked = names(project["dependencies"]).union(*(names(extras[extra]) for extra in IN_PRODUCTION))
    assert asked <= production.keys()
    assert {name: tested.get(name) for name in production} == production
    left_out = set().union(*(names(extras[extra]) for extra in extras.keys() - set(IN_PRODUCTION))) - asked
    assert left_out & production.keys() <= {"pytz", "jsonschema"}  # others of production need these
    makefile = (ROOT / "Makefile").read_text()
    assert "".join(f" --extra {extra}" for extra in IN_PRODUCTION) in makefile


@pytest.mark.parametrize("lock", ["production.lock", "image.lock"])
def test_every_package_has_its_hashes_and_no_index_is_named(lock: str) -> None:
    text = (REQUIREMENTS / lock).read_text()
    entries = re.split(r"\n(?=[a-z0-9])", text)
    assert all("--hash=sha256:" in entry for entry in entries if "==" in entry)
    assert "://" not in text
