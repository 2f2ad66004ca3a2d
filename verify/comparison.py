"""Comparison: two results entry by entry, and how many digits each has lost. Pure NumPy.

Nothing here is a tolerance that a user could tune. ``RESOLUTION`` is the finest relative difference that the first,
cheap comparison in float64 looks at: what differs by more is examined further, in exact arithmetic. A result is
*clearly worse* than another if it has lost half of its digits, where the other has not, and errs eight times as much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ml_dtypes
import numpy as np

from verify.values import numpy_dtype

RESOLUTION = 2.0**-30
EQUAL = 2.0**-40
"""Relative difference below which two exact values cannot be told apart in float64, rounding of constants included."""
WORSE = 8.0


@dataclass(frozen=True)
class Precision:
    """What a dtype can hold: unit roundoff, smallest normal and largest number, and the loss that counts."""

    name: str
    roundoff: float
    tiny: float
    largest: float

    @property
    def loss(self) -> float:
        """The relative error at which half of the digits are gone."""
        return self.roundoff**0.5

    @property
    def roomy(self) -> float:
        """A result below this leaves its intermediate values a quarter of the exponent range."""
        return self.largest**0.75


def precision(dtype: str) -> Precision:
    name = {"complex128": "float64", "complex64": "float32"}.get(dtype, dtype)
    info = ml_dtypes.finfo(numpy_dtype(name))
    return Precision(name, float(info.eps) / 2, float(info.smallest_normal), float(info.max))


def as_wide(x: np.ndarray) -> np.ndarray:
    """float64 or complex128 values of an array of any dtype."""
    x = np.asarray(x)
    if x.dtype.kind == "c":
        return x.astype(np.complex128, copy=False)
    return x.astype(np.float64, copy=False)


def differs(hand: np.ndarray, reference: np.ndarray, resolution: float = RESOLUTION) -> np.ndarray:
    """Where two arrays of one shape differ by more than the resolution, NaN counting as a difference."""
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.abs(hand - reference)
        close = (gap <= resolution * np.abs(reference)) & (gap < np.inf)  # a finite value is not near infinity
    return ~(close | (hand == reference))


def agrees(hand: np.ndarray, reference: np.ndarray) -> bool:
    """Whether ``differs`` holds nowhere; quick where it plainly does not."""
    gap = np.abs(hand - reference)
    top = gap.max(initial=0.0)
    if top == 0.0 or (top < np.inf and (gap <= RESOLUTION * np.abs(reference)).all()):
        return True
    return not differs(hand, reference).any()


def relative(hand: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """|hand - reference| / |reference|, infinite where only one is finite or the reference is zero."""
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        gap = np.abs(hand - reference) / np.abs(reference)
    return np.where(hand == reference, 0.0, np.where(np.isnan(gap), np.inf, gap))


def errors(result: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """|result - truth|: infinite for a non-finite result, NaN where the truth is not known."""
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.abs(result - truth)
    return np.where(np.isnan(truth), np.nan, np.where(np.isfinite(result), gap, np.inf))


def scale_of(truth: np.ndarray) -> np.ndarray:
    """What the error of each entry is held against: its size; for an exact zero that of the largest entry."""
    size = np.abs(truth)
    finite = size[np.isfinite(size)]
    largest = float(finite.max()) if finite.size else 0.0
    return np.where(size == 0, largest or 1.0, size)


def worse(error: np.ndarray, other: np.ndarray, truth: np.ndarray, p: Precision) -> np.ndarray:
    """Where ``error`` is clearly worse than ``other`` in this precision. Underflow to zero is no error."""
    size = scale_of(truth)
    lost = error > p.loss * size + 4 * p.tiny
    with np.errstate(invalid="ignore"):
        return lost & (error > WORSE * other) & (size < p.roomy)


def shapes_differ(hand: Sequence[tuple[str, ...]], wanted: Sequence[tuple[str, ...]]) -> list[int]:
    """The outputs whose shapes are not those wanted."""
    return [i for i, (h, w) in enumerate(zip(hand, wanted, strict=True)) if h != w]
