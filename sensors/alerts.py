"""The alert sensor: tells people over SNS and a webhook what is wrong, once a condition. A thin shell; what is told is decided in the core.

Its cursor is what was told already. It does not build on run-status sensors, which take five runs a tick: it reads the runs that
failed since the last look. Dagster resolves annotations here: none from the future.
"""

import time
from collections.abc import Sequence

import dagster as dg

from pipelines.alerting.conditions import Look
from pipelines.alerting.deciding import AlertPolicy
from pipelines.alerting.looking import blind, look_at_gate
from pipelines.alerting.memory import Memory
from pipelines.alerting.telling import tell
from pipelines.contracts.model import Dataset
from pipelines.errors import ConfigurationError, LakegateError
from pipelines.gate import Gate
from pipelines.ports import AlertChannel
from sensors.alert_records import RunReasons, look_at_records
from sensors.ticking import ticking

__all__ = ["NO_CHANNEL", "build_alert_sensor"]

NO_CHANNEL = (
    "No channel is configured, so nobody is told: set LAKEGATE_ALERT_TOPIC or LAKEGATE_ALERT_WEBHOOK (docs/alerts.md)"
)


def build_alert_sensor(
    datasets: Sequence[Dataset],
    blocking: Sequence[dg.AssetCheckKey],
    channels: Sequence[str] = (),
    policy: AlertPolicy | None = None,
) -> dg.SensorDefinition:
    """Make the sensor. `blocking` are the checks whose failure is told; `channels` are named in its description."""
    reasons, policy = RunReasons(), policy or AlertPolicy()
    to = f"It tells {' and '.join(channels)}." if channels else f"**{NO_CHANNEL}.**"

    @dg.sensor(
        name="alert_sensor",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        required_resource_keys={"gate", "alerts"},
        description="Looks once a minute for what is wrong (quarantined and failed files, paused datasets, failed runs, blocking checks, dead "
        "letters, missing events, books that do not add up) and sends one message a dataset and reason, not one a file or run: when it "
        f"begins, when it gets much worse, every few hours while it lasts, and when it is over. {to}",
    )
    @ticking("alert_sensor")
    def alert_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        try:
            channels: Sequence[AlertChannel] = context.resources.alerts.channels()
        except ConfigurationError as error:
            context.log.error(str(error))
            return dg.SkipReason(f"Nobody is told: {error}")
        if not channels:
            return dg.SkipReason(NO_CHANNEL)
        memory = Memory.load(context.cursor)
        gate: Gate = context.resources.gate.open()
        now = gate.clock()

        def look() -> Look:
            records = look_at_records(context.instance, datasets, blocking, reasons, memory, gate.links, now)
            try:
                return look_at_gate(gate, memory, now) | records
            except LakegateError as error:
                return blind(gate, error, now) | records

        done = tell(channels, memory, look(), now, policy, time.monotonic)
        context.update_cursor(done.memory.dump())
        told = done.sentence()
        log = context.log.error if any(sent.error for sent in done.sent) else context.log.info
        log(told)
        return dg.SkipReason(told)

    return alert_sensor
