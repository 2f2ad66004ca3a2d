"""The adversary: from the worst of the random cases a few steps uphill on the discrepancy of hand and reference.

A mistake that is confined to a thin region leaves a trace around it: a discrepancy far below what counts, and far
above rounding. The climb follows it. What it reaches is judged as any other case.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from verify.cells.comparison import as_wide, differ
from verify.drawing.cases import CLIMBED, Case
from verify.drawing.values import to_dtype
from verify.tracing.engine import Arrays, Engine

STARTS = 3
STEPS, DEAR_STEPS = 16, 4
MOVES = 6
FREE = ("real", "positive", "nonnegative")
LENGTHS = (0.5, 0.1, 0.02)


def discrepancy(hand: Sequence[np.ndarray], reference: Sequence[np.ndarray]) -> float:
    """The largest difference of two results, relative to the largest entry of the output that it is in."""
    worst = 0.0
    for h, r in zip(hand, reference, strict=True):
        gap, size = np.abs(h - r), np.abs(r)
        top = float(size.max(initial=0.0))
        if 0.0 < top < np.inf:
            worst = max(worst, float(gap.max(initial=0.0)) / top)
    return worst if worst < np.inf else 0.0


def climbed(engine: Engine, case: Case, steps: int = STEPS) -> tuple[Case, Arrays, Arrays] | None:
    """A case, uphill from this one, at which hand and reference differ; None if the way ends before."""
    rng = np.random.default_rng([engine.draws.seed, case.index])
    height = discrepancy(*engine.wide(case))
    for _ in range(steps):
        best = None
        for near in _near(rng, case):
            hand, reference = engine.wide(near)
            if differ(hand, reference):
                return near, hand, reference
            reached = discrepancy(hand, reference)
            if reached > height:
                height, best = reached, near
        case = best or case
    return None


def _near(rng: np.random.Generator, case: Case) -> Iterator[Case]:
    """Random moves within the domains: of every entry, of a whole array, of one entry."""
    count, flat = len(case.values), (*case.values, *case.extra)
    leaves = case.structure.leaves
    free = [
        i for i, v in enumerate(flat)
        if v.dtype.kind not in "iubc" and v.size and (i >= count or leaves[i].domain.kind in FREE)
    ]  # fmt: skip
    for number in range(MOVES if free else 0):
        new = list(flat)
        step = LENGTHS[number // 2 % len(LENGTHS)]
        for i in free:
            signed = i >= count or leaves[i].domain.kind == "real"
            new[i] = _moved(rng, flat[i], step, signed)
        name = case.id if case.id.endswith(CLIMBED) else f"{case.id}{CLIMBED}"
        yield replace(case, values=tuple(new[:count]), extra=tuple(new[count:]), id=name)


def _moved(rng: np.random.Generator, value: np.ndarray, step: float, signed: bool) -> np.ndarray:
    x = as_wide(value)
    kind = rng.integers(3)
    if kind == 0:
        x = x * 2.0 ** (2 * step * rng.standard_normal())
    elif kind == 1 or not signed:
        x = x * 2.0 ** (2 * step * rng.standard_normal(x.shape))
    else:
        x = x + step * rng.standard_normal(x.shape) * (np.abs(x).mean() or 1.0)
    return to_dtype(np.asarray(x), str(value.dtype))
