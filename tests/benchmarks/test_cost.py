"""What is counted as a request, what it costs, and that a small file in a full batch costs few of them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from benchmarks.aws_requests import Asked, CountingProxy, operation_of
from benchmarks.prices import DYNAMODB_WRITE, S3_READ, S3_WRITE, SQS, TASKS, bill_of, glue_bill, lambda_bill
from pipelines.contracts.loading import load_datasets
from pipelines.ingest import ingest_batch
from pipelines.intake.dispatching import dispatch
from pipelines.intake.receiving import receive
from pipelines.ports import ItemKey, Put
from pipelines.reading.reader import InProcessReader
from pipelines.reports import BatchReport
from resources.assembly import open_gate
from resources.dynamodb import DynamoItemStore
from resources.environment import Deployment, client
from tests.infra.test_template import TemplateLoader

ROOT = Path(__file__).resolve().parents[2]

FILES = 100
MOST_REQUESTS_A_FILE = 4.0
"""The bar is twelve; 3.0 were measured for a hundred files. What goes beyond this has made every file dearer."""

CONTRACT = """\
name: {name}
description: Small files.
landing: {{key: "landing/{name}/{{day:%Y-%m-%d}}/*.csv", day: day, start: 2024-01-01}}
format: {{type: csv}}
columns:
  day: {{type: date, from: key}}
  id: {{type: bigint}}
  amount: {{type: double}}
