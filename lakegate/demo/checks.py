"""What must be true after the demo, counted in the source files and asked of Athena, S3 and Dagster."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from lakegate.demo.feeds import Feed
from lakegate.status import Rest
from pipelines.accounting.states import Outcome
from pipelines.gate import Gate
from pipelines.ports import QueryEngine
from resources.assembly import query_engine
from resources.environment import Deployment, client

__all__ = ["Check", "check_against_source", "failing_checks"]


@dataclass(frozen=True, slots=True)
class Check:
    """One count: what the source says, and what was found."""

    what: str
    expected: str
    found: str

    @property
    def holds(self) -> bool:
        """Whether they are the same."""
        return self.expected == self.found


def check_against_source(feed: Feed, gate: Gate, deployment: Deployment, rest: Rest) -> list[Check]:
    """Compare tables, ledger and bucket with the source."""
    athena = query_engine(deployment)
    expected = feed.expected
    checks = [
        Check(f"rows of {table}", f"{rows:,}", f"{_number(athena, f'SELECT count(*) FROM {table}'):,}")
        for table, rows in expected.rows.items()
    ]
    days = athena.query(
        "SELECT flight_date, count(*) AS n FROM flights GROUP BY flight_date ORDER BY flight_date"
    ).table.to_pylist()
    found_days = {row["flight_date"]: row["n"] for row in days}
    wrong_days = [d for d, n in expected.flights_by_day.items() if found_days.get(d) != n] + [
        d for d in found_days if d not in expected.flights_by_day
    ]
    checks.append(Check("days of flights whose rows differ", "none", ", ".join(map(str, wrong_days)) or "none"))
    checks.append(
        Check(
            "sum of flights.distance",
            f"{expected.flights_distance:,}",
            f"{_number(athena, 'SELECT sum(distance) FROM flights'):,}",
        )
    )
    doubles = (
        "SELECT count(*) FROM (SELECT carrier, flight, time_hour FROM flights GROUP BY 1, 2, 3 HAVING count(*) > 1) t"
    )
    checks.append(Check("flights that are there twice", "0", str(_number(athena, doubles))))
    in_bucket = sum(1 for _ in _versions(deployment))
    checks.append(
        Check("object versions in the bucket, each in one outcome", f"{in_bucket:,}", f"{rest.sheet.objects:,}")
    )
    checks.append(
        Check(
            "files in quarantine that nothing replaced",
            str(expected.quarantined - len(feed.corrected)),
            str(_current_quarantine(gate)),
        )
    )
    checks.append(
        Check(
            "objects without an outcome, or failed",
            "0",
            str(rest.sheet.outcome(Outcome.PENDING) + rest.sheet.outcome(Outcome.FAILED)),
        )
    )
    checks.append(Check("dead letters", "0", str(rest.dead_letters)))
    checks.append(Check("lines of the balance sheet that do not add up", "0", str(len(rest.sheet.problems))))
    return checks


def _number(athena: QueryEngine, sql: str) -> int:
    value = athena.query(sql).table.column(0)[0].as_py()
    return int(value or 0)


def _current_quarantine(gate: Gate) -> int:
    """Keys whose newest rejected version is newer than anything that serves them: what a producer still has to repair."""
    return len({entry.version.key for entry in gate.ledger.quarantined()})


def _versions(deployment: Deployment) -> Iterator[str]:
    pages = (
        client("s3").get_paginator("list_object_versions").paginate(Bucket=deployment.landing_bucket, Prefix="landing/")
    )
    for page in pages:
        for version in page.get("Versions", []):
            yield version["VersionId"]


def failing_checks() -> list[str]:
    """The newest failed result of each asset check that failed in some run, from Dagster's own records."""
    import dagster as dg

    home = os.environ.get("LAKEGATE_HOME")
    if home is None:
        return []
    with dg.DagsterInstance.from_config(f"{home}/dagster") as instance:
        seen: set[tuple[str, str]] = set()
        lines: list[str] = []
        for record in instance.get_event_records(
            dg.EventRecordsFilter(dg.DagsterEventType.ASSET_CHECK_EVALUATION), limit=1000
        ):
            event = record.event_log_entry.dagster_event
            if event is None:
                continue
            evaluation = event.asset_check_evaluation_data
            name = (evaluation.asset_key.to_user_string(), evaluation.check_name)
            if not evaluation.passed and name not in seen:
                seen.add(name)
                lines.append(f"{name[0]}: {name[1]} ({evaluation.severity.value}): {evaluation.description}")
        return sorted(lines)
