"""The laptop as a whole: an AWS, an Athena, Lakegate's stack in them, and Dagster; all below one state folder.

`.lakegate/` (or `LAKEGATE_HOME`) holds `ministack/` and `dagster/` (the state that survives), `run/` (who runs), `logs/`, and
`laptop.json` (the ports: an address stays the same from one start to the next). Resources are made from the very template
that AWS is given; nothing here names a bucket.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lakegate.local import dagster_processes as dagster
from lakegate.local import ministack
from lakegate.local import worker_processes as workers
from lakegate.local.instance import POSTGRES_VARIABLE, has_warm_workers
from lakegate.local.laptop_settings import LaptopSettings
from lakegate.local.own_servers import ATHENA, ROLES, athena_command, own_server_is_healthy, roles_command
from lakegate.local.process_environment import child_environment, use_environment
from lakegate.local.processes import Child, Command, ProcessRunner, free_port
from lakegate.local.roles import Role, role_environment
from pipelines.errors import ConfigurationError
from resources.deployment import deploy
from resources.environment import Deployment

REPOSITORY = Path(__file__).resolve().parents[2]
TEMPLATE = REPOSITORY / "infra" / "lakegate.yaml"
WORKSPACE = REPOSITORY / "workspace.yaml"
STACK_NAME = "lakegate"
# What AWS has and a laptop does not: TLS, a ledger that must outlive its stack, and ECS, which takes the workers' roles.
TEMPLATE_PARAMETERS: Mapping[str, str] = {
    "RequireTls": "false",
    "LedgerDeletionProtection": "false",
    "AccountMayAssumeWorkerRoles": "true",
}
CREDENTIALS: Mapping[str, str] = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
_AWS, _DAGSTER = "ministack", "dagster"
_PREFERRED_PORTS = {_AWS: 4566, ATHENA: 4567, ROLES: 4568, _DAGSTER: 3000}
# Dagster first, and its daemon before its pages: what uses the AWS goes before the AWS.
_STOP_ORDER = (dagster.DAEMON, workers.WORKERS, dagster.WEBSERVER, ROLES, ATHENA, _AWS)


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
        enforce_iam: bool | None = None,
        any_port: bool = False,
        alarm_speed: float = 1,
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        """Name the folder (default: `LAKEGATE_HOME`, else `.lakegate` in the current one); nothing is started or made.

        With `enforce_iam` its AWS checks signatures and policies, and what is started acts under the template's roles; None is what
        the folder was started with last, and not at first. With `any_port` the first start takes free ports instead of the
        well-known ones (4566, 4567, 4568, 3000). For trying the alarms their periods can pass faster (`alarm_speed`), and the template can be given other `parameters`.
        """
        self.home = (home or Path(os.environ.get("LAKEGATE_HOME", ".lakegate"))).resolve()
        self._runner = ProcessRunner(self.home)
        self._settings = LaptopSettings(self.home)
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
            ConfigurationError: ministack is not installed, the template is refused, or it runs and enforces other than asked for.
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
            enforces = self._settle_enforcement()
            port = self._ensure(
                _AWS,
                lambda port: ministack.ministack_command(
                    port,
                    self.home / "ministack",
                    self._emf_file,
                    enforce_iam=enforces,
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
                ATHENA,
                lambda port: athena_command(port, child_environment(environment), enforce_iam=enforces),
                own_server_is_healthy,
                ministack.START_LIMIT_S,
                tied,
            )
            if enforces:
                self._ensure(
                    ROLES,
                    lambda port: roles_command(
                        port, STACK_NAME, child_environment(environment), self._settings.role_secret()
                    ),
                    own_server_is_healthy,
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

        Where IAM is enforced, the daemon, its code server and the web server act under the sensor's role, the workers under the run's.

        Raises:
            ConfigurationError: IAM is enforced, and runs would act under the sensor's role for want of workers.
            PermanentError: one of them did not start; the message holds the end of its log.
        """
        with self._locked():
            port = port or self._port(_DAGSTER, self._runner.find(dagster.WEBSERVER))
            linked = {**environment, "LAKEGATE_DAGSTER_URL": f"http://127.0.0.1:{port}"}
            dagster_home = self.home / "dagster"
            daemon = self._runner.find(dagster.DAEMON)
            if daemon is not None and daemon.is_alive:
                warm_workers = has_warm_workers(dagster_home)
            if self.enforces_iam and not warm_workers:
                raise ConfigurationError(
                    "Where roles are enforced, runs need warm workers: in a process of the daemon's they would have its role. "
                    "Leave --simple out."
                )
            own = dagster.prepare_dagster_home(
                dagster_home, child_environment(self.as_role(linked, Role.SENSOR)), warm_workers=warm_workers
            )
            # Who opens the instance here, as the demo does, needs the address in the form that Dagster's processes got.
            os.environ.update({name: own[name] for name in (POSTGRES_VARIABLE,) if name in own})
            self._settings.remember_port(_DAGSTER, port)
            commands: list[tuple[Command, Callable[[int], bool]]] = [
                (dagster.webserver_command(port, workspace, own), dagster.webserver_is_healthy),
                (dagster.daemon_command(workspace, own), dagster.daemon_is_healthy),
            ]
            if warm_workers:
                self._workers = workers.workers_command(self._notes, workspace, self.as_role(own, Role.RUN))
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

    def environment(self, role: Role | None = None) -> dict[str, str]:
        """Return the environment of the running laptop, set in this process too: that of a role where IAM is enforced (default: the operator's).

        Raises:
            ConfigurationError: it is not up, or a role is asked for and none is enforced.
        """
        ports = self._settings.ports
        if not (_AWS in ports and ATHENA in ports and self._runner.find(_AWS) and self._runner.find(ATHENA)):
            raise ConfigurationError(f"The laptop's AWS is not up in {self.home}. Run `lakegate up --detach` first.")
        if role is not None and not self.enforces_iam:
            raise ConfigurationError(
                f"The laptop in {self.home} enforces no roles. Run `lakegate down`, then `lakegate up --enforce`."
            )
        environment = {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": ministack.ministack_url(ports[_AWS]),
            "AWS_ENDPOINT_URL_ATHENA": f"http://127.0.0.1:{ports[ATHENA]}",
            "LAKEGATE_HOME": str(self.home),
            "LAKEGATE_EMF_FILE": str(self._emf_file),
        }
        use_environment(environment)
        environment |= Deployment.from_stack(STACK_NAME).to_environment()
        environment = self.as_role(environment, role or Role.OPERATOR)
        use_environment(environment)
        return environment

    @property
    def enforces_iam(self) -> bool:
        """Whether its AWS checks signatures and policies, or will at the next start."""
        return self._settings.enforces_iam if self._enforce_iam is None else self._enforce_iam

    def as_role(self, environment: Mapping[str, str], role: Role) -> dict[str, str]:
        """Return the environment of a process that acts under the role; as it is where IAM is not enforced."""
        if not self.enforces_iam:
            return dict(environment)
        return role_environment(environment, role, self._settings.ports[ROLES], self._settings.role_secret())

    @contextmanager
    def acting_as(self, environment: Mapping[str, str], role: Role) -> Generator[None]:
        """Let this process act under the role meanwhile; as it did afterwards."""
        before = dict(os.environ)
        use_environment(self.as_role(environment, role))
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)

    def status(self) -> list[ProcessStatus]:
        """Return what runs and whether it answers, in the order of starting."""
        ports = self._settings.ports
        checks: dict[str, tuple[str, Callable[[int], bool]]] = {
            _AWS: (_AWS, ministack.ministack_is_healthy),
            ATHENA: (ATHENA, own_server_is_healthy),
            dagster.WEBSERVER: (_DAGSTER, dagster.webserver_is_healthy),
            dagster.DAEMON: (_DAGSTER, dagster.daemon_is_healthy),
        }
        if self.enforces_iam:
            checks[ROLES] = (ROLES, own_server_is_healthy)
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
        self._settings.remember_port(name, port)
        self._runner.start(command(port), lambda: is_healthy(port), within_s=within_s, tied=tied)
        return port

    def _port(self, name: str, running: Child | None) -> int:
        known = self._settings.ports.get(name)
        if known is not None and running is not None:
            return known
        return free_port(known or (None if self._any_port else _PREFERRED_PORTS[name]))

    def _settle_enforcement(self) -> bool:
        """Say whether IAM is enforced, and remember it for whoever comes next.

        Raises:
            ConfigurationError: the AWS runs, and does otherwise.
        """
        known, wanted = self._settings.enforces_iam, self.enforces_iam
        if known != wanted:
            if self._runner.find(_AWS) is not None:
                raise ConfigurationError(
                    f"The laptop in {self.home} runs {'with' if known else 'without'} enforced roles. Run `lakegate down` first."
                )
            self._settings.remember_enforcement(wanted)
        return wanted

    @contextmanager
    def _locked(self) -> Generator[None]:
        """Let one process at a time start or stop things here."""
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
