"""Two measures of an error: in ulp, and in fair ulp. Pure NumPy.

An *ulp* is the distance of neighbouring numbers of the format at the true value. An error in *fair ulp* is held against
what half an ulp of the input changes, too, where that is more: beside a root of a function nobody does better, for the
input itself stands for an interval as wide.

Millions of points are measured compiled, with ``xp`` JAX's NumPy instead of NumPy: the same functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

BEYOND = (1.0, 4.0, 100.0)
"""Errors in ulp; how many inputs are beyond is counted."""
COUNTED = ("flushed", "not_finite", "wrong_sign", "nan_lost", "unknown")
"""Zero for less than the smallest normal number; NaN or ∞ for a number; another sign; a number for NaN; no truth."""


@dataclass(frozen=True)
class Format:
    """A binary floating-point format: ``precision`` bits of significand, normal numbers from ``2^low`` on."""

    name: str
    bits: int
    precision: int
    low: int

    @property
    def high(self) -> int:
        """Exponent of the largest binade."""
        return 1 - self.low

    @property
    def smallest(self) -> float:
        """The smallest normal number."""
        return 2.0**self.low

    @property
    def largest(self) -> float:
        return (2 - 2.0 ** (1 - self.precision)) * 2.0**self.high

    @property
    def binades(self) -> int:
        """Exponent fields of one sign: zero and subnormals first, infinity and NaN last."""
        return 2 ** (self.bits - self.precision)


FORMATS = {
    f.name: f
    for f in (
        Format("float64", 64, 53, -1022),
        Format("float32", 32, 24, -126),
        Format("bfloat16", 16, 8, -126),
        Format("float16", 16, 11, -14),
    )
}


_EXPONENT = np.int64(0x7FF << 52)
"""Of a float64: without the other bits it is a power of two."""


def ulp(x: Any, form: Format, xp: Any = np) -> Any:
    """The distance of neighbours at ``x``; among subnormal numbers, and at zero, that of the smallest."""
    size = xp.where(xp.isfinite(x), xp.abs(x), form.largest)
    size = xp.clip(size, form.smallest, form.largest).view(np.int64)
    return (size & _EXPONENT).view(np.float64) * 2.0 ** (1 - form.precision)


def distance(got: Any, low: Any, high: Any, form: Format, xp: Any = np, rest: Any = 0.0) -> Any:
    """How far ``got`` lies outside ``[low, high]``: infinite for NaN, and for ∞ unless the truth rounds to it.

    ``rest`` is what float64 has no room for in the truth.
    """
    gap = xp.maximum(xp.maximum((low - got) + rest, (got - high) - rest), 0.0)
    edge = form.largest + 2.0 ** (form.high - form.precision) if form.bits < 64 else np.inf
    overflown = ((got == np.inf) & (high >= edge)) | ((got == -np.inf) & (low <= -edge))
    gap = xp.where(overflown, 0.0, gap)
    return xp.where(xp.isnan(gap), np.inf, gap)


def flushed(got: Any, truth: Any, unit: Any, form: Format, xp: Any = np) -> Any:
    """Where zero stands for a number below the smallest normal one, or within one unit of that."""
    return (got == 0) & (truth != 0) & (xp.abs(truth) - unit < form.smallest)


def errors(
    z: Any, got: Any, low: Any, high: Any, form: Format, xp: Any = np, rest: Any = 0.0
) -> tuple[Any, Any]:
    """The errors in ulp at the inputs ``z``, and the counts of ``BEYOND`` and ``COUNTED``.

    No error where the truth is unknown (NaN for a number) or where nothing is due but NaN.
    """
    unit = ulp(low, form, xp)
    zero = flushed(got, low, unit, form, xp)
    known = ~xp.isnan(low)
    error = xp.where(zero | ~known, 0.0, distance(got, low, high, form, xp, rest) / unit)
    odd = ~xp.isfinite(got) & xp.isfinite(low) & (error > 0)
    sign = (xp.sign(got) * xp.sign(low) < 0) & (xp.abs(low) >= form.smallest) & (low == high)
    lost, unknown = xp.isnan(z) & ~xp.isnan(got), ~known & ~xp.isnan(z)
    counts = [xp.sum(m) for m in (*(error > b for b in BEYOND), zero, odd, sign, lost, unknown)]
    return error, xp.stack(counts)


def fair_unit(unit: np.ndarray, truth: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """An ulp, or how far the truth moves when the input moves by half an ulp, to either side."""
    with np.errstate(invalid="ignore"):
        moved = np.fmax(np.abs(before - truth), np.abs(after - truth))
    return np.fmax(unit, moved)


def half_ulps(z: np.ndarray, form: Format) -> tuple[np.ndarray, np.ndarray]:
    """Half way to the neighbours of finite ``z``, below and above."""
    step = ulp(z, form) / 2
    down = np.where((np.abs(np.frexp(z)[0]) == 0.5) & (np.abs(z) > form.smallest), step / 2, step)
    return z - np.where(z > 0, down, step), z + np.where(z < 0, down, step)
