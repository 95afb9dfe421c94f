"""Runs ministack so that it can stand in for an account on a laptop; executed by ministack's own interpreter.

This file is started as a script with `.venv-ministack/bin/python`; it must import nothing of Lakegate, and nothing of
Lakegate imports it. Only it, and what it loads from beside it, reach into ministack's private modules, for these reasons:

1. ministack saves its state at SIGTERM only: `kill -9`, a crash or a power cut loses every queue, table, notification
   and stack. Here what changed is saved within about a second, one service at a time, by atomic replacement.
2. Its CRC32C and CRC64NVME are pure Python: 7 MB/s for uploads by pyarrow and other AWS C++ clients. `awscrt`, which
   is installed beside it, computes the same sums 15 times as fast end to end.
3. It lacks `ListDeadLetterSourceQueues` and `StartMessageMoveTask`, with which an operator sends dead letters back.
4. Its `ListObjectVersions` ignores `encoding-type=url`: one key with a character that XML cannot hold, and nothing is listed.
5. `ministack_wiring.py`: S3's events for EventBridge tell no version, EventBridge sends to a queue whose policy does not let it,
   and CloudFormation leaves a table's point-in-time recovery out.
6. `ministack_buckets.py`: CloudFormation leaves a bucket's encryption out, S3 does not look at the owner that a
   request expects, and a policy does not see whether a write is conditional, nor that services speak TLS to each other.
7. `ministack_alarms.py`: CloudWatch evaluates alarms in a way of its own; there it does so as AWS does.
8. `ministack_metrics.py`: no metrics of queues are published, and none taken from log lines.
9. `ministack_iam.py`: condition keys, actions and resources are not named as on AWS, and nobody can ask what another may.
10. `ministack_objects.py`: objects are read whole into memory for each request, and a part of a version is not answered as one.

Because those are private names, any version but the pinned one is refused with the remedy.
"""

import argparse
import asyncio
import contextlib
import copy
import importlib
import importlib.util
import json
import logging
import os
import resource
import signal
import sys
import time
import types
import uuid
from collections.abc import Generator, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

PINNED_VERSION = "1.5.33"
SNAPSHOT_PAUSE_S = 1.0
# A snapshot of a large ledger stops the event loop while it is copied; it may take at most a twentieth of the time.
SNAPSHOT_SHARE = 20
# What a request to one service may change in another: an object put in S3 becomes a message or an event.
CHANGES_BESIDE = {
    "s3": ("s3", "sqs", "sns", "eventbridge"),
    "sqs": ("sqs",),
    "dynamodb": ("dynamodb",),
    "glue": ("glue",),
}
EVERYTHING = "*"

log = logging.getLogger("lakegate.ministack")


class Snapshots:
    """Saves the state of every service that may have changed since it was last saved."""

    def __init__(self, app_module: Any, persistence: Any) -> None:
        self._app_module = app_module
        self._persistence = persistence
        self._dirty: set[str] = set()
        self._written: dict[str, int] = {}

    def note(self, scope: dict[str, Any]) -> None:
        """Remember which services the request in `scope` may change."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return
        service = _signed_service(scope)
        self._dirty.update(CHANGES_BESIDE.get(service, (EVERYTHING,)))

    def note_alarm(self) -> None:
        """Remember that an alarm changed its state, which tells its topics."""
        self._dirty.update(("cloudwatch", "sns", "sqs"))

    async def run(self, stop: asyncio.Event) -> None:
        """Save again and again until `stop` is set; the last save is ministack's own, at shutdown."""
        pause_s = SNAPSHOT_PAUSE_S
        while not stop.is_set():
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stop.wait(), pause_s)
            if self._dirty:
                started = time.perf_counter()
                await self._save()
                pause_s = max(SNAPSHOT_PAUSE_S, SNAPSHOT_SHARE * (time.perf_counter() - started))

    async def _save(self) -> None:
        dirty, self._dirty = self._dirty, set()
        texts: dict[str, str] = {}
        for name, get_state in self._app_module._build_persistence_save_dict().items():
            if EVERYTHING not in dirty and name not in dirty:
                continue
            try:
                with uncopied(get_state):
                    state = get_state()
                    if state is not None:
                        texts[name] = self._to_text(name, state)
            except RuntimeError as error:  # a worker thread changed a dictionary while it was read: next time
                log.info("state of %s was changing, saved with the next snapshot (%s)", name, error)
                self._dirty.add(name)
        await asyncio.to_thread(self._write, texts)

    def _to_text(self, name: str, state: Any) -> str:
        document = {"__ministack_format__": self._persistence._state_format_version(name), "payload": state}
        # dumps, not dump: only the former uses the encoder written in C.
        return json.dumps(document, default=self._persistence._json_default)

    def _write(self, texts: dict[str, str]) -> None:
        folder = Path(self._persistence.STATE_DIR)
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            if self._written.get(name) == hash(text) and (folder / f"{name}.json").exists():
                continue
            temporary = folder / f"{name}.json.snapshot"
            temporary.write_text(text)
            temporary.replace(folder / f"{name}.json")
            self._written[name] = hash(text)


