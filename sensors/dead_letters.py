"""The dead-letter sensor: shows people what intake could not take, and takes nothing away. A thin shell over the core.

Its cursor is the fingerprint of what it showed last, so that the asset has a new materialization only when something has
changed. Dagster resolves annotations here: none from the future.
"""

import dagster as dg

from assets.dead_letters import check_evaluation, materialization
from assets.keys import counted
from pipelines.gate import Gate
from pipelines.intake.dead_letters import look_at_dead_letters
from pipelines.telemetry.metrics import DEAD_LETTERS
from sensors.ticking import ticking

__all__ = ["build_dead_letter_sensor"]

_MOST = 200
"""Letters looked at in a tick: reading and putting them back takes a second or two, and nobody reads more in a table."""


def build_dead_letter_sensor() -> dg.SensorDefinition:
    """Make the sensor of the dead-letter queue."""

    @dg.sensor(
        name="dead_letter_sensor",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        required_resource_keys={"gate"},
        description="Looks at the dead-letter queue once a minute and shows each letter's reason on the asset `dead_letters`. It deletes "
        "nothing; the way back is `lakegate dlq redrive`.",
    )
    @ticking("dead_letter_sensor")
    def dead_letter_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        gate: Gate = context.resources.gate.open()
        found = look_at_dead_letters(gate, most=_MOST)
        gate.meter.tell((DEAD_LETTERS.of(found.total),))
        if not (found.all_seen or found.is_capped):
            return dg.SkipReason(
                f"about {found.total - len(found.letters):,} of {found.total:,} dead letters are in other hands now; looked at again in a minute"
            )
        mark = found.fingerprint()
        if mark == context.cursor:
            return dg.SkipReason(f"{counted(found.total, 'dead letter')}, as before")
        return dg.SensorResult(asset_events=[materialization(found), check_evaluation(found)], cursor=mark)

    return dead_letter_sensor
