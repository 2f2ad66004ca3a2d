"""Which entries of a result the oracle looks at: each derivative costs it several runs of the primal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from verify.cells.comparison import relative
from verify.truth.equality import is_same_formula
from verify.truth.sides import Sides

MOST_ENTRIES = 12
"""Entries of one output whose derivative the oracle computes; fewer in large cases."""
LARGE = 300
"""Entries of a case from which the oracle is dear: it looks at one entry that differs exactly, if there is one."""
LARGE_MATRIX = 40


def looked_at(sides: Sides, suspects: Sequence[np.ndarray], leaf: int) -> list[int]:
    """Of one output, suspects first, the largest differences before others, then a few that look right."""
    suspect = suspects[leaf]
    flat = np.flatnonzero(suspect)
    flat = flat[[not is_same_formula(sides, leaf, int(i)) for i in flat]] if flat.size else flat
    differing = any(s.any() for s in suspects)
    if differing and sides.exact and _is_dear(sides):
        gap = relative(sides.hand[leaf], sides.reference[leaf]).reshape(-1)[flat]
        return [int(i) for i in flat[np.argsort(-gap)[:1]]]  # none where both are one formula, to 150 digits
    most = max(2, min(MOST_ENTRIES, 1500 // max(1, sides.case.size)))
    if flat.size > most:
        gap = relative(sides.hand[leaf], sides.reference[leaf]).reshape(-1)[flat]
        spread = flat[np.linspace(0, flat.size - 1, most // 2).astype(int)]
        flat = np.unique(np.concatenate([flat[np.argsort(-gap)[: most // 2]], spread]))
    rest = np.setdiff1d(np.arange(suspect.size), flat)
    rng = np.random.default_rng(sides.case.index)
    more = rng.permutation(rest)[: 1 + (most > 2) * (1 if flat.size else 3)]
    return [int(i) for i in (*flat, *more)]


def _is_dear(sides: Sides) -> bool:
    """Whether the oracle takes seconds here: many entries, or a decomposition of a matrix that is not small."""
    if sides.case.size > LARGE:
        return True
    return sides.traced.factorises and max(sides.case.dims.values(), default=0) > LARGE_MATRIX
