"""Some cases of a claim, evaluated once more and held against the truth: what its plots are drawn from.

The budget counts cases and entries, never seconds, so that the same seed gives the same record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from verify.cells.comparison import RESOLUTION, as_wide, errors, precision, scale_of
from verify.drawing.cases import Case
from verify.programs.program import Undecided, Untranslatable
from verify.tracing.engine import EVERY, Arrays, Engine

CASES, WALKS = 150, 6
"""Ordinary cases, and cases along the exponents of an element-wise claim."""
LARGEST, BUDGET = 4096, 150_000
"""Input entries of a case, and of all of them together."""
SLOW = 4
"""Cases where JAX itself must evaluate them."""


@dataclass(frozen=True, eq=False)
class Held:
    """One case, both sides at it, and what they are held against."""

    case: Case
    hand: Arrays
    reference: Arrays
    truth: Arrays

    def largest_error(self, side: Arrays) -> float:
        """The largest relative error of an entry."""
        return max((float(e.max(initial=0.0)) for e in relative(side, self.truth)), default=0.0)


def evaluated(engine: Engine, dtype: str, trusted: str) -> tuple[list[Held], str]:
    """The cases, and in words what they are held against: the ``trusted`` side in extended precision."""
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
            held.append(Held(case, hand, reference, tuple(as_wide(t) for t in truth)))
    name = {"reference": "the reference", "hand": "the hand-written function"}[trusted]
    return held, f"{name} in {'extended precision' if widths[:1] == [np.longdouble] else 'float64'}"


def _indices(count: int) -> Iterator[int]:
    yield from range(count)
    first = -(-count // EVERY) * EVERY
    yield from range(first + EVERY - 1, first + EVERY * WALKS, EVERY)


def relative(side: Arrays, truth: Arrays) -> list[np.ndarray]:
    """The relative error of every entry; 0 where there is no true value."""
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        found = [(errors(s, t) / scale_of(t), t) for s, t in zip(side, truth, strict=True)]
    return [np.where(np.isfinite(t), e, 0.0) for e, t in found]


def counts_from(engine: Engine, dtype: str) -> float:
    """The relative error from which a difference is looked into."""
    return RESOLUTION if dtype == engine.formula_dtype else precision(dtype).loss
