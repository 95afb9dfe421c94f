"""The whole road on this machine: AWS, Athena and Dagster's own daemon and web server, in a folder of their own."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import psutil

from lakegate.local.laptop import Laptop
from lakegate.status import Rest, look
from pipelines.contracts.loading import load_datasets
from pipelines.gate import Gate
from resources.assembly import open_gate, query_engine
from resources.environment import Deployment, client

HERE = Path(__file__).parent
DATASETS = HERE / "datasets"
WORKSPACE = HERE / "workspace.yaml"
LIMIT_S = 90.0
"""How long a test waits for the road to come to rest; a quiet machine needs a third of it."""


@contextmanager
def environment_kept() -> Iterator[None]:
    """What is set in the environment meanwhile is gone afterwards: other tests of this process have an AWS of their own."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def hasten_the_queue(deployment: Deployment, receives: int, again_after_s: int = 1) -> None:
    """What was received and not deleted comes again after so many seconds, and is dead after so many times."""
    sqs, url, name = client("sqs"), deployment.queue_url, "RedrivePolicy"
    policy = json.loads(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name])
    hasty = json.dumps(policy | {"maxReceiveCount": receives})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": str(again_after_s), name: hasty})


@dataclass
class Road:
    """A running laptop, and what a user does with it. `environment` has to be set while it is used."""

    laptop: Laptop
    environment: dict[str, str]
    deployment: Deployment
    gate: Gate
    address: str = ""
    duplicates: int = 0

    @classmethod
    def start(cls, home: Path, datasets: Path = DATASETS) -> Road:
        """AWS, Athena and the stack; Dagster is not started yet."""
        laptop = Laptop(home, any_port=True)
        os.environ["LAKEGATE_DATASETS"] = str(datasets)
        try:
            environment = laptop.start() | {"LAKEGATE_DATASETS": str(datasets)}
        except BaseException:
            laptop.stop()
            raise
        deployment = Deployment.from_environment(environment)
        return cls(laptop, environment, deployment, open_gate(deployment, load_datasets(datasets)))

    def start_dagster(self, workspace: Path = WORKSPACE, *, warm_workers: bool = False) -> None:
        self.address = self.laptop.start_dagster(self.environment, workspace=workspace, warm_workers=warm_workers)

    # ---- the producer

    def put(self, key: str, content: bytes) -> str:
        """Land an object; its version."""
        bucket = self.deployment.landing_bucket
        return client("s3").put_object(Bucket=bucket, Key=key, Body=content)["VersionId"]

    def send(self, body: str) -> None:
        client("sqs").send_message(QueueUrl=self.deployment.queue_url, MessageBody=body)

    def deliver_twice(self) -> int:
        """Send events that wait in the queue a second time, word for word, as S3 may do."""
        answer = client("sqs").receive_message(
            QueueUrl=self.deployment.queue_url, MaxNumberOfMessages=10, VisibilityTimeout=0
        )
        events = [m["Body"] for m in answer["Messages"] if '"Records"' in m["Body"]]  # not the proof of wiring
        for body in events:
            self.send(body)
        return len(events)

    # ---- the watcher

    def look(self) -> Rest:
        return look(self.gate)

    def await_rest(self, objects: int) -> Rest:
        """Wait until so many objects are known, nothing is pending and no run is under way."""

        def at_rest() -> Rest | None:
            rest = self.look()
            return rest if rest.at_rest and rest.sheet.objects >= objects and not self.open_runs() else None

        return self.wait(at_rest, lambda: f"{self.look().sentence()}; runs under way: {self.open_runs()}")

    def wait(
        self, found: Callable[[], Any], told: Callable[[], object] = lambda: "", *, within_s: float = LIMIT_S
    ) -> Any:
        """Wait until something is found; what is told instead when the time is over."""
        deadline = time.monotonic() + within_s
        while not (answer := found()):
            if time.monotonic() > deadline:
                log = self.laptop.home / "logs" / "dagster-daemon.log"
                raise AssertionError(f"not within {within_s:.0f} s: {told()}\n{log.read_text()[-6000:]}")
            time.sleep(0.1)
        return answer

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        with dg.DagsterInstance.from_config(str(self.laptop.home / "dagster")) as instance:
            yield instance

    def runs(self) -> list[dg.DagsterRun]:
        with self.instance() as instance:
            return list(instance.get_runs())

    def open_runs(self) -> list[str]:
        return [f"{run.job_name} {run.status.value}" for run in self.runs() if not run.is_finished]

    def metadata(self, asset: list[str], partition: str) -> dict[str, Any]:
        """The newest materialization of a partition."""
        with self.instance() as instance:
            [record] = instance.fetch_materializations(
                dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[partition]), limit=1
            ).records
        materialization = record.asset_materialization
        assert materialization is not None
        return {name: value.value for name, value in materialization.metadata.items()}

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """What Athena answers."""
        return query_engine(self.deployment).query(sql).table.to_pylist()

    def outcomes(self, key: str) -> list[str]:
        """The outcome of each version of a key, oldest first."""
        return [entry.outcome.value for entry in self.gate.ledger.entries(self.deployment.landing_bucket, key)]

    def dead_letters(self) -> list[str]:
        answer = client("sqs").receive_message(
            QueueUrl=self.deployment.dlq_url, MaxNumberOfMessages=10, VisibilityTimeout=0
        )
        return [message["Body"] for message in answer.get("Messages", [])]

    # ---- the accident, and the end

    def kill_the_daemon(self) -> int:
        """kill -9 for the daemon, its code server, its runs and their readers, at once; how many died."""
        [pid] = [s.pid for s in self.laptop.status() if s.name == "dagster-daemon"]
        members = self._session(pid)
        for process in members:
            process.kill()
        psutil.wait_procs(members, timeout=10)
        return len(members)

    @staticmethod
    def _session(leader: int | None) -> list[psutil.Process]:
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            try:
                if os.getsid(process.pid) == leader:
                    found.append(process)
            except ProcessLookupError:
                continue
        return found

    def left_behind(self) -> list[str]:
        """Processes that know this folder, after everything was stopped."""
        found: list[str] = []
        for process in psutil.process_iter(["environ", "cmdline", "status"]):
            environ: Mapping[str, str] = process.info["environ"] or {}
            mine = any(
                environ.get(name, "").startswith(str(self.laptop.home)) for name in ("LAKEGATE_HOME", "DAGSTER_HOME")
            )
            if mine and process.pid != os.getpid() and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.info["cmdline"] or []))
        return found
