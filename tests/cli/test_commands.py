"""The list of commands, which loads none of them, says what the commands say."""

import subprocess
import sys

import pytest
from typer.core import TyperGroup

from lakegate.cli.commands import COMMANDS, load
from tests.cli.command import lakegate


@pytest.mark.parametrize("name", COMMANDS)
def test_a_commands_declared_help_is_the_first_paragraph_of_its_own(name: str) -> None:
    command = load(name)
    first, _, _ = (command.help or "").partition("\n\n")
    assert COMMANDS[name].help == " ".join(first.split())
    assert not command.hidden
    if isinstance(command, TyperGroup):
        assert command.commands


@pytest.mark.parametrize("name", COMMANDS)
def test_every_commands_own_help_is_shown(name: str) -> None:
    answer = lakegate(name, "--help")
    assert answer.code == 0
    assert f"lakegate {name} " in answer.out


def test_the_help_lists_every_command_in_order_and_a_wrong_name_is_told_its_neighbour() -> None:
    shown = lakegate("--help").out
    places = [shown.index(f"│ {name} ") for name in COMMANDS]
    assert places == sorted(places)
    wrong = lakegate("validte")
    assert wrong.code == 2
    assert "Did you mean 'validate'?" in wrong.err


def test_the_help_loads_no_command() -> None:
    asked = "import sys; from lakegate.cli.main import main; sys.argv = ['lakegate', '--help']\ntry: main()\nfinally: print('loaded', *sys.modules)"
    shown = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout
    loaded = set(shown.partition("loaded ")[2].split())
    ours = {
        name for name in loaded if name.partition(".")[0] in {"lakegate", "pipelines", "resources", "assets", "sensors"}
    }
    assert ours == {
        "lakegate", "lakegate.cli", "lakegate.cli.commands", "lakegate.cli.main", "lakegate.cli.output",
        "pipelines", "pipelines.errors", "pipelines.formats", "pipelines.printable",
    }  # fmt: skip
    assert not loaded & {"pyarrow", "numpy", "pydantic", "boto3", "botocore", "dagster", "ruamel.yaml"}
