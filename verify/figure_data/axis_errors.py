"""Errors over the axis of floating-point numbers: fine around 1, where formulas branch, and coarse far away."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from verify.cells.comparison import as_wide, errors, precision, scale_of
from verify.figure_data.figures import AxisErrors, short
from verify.figure_data.held import Held, counts_from
from verify.tracing.engine import Engine

FINE, NEAR, COARSE = 2, 8, 64
"""Points a binade, between 2^-NEAR and 2^NEAR; elsewhere one in so many binades."""


def axis_errors(engine: Engine, dtype: str, held: Sequence[Held], against: str) -> AxisErrors:
    """The worst error at inputs of each magnitude."""
    p = precision(dtype)
    signed = all([engine.is_element_wise(h.case) for h in held])
    x, mine, theirs = np.concatenate([_by_entry(h, dtype) if signed else _by_case(h, dtype) for h in held], axis=1)
    bins: dict[tuple[float, float], list[int]] = defaultdict(list)
    for i, value in enumerate(x.tolist()):
        if math.isfinite(value):
            bins[math.copysign(1.0, value) if signed else 1.0, _bin(abs(value))].append(i)
    at = [k[int(np.argmax(mine[k]))] for k in bins.values()]
    worst = sorted(zip(x[at], mine[at], (theirs[k].max() for k in bins.values()), strict=True))
    inputs, hand, reference = (tuple(map(short, column)) for column in zip(*worst, strict=True))
    counts = short(counts_from(engine, dtype) / (2 * p.roundoff))
    return AxisErrors(dtype, signed, inputs, hand, reference, counts, against)


def _bin(size: float) -> float:
    if size == 0:
        return -math.inf
    exponent = math.log2(size)
    return math.floor(FINE * exponent) / FINE if abs(exponent) < NEAR else math.floor(exponent / COARSE) * COARSE


def _by_entry(h: Held, dtype: str) -> np.ndarray:
    """Input, error by hand, error of the reference, for every entry of an element-wise case."""
    floating = [v for v in h.case.values if v.dtype.kind not in "iub" and v.shape == h.truth[0].shape]
    if not floating:
        return _by_case(h, dtype)
    # of several arrays the one that walks along the exponents
    walked = max(floating, key=lambda v: float(np.abs(as_wide(v)).max(initial=0.0)))
    x = np.real(as_wide(walked)).ravel()
    sides = [_ulps(side[0], h.truth[0], dtype).ravel() for side in (h.hand, h.reference)]
    return np.stack([x, *sides])


def _by_case(h: Held, dtype: str) -> np.ndarray:
    tops = [float(np.abs(as_wide(v)).max(initial=0.0)) for v in h.case.values if v.dtype.kind not in "iub"]
    sides = [
        max((float(_ulps(s, t, dtype).max(initial=0.0)) for s, t in zip(side, h.truth, strict=True)), default=0.0)
        for side in (h.hand, h.reference)
    ]
    return np.array([[max(tops, default=0.0)], *([s] for s in sides)])


def _ulps(side: np.ndarray, truth: np.ndarray, dtype: str) -> np.ndarray:
    """The error of every entry in ulp of its true value; 0 where there is no true value."""
    p = precision(dtype)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        size = np.maximum(scale_of(truth), p.tiny)
        ulp = np.exp2(np.floor(np.log2(np.where(np.isfinite(size), size, 1.0)))) * 2 * p.roundoff
        found = errors(side, truth) / ulp
    return np.where(np.isfinite(truth), found, 0.0)