"""
SIGNED = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=0"


@pytest.mark.parametrize(
    ("service", "method", "path", "headers", "body", "operation"),
    [
        ("s3", "GET", "/bucket/a/key?versionId=1", {}, b"", "GetObject"),
        ("s3", "PUT", "/bucket/a/key", {}, b"x", "PutObject"),
        ("s3", "PUT", "/bucket/a/key", {"x-amz-copy-source": "b/k"}, b"", "CopyObject"),
        ("s3", "PUT", "/bucket/a/key?partNumber=1&uploadId=u", {}, b"", "UploadPart"),
        ("s3", "POST", "/bucket/a/key?uploads", {}, b"", "CreateMultipartUpload"),
        ("s3", "POST", "/bucket/a/key?uploadId=u", {}, b"", "CompleteMultipartUpload"),
        ("s3", "POST", "/bucket?delete", {}, b"", "DeleteObjects"),
        ("s3", "GET", "/bucket?list-type=2&prefix=p", {}, b"", "ListObjectsV2"),
        ("s3", "GET", "/bucket?versions&prefix=p", {}, b"", "ListObjectVersions"),
        ("s3", "HEAD", "/bucket/a", {}, b"", "HeadObject"),
        ("s3", "HEAD", "/bucket", {}, b"", "HeadBucket"),
        ("dynamodb", "POST", "/", {"X-Amz-Target": "DynamoDB_20120810.Query"}, b"{}", "Query"),
        ("glue", "POST", "/", {"X-Amz-Target": "AWSGlue.GetTable"}, b"{}", "GetTable"),
        ("sqs", "POST", "/", {"X-Amz-Target": "AmazonSQS.ReceiveMessage"}, b"{}", "ReceiveMessage"),
        ("sns", "POST", "/", {}, b"Action=Publish&Message=x", "Publish"),
    ],
)
def test_a_request_is_known_by_aws_own_names(
    service: str, method: str, path: str, headers: dict[str, str], body: bytes, operation: str
) -> None:
    asked = operation_of(method, path, {"Authorization": SIGNED.format(service), **headers}, body)
    assert asked == (service, operation)


def test_a_bill_takes_each_service_at_its_own_unit() -> None:
    counts = {
        ("s3", "GetObject"): Asked(10),
        ("s3", "PutObject"): Asked(2),
        ("s3", "DeleteObjects"): Asked(5),
        ("dynamodb", "TransactWriteItems"): Asked(1, write_units=40),
        ("sqs", "ReceiveMessage"): Asked(1, received_bytes=640_000),
    }
    bill = bill_of(counts, files=10, cpu_s=0)
    assert bill.dollars["S3"] == pytest.approx((10 * S3_READ + 2 * S3_WRITE) / 10)
    assert bill.dollars["DynamoDB"] == pytest.approx(4 * DYNAMODB_WRITE)
    assert bill.dollars["SQS"] == pytest.approx((10 + 10) * SQS / 10)  # a request for each 64 KB, and S3's own messages
    assert bill.total == pytest.approx(sum(bill.dollars.values()))


def test_a_glue_job_is_billed_a_minute_and_a_lambda_by_the_millisecond() -> None:
    assert glue_bill(1).total == glue_bill(60).total
    assert lambda_bill(2).total > lambda_bill(1).total


def test_the_services_are_priced_as_the_template_makes_them() -> None:
    template = yaml.load((ROOT / "infra" / "dagster-ecs.yaml").read_text(), TemplateLoader)
    parameters = {name: said.get("Default") for name, said in template["Parameters"].items()}
    for service, (many, cpu, gb) in TASKS.items():
        task = template["Resources"][f"{service}Task"]["Properties"]
        count = template["Resources"][service]["Properties"]["DesiredCount"]
        count = parameters[count["Ref"]] if isinstance(count, dict) else count
        assert (count, int(task["Cpu"]) / 1024, int(task["Memory"]) / 1024) == (many, cpu, gb), service
    assert (parameters["DatabaseClass"], parameters["DatabaseMultiAz"]) == ("db.t4g.small", "true")


@pytest.fixture
def counted(deployment: Deployment, local_aws: dict[str, str]) -> Iterator[CountingProxy]:
    """The local AWS behind the proxy, for every client that is made from now on."""
    before = dict(os.environ)
    proxy = CountingProxy(local_aws["AWS_ENDPOINT_URL"])
    os.environ["AWS_ENDPOINT_URL"] = proxy.url
    try:
        yield proxy
    finally:
        os.environ.clear()
        os.environ.update(before)
        proxy.close()


@pytest.mark.aws
def test_write_units_are_what_dynamodb_bills(counted: CountingProxy, deployment: Deployment) -> None:
    store = DynamoItemStore(client("dynamodb"), deployment.ledger_table)
    store.write([Put(ItemKey(f"cost-{uuid.uuid4().hex}", "a"), {"text": "x" * 1500})])
    assert (
        counted.counts()["dynamodb", "TransactWriteItems"].write_units == 4
    )  # two units a KiB begun, in a transaction


@pytest.mark.aws
def test_a_small_file_in_a_full_batch_costs_few_requests(
    counted: CountingProxy, deployment: Deployment, tmp_path: Path
) -> None:
    name = f"few_{uuid.uuid4().hex[:8]}"
    (tmp_path / f"{name}.yaml").write_text(CONTRACT.format(name=name))
    gate = open_gate(deployment, load_datasets(tmp_path))
    for number in range(FILES):
        key = f"landing/{name}/2024-01-01/{number:04d}.csv"
        client("s3").put_object(Bucket=deployment.landing_bucket, Key=key, Body=f"id,amount\n{number},1.5\n".encode())
    before = counted.counts()
    registered = 0
    while registered < FILES:
        registered += receive(gate, wait_s=1, budget_s=10).new
    [of] = gate.datasets.datasets
    [launch] = [launch for launch in dispatch(gate, lambda _: {}).launches if launch.dataset == name]
    [batch_id] = launch.batches
    gate.tables.ensure(of)
    report = ingest_batch(gate, InProcessReader(), of, batch_id, "run-1")
    assert isinstance(report, BatchReport)
    assert sum(file.rows_loaded for file in report.files) == FILES
    asked = {what: count - before.get(what, Asked()) for what, count in counted.counts().items()}
    requests = sum(count.requests for count in asked.values()) / FILES
    assert requests <= MOST_REQUESTS_A_FILE, {what: count.requests for what, count in asked.items()}
    assert FILES <= asked["s3", "GetObject"].requests <= FILES + 20
