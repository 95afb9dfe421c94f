"""CloudWatch's alarms as AWS evaluates them, in place of ministack's; loaded by the launcher, by ministack's interpreter.

ministack 1.5.33 looks at an alarm when a metric is put and at no other time, adds up all dimension sets of a name, knows neither
periods nor missing data nor M out of N, and refuses alarms on expressions. What stands here follows the CloudWatch User
Guide ("Alarm evaluation", "Configuring how CloudWatch alarms treat missing data", "Using metric math"):

- a metric is its name and exactly its dimensions; an alarm looks at whole periods, the last one ended at the last minute
  (or ten seconds, where the period is shorter than a minute);
- somewhat more periods than it judges are read: with enough values among them the newest are judged, else the gaps are filled
  as `TreatMissingData` says;
- an alarm may be on an expression: arithmetic, comparisons, IF, FILL, MAX, MIN, SUM. No more of metric math is understood: an
  alarm with anything else is refused.

Not like AWS: an alarm is looked at every second instead of every minute or ten seconds; how many periods more AWS reads is
not published. With a speed of 30 a period of a minute is two seconds, so that a trial of the alarms does not take hours. Values are kept for three hours and forgotten at a restart: a laptop is no archive. Nothing here imports Lakegate.
"""

import ast
import asyncio
import contextlib
import copy
import logging
import operator
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

EXTRA_PERIODS = 2
"""Periods read beyond those that are judged; the tables of the User Guide read two more."""
LOOK_S = 1.0
KEEP_S = 3 * 3600

Series = list[float | None]
"""A value a period, oldest first; None where there is none."""

_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
_COMPARED: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_ARITHMETIC: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_REDUCTIONS: Mapping[str, Callable[[list[float]], float]] = {"MAX": max, "MIN": min, "SUM": sum}

log = logging.getLogger("lakegate.ministack.alarms")


def state_of(
    values: Series, *, breaches: Callable[[float], bool], periods: int, to_alarm: int, missing: str, state: str
) -> str:
    """Return the state that AWS gives an alarm; `values` are the last `periods` + EXTRA_PERIODS, `state` is the present one."""
    real = [value for value in values if value is not None]
    if len(real) >= periods:
        return "ALARM" if sum(map(breaches, real[-periods:])) >= to_alarm else "OK"
    breached = sum(map(breaches, real))
    if breached >= to_alarm:
        return "ALARM"
    if missing == "notBreaching":
        return "OK"
    if missing == "breaching":
        return "ALARM" if breached + periods - len(real) >= to_alarm else "OK"
    if not real:
        return state if missing == "ignore" else "INSUFFICIENT_DATA"
    if breached < len(real):
        return "OK"
    if missing == "ignore":
        return state
    # Nothing but breaches, though too few: an alarm once the first of them is as old as so many periods.
    first = len(values) - next(index for index, value in enumerate(values) if value is not None)
    return "ALARM" if first >= to_alarm else "OK"


def calculate(expression: str, series: Mapping[str, Series]) -> Series:
    """Return the series that the expression makes of others, all of one length.

    Raises:
        ValueError: it has something that is not understood here.
    """
    tree = ast.parse(expression, mode="eval").body
    length = len(next(iter(series.values())))
    return [_value(tree, {name: values[index] for name, values in series.items()}) for index in range(length)]


def _value(node: ast.expr, at: Mapping[str, float | None]) -> float | None:
    """What the expression is at one moment; None where a value is missing."""
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name) if name in at:
            return at[name]
        case ast.Call(func=ast.Name(id="FILL"), args=[filled, filling]):
            value = _value(filled, at)
            return _value(filling, at) if value is None else value
        case ast.Call(func=ast.Name(id="IF"), args=[condition, then, otherwise]):
            holds = _value(condition, at)
            return None if holds is None else _value(then if holds else otherwise, at)
        case ast.Call(func=ast.Name(id=("MAX" | "MIN" | "SUM") as name), args=[ast.List(elts=elements)]):
            there = [value for element in elements if (value := _value(element, at)) is not None]
            return float(_REDUCTIONS[name](there)) if there else None
        case ast.Compare(left=left, ops=[compared], comparators=[right]) if type(compared) in _COMPARED:
            return _both(_COMPARED[type(compared)], left, right, at)
        case ast.BinOp(left=left, op=arithmetic, right=right) if type(arithmetic) in _ARITHMETIC:
            return _both(_ARITHMETIC[type(arithmetic)], left, right, at)
        case _:
            raise ValueError(
                f"the laptop's CloudWatch does not understand {ast.unparse(node)!r} in an alarm's expression"
            )


def _both(
    function: Callable[[Any, Any], Any], left: ast.expr, right: ast.expr, at: Mapping[str, float | None]
) -> float | None:
    first, second = _value(left, at), _value(right, at)
    if first is None or second is None:
        return None
    try:
        return float(function(first, second))
    except ZeroDivisionError:  # CloudWatch has no value there
        return None


