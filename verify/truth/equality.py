"""Whether two values of one entry are equal: of a side and the truth, or of both sides. Rounding is no difference."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from verify.cells.comparison import EQUAL, RESOLUTION
from verify.truth.entry import Entry
from verify.truth.sides import NO_FORM, Sides

NOTHING = 2.0**-100


def equals(sides: Sides, side: Literal["hand", "reference"], entry: Entry) -> bool | None:
    """Whether a side equals the truth at one entry; None if neither can be said."""
    leaf, at = entry.leaf, entry.at
    exact = sides.exact_hand if side == "hand" else sides.exact_reference
    if exact is None or entry.exact is None:
        return _equals_in_floats(sides, (sides.hand if side == "hand" else sides.reference)[leaf][at], entry)
    mine: Any = exact[leaf][at] if exact[leaf].shape else exact[leaf].item()
    other = entry.exact
    gap_ball = abs(mine - other)
    if not gap_ball.is_finite():
        return False
    gap = float(gap_ball.mid())
    size = float(abs(other).mid()) if not isinstance(other, float) else abs(other)
    slack = float(gap_ball.rad()) + entry.error
    if slack > 2.0**-20 * size and slack > 2.0**-200 and slack > NOTHING * sides.largest:  # more bits would tell
        return None
    if gap <= EQUAL * size + slack:
        return True
    return gap <= EQUAL * size + slack + float(sides.constants[leaf][at])


def _equals_in_floats(sides: Sides, mine: Any, entry: Entry) -> bool | None:
    if not np.isfinite(mine):
        return None if not sides.exact and _is_finite_when_wider(sides, entry) else False
    gap = abs(complex(mine) - complex(entry.value))
    if gap <= RESOLUTION * abs(entry.value) + 2 * entry.error:
        return True
    return False if _survives_the_ladder(sides, entry, gap) else None


def _is_finite_when_wider(sides: Sides, entry: Entry) -> bool:
    """Whether only the range of float64 may have ended."""
    if sides.traced.engine == "jax":
        return True
    try:
        wider = sides.finer()
    except NO_FORM:
        return True
    return bool(np.isfinite(np.asarray(wider[entry.leaf])[entry.at]))


def _survives_the_ladder(sides: Sides, entry: Entry, gap: float) -> bool:
    """Without exact arithmetic: a difference is real if extended precision does not shrink it; what a rounding of the
    largest number here would make of it says nothing."""
    if entry.error > gap / 8 or gap <= np.finfo(sides.width).eps * sides.largest:
        return False
    if sides.traced.engine == "jax" or sides.width == np.float64:
        return gap > 2.0**-20 * abs(complex(entry.value))
    mine = complex(np.asarray(sides.finer()[entry.leaf])[entry.at])
    return abs(mine - complex(entry.value)) > gap / 4


def is_same_formula(sides: Sides, leaf: int, flat: int) -> bool:
    """Whether hand and reference are one value in exact arithmetic: their floats differ by rounding alone."""
    if sides.exact_hand is None or sides.exact_reference is None or sides.relation == "at_most":
        return False
    mine, other = (np.asarray(x[leaf], dtype=object).flat[flat] for x in (sides.exact_hand, sides.exact_reference))
    gap = abs(mine - other)
    if not gap.is_finite():
        return False
    size, slack = float(abs(other).mid()), float(gap.rad())
    return slack <= 2.0**-20 * size and float(gap.mid()) <= EQUAL * size + slack


def at_most(sides: Sides, entry: Entry) -> Literal["agrees", "wrong", "uncounted", "undecided"]:
    """Whether the hand-written value is no larger than the reference's, which bounds it."""
    leaf, at = entry.leaf, entry.at
    value, limit = sides.hand[leaf][at], sides.reference[leaf][at]
    if sides.exact_hand is None or sides.exact_reference is None:
        return "agrees" if value <= limit + RESOLUTION * abs(limit) else "wrong"
    hand: Any = np.asarray(sides.exact_hand[leaf], dtype=object)[at]
    bound: Any = np.asarray(sides.exact_reference[leaf], dtype=object)[at]
    gap = hand - bound
    if not gap.is_finite():
        if hand.is_nan() and bound.is_finite():  # at most nothing
            return "wrong"
        return "uncounted" if value <= limit else "undecided"
    slack = EQUAL * float(abs(bound).mid()) + float(gap.rad()) + float(sides.constants[leaf][at])
    return "agrees" if float(gap.mid()) <= slack else "wrong"