@contextlib.contextmanager
def uncopied(get_state: Any) -> Generator[None]:
    """Let a service hand out its live state instead of a deep copy, which costs five times as much as saving it.

    That is safe because requests are handled on this very event loop: nothing runs between here and the finished text.
    """
    module: Any = sys.modules[get_state.__module__]
    own = getattr(module, "copy", None)
    if own is not copy:
        yield
        return
    module.copy = types.SimpleNamespace(deepcopy=_same, copy=_same)
    try:
        yield
    finally:
        module.copy = own


def _same(value: Any) -> Any:
    return value


def _signed_service(scope: dict[str, Any]) -> str:
    """Return the service a request is signed for (`s3`, `sqs`, ...), or an empty string."""
    for name, value in scope.get("headers", ()):
        if name.lower() == b"authorization":
            parts = value.decode("latin-1").split("Credential=", 1)[-1].split(",", 1)[0].split("/")
            return parts[3] if len(parts) > 3 else ""
    return ""


def use_native_checksums() -> None:
    """Let awscrt compute the two checksums that ministack computes byte by byte in Python."""
    from awscrt import checksums  # pyright: ignore[reportMissingImports]  # lives in ministack's environment only

    s3: Any = importlib.import_module("ministack.services.s3")
    s3._crc64nvme = checksums.crc64nvme
    s3._crc32c = checksums.crc32c


