"""The laptop's alarms: the tables of the CloudWatch User Guide, expressions, and what a stack's alarms do with log lines."""

from __future__ import annotations

import math

import pytest

from lakegate.local.ministack_alarms import EXTRA_PERIODS, calculate, state_of

OK, ALARM, INSUFFICIENT, KEPT = "OK", "ALARM", "INSUFFICIENT_DATA", "kept"


def judged(points: str, to_alarm: int, missing: str) -> str:
    """Values as the User Guide writes them: `0` is fine, `X` breaches, `-` is missing."""
    values = [{"0": 0.0, "X": 9.0, "-": None}[point] for point in points]
    assert len(values) == 3 + EXTRA_PERIODS
    return state_of(values, breaches=lambda v: v > 1, periods=3, to_alarm=to_alarm, missing=missing, state=KEPT)


@pytest.mark.parametrize(
    ("points", "to_alarm", "expected"),
    [
        # "How alarm state is evaluated when data is missing": three out of three
        ("0-X-X", 3, (OK, OK, OK, OK)),
        ("----0", 3, (OK, OK, OK, OK)),
        ("-----", 3, (INSUFFICIENT, KEPT, ALARM, OK)),
        ("0XX-X", 3, (ALARM, ALARM, ALARM, ALARM)),
        ("--X--", 3, (ALARM, KEPT, ALARM, OK)),
        # and two out of three
        ("0-X-X", 2, (ALARM, ALARM, ALARM, ALARM)),
        ("00X0X", 2, (ALARM, ALARM, ALARM, ALARM)),
        ("0-X--", 2, (OK, OK, ALARM, OK)),
        ("----0", 2, (OK, OK, ALARM, OK)),
        ("---X-", 2, (ALARM, KEPT, ALARM, OK)),
    ],
)
def test_missing_values_are_treated_as_the_user_guide_says(
    points: str, to_alarm: int, expected: tuple[str, ...]
) -> None:
    treatments = ("missing", "ignore", "breaching", "notBreaching")
    assert tuple(judged(points, to_alarm, missing) for missing in treatments) == expected


def test_an_expression_is_calculated_moment_by_moment() -> None:
    series = {"bad": [None, 4.0, 6.0, 6.0], "all": [10.0, None, 12.0, 0.0]}
    assert calculate("bad / all", series) == [None, None, 0.5, None]
    assert calculate("IF(FILL(bad, 0) >= 5, 100 * bad / all, 0)", series) == [0, 0, 50, None]
    assert calculate("MAX([bad, all])", series) == [10, 4, 12, 6]
    assert math.isclose(calculate("SUM([bad, 0.5])", series)[1] or 0, 4.5)


@pytest.mark.parametrize(
    "expression", ["ANOMALY_DETECTION_BAND(bad)", "unknown + 1", "__import__('os')", "bad.real", "1 < bad < 3"]
)
def test_an_expression_beyond_what_is_understood_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match="does not understand"):
        calculate(expression, {"bad": [1.0]})
