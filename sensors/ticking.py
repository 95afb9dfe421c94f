"""What every sensor tells of its ticks: that one ended well, and how long it took."""

import time
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

import dagster as dg

from pipelines.gate import Gate
from pipelines.telemetry.metrics import SENSOR_TICKS, TICK_DURATION

__all__ = ["ticking"]

_Result = TypeVar("_Result")
_Tick = Callable[[dg.SensorEvaluationContext], _Result]


def ticking(sensor: str) -> Callable[[_Tick[_Result]], _Tick[_Result]]:
    """Measure a tick of the sensor of that name, and have what it measured exported. A tick that fails is not counted."""

    def around(tick: _Tick[_Result]) -> _Tick[_Result]:
        @wraps(tick)
        def measured(context: dg.SensorEvaluationContext) -> _Result:
            began = time.monotonic()
            result = tick(context)
            gate: Gate = context.resources.gate.open()
            took_s = time.monotonic() - began
            gate.meter.tell((SENSOR_TICKS.of(1, sensor=sensor), TICK_DURATION.of(took_s, sensor=sensor)))
            gate.meter.flush()
            return result

        return measured

    return around
