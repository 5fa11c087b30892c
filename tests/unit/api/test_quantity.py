"""Quantities agree with Kubernetes' own (a table made by it) and are exact where those wrap around."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pincompute.api import quantity
from pincompute.api.quantity import LARGEST, Quantity

TABLE = [
    line.split("\t")
    for line in Path(__file__).with_name("quantities.tsv").read_text("utf-8").splitlines()
    if not line.startswith("#")
]
GOOD = {json.loads(text): rest for text, *rest in TABLE if rest != ["!"]}
BAD = [json.loads(text) for text, *rest in TABLE if rest == ["!"]]

NOTATIONS = st.sampled_from(("DecimalSI", "BinarySI", "DecimalExponent"))
QUANTITIES = st.builds(Quantity, st.integers(-LARGEST, LARGEST), NOTATIONS)


def test_table_is_not_trivial() -> None:
    assert len(GOOD) > 200
    assert len(BAD) > 50


@pytest.mark.parametrize("text", GOOD)
def test_reads_and_writes_what_kubernetes_does(text: str) -> None:
    canonical, millis, whole, notation = GOOD[text]
    got = quantity.parse(text)
    assert (str(got), got.millis, got.whole, got.notation) == (canonical, int(millis), int(whole), notation)


@pytest.mark.parametrize("text", [*BAD, "", ".", "-", "+k", "e3", "\u0661", "1Gi\n", "NaN", "1e9999999999999999999"])
def test_refuses_and_says_what_was_expected(text: str) -> None:
    with pytest.raises(quantity.InvalidQuantityError, match=r"is not a quantity: (use a number|write )"):
        quantity.parse(text)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("32MB", "write 32Mi, or 32M"),
        ("2gb", "write 2Gi, or 2G"),
        ("1.5 GiB", "write 1.5Gi"),
        ("512kB", "write 512Ki, or 512k"),
        ("20milli", "write 20m"),
        ("2 cores", "write 2"),
        ("1x", quantity.EXPECTED),
    ],
)
def test_says_how_an_amount_of_another_tool_is_written(text: str, remedy: str) -> None:
    with pytest.raises(quantity.InvalidQuantityError, match=f"is not a quantity: {remedy}$"):
        quantity.parse(text)
    for written in remedy.removeprefix("write ").split(", or ") if remedy != quantity.EXPECTED else ():
        assert quantity.parse(written).nanos > 0


def test_a_truth_value_is_not_a_quantity() -> None:
    with pytest.raises(quantity.InvalidQuantityError):
        quantity.parse(True)


def test_saturates_instead_of_wrapping_around() -> None:
    """S-086: an overflow was a way around quota."""
    assert quantity.parse("16Ei") == quantity.parse("1e999999") == Quantity(LARGEST)
    assert quantity.parse("-16Ei") == Quantity(-LARGEST)


def test_cpu_and_memory() -> None:
    assert [quantity.cpu_millis(value) for value in ("100m", "0.5", 2, 1.5, "2500u")] == [100, 500, 2000, 1500, 3]
    assert [quantity.memory_bytes(value) for value in ("128Mi", "1G", 64, "1.5Ki")] == [128 << 20, 10**9, 64, 1536]


@given(QUANTITIES)
def test_round_trip(value: Quantity) -> None:
    again = quantity.parse(str(value))
    assert again == value
    assert str(quantity.parse(str(again))) == str(again)  # 125000 bytes, as Kubernetes has it: "125000", then "125k" for good


@given(QUANTITIES, QUANTITIES)
def test_arithmetic_is_that_of_integers(a: Quantity, b: Quantity) -> None:
    assert (a + b).nanos == a.nanos + b.nanos
    assert a + b - b == a
    assert (a < b) == (a.nanos < b.nanos)
    assert (a * 3).nanos == 3 * a.nanos


@given(st.integers(0, 10**15), st.sampled_from(("", "m", "k", "Mi", "Gi", "e3")))
def test_a_canonical_form_has_no_fraction_and_the_largest_suffix(number: int, suffix: str) -> None:
    text = quantity.canonical(f"{number}{suffix}")
    assert "." not in text
    assert quantity.canonical(text) == text


SHORTEST = {
    "1e3": "1k",
    "1000": "1k",
    "33554432": "32Mi",
    "32768Ki": "32Mi",
    "1024": "1Ki",
    "128M": "128M",
    "0.5": "500m",
    "0": "0",
    "1536": "1536",
    "1024000": "1024k",
}


@pytest.mark.parametrize("text", SHORTEST)
def test_a_value_has_one_shortest_notation(text: str) -> None:
    assert quantity.shortest(quantity.parse(text)) == SHORTEST[text]


@given(QUANTITIES, NOTATIONS)
def test_the_shortest_notation_depends_on_the_value_alone(value: Quantity, notation: quantity.Notation) -> None:
    text = quantity.shortest(value)
    assert text == quantity.shortest(Quantity(value.nanos, notation))
    assert quantity.parse(text) == value
