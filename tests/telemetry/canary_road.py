"""`python -m tests.telemetry.canary_road FOLDER DENIED ROUNDS`: a process that is sensor, runs, alerts and export at once, and writes down
all that Dagster was told in FOLDER/dagster.json. Requests for the table DENIED are refused in the words that AWS has for it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import dagster as dg
from botocore.exceptions import ClientError
from dagster._serdes import pack_value

from lakegate.definitions import defs
from resources.alerts import AlertsResource
from resources.environment import client
from resources.gate import GateResource


def main() -> None:
    folder, denied, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    account = os.environ["CANARY_ACCOUNT"]

    def refuse(params: dict[str, Any], **_: object) -> None:
        if params.get("TableInput", {}).get("Name") == denied:
            said = (
                f"User: arn:aws:sts::{account}:assumed-role/lakegate-run/task is not authorized to perform: glue:UpdateTable on resource: "
                f"arn:aws:glue:us-east-1:{account}:table/lakegate/{denied} because no identity-based policy allows it"
            )
            answer: Any = {
                "Error": {"Code": "AccessDeniedException", "Message": said},
                "ResponseMetadata": {"HTTPStatusCode": 400},
            }
            raise ClientError(answer, "UpdateTable")

    client("glue").meta.events.register("before-parameter-build.glue.UpdateTable", refuse)
    repository = defs().get_repository_def()
    ticks: list[Any] = []
    # As infra/dagster.yaml has it: Dagster's usual one copies standard error through a `tail` beside the process, which cuts lines when it is stopped.
    as_deployed: Any = {
        "compute_logs": {
            "module": "dagster.core.storage.noop_compute_log_manager",
            "class": "NoOpComputeLogManager",
        }
    }
    resources = {"gate": GateResource(datasets_folder=os.environ["LAKEGATE_DATASETS"]), "alerts": AlertsResource()}
    with tempfile.TemporaryDirectory() as home, dg.DagsterInstance.local_temp(home, as_deployed) as instance:

        def tick(name: str) -> Any:
            sensor = repository.get_sensor_def(name)
            needed = {name: resources[name] for name in sensor.required_resource_keys}
            with dg.build_sensor_context(instance=instance, repository_def=repository, resources=needed) as context:
                told = sensor.evaluate_tick(context)
            ticks.append([name, told.skip_message, told.cursor, [dict(r.tags) for r in told.run_requests or ()]])
            return told

        for _ in range(rounds):
            for request in tick("landing_sensor").run_requests or ():
                job = repository.get_job(request.job_name)
                tags = {**request.tags, "dagster/run_key": request.run_key}
                job.execute_in_process(
                    instance=instance, tags=tags, partition_key=request.partition_key, raise_on_error=False
                )
        tick("dead_letter_sensor")
        tick("alert_sensor")
        for name in ("export_history", "sweep"):
            repository.get_job(name).execute_in_process(instance=instance, raise_on_error=False)
        runs = instance.get_runs()
        events = [pack_value(entry) for run in runs for entry in instance.all_logs(run.run_id)]
        told = {"ticks": ticks, "runs": [pack_value(run) for run in runs], "events": events}
        (folder / "dagster.json").write_text(json.dumps(told, default=str))


if __name__ == "__main__":
    main()
