"""The laptop as a whole: an AWS, an Athena, Lakegate's stack in them, and Dagster; all below one state folder.

`.lakegate/` (or `LAKEGATE_HOME`) holds `ministack/` and `dagster/` (the state that survives), `run/` (who runs), `logs/`, and
`laptop.json` (the ports: an address stays the same from one start to the next). Resources are made from the very template
that AWS is given; nothing here names a bucket.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lakegate.local import dagster_processes as dagster
from lakegate.local import ministack
from lakegate.local import worker_processes as workers
from lakegate.local.instance import POSTGRES_VARIABLE, has_warm_workers
from lakegate.local.processes import Child, Command, ProcessRunner, answers, free_port
from pipelines.errors import ConfigurationError
from resources.deployment import deploy
from resources.environment import DEPLOYMENT_VARIABLES, Deployment

REPOSITORY = Path(__file__).resolve().parents[2]
TEMPLATE = REPOSITORY / "infra" / "lakegate.yaml"
WORKSPACE = REPOSITORY / "workspace.yaml"
STACK_NAME = "lakegate"
# What AWS has and a laptop does not: TLS, and a ledger that must outlive its stack.
TEMPLATE_PARAMETERS: Mapping[str, str] = {"RequireTls": "false", "LedgerDeletionProtection": "false"}
CREDENTIALS: Mapping[str, str] = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
# Settings of ours that say which deployment, and which laptop: a child's are given to it, never inherited. All others are.
_OF_A_DEPLOYMENT = DEPLOYMENT_VARIABLES | {"LAKEGATE_HOME", "LAKEGATE_DAGSTER_URL", "LAKEGATE_EMF_FILE"}
_AWS, _ATHENA, _DAGSTER = "ministack", "athena", "dagster"
_PREFERRED_PORTS = {_AWS: 4566, _ATHENA: 4567, _DAGSTER: 3000}
# Dagster first, and its daemon before its pages: what uses the AWS goes before the AWS.
_STOP_ORDER = (dagster.DAEMON, workers.WORKERS, dagster.WEBSERVER, _ATHENA, _AWS)


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One child process as `lakegate status` shows it."""

    name: str
    is_running: bool
    is_healthy: bool
    pid: int | None
    address: str | None
    log: Path


