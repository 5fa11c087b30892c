"""Parses Kubernetes quantities ("100m", "1.5Gi", "12e6") exactly, as an integer count of 10^-9 with its notation.

As in Kubernetes, a value finer than 10^-9 is rounded away from zero. A value larger than 2^63-1 becomes 2^63-1, where
Kubernetes wraps around in some places (S-086). Suffixes are case-sensitive: `k` is 1000, `K` is invalid, `M` is mega and `m`
is milli.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Notation: TypeAlias = Literal["DecimalSI", "BinarySI", "DecimalExponent"]

EXPECTED = "use a number of at least 0 and an optional suffix, for example 500m or 128Mi"

LONGEST = 1000  # characters of a quantity; Python converts no number of more than 4,300 digits
UNIT = 10**9  # nanos in one
MILLI = UNIT // 1000
LARGEST = (2**63 - 1) * UNIT

_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_PARTS = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,18})?")
_OTHER_UNITS = re.compile(
    r"(?P<number>[0-9]+(?:[.][0-9]+)?) *(?:(?P<milli>milli)?(?:cpus?|cores?)?|(?P<letter>[kmgtpe])(?P<binary>i)?(?:b|bytes?)?)",
    re.IGNORECASE,
)
_FAR = 64  # an exponent beyond this, less the digits written, is out of range whatever stands before it


class InvalidQuantityError(ValueError):
    """The message says what was expected."""


@dataclass(frozen=True, slots=True, order=True)
class Quantity:
    """Compared by value: 1000m equals 1, 1Ki equals 1024."""

    nanos: int
    notation: Notation = field(default="DecimalSI", compare=False)

    def __str__(self) -> str:
        """Canonical: no fraction, the largest suffix that needs none."""
        if self.notation == "BinarySI" and abs(self.nanos) >= 1024 * UNIT and self.nanos % UNIT == 0:
            return _binary(self.nanos // UNIT)
        return _decimal(self.nanos, exponential=self.notation == "DecimalExponent")

    def __add__(self, other: Quantity) -> Quantity:
        """Returns the sum in the notation of the first that is not zero."""
        return Quantity(self.nanos + other.nanos, self.notation if self.nanos else other.notation)

    def __sub__(self, other: Quantity) -> Quantity:
        return self + Quantity(-other.nanos, other.notation)

    def __mul__(self, times: int) -> Quantity:
        return Quantity(self.nanos * times, self.notation)

    @property
    def millis(self) -> int:
        """Returns the amount in thousandths, rounded away from zero."""
        return _away_from_zero(self.nanos, 10**6)

    @property
    def whole(self) -> int:
        """Returns the amount in units, rounded away from zero."""
        return _away_from_zero(self.nanos, UNIT)


ZERO = Quantity(0)


def parse(value: str | float) -> Quantity:
    """Raises InvalidQuantityError."""
    text = str(value)
    parts = _PARTS.fullmatch(text)
    if isinstance(value, bool) or parts is None or not (parts[2] or parts[3]) or len(text) > LONGEST:
        raise InvalidQuantityError(_complaint(text))
    sign = -1 if parts[1] == "-" else 1
    whole, fraction, suffix = parts[2], parts[3] or "", parts[4] or ""
    digits = int((whole + fraction) or "0")
    if suffix in _BINARY:
        nanos = _scaled(digits << _BINARY[suffix], 9 - len(fraction))
        small = 0 < nanos < UNIT
        return Quantity(sign * min(nanos, LARGEST), "DecimalSI" if small else "BinarySI")
    if suffix in _DECIMAL:
        return _bounded(sign, _scaled(digits, _DECIMAL[suffix] + 9 - len(fraction)), "DecimalSI")
    limit = _FAR + len(text)
    exponent = max(-limit, min(limit, int(suffix[1:])))
    return _bounded(sign, _scaled(digits, exponent + 9 - len(fraction)), "DecimalExponent")


def cpu_millis(value: str | float) -> int:
    """Milli-cores, rounded up."""
    return parse(value).millis


def memory_bytes(value: str | float) -> int:
    """Bytes, rounded up."""
    return parse(value).whole


def canonical(value: str | float) -> str:
    """The one way to write a value that Kubernetes would write too: "0.5" is "500m", "1024Mi" is "1Gi"."""
    return str(parse(value))


def shortest(amount: Quantity) -> str:
    """The one way to write a value, however it was written: "1e3" is "1k", "33554432" is "32Mi"."""
    decimal = _decimal(amount.nanos, exponential=False)
    if not amount.nanos or amount.nanos % (1024 * UNIT):
        return decimal
    binary = _binary(amount.nanos // UNIT)
    return binary if len(binary) < len(decimal) else decimal


def _away_from_zero(nanos: int, divisor: int) -> int:
    return -(-nanos // divisor) if nanos > 0 else nanos // divisor


def _scaled(digits: int, exponent: int) -> int:
    """digits x 10^exponent, a remainder counting as one more."""
    return digits * 10**exponent if exponent >= 0 else -(-digits // 10**-exponent)


def _bounded(sign: int, nanos: int, notation: Notation) -> Quantity:
    return Quantity(sign * min(nanos, LARGEST), notation)


def _binary(whole: int) -> str:
    for suffix, bits in reversed(_BINARY.items()):
        if whole % (1 << bits) == 0:
            return f"{whole >> bits}{suffix}"
    return str(whole)


def _decimal(nanos: int, *, exponential: bool) -> str:
    exponent = -9
    while nanos and nanos % 1000 == 0 and exponent < 18:
        nanos, exponent = nanos // 1000, exponent + 3
    if not nanos or exponent == 0:
        return str(nanos)
    return f"{nanos}e{exponent}" if exponential else f"{nanos}{_DECIMAL_SUFFIX[exponent]}"


def _complaint(text: str) -> str:
    return f'"{text[:64]}" is not a quantity: {remedy(text)}'


def remedy(value: object) -> str:
    """Says what to write instead: the units of Kubernetes where the text has those of other tools, such as `32MB`."""
    found = _OTHER_UNITS.fullmatch(str(value)[:64])
    if found is None:
        return EXPECTED
    number, milli, letter, binary = found["number"], found["milli"], found["letter"], found["binary"]
    if milli:
        return f"write {number}m"
    if not letter:
        return f"write {number}"
    whole = f"{number}{letter.upper()}i"
    return f"write {whole}" if binary else f"write {whole}, or {number}{letter.lower() if letter in 'kK' else letter.upper()}"
