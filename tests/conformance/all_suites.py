"""The suites, in the order of the table."""

from __future__ import annotations

from tests.conformance.suite import Suite
from tests.conformance.suites import (
    arrow_csv,
    aws_events,
    csv_spectrum,
    damaged,
    feeds,
    frictionless,
    json_test_suite,
    naughty,
    pollock,
)

SUITES: tuple[Suite, ...] = (
    *json_test_suite.SUITES,
    *csv_spectrum.SUITES,
    *frictionless.SUITES,
    *naughty.SUITES,
    *arrow_csv.SUITES,
    *aws_events.SUITES,
    *feeds.SUITES,
    *damaged.SUITES,
    *pollock.SUITES,
)
