"""Gathers what the plots of a claim are drawn from: some of its cases, evaluated once more and held against the truth.

Only claims that do not simply agree are worth it. The budget counts cases and entries, never seconds, so that the same
seed gives the same record.
"""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from verify.cases import Case
from verify.comparison import RESOLUTION, as_wide, errors, precision, scale_of
from verify.engine import EVERY, Arrays, Engine
from verify.figures import AxisErrors, EntryErrors, Figures, Remainder, SizeErrors
from verify.program import Undecided, Untranslatable

CASES, WALKS = 150, 6
"""Ordinary cases, and cases along the exponents of an element-wise claim."""
LARGEST, BUDGET = 4096, 150_000
"""Input entries of a case, and of all of them together."""
SLOW = 12
"""Cases where JAX itself must evaluate them, or where each takes long."""
FINE, NEAR, COARSE = 2, 8, 64
"""Points a binade, between 2^-NEAR and 2^NEAR; elsewhere one in so many binades."""
SIZES, DIMENSIONS = 24, 4
"""Different sizes, and dimensions, that are kept."""
BLOCKS = 16
"""Rows and columns of a map of entries; a larger output is shown by the worst entry of each block."""
STEPS = 26
DIRECTIONAL = ("gradient", "value_and_gradient", "vjp", "custom_vjp", "jvp", "custom_jvp")


@dataclass(frozen=True, eq=False)
class _Held:
    """One case, both sides at it, and what they are held against."""

    case: Case
    hand: Arrays
    reference: Arrays
    truth: Arrays

    def relative(self, side: Arrays) -> float:
        """The largest relative error of an entry."""
        return max((float(e.max(initial=0.0)) for e in _relative(side, self.truth)), default=0.0)


def figures_of(
    engine: Engine, dtype: str, shown: Case, trusted: str = "reference", but: str = ""
) -> Figures | None:
    """The plots of a claim in one dtype; the remainder at the case ``shown`` if there is no better one.

    ``trusted`` is the side that stands for the truth, evaluated in extended precision; ``but`` says where it is none.
    """
    if engine.claim.relation == "at_most":
        return None
    try:
        held, against = _evaluated(engine, dtype, trusted)
        if not held:
            return None
        return Figures(
            (_axis(engine, dtype, held, against + but),),
            _sizes(held),
            _entries(engine, held, dtype),
            _remainder(engine, held, shown),
        )
    except Exception:  # a plot that cannot be had must not take the verdict with it
        if os.environ.get("VERIFY_TRACEBACK"):
            raise
        return None


def _evaluated(engine: Engine, dtype: str, trusted: str) -> tuple[list[_Held], str]:
    held, spent = [], 0
    widths: list[type] = [np.longdouble, np.float64] if dtype == "float64" else [np.float64]
    traced = engine.formula(engine.case(0, dtype))
    slow = traced.asks_jax or traced.is_dear
    for index in _indices(SLOW if slow else CASES):
        case = engine.case(index, dtype)
        if case.size > LARGEST or spent > BUDGET:
            continue
        spent += case.size
        try:
            hand, reference = engine.native(case)
            truth = engine.wide(case, widths[0])[trusted == "reference"]
        except (Untranslatable, Undecided):
            widths = widths[1:]
            if not widths:
                break
            continue
        if all(h.shape == t.shape == r.shape for h, t, r in zip(hand, truth, reference, strict=True)):
            held.append(_Held(case, hand, reference, tuple(as_wide(t) for t in truth)))
    name = {"reference": "the reference", "hand": "the hand-written function"}[trusted]
    return held, f"{name} in {'extended precision' if widths[:1] == [np.longdouble] else 'float64'}"


