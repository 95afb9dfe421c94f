"""Whether files come when they are due: the check `fresh`, from the ledger, and the freshness policy by which Dagster marks the table.

Both follow `freshness` in the contract. The policy counts from the last run that materialized the table, whatever it loaded; the check
from the last file that its producer sent and that was loaded, and names the landing day. A file is missed once: WARN; twice: ERROR.
"""

import hashlib
from datetime import date, datetime, timedelta

import dagster as dg

from assets.answers import Standing
from assets.keys import counted, table_key
from pipelines.contracts.model import Dataset
from pipelines.contracts.watching import WEEKDAYS, Freshness
from pipelines.gate import Gate
from pipelines.statistics.lateness import DUE_WITHIN, Lateness, lateness

__all__ = ["FRESH", "fresh_specs", "fresh_standing", "freshness_policy"]

FRESH = "fresh"
_NEWEST = 14
"""Landing days among which the last file is looked for."""


def freshness_policy(dataset: Dataset) -> dg.FreshnessPolicy | None:
    """When Dagster calls the table stale: a warning one period after the last run, a failure after two; or at the time it is due by."""
    freshness = dataset.freshness
    if freshness is None:
        return None
    if freshness.due_by is None:
        return dg.FreshnessPolicy.time_window(fail_window=2 * freshness.every, warn_window=freshness.every)
    at = freshness.due_at
    return dg.FreshnessPolicy.cron(
        deadline_cron=f"{at.minute} {at.hour} * * {','.join(freshness.weekdays)}",
        lower_bound_delta=DUE_WITHIN,
        timezone=freshness.zone,
    )


def fresh_specs(dataset: Dataset) -> list[dg.AssetCheckSpec]:
    """The check, where the contract says when files are expected."""
    if dataset.freshness is None:
        return []
    description = (
        f"Files come when they are due: {_calendar(dataset.freshness)}. If not: look whether a file waits in quarantine "
        "(`files_accepted`) or failed (`no_failed_files`); if none came, ask the producer."
    )
    return [dg.AssetCheckSpec(FRESH, asset=table_key(dataset), description=description)]


def fresh_standing(gate: Gate, dataset: Dataset) -> Standing | None:
    """Whether the dataset's files came when they were due; None where the contract does not say when. One short query."""
    freshness = dataset.freshness
    if freshness is None:
        return None
    newest = gate.ledger.profiles.newest(dataset.name, _NEWEST)
    arrivals = [profile.arrived_at for profile in newest if profile.arrived_at is not None]
    filled = [profile.landing_day for profile in newest if profile.rows]
    if not arrivals:
        said = "No file has been loaded yet that its producer sent: from the first on, this check tells when the next is late."
        return _standing(dataset, 0, said, {}, "none")
    last, day = max(arrivals), max(filled, default=None)
    found = lateness(freshness, last, gate.clock())
    metadata: dict[str, dg.MetadataValue] = {
        "expected": dg.MetadataValue.text(_calendar(freshness)),
        "last file loaded": dg.MetadataValue.timestamp(last),
        "files missed": dg.MetadataValue.int(found.missed),
        "next file due": dg.MetadataValue.timestamp(found.due),
    }
    if day is not None:
        metadata["newest landing day"] = dg.MetadataValue.text(day.isoformat())
    if not found.missed or found.since is None:
        # It says no time: else it would be told anew after each file.
        said = f"Files come when they are due: {_calendar(freshness)}."
        return _standing(dataset, 0, said, metadata, "in time")
    said = _late(found, found.since, last, day)
    return _standing(dataset, found.missed, said, metadata, f"{found.missed} since {found.since.isoformat()}")


def _late(found: Lateness, since: datetime, last: datetime, day: date | None) -> str:
    zone = since.tzname() or "UTC"
    due = f"One was due by {since:%A %Y-%m-%d %H:%M} {zone}"
    if found.missed > 1:
        due += f", and {counted(found.missed - 1, 'more file')} since"
    missing = ""
    if day is not None:
        missing = (
            f" The newest landing day with rows is {day}; of {day + timedelta(days=1)} and later there is nothing."
        )
    return (
        f"No file has come since {last:%A %Y-%m-%d %H:%M} UTC. {due}.{missing} Look whether one waits in quarantine or failed; "
        "if none came, ask the producer."
    )


def _calendar(freshness: Freshness) -> str:
    if freshness.due_by is None:
        return f"one every {freshness.expected_every}"
    days = "every day" if freshness.weekdays == WEEKDAYS else f"on {', '.join(freshness.weekdays)}"
    return f"one by {freshness.due_by} {days} ({freshness.zone})"


def _standing(
    dataset: Dataset, missed: int, description: str, metadata: dict[str, dg.MetadataValue], mark: str
) -> Standing:
    calendar = _calendar(dataset.freshness) if dataset.freshness else ""
    return Standing(
        table_key(dataset),
        FRESH,
        passed=not missed,
        severity=dg.AssetCheckSeverity.WARN if missed < 2 else dg.AssetCheckSeverity.ERROR,
        description=description,
        metadata=metadata,
        mark=hashlib.sha256(f"{calendar} {mark}".encode()).hexdigest()[:16],
    )
