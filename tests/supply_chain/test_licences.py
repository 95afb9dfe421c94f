"""Production installs nothing whose licence asks for more than to be named without a reason; the page says what there is."""

from __future__ import annotations

import sys

import pytest

from requirements.licences import LOCK as PRODUCTION
from requirements.licences import (
    PAGE,
    Package,
    asks_for_more,
    bill_of_materials,
    licence_of,
    locked,
    packages,
    page,
    reasons,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the page lists what Linux installs")


@pytest.fixture(scope="module")
def found() -> list[Package]:
    return packages()


def test_the_page_is_current(found: list[Package]) -> None:
    assert PAGE.read_text() == page(found, reasons()), "run `make licences`"


def test_what_asks_for_more_has_a_reason_and_nothing_else_has(found: list[Package]) -> None:
    assert {one.name for one in found if asks_for_more(one.licence)} == reasons().keys()


@pytest.mark.parametrize(
    ("licence", "more"),
    [
        ("MIT", False),
        ("MIT OR Apache-2.0", False),
        ("(MIT AND BSD-3-Clause) OR Apache-2.0", False),
        ("GPL-3.0-only", True),
        ("AGPL-3.0-or-later", True),
        ("MIT AND MPL-2.0", True),
        ("LGPL-2.1-only OR MIT", True),
        ("UNKNOWN", True),
        ("A licence of our own", True),
    ],
)
def test_only_licences_that_are_known_to_ask_for_nothing_pass(licence: str, more: bool) -> None:
    assert asks_for_more(licence) is more


def test_a_licence_is_read_from_whatever_says_it_best() -> None:
    nothing = {"License-Expression": "UNKNOWN", "License-Classifier": "UNKNOWN", "License-Metadata": "UNKNOWN"}
    assert licence_of({**nothing, "License-Expression": "MIT", "License-Classifier": "BSD License"}) == "MIT"
    assert licence_of({**nothing, "License-Classifier": "BSD License; MIT License"}) == "BSD OR MIT"
    assert licence_of({**nothing, "License-Metadata": "MPL-2.0"}) == "MPL-2.0"
    assert licence_of({**nothing, "License-Metadata": "Permission is hereby granted " * 9}) == "UNKNOWN"
    assert licence_of(nothing) == "UNKNOWN"


def test_the_bill_of_materials_names_every_package_in_its_version(found: list[Package]) -> None:
    document = bill_of_materials(found)
    assert {c["purl"] for c in document["components"]} == {
        f"pkg:pypi/{name}@{version}" for name, version in locked(PRODUCTION).items()
    }
    assert document["metadata"]["component"]["name"] == "lakegate"