def _indices(count: int) -> Iterator[int]:
    yield from range(count)
    first = -(-count // EVERY) * EVERY
    yield from range(first + EVERY - 1, first + EVERY * WALKS, EVERY)


# Over the axis ---------------------------------------------------------------------------------------------


def _axis(engine: Engine, dtype: str, held: Sequence[_Held], against: str) -> AxisErrors:
    """The worst error at inputs of each magnitude: fine around 1, where formulas branch, and coarse far away."""
    p = precision(dtype)
    signed = all([engine.is_element_wise(h.case) for h in held])
    x, mine, theirs = np.concatenate([_by_entry(h, dtype) if signed else _by_case(h, dtype) for h in held], axis=1)
    bins: dict[tuple[float, float], list[int]] = defaultdict(list)
    for i, value in enumerate(x.tolist()):
        if math.isfinite(value):
            bins[math.copysign(1.0, value) if signed else 1.0, _bin(abs(value))].append(i)
    at = [k[int(np.argmax(mine[k]))] for k in bins.values()]
    worst = sorted(zip(x[at], mine[at], (theirs[k].max() for k in bins.values()), strict=True))
    inputs, hand, reference = (tuple(map(_short, column)) for column in zip(*worst, strict=True))
    counts = _short(_counts(engine, dtype) / (2 * p.roundoff))
    return AxisErrors(dtype, signed, inputs, hand, reference, counts, against)


def _bin(size: float) -> float:
    if size == 0:
        return -math.inf
    exponent = math.log2(size)
    return math.floor(FINE * exponent) / FINE if abs(exponent) < NEAR else math.floor(exponent / COARSE) * COARSE


def _counts(engine: Engine, dtype: str) -> float:
    """The relative error from which a difference is looked into."""
    return RESOLUTION if dtype == engine.formula_dtype else precision(dtype).loss


def _by_entry(h: _Held, dtype: str) -> np.ndarray:
    """Input, error by hand, error of the reference, for every entry of an element-wise case."""
    floating = [v for v in h.case.values if v.dtype.kind not in "iub" and v.shape == h.truth[0].shape]
    if not floating:
        return _by_case(h, dtype)
    # of several arrays the one that walks along the exponents
    walked = max(floating, key=lambda v: float(np.abs(as_wide(v)).max(initial=0.0)))
    x = np.real(as_wide(walked)).ravel()
    sides = [_ulps(side[0], h.truth[0], dtype).ravel() for side in (h.hand, h.reference)]
    return np.stack([x, *sides])


def _by_case(h: _Held, dtype: str) -> np.ndarray:
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


def _relative(side: Arrays, truth: Arrays) -> list[np.ndarray]:
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        found = [(errors(s, t) / scale_of(t), t) for s, t in zip(side, truth, strict=True)]
    return [np.where(np.isfinite(t), e, 0.0) for e, t in found]


# Over sizes ------------------------------------------------------------------------------------------------


def _sizes(held: Sequence[_Held]) -> tuple[SizeErrors, ...]:
    """The worst error at each size of every dimension: a mistake that shows at some sizes only, stands out."""
    pairs = [(h, h.relative(h.hand), h.relative(h.reference)) for h in held if h.case.plain] or [
        (h, h.relative(h.hand), h.relative(h.reference)) for h in held
    ]
    names = list(dict.fromkeys(name for h in held for name in h.case.dims))[:DIMENSIONS]
    found = [_over(name, [(h.case.dims[name], a, b) for h, a, b in pairs if name in h.case.dims]) for name in names]
    if not found:
        found = [_over("input entries", [(h.case.size, a, b) for h, a, b in pairs])]
    if max((e for f in found for e in f.hand), default=0.0) < RESOLUTION:  # not a matter of sizes
        return ()
    return tuple(f for f in found if len(f.sizes) > 1)


def _over(name: str, rows: Sequence[tuple[int, float, float]]) -> SizeErrors:
    worst: dict[int, tuple[float, float]] = {}
    for size, mine, theirs in rows:
        known = worst.get(size, (0.0, 0.0))
        worst[size] = max(known[0], mine), max(known[1], theirs)
    sizes = sorted(worst)
    if len(sizes) > SIZES:  # the small ones, where mistakes hide, and some of the others
        rest = sizes[SIZES // 2 :]
        sizes = [*sizes[: SIZES // 2], *rest[:: -(-len(rest) // (SIZES // 2))]]
    hand, reference = (tuple(_short(worst[s][side]) for s in sizes) for side in (0, 1))
    return SizeErrors(name, tuple(sizes), hand, reference)


# Over entries ----------------------------------------------------------------------------------------------


def _entries(engine: Engine, held: Sequence[_Held], dtype: str) -> tuple[EntryErrors, ...]:
    """The error of every entry at one failing case, of several rows and columns if there is one."""
    counts = _counts(engine, dtype)
    failing = [h for h in held if h.relative(h.hand) > counts]
    ranked = sorted(failing, key=lambda h: (not h.case.plain, -min(4, _narrowest(h)), h.case.size))
    for h in ranked[:1]:
        labels = engine.formula(h.case).labels
        relative = _relative(h.hand, h.truth)
        maps = [(label, e) for label, e in zip(labels, relative, strict=True) if e.size > 1]
        maps.sort(key=lambda pair: not (pair[1] > counts).any())
        return tuple(
            EntryErrors(label or "output", tuple(e.shape), h.case.id, _blocks(e)) for label, e in maps[:2]
        )
    return ()


def _narrowest(h: _Held) -> int:
    """The smallest side of the largest output: a map of one row shows little."""
    largest = max(h.truth, key=lambda t: t.size, default=np.zeros(()))
    return min(largest.shape, default=0) if largest.ndim > 1 else -1


def _blocks(error: np.ndarray) -> tuple[tuple[float, ...], ...]:
    flat = error.reshape(1, -1) if error.ndim < 2 else error.reshape(-1, error.shape[-1])
    for axis in (0, 1):
        starts = np.unique(np.linspace(0, flat.shape[axis], min(BLOCKS, flat.shape[axis]), endpoint=False).astype(int))
        flat = np.maximum.reduceat(flat, starts, axis=axis)
    return tuple(tuple(map(_short, row)) for row in flat.tolist())


# The remainder ---------------------------------------------------------------------------------------------


def _remainder(engine: Engine, held: Sequence[_Held], shown: Case) -> Remainder | None:
    """|f(x + t v) - f(x) - t D(v)| for t = 1/2, 1/4, ..., D by hand and by the reference."""
    if engine.claim.relation not in DIRECTIONAL:
        return None
    tame = [h.case for h in held if h.case.plain and 1 < h.case.size <= 400 and engine.formula(h.case).wrt]
    wrong = [c for c in tame if _differs(engine, c)]
    for case in [*wrong[:3], shown, *tame[:1]]:
        found = _remainder_at(engine, case)
        if found is not None:
            return found
    return None


def _differs(engine: Engine, case: Case) -> bool:
    hand, reference = engine.wide(case)
    return any(float(e.max(initial=0.0)) > RESOLUTION for e in _relative(hand, reference))


def _remainder_at(engine: Engine, case: Case) -> Remainder | None:
    traced = engine.formula(case)
    moved = sorted(set(traced.wrt))
    leaves = case.structure.leaves
    if any(leaves[i].kind != "float" for i in moved) or any(h.dtype.kind == "c" for h in engine.wide(case)[0]):
        return None
    tangents = engine.claim.relation in ("jvp", "custom_jvp")
    rng = np.random.default_rng(case.index)
    if tangents:
        if len(case.extra) != len(moved):
            return None
        direction = dict(zip(moved, (as_wide(v) for v in case.extra), strict=True))
    else:
        direction = {i: rng.standard_normal(case.values[i].shape) for i in moved}
    length = math.sqrt(sum(float((v**2).sum()) for v in direction.values()))
    point = math.sqrt(sum(float((as_wide(case.values[i]) ** 2).sum()) for i in moved))
    if not 0 < length < math.inf or not 0 < point < math.inf:
        return None
    weights = case.extra if not tangents and case.extra else None
    start = engine.primal(case)
    slopes = [_slope(side, traced.wrt, direction, tangents, len(start)) for side in engine.wide(case)]
    # no step is longer than the point is: far away a function is another one
    steps = 0.5 ** np.arange(1, STEPS + 1) / max(1.0, length / point)
    left: list[list[float]] = [[], []]
    for t in steps:
        values = tuple(
            as_wide(v) + t * direction[i] if i in direction else v for i, v in enumerate(case.values)
        )
        there = engine.primal(replace(case, values=values))
        change = [b - a for a, b in zip(start, there, strict=True)]
        for side, slope in enumerate(slopes):
            left[side].append(_left(change, slope, t, weights))
    size = sum(float(np.abs(as_wide(s) * (as_wide(w) if weights else 1.0)).sum())
               for s, w in zip(start, weights or start, strict=True))  # fmt: skip
    if not all(map(math.isfinite, (*left[0], *left[1], size))) or left[0] == left[1]:
        return None
    hand, reference = (tuple(map(_short, side)) for side in left)
    return Remainder(case.id, tuple(map(_short, steps)), hand, reference, _short(size * 2.0**-53))


def _slope(
    side: Arrays, wrt: Sequence[int], direction: Mapping[int, np.ndarray], tangents: bool, outputs: int
) -> float | list[np.ndarray]:
    """D(v): a number for gradients, an array for every output for tangents."""
    if tangents:
        return list(side[-outputs:])
    gradients = side[-len(wrt) :]
    return float(sum((g * direction[i]).sum() for g, i in zip(gradients, wrt, strict=True)))


def _left(change: Sequence[np.ndarray], slope: float | list[np.ndarray], t: float, weights: Arrays | None) -> float:
    if isinstance(slope, list):
        return math.sqrt(sum(float(((c - t * s) ** 2).sum()) for c, s in zip(change, slope, strict=True)))
    weighted = zip(change, weights or [np.ones(())] * len(change), strict=True)
    moved = sum(float((c * as_wide(w)).sum()) for c, w in weighted)
    return abs(moved - t * slope)


def _short(x: float) -> float:
    """Four digits are enough to draw a point."""
    return float(f"{float(x):.4g}")
