"""What `celery -A lakegate.workers.app worker` loads. Made at import, because that is where Celery looks for it."""

import os

from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_execute_job_task

from lakegate.workers import execution
from lakegate.workers.settings import QUEUE, celery_settings

__all__ = ["app", "execute_job"]

app = make_app({"config_source": celery_settings(os.environ), "task_default_queue": QUEUE})
execute_job = create_execute_job_task(app)
execution.connect()
