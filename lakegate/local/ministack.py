"""Says how ministack, the laptop's S3, SQS, DynamoDB, Glue and CloudFormation, is started and when it is healthy.

It runs in an environment of its own (`.venv-ministack`, a lock of its own), because it pins botocore and production must
not inherit that. What it is told beyond its command line is in `ministack_launcher.py`. It listens on loopback only.
"""

from __future__ import annotations

import os
from pathlib import Path

from lakegate.local.processes import Command, answers
from pipelines.errors import ConfigurationError

INTERPRETER_VARIABLE = "LAKEGATE_MINISTACK_PYTHON"
START_LIMIT_S = 60.0


def ministack_interpreter(environment: dict[str, str] | None = None) -> Path:
    """Return the Python that has ministack: `LAKEGATE_MINISTACK_PYTHON`, else `.venv-ministack` beside the packages.

    Raises:
        ConfigurationError: there is no such file; the message says how to make it.
    """
    named = (os.environ if environment is None else environment).get(INTERPRETER_VARIABLE)
    repository = Path(__file__).resolve().parents[2]
    interpreter = Path(named) if named else repository / ".venv-ministack" / "bin" / "python"
    if not interpreter.exists():
        raise ConfigurationError(
            f"The laptop's AWS needs ministack in an environment of its own, but {interpreter} does not exist.\n"
            f"Run `make install` in {repository}, or set {INTERPRETER_VARIABLE} to a Python that has it."
        )
    return interpreter


def ministack_command(
    port: int, state_dir: Path, emf_file: Path, *, enforce_iam: bool = False, alarm_speed: float = 1
) -> Command:
    """Return the command that serves ministack on 127.0.0.1:`port` with its state in `state_dir`.

    The metrics in the lines that are appended to `emf_file`, which need not exist yet, go into its CloudWatch,
    whose alarms' periods pass `alarm_speed` times as fast as they should.
    With `enforce_iam` it checks signatures, IAM and resource policies as AWS does; `test`/`test` is the administrator.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    launcher = Path(__file__).with_name("ministack_launcher.py")
    # -P: the folder of the launcher stays off its path, or our `ministack.py` would hide the package of that name.
    arguments = [str(ministack_interpreter()), "-P", str(launcher), "--port", str(port), "--state-dir", str(state_dir)]
    arguments += ["--emf-file", str(emf_file), "--alarm-speed", f"{alarm_speed:g}"]
    if enforce_iam:
        arguments.append("--enforce-iam")
    # A clean environment: nothing of the caller's AWS settings, proxies or Python paths may change the emulator.
    environment = {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "LOG_LEVEL") if name in os.environ
    }
    environment.update(PYTHONUNBUFFERED="1", NO_PROXY="127.0.0.1,localhost")
    return Command("ministack", tuple(arguments), environment, state_dir)


def ministack_url(port: int) -> str:
    """Return the endpoint that goes into `AWS_ENDPOINT_URL`."""
    return f"http://127.0.0.1:{port}"


def ministack_is_healthy(port: int) -> bool:
    """Whether ministack answers on the port."""
    return answers(f"{ministack_url(port)}/_ministack/health")
