"""Kinks: which values are generalised derivatives where the function has no derivative.

A generalised gradient is a convex combination of gradients at nearby points. So the gradient is sampled around the
point and the hand-written one must lie in the hull of the samples: entry by entry, and for every pair of entries that
the kink ties together (giving the whole cotangent to each of two tied entries lies in no hull).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from flint import arb, ctx

from verify.programs.arithmetic import Undecided, Untranslatable
from verify.programs.ball import ball
from verify.tracing.trace import Traced
from verify.truth.entry import Entry
from verify.truth.oracle import Oracle, to_floats

SAMPLES = 24
NEARBY = 120
"""Samples lie within 2**-NEARBY of the point, relative to its scale."""
SLACK = 2.0**-30
MOST_PAIRS = 12
GRADIENTS = ("gradient", "vjp", "value_and_gradient", "custom_vjp", "second_order")
Result = Sequence[np.ndarray]


class Surroundings:
    """The reference's derivative at points around one case, where the function is smooth."""

    def __init__(self, traced: Traced, relation: str, oracle: Oracle):
        self.relation, self.oracle, self.wrt = relation, oracle, traced.wrt
        self.moving = [i for i in dict.fromkeys(traced.wrt) if oracle.inputs[i].dtype == object]
        self.program = traced.reference.link(ball(oracle.bits)) if oracle.bits else None
        self.rng = np.random.default_rng(0)
        self.random = list(self._samples({} for _ in range(SAMPLES)))

    def test(self, entry: Entry) -> Callable[[Result], bool]:
        """Returns a test of a whole result: is it a generalised derivative at this entry?"""
        leaf, at = entry.leaf, entry.at
        sides = [float(np.real(x)) for x in (entry.left, entry.right)]
        here = self._flat(leaf, at)
        samples = np.array([*sides, *(g[here] for g in self.random)])
        low, high = samples.min(), samples.max()

        def valid(result: Result) -> bool:
            mine = float(np.real(result[leaf][at]))
            slack = SLACK * max(abs(low), abs(high))
            if not np.isfinite(mine) or not low - slack <= mine <= high + slack:
                return False
            if self.relation not in GRADIENTS or not self.random:
                return True
            flat = np.concatenate([np.real(np.asarray(r, complex)).reshape(-1) for r in result])
            tied = self._tied(here)
            return all(self._pair_valid(flat, here, j) for j in tied) and self._sum_valid(flat, [here, *tied])

        return valid

    def _tied(self, here: int) -> list[int]:
        """Other entries whose derivative jumps around this point."""
        flat = np.array(self.random)
        spread = np.ptp(flat, axis=0)
        varying = np.flatnonzero(spread > SLACK * np.abs(flat).max(axis=0))
        return [int(i) for i in varying if i != here][:MOST_PAIRS]

    def _pair_valid(self, result: np.ndarray, i: int, j: int) -> bool:
        """Samples on every side of the point in the plane of two entries must surround the result."""
        if not np.isfinite(result[[i, j]]).all():
            return False
        random = np.array(self.random)[:, [i, j]]
        if _in_hull(result[[i, j]], random):
            return True
        corners = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if a or b]
        around = self._samples({i: a, j: b} for a, b in corners for _ in range(2))
        return _in_hull(result[[i, j]], np.array([*random, *(g[[i, j]] for g in around)]))

    def _sum_valid(self, result: np.ndarray, group: list[int]) -> bool:
        """The sum over all tied entries: three shares of a half each are valid in pairs, and too much together."""
        if len(group) < 3 or len(group) > MOST_PAIRS:
            return True
        if not np.isfinite(result[group]).all():
            return False
        uphill = {i: self._uphill(i) for i in group}
        downhill = {i: -side for i, side in uphill.items()}
        extremes = self._samples(side for side in (uphill, downhill) for _ in range(4))
        sums = np.array([g[group].sum() for g in (*self.random, *extremes)])
        mine, slack = result[group].sum(), SLACK * np.abs(sums).max() + 1e-300
        return bool(sums.min() - slack <= mine <= sums.max() + slack)

    def _uphill(self, i: int) -> int:
        """The side of the point on which this entry of the derivative is the larger."""
        sides = [max((g[i] for g in self._samples({i: s} for _ in range(2))), default=0.0) for s in (-1, 1)]
        return 1 if sides[1] >= sides[0] else -1

    def _samples(self, directions: Any) -> Iterator[np.ndarray]:
        """The derivative at points shifted at random, or along some entries with a little noise elsewhere."""
        if self.program is None or self.oracle.bits is None:
            return
        before = ctx.prec
        ctx.prec = self.oracle.bits
        try:
            for direction in directions:
                try:
                    found = self.program(self.oracle.case.dims, [*self._shifted(direction), *self.oracle.extra])
                except (Undecided, Untranslatable, ArithmeticError, ValueError):
                    continue  # another tie: this sample says nothing
                flat = np.concatenate(
                    [np.real(to_floats(g) if g.dtype == object else np.asarray(g)).reshape(-1) for g in found]
                )
                if np.isfinite(flat).all():
                    yield flat
        finally:
            ctx.prec = before

    def _shifted(self, direction: dict[int, int]) -> list[np.ndarray]:
        moved = list(self.oracle.inputs)
        start = self._offset()
        scale = self.oracle.smallest(self.moving)  # the same for all: a kink of several arguments has its directions
        for i in self.moving:
            noise = self.rng.standard_normal(moved[i].shape)
            if direction:
                noise = noise * 2.0**-10
                for flat, amount in direction.items():
                    if start[i] <= flat < start[i] + noise.size:
                        noise.reshape(-1)[flat - start[i]] += amount
            step = np.asarray(np.frompyfunc(arb, 1, 1)(scale * noise), dtype=object)
            moved[i] = np.asarray(moved[i] + step * arb(2) ** -NEARBY, dtype=object).reshape(moved[i].shape)
        return moved

    def _offset(self) -> dict[int, int]:
        """Where each differentiated leaf begins in the flat derivative."""
        skip = 0
        if self.relation in ("value_and_gradient", "custom_vjp"):
            skip = sum(o.size for o in self.oracle.value() if o.dtype == object)
        found = {}
        for i in self.wrt:
            found[i] = skip
            skip += self.oracle.inputs[i].size
        return found

    def _flat(self, leaf: int, at: tuple[int, ...]) -> int:
        without_value = ("gradient", "vjp", "hvp", "second_order")
        shapes = [o.shape for o in self.oracle.value()] if self.relation not in without_value else []
        if self.relation not in ("jvp", "custom_jvp"):
            shapes += [self.oracle.inputs[i].shape for i in self.wrt]
        elif self.relation == "custom_jvp":
            shapes += shapes
        start = sum(int(np.prod(s)) for s in shapes[:leaf])
        return start + (int(np.ravel_multi_index(at, shapes[leaf])) if at else 0)


def _in_hull(point: np.ndarray, samples: np.ndarray) -> bool:
    """Whether a point of the plane lies in the convex hull of samples, to within rounding."""
    scale = np.abs(samples).max() or 1.0
    towards = (samples - point) / scale
    if np.hypot(*towards.T).min() <= 1e-9:
        return True
    # Outside the hull all samples lie in an open half-plane as seen from the point: their angles leave a gap > pi.
    angles = np.sort(np.arctan2(towards[:, 1], towards[:, 0]))
    gaps: np.ndarray = np.diff(np.concatenate([angles, [angles[0] + 2 * np.pi]]))
    return bool((gaps <= np.pi + 1e-9).all()) or _distance(towards) <= 1e-9


def _distance(towards: np.ndarray) -> float:
    """The distance of the origin from the segments between samples."""
    best = np.inf
    unique = np.unique(np.round(towards, 12), axis=0)[:64]
    for i, a in enumerate(unique):
        d = unique[i:] - a
        length = np.maximum((d**2).sum(1), 1e-300)
        t = np.clip(-(d @ a) / length, 0, 1)
        best = min(best, float(np.hypot(*(a + t[:, None] * d).T).min()))
    return best
