"""Cards of an extension are read from its text as astropy reads them."""

from __future__ import annotations

from typing import Any

import pytest

from upramp.io import Extension, fits

VALUES: list[Any] = [
    "",
    "SCI",
    "it's",
    "a / b",
    "AXIS: 1",
    "5.0",
    0,
    -12,
    1.0,
    -2.5e-7,
    1e22,
    3e300,
    True,
    False,
    "x" * 68,
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.parametrize("comment", ["", "what / it is"])
def test_values_are_those_of_astropy(value: Any, comment: str) -> None:
    header = fits.Header(
        [("NAXIS", 0), ("BITPIX", 8), ("VALUE", value, comment if value != "x" * 68 else "")]
    )
    text = header.tostring()
    found = Extension(text, 0).get("VALUE")
    expected = fits.Header.fromstring(text)["VALUE"]
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    "card",
    [
        "VALUE   =                    1",
        "VALUE   = 1.5D3",
        "VALUE   =                   .5 /",
        "VALUE   = 5E3",
        "VALUE   = 5.e-3/no blank",
        "VALUE   =          +0012",
        "VALUE   = '  leading  '",
        "VALUE   = T",
        "VALUE   =",
    ],
)
def test_free_format_is_read_too(card: str) -> None:
    head = "NAXIS   =                    0".ljust(80)
    found = Extension(head + card.ljust(80) + "END".ljust(80), 0).get("VALUE", "missing")
    expected = fits.Header.fromstring(head + card.ljust(80) + "END".ljust(80)).get("VALUE", "missing")
    assert (found, type(found)) == (expected, type(expected))


def test_long_and_lower_case_names_and_values() -> None:
    cards = [("NAXIS", 0), ("VALUE", "x" * 100), ("HIERARCH long name", 3.5)]
    unit = Extension(fits.Header(cards).tostring(), 0)
    assert unit.get("value") == "x" * 100
    assert unit.get("long name") == 3.5
    assert unit.get("missing") is None


def test_names_inside_of_values_are_no_cards() -> None:
    header = fits.Header(
        [("NAXIS", 0), ("HIDES", "VALUE   =                    7"), ("HISTORY", "VALUE   = 8")]
    )
    assert Extension(header.tostring(), 0).get("VALUE") is None