def add_dead_letter_actions() -> None:
    """Give ministack's SQS the two actions on dead-letter queues that it lacks; a move completes at once."""
    sqs: Any = importlib.import_module("ministack.services.sqs")

    def sources_of(arn: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for url, queue in sqs._queues.items():
            policy = queue["attributes"].get("RedrivePolicy")
            if policy and json.loads(policy).get("deadLetterTargetArn") == arn:
                yield url, queue

    def list_sources(_request: dict[str, Any], queue_url: str) -> dict[str, Any]:
        arn = sqs._get_q(queue_url)["attributes"]["QueueArn"]
        return {"queueUrls": [url for url, _ in sources_of(arn)]}

    def start_move(request: dict[str, Any], _queue_url: str) -> dict[str, Any]:
        source = sqs._queue_by_arn(request.get("SourceArn", ""))
        if source is None:
            raise sqs._Err("ResourceNotFoundException", "The source queue does not exist.")
        if request.get("DestinationArn"):
            destination = sqs._queue_by_arn(request["DestinationArn"])
        else:
            destination = next((queue for _, queue in sources_of(request["SourceArn"])), None)
        if destination is None:
            raise sqs._Err("ResourceNotFoundException", "The destination queue does not exist.")
        now = time.time()
        waiting = [message for message in source["messages"] if message.get("visible_at", 0) <= now]
        for message in waiting:
            source["messages"].remove(message)
            # On AWS a moved message is a new one: a new id, and received by nobody yet.
            message.update(id=str(uuid.uuid4()), receive_count=0, first_receive_at=None, receipt_handle=None)
            destination["messages"].append(message)
        return {"TaskHandle": str(uuid.uuid4())}

    sqs._HANDLERS["ListDeadLetterSourceQueues"] = list_sources
    sqs._HANDLERS["StartMessageMoveTask"] = start_move


def encode_listed_keys() -> None:
    """Let ministack's ListObjectVersions encode keys as S3 does when asked to (Amazon S3 API Reference, ListObjectVersions)."""
    s3: Any = importlib.import_module("ministack.services.s3")
    list_versions, xml_body = s3._list_object_versions, s3._xml_body
    names = {"Key", "Prefix", "Delimiter", "KeyMarker", "NextKeyMarker"}

    def encoded(root: Any) -> bytes:
        for element in root.iter():
            if element.tag in names and element.text:
                element.text = quote(element.text, safe="/")
        s3.SubElement(root, "EncodingType").text = "url"
        return xml_body(root)

    def list_encoded(bucket: str, query: dict[str, Any]) -> Any:
        if s3._qp(query, "encoding-type") != "url":
            return list_versions(bucket, query)
        # Requests are answered one at a time, and this one never waits: nobody else sees the other writer of XML.
        s3._xml_body = encoded
        try:
            return list_versions(bucket, query)
        finally:
            s3._xml_body = xml_body

    s3._list_object_versions = list_encoded


def load_corrections(name: str) -> Any:
    """Load a module that lies beside this file; the folder itself stays off the path, for its `ministack.py` hides ministack."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def refuse_other_versions() -> None:
    """Stop with the remedy unless the pinned version of ministack is installed."""
    installed = version("ministack")
    if installed != PINNED_VERSION:
        sys.exit(
            f"lakegate's launcher knows ministack {PINNED_VERSION}, but {installed} is installed beside it.\n"
            "Run `make install`. To move to another version, run tests/local against it first and change PINNED_VERSION."
        )


def allow_many_connections() -> None:
    """Raise the limit of open files to the hard one: a burst of connections must not end at 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def serve(port: int, alarms: Any, metrics: Any, iam: Any) -> None:
    """Serve ministack on loopback until SIGTERM or SIGINT; save what changes, collect metrics, evaluate alarms."""
    from hypercorn.asyncio import serve as serve_app  # pyright: ignore[reportMissingImports]
    from hypercorn.config import Config  # pyright: ignore[reportMissingImports]

    app_module: Any = importlib.import_module("ministack.app")
    snapshots = Snapshots(app_module, importlib.import_module("ministack.core.persistence"))

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == iam.AUTHORIZE_PATH:
            await iam.answer_authorize(app_module, receive, send)
            return
        await app_module.app(scope, receive, send)
        snapshots.note(scope)

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 1
    config.accesslog = None
    beside_it = asyncio.gather(snapshots.run(stop), alarms.run(stop, snapshots.note_alarm), metrics.run(stop))
    await serve_app(app, config, shutdown_trigger=stop.wait)
    await beside_it


def main() -> None:
    """Read the command line, set ministack's environment, start."""
    parser = argparse.ArgumentParser(description="ministack, as the laptop's AWS")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--emf-file", type=Path, required=True, help="log lines whose metrics go to CloudWatch")
    parser.add_argument(
        "--alarm-speed", type=float, default=1, help="how many times as fast the periods of alarms pass"
    )
    parser.add_argument("--enforce-iam", action="store_true", help="check signatures and policies, as AWS does")
    arguments = parser.parse_args()
    refuse_other_versions()
    # ministack reads its settings when it is imported, so they are set first.
    os.environ.update(
        GATEWAY_PORT=str(arguments.port),
        BIND_HOST="127.0.0.1",
        MINISTACK_HOST="127.0.0.1",
        PERSIST_STATE="1",
        STATE_DIR=str(arguments.state_dir / "services"),
        S3_PERSIST="1",
        S3_DATA_DIR=str(arguments.state_dir / "objects"),
        SFTP_ENABLED="0",
        IOT_MTLS_ENABLED="0",
        AUTH="true" if arguments.enforce_iam else "false",
        LOG_LEVEL=os.environ.get("LOG_LEVEL", "WARNING"),
        # Containers are none of our business: without this ministack looks for a Docker daemon and tidies there.
        DOCKER_HOST=f"unix://{arguments.state_dir}/no-docker.sock",
    )
    use_native_checksums()
    add_dead_letter_actions()
    encode_listed_keys()
    load_corrections("ministack_wiring").apply()
    load_corrections("ministack_buckets").apply()
    load_corrections("ministack_objects").apply()
    allow_many_connections()
    cloudwatch: Any = importlib.import_module("ministack.services.cloudwatch")
    provisioners: Any = importlib.import_module("ministack.services.cloudformation.provisioners")
    sqs: Any = importlib.import_module("ministack.services.sqs")
    alarms = load_corrections("ministack_alarms").replace_evaluation(cloudwatch, provisioners, arguments.alarm_speed)
    metrics = load_corrections("ministack_metrics").Metrics(cloudwatch, sqs, arguments.emf_file, arguments.alarm_speed)
    iam = load_corrections("ministack_iam")
    iam.apply()
    asyncio.run(serve(arguments.port, alarms, metrics, iam))


if __name__ == "__main__":
    main()
