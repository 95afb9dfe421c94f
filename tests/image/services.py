"""The four services of infra/dagster-ecs.yaml as processes of this machine: their own commands, environments and health checks.

What a task has on ECS they have here: an environment with nothing else in it, the credentials of its own role and no others, the
settings of `infra/`. What differs: ports, the address of AWS, and Postgres without TLS. With LAKEGATE_IMAGE_ROOT, where
`make image-steps` has built, they run the image's own programs.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy.engine import make_url

from lakegate.local.laptop import STACK_NAME
from lakegate.local.processes import free_port
from resources.environment import client
from tests.image.dockerfile import ROOT, read
from tests.image.ecs import SERVICES, container, environment, template

LIMIT_S = 120.0
DATA_PARAMETERS = ("LandingBucket", "GlueDatabase", "SensorRoleArn", "RunRoleArn")
_ROLES = {"Code": "SensorRole", "Workers": "RunRole"}


@dataclass
class Services:
    """All four, below `folder`. `laptop` is the environment of the local AWS, `postgres` the address of an empty database."""

    folder: Path
    laptop: Mapping[str, str]
    postgres: str
    datasets: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=lambda: {"3000": free_port(), "4000": free_port()})

    def __post_init__(self) -> None:
        self.home, self.scratch = self.folder / "app" / "dagster", self.folder / "tmp"
        self.home.mkdir(parents=True)
        self.scratch.mkdir()
        shutil.copy(ROOT / "infra" / "dagster.yaml", self.home)
        shutil.copy(ROOT / "infra" / "workspace.yaml", self.folder / "app")
        self._keys = {service: _credentials(service) for service in SERVICES}

    def start(self, service: str) -> None:
        log = (self.folder / f"{service}.log").open("ab")
        command = [self._here(word) for word in container(service)["Command"]]
        self.processes[service] = subprocess.Popen(
            [self._program(command[0]), *command[1:]],
            env=self.environment(service),
            cwd=self.folder / "app",
            stdout=log,
            stderr=log,
            start_new_session=True,
            # As in a container: whoever started the tests in the background has SIGINT ignored, and so would these.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        log.close()

    def environment(self, service: str) -> dict[str, str]:
        """What ECS would set, and what the image says; nothing is inherited."""
        url = make_url(self.postgres)
        secret = "secret-of-the-database"
        names = {
            "AWS::AccountId": self.laptop["LAKEGATE_ACCOUNT_ID"],
            "AWS::Region": self.laptop["AWS_REGION"],
            "AWS::StackName": "lakegate-dagster",
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "DataStack": STACK_NAME,
            "DomainName": "dagster.example.com",
            "Database.Endpoint.Address": str(url.host),
            "Database.Endpoint.Port": str(url.port),
            "Database.MasterUserSecret.SecretArn": secret,
            f"{secret}:username::": str(url.username),
            f"{secret}:password::": str(url.password),
            "PostgresSslMode": "disable",
        }
        stack = client("cloudformation").describe_stacks(StackName=STACK_NAME)["Stacks"][0]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        said = environment(service, names | {name: outputs[name] for name in DATA_PARAMETERS})
        # On this machine queues have addresses of their own; that of AWS is compared with it in test_dagster_ecs.py.
        queues = {"LAKEGATE_QUEUE_URL", "LAKEGATE_DLQ_URL", "LAKEGATE_RUN_QUEUE_URL"} & said.keys()
        said |= {name: self.laptop[name] for name in queues}
        said["LAKEGATE_DAGSTER_POSTGRES"] = said["LAKEGATE_DAGSTER_POSTGRES"].replace("dagster", str(url.database))
        if "LAKEGATE_CODE_HOST" in said:
            said |= {"LAKEGATE_CODE_HOST": "127.0.0.1", "LAKEGATE_CODE_PORT": str(self.ports["4000"])}
        key = self._keys[service]
        here = {
            **{name: value for name, value in self.laptop.items() if name.startswith("AWS_ENDPOINT_URL")},
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
            "AWS_EC2_METADATA_DISABLED": "true",
            "LAKEGATE_DATASETS": str(self.datasets),
            "TMPDIR": str(self.scratch),
            "PATH": f"{self._programs}:/usr/bin:/bin",
        }
        if "LAKEGATE_IMAGE_ROOT" not in os.environ:
            here["PYTHONPATH"] = str(ROOT)
        image = {**read().stages[-1].environment, "DAGSTER_HOME": str(self.home), "HOME": str(self.scratch)}
        return {**image, **said, **here}

    def health(self, service: str) -> subprocess.CompletedProcess[str]:
        """What ECS would ask."""
        kind, *command = container(service)["HealthCheck"]["Command"]
        assert kind == "CMD"
        if service in ("Web", "Code"):
            command += ["--port", str(self.ports["3000" if service == "Web" else "4000"])]
        words = [self._program(command[0]), *(self._here(word) for word in command[1:])]
        return subprocess.run(
            words, env=self.environment(service), cwd=self.folder / "app", capture_output=True, text=True, check=False
        )

    def await_health(self, *services: str) -> None:
        deadline = time.monotonic() + LIMIT_S
        waiting = list(services)
        while waiting:
            asked = self.health(waiting[0])
            if asked.returncode == 0:
                waiting.pop(0)
                continue
            assert self.processes[waiting[0]].poll() is None, self.log(waiting[0])
            assert time.monotonic() < deadline, f"{waiting[0]}: {asked.stderr}\n{self.log(waiting[0])}"
            time.sleep(0.5)

    def log(self, service: str) -> str:
        return (self.folder / f"{service}.log").read_text(errors="replace")[-6000:]

    def commands(self) -> list[str]:
        """The command lines of all that runs now."""
        leaders = [psutil.Process(process.pid) for process in self.processes.values() if process.poll() is None]
        members = [member for leader in leaders for member in (leader, *leader.children(recursive=True))]
        return [" ".join(member.cmdline()) for member in members if member.is_running()]

    def kill(self, service: str) -> None:
        os.killpg(self.processes[service].pid, signal.SIGKILL)
        self.processes[service].wait()

    def stop(self) -> dict[str, int]:
        """SIGTERM to the first process of each, as ECS sends it; what each ended with."""
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
        codes: dict[str, int] = {}
        for service, process in self.processes.items():
            try:
                codes[service] = process.wait(30)
            except subprocess.TimeoutExpired:
                codes[service] = -signal.SIGKILL
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return codes

    @property
    def _programs(self) -> Path:
        root = os.environ.get("LAKEGATE_IMAGE_ROOT")
        return Path(root) / "opt" / "lakegate" / "bin" if root else Path(sys.executable).parent

    def _program(self, name: str) -> str:
        assert (self._programs / name).exists(), f"the image has no {name}"
        return str(self._programs / name)

    def _here(self, word: str) -> str:
        for there, here in (("/app/", f"{self.folder}/app/"), ("/tmp/", f"{self.scratch}/")):
            if word.startswith(there):
                return word.replace(there, here, 1)
        return str(self.ports.get(word, word))


def _credentials(service: str) -> dict[str, str]:
    """Those of a new user who may do what the service's role may: policies of the data stack, else those in this template."""
    iam, name = client("iam"), f"task-{service}"
    iam.create_user(UserName=name)
    if role := _ROLES.get(service):
        found = client("cloudformation").describe_stack_resource(StackName=STACK_NAME, LogicalResourceId=role)
        role_name = found["StackResourceDetail"]["PhysicalResourceId"]
        attached = iam.list_attached_role_policies(RoleName=role_name)["AttachedPolicies"]
        assert attached
        for policy in attached:
            iam.attach_user_policy(UserName=name, PolicyArn=policy["PolicyArn"])
    else:
        for own in template()["Resources"][f"{service}Role"]["Properties"].get("Policies", []):
            document = json.dumps(own["PolicyDocument"], default=str)
            iam.put_user_policy(UserName=name, PolicyName=own["PolicyName"], PolicyDocument=_substituted(document))
    return iam.create_access_key(UserName=name)["AccessKey"]


def _substituted(document: str) -> str:
    account = client("sts").get_caller_identity()["Account"]
    said: Any = json.loads(document, object_hook=lambda found: found.get("Sub", found))
    known = {"AWS::Partition": "aws", "AWS::Region": "us-east-1", "AWS::AccountId": account, "DataStack": STACK_NAME}
    text = json.dumps(said)
    for name, value in known.items():
        text = text.replace(f"${{{name}}}", value)
    return text
