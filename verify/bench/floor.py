"""The floor: what nobody who evaluates both formulas in NumPy can beat by much: draw, evaluate, ``np.allclose``."""

from __future__ import annotations

import numpy as np

from verify.bench.function import Arrays, Function


def is_right(function: Function, rng: np.random.Generator) -> bool:
    """One case at a fresh shape."""
    return compared(function, function.draw(rng))


def compared(function: Function, values: Arrays) -> bool:
    hand, reference = function.hand(*values), function.reference(*values)
    return all([np.allclose(h, r) for h, r in zip(hand, reference, strict=True)])
