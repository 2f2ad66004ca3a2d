"""The Taylor remainder: it shrinks with the square of the step where a derivative is right, with the step where not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from verify.cells.comparison import RESOLUTION, as_wide
from verify.drawing.cases import Case
from verify.figure_data.figures import Remainder, short
from verify.figure_data.held import Held, relative
from verify.tracing.engine import Arrays, Engine

STEPS = 26
DIRECTIONAL = ("gradient", "value_and_gradient", "vjp", "custom_vjp", "jvp", "custom_jvp")


def remainder(engine: Engine, held: Sequence[Held], shown: Case) -> Remainder | None:
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
    return any(float(e.max(initial=0.0)) > RESOLUTION for e in relative(hand, reference))


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
    hand, reference = (tuple(map(short, side)) for side in left)
    return Remainder(case.id, tuple(map(short, steps)), hand, reference, short(size * 2.0**-53))


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