class Laptop:
    """The processes and the state of one folder; several laptops can run side by side, each in a folder of its own."""

    def __init__(
        self,
        home: Path | None = None,
        *,
        enforce_iam: bool = False,
        any_port: bool = False,
        alarm_speed: float = 1,
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        """Name the folder (default: `LAKEGATE_HOME`, else `.lakegate` in the current one); nothing is started or made.

        With `any_port` the first start takes free ports instead of the well-known ones (4566, 4567, 3000). For trying the
        alarms their periods can pass faster (`alarm_speed`), and the template can be given other `parameters`.
        """
        self.home = (home or Path(os.environ.get("LAKEGATE_HOME", ".lakegate"))).resolve()
        self._runner = ProcessRunner(self.home)
        self._enforce_iam = enforce_iam
        self._any_port = any_port
        self._alarm_speed = alarm_speed
        self._parameters = {**TEMPLATE_PARAMETERS, **(parameters or {})}
        self._workers: Command | None = None

    def start(self, *, tied: bool = False) -> dict[str, str]:
        """Start AWS and Athena unless they run, deploy the stack, return the environment that clients need.

        The environment is also set in this process, so that the AWS clients made here reach the laptop from now on.
        With `tied` what is started ends with this process; call it from the main thread then.

        Raises:
            ConfigurationError: ministack is not installed, or the template is refused.
            PermanentError: a process did not start; the message holds the end of its log.
        """
        environment = self.start_aws(tied=tied)
        deployment = deploy(STACK_NAME, TEMPLATE, self._parameters).deployment
        environment |= deployment.to_environment()
        use_environment(environment)
        return environment

    def start_aws(self, *, tied: bool = False) -> dict[str, str]:
        """Start AWS and Athena unless they run, without Lakegate's stack; as `start` otherwise."""
        with self._locked():
            port = self._ensure(
                _AWS,
                lambda port: ministack.ministack_command(
                    port,
                    self.home / "ministack",
                    self._emf_file,
                    enforce_iam=self._enforce_iam,
                    alarm_speed=self._alarm_speed,
                ),
                ministack.ministack_is_healthy,
                ministack.START_LIMIT_S,
                tied,
            )
            environment = {
                **CREDENTIALS,
                "AWS_ENDPOINT_URL": ministack.ministack_url(port),
                "LAKEGATE_HOME": str(self.home),
                "LAKEGATE_EMF_FILE": str(self._emf_file),
            }
            athena_port = self._ensure(
                _ATHENA,
                lambda port: athena_command(port, child_environment(environment)),
                athena_is_healthy,
                ministack.START_LIMIT_S,
                tied,
            )
        environment["AWS_ENDPOINT_URL_ATHENA"] = f"http://127.0.0.1:{athena_port}"
        use_environment(environment)
        return environment

    def start_dagster(
        self,
        environment: Mapping[str, str],
        port: int | None = None,
        *,
        tied: bool = False,
        workspace: Path = WORKSPACE,
        warm_workers: bool = False,
    ) -> str:
        """Start Dagster's daemon and web server unless they run; return the address of its pages.

        They get `environment` (what `start` returned) and load what `workspace` names. A port is taken as it is; without
        one the known port is used again, else 3000, else a free one. With `warm_workers` runs are handed to workers, which are
        started too; where the daemon runs already, it says whether they are. With `tied` as in `start`.

        Raises:
            PermanentError: one of them did not start; the message holds the end of its log.
        """
        with self._locked():
            port = port or self._port(_DAGSTER, self._runner.find(dagster.WEBSERVER))
            linked = {**environment, "LAKEGATE_DAGSTER_URL": f"http://127.0.0.1:{port}"}
            dagster_home = self.home / "dagster"
            daemon = self._runner.find(dagster.DAEMON)
            if daemon is not None and daemon.is_alive:
                warm_workers = has_warm_workers(dagster_home)
            own = dagster.prepare_dagster_home(dagster_home, child_environment(linked), warm_workers=warm_workers)
            # Who opens the instance here, as the demo does, needs the address in the form that Dagster's processes got.
            os.environ.update({name: own[name] for name in (POSTGRES_VARIABLE,) if name in own})
            self._remember_port(_DAGSTER, port)
            commands: list[tuple[Command, Callable[[int], bool]]] = [
                (dagster.webserver_command(port, workspace, own), dagster.webserver_is_healthy),
                (dagster.daemon_command(workspace, own), dagster.daemon_is_healthy),
            ]
            if warm_workers:
                self._workers = workers.workers_command(self._notes, workspace, own)
                commands.append((self._workers, self._workers_are_ready))
            started: list[tuple[Child, Callable[[int], bool]]] = []
            # All load the definitions first, which takes seconds: at the same time, not one after the other.
            for command, is_healthy in commands:
                child = self._runner.find(command.name)
                if child is not None and not child.is_alive:
                    self._runner.stop(command.name)
                    child = None
                started.append((child or self._runner.launch(command, tied=tied), is_healthy))
            for child, is_healthy in started:
                self._runner.await_health(child, lambda check=is_healthy: check(port), within_s=dagster.START_LIMIT_S)
        return f"http://127.0.0.1:{port}"

    def tend_workers(self) -> bool:
        """Start the keeper of the workers that this object started again, if it has died; say whether it had."""
        command = self._workers
        if command is None:
            return False
        with self._locked():
            keeper = self._runner.find(command.name)
            if keeper is not None and keeper.is_alive:
                return False
            # What it left behind ends first: two workers of one folder would share their notes.
            self._runner.stop(command.name)
            self._runner.launch(command, tied=True)
        return True

    def environment(self) -> dict[str, str]:
        """Return the environment of the running laptop, set in this process too.

        Raises:
            ConfigurationError: it is not up.
        """
        ports = self._ports()
        if not (_AWS in ports and _ATHENA in ports and self._runner.find(_AWS) and self._runner.find(_ATHENA)):
            raise ConfigurationError(f"The laptop's AWS is not up in {self.home}. Run `lakegate up --detach` first.")
        environment = {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": ministack.ministack_url(ports[_AWS]),
            "AWS_ENDPOINT_URL_ATHENA": f"http://127.0.0.1:{ports[_ATHENA]}",
            "LAKEGATE_HOME": str(self.home),
            "LAKEGATE_EMF_FILE": str(self._emf_file),
        }
        use_environment(environment)
        environment |= Deployment.from_stack(STACK_NAME).to_environment()
        use_environment(environment)
        return environment

    def status(self) -> list[ProcessStatus]:
        """Return what runs and whether it answers, in the order of starting."""
        ports = self._ports()
        checks: dict[str, tuple[str, Callable[[int], bool]]] = {
            _AWS: (_AWS, ministack.ministack_is_healthy),
            _ATHENA: (_ATHENA, athena_is_healthy),
            dagster.WEBSERVER: (_DAGSTER, dagster.webserver_is_healthy),
            dagster.DAEMON: (_DAGSTER, dagster.daemon_is_healthy),
        }
        if has_warm_workers(self.home / "dagster"):
            checks[workers.WORKERS] = (_DAGSTER, self._workers_are_ready)
        found: list[ProcessStatus] = []
        for name, (port_name, is_healthy) in checks.items():
            child, port = self._runner.find(name), ports.get(port_name)
            is_running = child is not None and child.is_alive
            found.append(
                ProcessStatus(
                    name,
                    is_running,
                    is_running and port is not None and is_healthy(port),
                    child.pid if child else None,
                    f"http://127.0.0.1:{port}" if port and name not in (dagster.DAEMON, workers.WORKERS) else None,
                    self.home / "logs" / f"{name}.log",
                )
            )
        return found

    def stop(self) -> list[str]:
        """Stop everything that runs in this folder, whoever started it; return the names of what ran."""
        return self._stop(_STOP_ORDER)

    def stop_started(self) -> list[str]:
        """Stop what this object started, and leave alone what ran before."""
        return self._stop(tuple(name for name in _STOP_ORDER if name in self._runner.started))

    def reset(self) -> None:
        """Stop everything and forget all state: buckets, ledger, tables, runs, logs. The ports stay."""
        self.stop()
        with self._locked():
            for name in ("ministack", "dagster", "workers", "run", "logs"):
                if (self.home / name).exists():
                    shutil.rmtree(self.home / name)

    @property
    def _emf_file(self) -> Path:
        """Where processes append their metrics; the laptop's CloudWatch takes them from there."""
        return self.home / "logs" / "metrics.emf"

    @property
    def _notes(self) -> Path:
        return self.home / "workers"

    def _workers_are_ready(self, _port: int) -> bool:
        return workers.workers_are_ready(self._notes)

    def _stop(self, names: tuple[str, ...]) -> list[str]:
        with self._locked():
            return [name for name in names if self._runner.stop(name)]

    def _ensure(
        self,
        name: str,
        command: Callable[[int], Command],
        is_healthy: Callable[[int], bool],
        within_s: float,
        tied: bool,
    ) -> int:
        """Start the process unless it runs and answers; return its port."""
        child = self._runner.find(name)
        port = self._port(name, child)
        if child is not None:
            if child.is_alive and is_healthy(port):
                return port
            self._runner.stop(name)
            port = self._port(name, None)
        self._remember_port(name, port)
        self._runner.start(command(port), lambda: is_healthy(port), within_s=within_s, tied=tied)
        return port

    def _port(self, name: str, running: Child | None) -> int:
        known = self._ports().get(name)
        if known is not None and running is not None:
            return known
        return free_port(known or (None if self._any_port else _PREFERRED_PORTS[name]))

    def _ports(self) -> dict[str, int]:
        path = self.home / "laptop.json"
        return json.loads(path.read_text())["ports"] if path.exists() else {}

    def _remember_port(self, name: str, port: int) -> None:
        path = self.home / "laptop.json"
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps({"ports": {**self._ports(), name: port}}))
        temporary.replace(path)

    @contextmanager
    def _locked(self) -> Generator[None]:
        """Let one process at a time start or stop things here."""
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def athena_command(port: int, environment: Mapping[str, str]) -> Command:
    """Return the command that serves our Athena on 127.0.0.1:`port`, over the AWS that the environment names."""
    own = {name: value for name, value in environment.items() if name != "AWS_ENDPOINT_URL_ATHENA"}
    arguments = (sys.executable, "-m", "lakegate.local.athena.server", "--port", str(port))
    return Command(_ATHENA, arguments, own, REPOSITORY)


def athena_is_healthy(port: int) -> bool:
    """Whether our Athena answers on the port."""
    return answers(f"http://127.0.0.1:{port}/_lakegate/health")


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return our own environment for a child, with all that says which AWS and deployment replaced by `environment`'s."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AWS_") and name not in _OF_A_DEPLOYMENT and name != "PYTHONDONTWRITEBYTECODE"
    }
    return {**inherited, **environment}


def use_environment(environment: Mapping[str, str]) -> None:
    """Set the environment in this process, and drop the settings that would lead its AWS clients elsewhere."""
    for name in list(os.environ):
        leads_elsewhere = name.startswith("AWS_ENDPOINT_URL") or name in (
            "AWS_PROFILE",
            "AWS_DEFAULT_PROFILE",
            "AWS_SESSION_TOKEN",
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
        )
        if leads_elsewhere and name not in environment:
            del os.environ[name]
    os.environ.update(environment)
