"""Comparison: two results entry by entry, and how many digits each has lost. Pure NumPy.

Nothing here is a tolerance that a user could tune. ``RESOLUTION`` is the relative difference from which a case is
examined further, in exact arithmetic; below, one that stands out of rounding all the same is looked at in extended
precision first. A result is *clearly worse* than another if it has lost half of its digits, where the other has not,
and errs eight times as much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import ml_dtypes
import numpy as np

from verify.drawing.values import numpy_dtype

RESOLUTION = 2.0**-30
EQUAL = 2.0**-40
"""Relative difference below which two exact values cannot be told apart in float64, rounding of constants included."""
FAINT = 2.0**-47
"""64 roundings of the largest entry of a result: a difference beyond is rarely rounding, extended precision tells."""
WORSE = 8.0
NOTHING = np.zeros(1)


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

    @property
    def faint(self) -> float:
        """A result above this leaves its intermediate values a quarter of the exponent range, downwards."""
        return self.tiny**0.75


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


def differ(hand: Sequence[np.ndarray], reference: Sequence[np.ndarray]) -> bool:
    """Whether any entry of any output does."""
    return any(differs(h, r).any() for h, r in zip(hand, reference, strict=True))


def stands_out(hand: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Where they differ so, and where they differ by less but still by more than rounding: of the entry, and of the
    largest one."""
    with np.errstate(invalid="ignore", over="ignore"):
        beyond = np.abs(hand - reference) > FAINT * np.abs(reference).max(initial=0.0)
    return differs(hand, reference) | (differs(hand, reference, EQUAL) & beyond)


@dataclass(frozen=True)
class Compared:
    """Many cases compared at once; the arrays are indexed by case."""

    agree: np.ndarray
    """Whether no entry differs by more than the resolution."""
    faint: np.ndarray
    """Where it agrees so, whether a difference may stand out of rounding all the same."""
    relative: np.ndarray
    """The largest relative difference of an entry; infinite where only one is finite or the reference is zero."""
    discrepancy: np.ndarray
    """The largest difference, relative to the largest entry of the output that it is in."""
    tops: Sequence[Sequence[float]]
    """The largest finite entry of each output of the reference."""


def compare_all(hand: Sequence[Sequence[np.ndarray]], reference: Sequence[Sequence[np.ndarray]]) -> Compared:
    """Compares the outputs of many cases as one long vector: for small arrays the calls cost more than the numbers."""
    starts, outputs = _segments(reference)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        h, r = _joined(hand), _joined(reference)
        gap, size = np.abs(h - r), np.abs(r)
        same = h == r
        close = (gap <= RESOLUTION * size) & (gap < np.inf)  # a finite value is not near infinity
        ratio = gap / size
        ratio[same] = 0.0
        ratio[np.isnan(ratio)] = np.inf
        highest = np.maximum.reduceat(gap, starts)
        tops = np.maximum.reduceat(size, starts)
        discrepancy = np.where((tops > 0) & (tops < np.inf) & (highest < np.inf), highest / tops, 0.0)
        if not (tops < np.inf).all():
            tops = np.maximum.reduceat(np.where(size < np.inf, size, 0.0), starts)
    first = np.concatenate(([0], np.cumsum(outputs)[:-1]))
    limits = [0, *np.cumsum(outputs).tolist()]
    listed = tops.tolist()
    agree = np.logical_and.reduceat(np.logical_and.reduceat(close | same, starts), first)
    ratios = np.maximum.reduceat(ratio, starts)
    return Compared(
        agree,
        agree & np.logical_or.reduceat((ratios > EQUAL) & (discrepancy > FAINT), first),
        np.maximum.reduceat(ratios, first),
        np.maximum.reduceat(discrepancy, first),
        [listed[a:b] for a, b in pairwise(limits)],
    )


def clearly_fine(
    results: Sequence[Sequence[np.ndarray]], truth: Sequence[Sequence[np.ndarray]], p: Precision
) -> tuple[np.ndarray, np.ndarray]:
    """For many cases: whether no entry has lost half of its digits, and the largest relative error."""
    starts, outputs = _segments(truth)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        t = _joined(truth)
        size, gap = np.abs(t), np.abs(_joined(results) - t)
        few = p.loss * size
        fine = (gap <= few) & (few < np.inf)
        scaled = np.where(size > 4 * p.tiny, gap / size, 0.0)
    first = np.concatenate(([0], np.cumsum(outputs)[:-1]))
    return (
        np.logical_and.reduceat(np.logical_and.reduceat(fine, starts), first),
        np.maximum.reduceat(np.maximum.reduceat(scaled, starts), first),
    )


def _joined(results: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """All entries of all results end to end, in float64 or complex128. What is empty counts as one zero."""
    arrays = [a if a.size else NOTHING for arrays in results for a in arrays or (NOTHING,)]
    wide = np.complex128 if any([a.dtype.kind == "c" for a in arrays]) else np.float64
    return np.concatenate(arrays, axis=None, dtype=wide, casting="unsafe")


def _segments(results: Sequence[Sequence[np.ndarray]]) -> tuple[np.ndarray, list[int]]:
    """Where each output begins in the long vector, and how many outputs each case has."""
    sizes = [a.size or 1 for arrays in results for a in arrays or (NOTHING,)]
    return np.cumsum([0, *sizes[:-1]]), [len(arrays) or 1 for arrays in results]


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
    """Where ``error`` is clearly worse than ``other`` in this precision. Underflow to zero is no error, be it of the
    result or, where that is faint, of an intermediate value."""
    size = scale_of(truth)
    flushed = (error == np.abs(truth)) & (size < p.faint)
    lost = error > p.loss * size + 4 * p.tiny
    with np.errstate(invalid="ignore"):
        return lost & (error > WORSE * other) & (size < p.roomy) & ~flushed


def shapes_differ(hand: Sequence[tuple[str, ...]], wanted: Sequence[tuple[str, ...]]) -> list[int]:
    """The outputs whose shapes are not those wanted."""
    return [i for i, (h, w) in enumerate(zip(hand, wanted, strict=True)) if h != w]
