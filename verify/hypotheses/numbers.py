"""Numbers as a person would write them: 1/2, sqrt(2/pi), and the roundest threshold in a gap."""

from __future__ import annotations

import math
from fractions import Fraction

_CONSTANTS = {
    "pi": math.pi,
    "sqrt(2)": math.sqrt(2),
    "sqrt(pi)": math.sqrt(math.pi),
    "sqrt(2*pi)": math.sqrt(2 * math.pi),
    "sqrt(2/pi)": math.sqrt(2 / math.pi),
    "sqrt(3)": math.sqrt(3),
    "e": math.e,
    "log(2)": math.log(2),
    "log(10)": math.log(10),
    "pi**2": math.pi**2,
}


def _rational(value: float, top: int, tolerance: float) -> str | None:
    if not math.isfinite(value):
        return None
    if value == 0 or abs(value) > 1e6:
        return str(round(value)) if value and abs(value - round(value)) < tolerance * abs(value) else None
    fraction = Fraction(value).limit_denominator(top)
    if fraction and abs(float(fraction) - value) <= tolerance * abs(value):
        return str(fraction)
    return None


def exact_name(value: complex, tolerance: float = 2e-7) -> str | None:
    """``1/2``, ``-3``, ``1/pi``, ``2*sqrt(2)``; None where no short name fits."""
    if isinstance(value, complex):
        if abs(value.imag) > tolerance * abs(value):
            if abs(value.real) <= tolerance * abs(value):
                name = exact_name(value.imag, tolerance)
                return None if name is None else {"1": "i", "-1": "-i"}.get(name, f"{name}*i")
            return None
        value = value.real
    if value == 0:
        return "0"
    plain = _rational(value, 64, tolerance)
    if plain:
        return plain
    for name, constant in _CONSTANTS.items():
        over = _rational(value / constant, 12, tolerance)
        if over:
            return name if over == "1" else f"-{name}" if over == "-1" else f"{over}*{name}"
        times = _rational(value * constant, 12, tolerance)
        if times:
            bottom = f"({name})" if "*" in name or name == "sqrt(2/pi)" else name
            return f"{times}/{bottom}"
    return None


def number_name(value: complex) -> str:
    """The exact name, else six digits."""
    name = exact_name(value)
    if name is not None:
        return name
    return f"{value:.7g}" if abs(abs(value) - 1) > 1e-4 else f"{value:.12g}"


def roundest(low: float, high: float) -> float:
    """The number with the fewest digits in the closed interval, the middle preferred."""
    if low > high:
        low, high = high, low
    if low <= 0 <= high:
        return 0.0
    if low < 0:
        return -roundest(-high, -low)
    if not math.isfinite(high):
        high = max(low * 1e3, 1e308) if math.isfinite(low) else low
    if high == low or low <= 0:
        return high
    exponent = math.floor(math.log10(high))
    for digits in range(exponent, exponent - 18, -1):
        for step in (10.0**digits, 5 * 10.0 ** (digits - 1)):
            if step <= 0 or not math.isfinite(step):
                continue
            first = math.ceil(low / step - 1e-12)
            last = math.floor(high / step + 1e-12)
            if first <= last:
                chosen = min(
                    range(first, min(last, first + 50) + 1), key=lambda k: abs(k * step - (low + high) / 2)
                )
                return float(f"{chosen * step:.15g}")
    return (low + high) / 2


def show(value: float) -> str:
    """A threshold in text."""
    if abs(value) < 1e15 and value == int(value):
        return str(int(value))
    return f"{value:.6g}"
