"""Which checks there are, in the order of the chain, and what each makes no sense without."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from lakegate.doctor.dagster import dagster_home, look_at_daemon, look_at_sensor, look_at_workers
from lakegate.settings import datasets_folder, home_folder
from pipelines.contracts.loading import load_datasets
from pipelines.errors import LakegateError
from pipelines.ports import Clock
from pipelines.wiring.diagnosis import Check, Finding
from resources.doctor import caller, landing, ledger, queues, tables
from resources.doctor.looking import Look
from resources.environment import Deployment

__all__ = ["checks"]


def checks(
    deployment: Deployment | LakegateError, environment: Mapping[str, str], here: Path, clock: Clock
) -> list[Check]:
    """All checks of a deployment, or of what is left where it cannot be named. Nothing is looked at before they run."""

    def at(look: Callable[[Look], Finding]) -> Callable[[], Finding]:
        def looked() -> Finding:
            if isinstance(deployment, LakegateError):
                raise deployment
            return look(Look(deployment))

        return looked

    laptop = home_folder(environment, here).resolve()
    dagster = dagster_home(environment, laptop)
    return [
        Check("credentials", caller.look_at_credentials),
        Check("clock", partial(caller.look_at_clock, clock)),
        Check("deployment", partial(_look_at_deployment, deployment), ("credentials",)),
        Check("landing bucket", at(landing.look_at_bucket), ("deployment",)),
        Check("versions", at(landing.look_at_versions), ("landing bucket",)),
        Check("keys", at(tables.look_at_keys), ("deployment",)),
        Check("queue", at(queues.look_at_queue), ("deployment",)),
        Check("notifications", at(landing.look_at_notifications), ("landing bucket", "queue")),
        Check("queue policy", at(queues.look_at_queue_policy), ("landing bucket", "queue")),
        Check("dead letters", at(queues.look_at_dead_letters), ("queue",)),
        Check("ledger", at(ledger.look_at_ledger), ("deployment",)),
        Check("ledger back-ups", at(ledger.look_at_backups), ("ledger",)),
        Check("ledger writes", at(ledger.look_at_ledger_writes), ("ledger",)),
        Check("tables' bucket", at(tables.look_at_processed), ("deployment",)),
        Check("quarantine", at(tables.look_at_quarantine), ("deployment",)),
        Check("Glue", at(tables.look_at_catalog), ("deployment",)),
        Check("Athena", at(tables.look_at_athena), ("Glue",)),
        Check("alerts", at(queues.look_at_alerts), ("deployment",)),
        Check("datasets", partial(_look_at_datasets, datasets_folder(environment, here))),
        Check("Dagster daemon", partial(look_at_daemon, dagster, clock)),
        Check("landing sensor", partial(look_at_sensor, dagster, clock), ("Dagster daemon",)),
        Check("workers", partial(look_at_workers, dagster, laptop)),
    ]


def _look_at_deployment(deployment: Deployment | LakegateError) -> Finding:
    if isinstance(deployment, LakegateError):
        return Finding.wrong(
            str(deployment),
            "the names of what the stack made",
            "set LAKEGATE_STACK, or make it: `lakegate setup --plan`",
        )
    return Finding.ok(f"{len(deployment.to_environment())} names known")


def _look_at_datasets(folder: Path) -> Finding:
    catalog = load_datasets(folder)
    names = sorted(broken.path.name for broken in catalog.broken)
    if names:
        return Finding.wrong(
            f"{len(names)} of {len(names) + len(catalog.datasets)} dataset files cannot be used: {', '.join(names)}",
            "all of them",
            "`lakegate datasets check` says what is wrong, line by line; files of these datasets wait",
        )
    if not catalog.datasets:
        return Finding.warning(
            f"there is no dataset file in {folder}", "one for each kind of file", "set LAKEGATE_DATASETS, or write one"
        )
    return Finding.ok(f"{len(catalog.datasets)} in {folder}")