class Alarms:
    """Evaluates all alarms of one ministack, whose module is `cloudwatch`; periods pass `speed` times as fast as they should."""

    def __init__(self, cloudwatch: Any, speed: float) -> None:
        self._cloudwatch = cloudwatch
        self._speed = speed

    def evaluate(self, alarm: dict[str, Any]) -> None:
        """Bring one alarm to its state and tell its topics if that has changed."""
        now = time.time()
        count = alarm["EvaluationPeriods"] + EXTRA_PERIODS
        values = self._values(alarm, count, now)
        breaches = _breaches(alarm)
        old = alarm["StateValue"]
        new = state_of(
            values,
            breaches=breaches,
            periods=alarm["EvaluationPeriods"],
            to_alarm=alarm.get("DatapointsToAlarm") or alarm["EvaluationPeriods"],
            missing=alarm.get("TreatMissingData") or "missing",
            state=old,
        )
        if new == old:
            return
        reason = _reason(alarm, [value for value in values if value is not None], new)
        alarm.update(
            StateValue=new, StateReason=reason, StateUpdatedTimestamp=int(now), StateTransitionedTimestamp=int(now)
        )
        cloudwatch = self._cloudwatch
        cloudwatch._record_history(alarm["AlarmName"], old, new, reason)
        cloudwatch._dispatch_alarm_actions(alarm, old, new, reason)
        cloudwatch._evaluate_parent_alarms(alarm)

    async def run(self, stop: asyncio.Event, changed: Callable[[], None]) -> None:
        """Look at all alarms of all accounts again and again until `stop` is set; tell of each look that changed a state."""
        from ministack.core.responses import request_scope  # pyright: ignore[reportMissingImports]

        while not stop.is_set():
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_S)
            for (account, region, _), alarm in list(self._cloudwatch._alarms._data.items()):
                before = alarm["StateValue"]
                with request_scope(account, region):
                    try:
                        self.evaluate(alarm)
                    except (KeyError, TypeError, ValueError) as error:
                        log.warning("the alarm %s cannot be evaluated: %s", alarm.get("AlarmName"), error)
                if alarm["StateValue"] != before:
                    changed()

    def _values(self, alarm: dict[str, Any], count: int, now: float) -> Series:
        queries: list[dict[str, Any]] = alarm.get("Metrics") or []
        if not queries:
            return self._series(
                alarm, alarm.get("ExtendedStatistic") or alarm["Statistic"], alarm["Period"], count, now
            )
        series: dict[str, Series] = {}
        for query in queries:
            if stat := query.get("MetricStat"):
                period = int(stat["Period"])
                series[query["Id"]] = self._series(stat["Metric"], stat["Stat"], period, count, now)
        for query in queries:
            if query.get("Expression"):
                series[query["Id"]] = calculate(query["Expression"], series)
        return series[_returned(queries)["Id"]]

    def _series(self, metric: dict[str, Any], statistic: str, said_s: int, count: int, now: float) -> Series:
        cloudwatch, period, step = self._cloudwatch, said_s / self._speed, min(said_s, 60) / self._speed
        dimensions = cloudwatch._dims_from_list(metric.get("Dimensions") or [])
        key = (metric["Namespace"], metric["MetricName"], cloudwatch._dims_key(dimensions))
        points = cloudwatch._metrics.get(key) or []
        begin = now // step * step - count * period
        within: list[list[dict[str, Any]]] = [[] for _ in range(count)]
        for point in points:
            index = int((point["Timestamp"] - begin) // period)
            if 0 <= index < count:
                within[index].append(point)
        return [
            cloudwatch._stat_value(cloudwatch._calc_stats(some), statistic, some) if some else None for some in within
        ]


def _returned(queries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The one query whose series is compared with the threshold."""
    [query] = [query for query in queries if str(query.get("ReturnData", True)).lower() != "false"]
    return query


def _breaches(alarm: dict[str, Any]) -> Callable[[float], bool]:
    compare, threshold = _COMPARISONS[alarm["ComparisonOperator"]], float(alarm["Threshold"])
    return lambda value: compare(value, threshold)


def _reason(alarm: dict[str, Any], values: list[float], state: str) -> str:
    judged = values[-alarm["EvaluationPeriods"] :]
    if not judged:
        return f"{state}: no datapoints were received and missing data is treated as {alarm['TreatMissingData']}."
    many = f"{len(judged)} datapoint{'s' * (len(judged) != 1)} [{', '.join(f'{value:g}' for value in judged)}]"
    return f"Threshold Crossed: {many}, {alarm['ComparisonOperator']}, threshold {float(alarm['Threshold']):g}."


def replace_evaluation(cloudwatch: Any, provisioners: Any, speed: float) -> Alarms:
    """Make ministack evaluate its alarms as said above; the result's `run` belongs beside its server."""
    alarms = Alarms(cloudwatch, speed)
    cloudwatch._evaluate_alarm = alarms.evaluate
    cloudwatch._evaluate_all_alarms = lambda: None  # the loop does
    cloudwatch.TWO_WEEKS_SECONDS = KEEP_S
    record = provisioners._cw_metric_alarm_record

    def record_with_expression(name: str, properties: dict[str, Any]) -> dict[str, Any]:
        queries = copy.deepcopy(properties.get("Metrics") or [])
        if not queries:
            return record(name, properties)
        returned = _returned(queries)
        calculate(
            returned.get("Expression") or returned["Id"],
            {query["Id"]: [None] for query in queries if query.get("MetricStat")},
        )
        plain = {key: value for key, value in properties.items() if key != "Metrics"}
        alarm = record(name, plain | {"MetricName": returned["Id"], "Namespace": "expression"})
        for key in ("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Period", "Dimensions", "Unit"):
            alarm.pop(key, None)
        return alarm | {"Metrics": queries}

    provisioners._cw_metric_alarm_record = record_with_expression
    get_state = cloudwatch.get_state

    def state_without_values() -> Any:
        return {**get_state(), "metrics": type(cloudwatch._metrics)()}

    state_without_values.__module__ = cloudwatch.__name__
    cloudwatch.get_state = state_without_values
    return alarms
