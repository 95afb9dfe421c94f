"""How runs travel to warm workers: Celery's settings, from the standard environment and the stack's run queue alone.

Both ends use them: the launcher in Dagster's daemon, which sends, and the workers, which take. There is no result store:
Dagster's own storage says what became of a run, the keeper (`keeper.py`) and the ledger's leases say which are dead.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pipelines.errors import ConfigurationError
from resources.environment import endpoint, region

__all__ = ["QUEUE", "RUN_QUEUE_VARIABLE", "celery_settings"]

QUEUE = "dagster"
"""The queue's name within Celery, as dagster-celery routes to it; in SQS it is called as the stack called it."""
RUN_QUEUE_VARIABLE = "LAKEGATE_RUN_QUEUE_URL"
_MEMORY_LIMIT_KB = 1_500_000
"""A process that has grown beyond this after a run is replaced by a fresh one: a guard, not a budget."""


def celery_settings(environment: Mapping[str, str]) -> dict[str, Any]:
    """Every setting of the Celery app. Credentials are not among them: they come from the usual chain at both ends.

    Raises:
        ConfigurationError: the environment names no run queue, or no region.
    """
    url = environment.get(RUN_QUEUE_VARIABLE)
    if not url:
        raise ConfigurationError(
            f"{RUN_QUEUE_VARIABLE} is not set: warm workers take runs from that queue. `lakegate up` sets it; on AWS it is the "
            "stack's output RunQueueUrl. Without workers, leave run_launcher out of dagster.yaml."
        )
    sqs = endpoint("sqs")
    return {
        # An endpoint of its own stands in the address; AWS's own needs none.
        "broker_url": f"sqs://{urlsplit(sqs).netloc}/" if sqs else "sqs://",
        "broker_transport_options": {
            "region": region(),
            "is_secure": sqs is None or sqs.startswith("https"),
            # Named, so that no right to list or make queues is needed. dagster-celery's routing key is looked up as a queue too.
            "predefined_queues": {QUEUE: {"url": url}},
            "wait_time_seconds": 20,
            "polling_interval": 0,
            "client-config": {"connect_timeout": 5, "read_timeout": 30, "retries": {"total_max_attempts": 3}},
        },
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # Celery's own defaults, said aloud: whoever may send to the queue asks for a run and runs no code of his own in a worker.
        "task_serializer": "json",
        "accept_content": ["json"],
        "result_backend": "disabled://",
        "task_ignore_result": True,
        # A worker holds as many messages as it works on, so that none waits at one worker while another is idle.
        "worker_prefetch_multiplier": 1,
        "task_acks_late": True,
        "task_reject_on_worker_lost": False,
        # What others would be told goes by fan-out, for which SQS needs SNS topics: nobody listens.
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        # A process warms up before it takes its first run; on a busy machine that takes tens of seconds.
        "worker_proc_alive_timeout": 180,
        "worker_max_memory_per_child": _MEMORY_LIMIT_KB,
        "worker_hijack_root_logger": True,
        "worker_redirect_stdouts": False,
        "worker_log_format": "%(asctime)s %(levelname)s %(message)s",
        "worker_task_log_format": "%(asctime)s %(levelname)s %(message)s",
    }
