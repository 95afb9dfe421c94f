"""A deployment whose alarms are tried: sensors and runs in this process, all else on the laptop's AWS, from S3 to SNS.

`tick` does what the landing sensor, its runs and the dead-letter sensor do; nothing is told to CloudWatch but by the
product's own meter, as lines that the laptop's AWS takes metrics from.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from botocore.awsrequest import AWSResponse

from lakegate.local.laptop import STACK_NAME
from pipelines.accounting.entries import RetryPolicy
from pipelines.contracts.loading import load_datasets
from pipelines.errors import LakegateError
from pipelines.gate import Gate
from pipelines.ingest import ingest_batch
from pipelines.intake.dispatching import RunState, dispatch
from pipelines.intake.receiving import receive
from pipelines.reports import BatchReport
from pipelines.telemetry.metrics import DEAD_LETTERS, SENSOR_TICKS
from pipelines.telemetry.standing import standing
from resources.assembly import open_gate
from resources.environment import Deployment, client
from tests.ingest.world import READER

ORDERS = """
name: orders
description: Orders of a shop.
landing: {key: "landing/orders/{day:%Y-%m-%d}/*.csv", day: day, start: 2026-01-01}
format: {type: csv}
columns: {day: {type: date, from: key}, id: {type: bigint, nullable: false}}
"""
PRICES = """
name: prices
description: Prices, every minute.
landing: {key: "landing/prices/{day:%Y-%m-%d}/*.csv", day: day, start: 2026-01-01}
format: {type: csv}
columns: {day: {type: date, from: key}, id: {type: bigint, nullable: false}}
freshness: {expected_every: PT1M}
"""
FEW_ATTEMPTS = RetryPolicy(max_attempts=4, first_delay_s=4, longest_delay_s=12)
"""Over within half a minute, where a file that fails is tried for four minutes otherwise; less than what pauses a dataset."""


@dataclass
class Trial:
    """The deployment, and who is told. `told` has every message of an alarm so far: its name, its state, its description."""

    deployment: Deployment
    gate: Gate
    inbox: str
    runs: dict[str, RunState] = field(default_factory=dict[str, RunState])
    told: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])
    files: int = 0

    @classmethod
    def start(cls, deployment: Deployment, folder: Path) -> Trial:
        """Subscribe an inbox to the alarms' topic; open the gate."""
        for name, text in (("orders", ORDERS), ("prices", PRICES)):
            (folder / f"{name}.yaml").write_text(text)
        gate = open_gate(deployment, load_datasets(folder), FEW_ATTEMPTS)
        inbox = client("sqs").create_queue(QueueName="told-by-alarms")["QueueUrl"]
        arn = client("sqs").get_queue_attributes(QueueUrl=inbox, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        outputs = client("cloudformation").describe_stacks(StackName=STACK_NAME)["Stacks"][0]["Outputs"]
        [topic] = [output["OutputValue"] for output in outputs if output["OutputKey"] == "AlarmTopic"]
        client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        return cls(deployment, replace(gate, reader=lambda: nullcontext(READER)), inbox)

    def land(self, dataset: str, content: bytes = b"id\n1\n") -> str:
        """What a producer does; S3 tells the queue."""
        self.files += 1
        key = f"landing/{dataset}/2026-02-01/{self.files}.csv"
        client("s3").put_object(Bucket=self.deployment.landing_bucket, Key=key, Body=content)
        return key

    def tick(self) -> None:
        """Hear, plan, run, and tell how things stand."""
        receive(self.gate, wait_s=0, budget_s=5)
        looked = dispatch(self.gate, lambda keys: {key: self.runs[key] for key in keys if key in self.runs})
        for launch in looked.launches:
            self.runs[launch.run_key] = RunState.SUCCEEDED
            [of] = [one for one in self.gate.datasets.datasets if one.name == launch.dataset]
            for batch in launch.batches:
                try:
                    self.gate.tables.ensure(of)
                    report = ingest_batch(self.gate, READER, of, batch, f"run-{launch.run_key}")
                except LakegateError:
                    self.runs[launch.run_key] = RunState.FAILED
                    continue
                if isinstance(report, BatchReport) and report.committed is not None:
                    # What an asset's run notes when it has published.
                    self.gate.ledger.profiles.published(of.name, launch.days[0], 1, {}, 1, arrived=True)
        assert self.gate.dead_letters is not None
        self.gate.meter.tell(standing(self.gate))
        self.gate.meter.tell(
            (DEAD_LETTERS.of(self.gate.dead_letters.depth()), SENSOR_TICKS.of(1, sensor="landing_sensor"))
        )
        self.gate.meter.flush()

    def states(self) -> dict[str, str]:
        """Each alarm by its name without the stack's, and its state."""
        alarms = client("cloudwatch").describe_alarms(AlarmNamePrefix=f"{STACK_NAME}-")["MetricAlarms"]
        return {alarm["AlarmName"].removeprefix(f"{STACK_NAME}-"): alarm["StateValue"] for alarm in alarms}

    def raised(self) -> set[str]:
        """The alarms that stand."""
        return {name for name, state in self.states().items() if state == "ALARM"}

    def until(self, holds: Callable[[], bool], what: str, *, ticking: bool = True, within_s: float = 120) -> float:
        """Tick until it holds; how many seconds that took."""
        began = time.monotonic()
        while not holds():
            assert time.monotonic() - began < within_s, f"{what}: not within {within_s:.0f} s; {self.states()}"
            if ticking:
                self.tick()
            time.sleep(0.3)
        self.listen()
        return time.monotonic() - began

    def listen(self) -> None:
        """Take what the topic has told."""
        while True:
            found = client("sqs").receive_message(QueueUrl=self.inbox, MaxNumberOfMessages=10).get("Messages", [])
            for message in found:
                client("sqs").delete_message(QueueUrl=self.inbox, ReceiptHandle=message["ReceiptHandle"])
                told: dict[str, Any] = json.loads(json.loads(message["Body"])["Message"])
                name = told["AlarmName"].removeprefix(f"{STACK_NAME}-")
                self.told.append((name, told["NewStateValue"], told["AlarmDescription"]))
            if not found:
                return

    @contextmanager
    def no_notifications(self) -> Generator[None]:
        """Somebody has replaced the bucket's notifications by none."""
        s3, bucket = client("s3"), self.deployment.landing_bucket
        before = s3.get_bucket_notification_configuration(Bucket=bucket)
        before.pop("ResponseMetadata")
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
        yield
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=before)

    @contextmanager
    def no_right_to_commit(self) -> Generator[None]:
        """Glue refuses to update any table, as where the run's role has lost the right."""
        events = client("glue").meta.events
        events.register("before-send.glue.UpdateTable", _refuse)
        try:
            yield
        finally:
            events.unregister("before-send.glue.UpdateTable", _refuse)


def _refuse(request: Any, **_: object) -> AWSResponse:
    body = json.dumps({"__type": "AccessDeniedException", "message": "not authorized to perform glue:UpdateTable"})
    return AWSResponse(request.url, 400, {"Content-Type": "application/x-amz-json-1.1"}, _Body(body.encode()))


class _Body:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        yield self._content

    def read(self, *_: object) -> bytes:
        content, self._content = self._content, b""
        return content
