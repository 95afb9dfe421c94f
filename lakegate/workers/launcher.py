"""The run launcher of `dagster.yaml` that hands runs to warm workers: dagster-celery's, with Lakegate's settings.

    run_launcher:
      module: lakegate.workers.launcher
      class: WarmRunLauncher

Without these lines Dagster starts a process for each run. Nothing else differs between the two.
"""

import os
from collections.abc import Mapping
from typing import Any

from dagster import DagsterRun
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster._serdes import ConfigurableClassData
from dagster_celery.launcher import CeleryRunLauncher

from lakegate.workers.settings import QUEUE, celery_settings

__all__ = ["WarmRunLauncher"]


class WarmRunLauncher(CeleryRunLauncher):
    """Sends each run to the queue of the stack; whichever worker is idle takes it. Needs no configuration."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        """Raises ConfigurationError where the environment does not name the queue."""
        super().__init__(default_queue=QUEUE, config_source=celery_settings(os.environ), inst_data=inst_data)

    @classmethod
    def config_type(cls) -> Any:
        """Nothing: all comes from the environment, which the workers share."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> "WarmRunLauncher":
        """What Dagster calls."""
        return cls(inst_data=inst_data, **config_value)

    def terminate(self, run_id: str) -> bool:
        """Ask for the run's end: its worker looks at its state every second and interrupts it, as `execution.py` says."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        return True

    @property
    def supports_resume_run(self) -> bool:
        """No: the ledger gives a dead run's files to another run."""
        return False

    @property
    def supports_check_run_worker_health(self) -> bool:
        """No: a worker's keeper reports the runs of dead processes, and the ledger's leases tell of dead machines."""
        return False

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Unknown here; see above."""
        return CheckRunHealthResult(WorkerStatus.UNKNOWN, f"whoever runs {run.run_id} does not answer the launcher")
