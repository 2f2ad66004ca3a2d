"""The derivative that is meant, where a primal repeats something until it is good enough.

Such a program is smooth only as long as the number of its turns stays the same, and is off by its tolerance: at steps
of 2**-100 its quotients are the derivative of the turns that were made, none at all for instance. Steps far above the
tolerance see the function that is meant. How well they do is told by two pairs of steps, extrapolated, beside each
other; which steps are the right ones is not known, so there is a ladder of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from verify.truth.oracle import Oracle, Truth, magnitude, radius, to_floats

LARGEST, STRIDE = 5, 3
"""Binary exponents: of the largest step, and from one step to the next."""
RUNGS = {False: 9, True: 5}
"""Of steps that move no entry by more than 1, and of those that move none by more than its own size."""
CONFIRMING = 3
"""The last rung that is coarse enough, whatever the tolerance, to confirm a difference; finer ones may only deny it."""


class Coarse(Oracle):
    """Three steps of the ladder; a ``relative`` one is measured in the size of the entries that move."""

    most_turns = 500  # a long step may lead out of the domain, where a loop need not end

    def __init__(self, like: Oracle, rung: int, relative: bool):
        super().__init__(like.traced, like.relation, like.case, like.bits, like.width)
        self.inputs = like.inputs
        self.rung, self.relative = rung, relative

    def _limited(self, x: Any) -> Any:
        return x if self.relative else np.ones_like(x)[()]

    def _along(self, line: Callable[[Any], np.ndarray], scale: float, contracted: bool) -> Truth:
        steps = [self._step(scale, LARGEST + STRIDE * (self.rung + i)) for i in range(3)]
        quotients = [(np.asarray(line(s)) - np.asarray(line(-s))) / (2 * s) for s in steps]
        grown = 2 ** (2 * STRIDE)
        coarse, fine = ((grown * b - a) / (grown - 1) for a, b in pairwise(quotients))
        if self.exact:
            value, error = to_floats(fine), magnitude(fine - coarse) + radius(fine)
        else:
            value, error = np.asarray(fine, np.float64), np.asarray(np.abs(fine - coarse), np.float64)
        return Truth(value, error, value, value, np.zeros(value.shape, bool))


def rungs() -> Iterator[tuple[int, bool]]:
    """The ladder, from its finest steps to its coarsest."""
    for relative, count in RUNGS.items():
        yield from ((rung, relative) for rung in reversed(range(count)))
