"""Losses of digits: where the formula is right and a result is not, in float64 or in a cell of lower precision."""

from __future__ import annotations

import numpy as np

from verify.cells.accuracy import Loss, Suspicion, confirm, most_telling, one_by_one, suspicions
from verify.cells.comparison import RESOLUTION, differs, precision
from verify.cells.seen import TRIED, Breadth, Seen
from verify.drawing.cases import Case
from verify.tracing.engine import Arrays, Engine
from verify.truth.exact import hand_exactly
from verify.truth.formula import Examined


def lost_in_float64(engine: Engine, seen: Breadth, here: Seen, examined: Examined) -> None:
    """The formula is right and the float64 results differ all the same: one of them lost its digits."""
    if seen.dtype != engine.formula_dtype or engine.claim.relation == "at_most":
        return
    p = precision(seen.dtype)
    truth = _truth_of(engine, here.case)
    if truth is None:
        return
    found, _ = suspicions(here.hand, here.reference, truth, p)
    for suspicion in found:
        if seen.tried[suspicion.side] >= TRIED[suspicion.side]:
            continue
        seen.tried[suspicion.side] += 1
        exactly = lambda c: _twice(_truth_of(engine, c) or truth)  # noqa: E731
        loss = confirm(one_by_one(engine.wide), exactly, here.case, suspicion, p, engine.usual_size)
        if loss:
            seen.losses.append((here.case, loss))


def _truth_of(engine: Engine, case: Case) -> Arrays | None:
    """The hand-written formula, known to be right, in extended precision or exactly."""
    return hand_exactly(engine.formula(case), case)


def confirm_losses(engine: Engine, seen: Breadth, suspects: list[tuple[Case, Suspicion]]) -> None:
    """Looks into the most telling suspicions in the dtype's own arithmetic; those that hold are losses."""
    per_side = dict.fromkeys(TRIED, 0)
    for case, suspicion in most_telling(suspects, lambda s: s[1]):
        side = suspicion.side
        if per_side[side] >= TRIED[side]:
            continue
        per_side[side] += 1
        p = precision(seen.dtype)
        truth_of = lambda c: _twice(agreed(*engine.wide(c)))  # noqa: E731
        loss = confirm(one_by_one(engine.native), truth_of, case, suspicion, p, engine.usual_size)
        if loss is None:
            continue
        if loss.side == "hand" and _depends_on_dtype(engine, case, loss, p.roundoff):
            seen.dependent.append((case, loss))
        else:
            seen.losses.append((case, loss))
        if sum(1 for _, found in seen.losses if found.side == side) >= 4:
            per_side[side] = TRIED[side]


def _depends_on_dtype(engine: Engine, case: Case, loss: Loss, roundoff: float) -> bool:
    """Whether the error stays when the cell's own trace runs in float64: then the formula itself is wrong there."""
    hand, _ = engine.widened_cell(case)
    _, truth = engine.wide(case)
    gap = abs(hand[loss.leaf][loss.entry] - truth[loss.leaf][loss.entry])
    size = abs(truth[loss.leaf][loss.entry])
    return bool(gap > loss.error / 2 and gap > 64 * roundoff * size and gap > RESOLUTION * size)


def agreed(hand: Arrays, reference: Arrays) -> Arrays:
    """The truth for cells of low precision: NaN where hand and reference do not agree in wide precision."""
    return tuple(np.where(differs(h, r), np.nan, r) for h, r in zip(hand, reference, strict=True))


def _twice(truth: Arrays) -> tuple[Arrays, Arrays]:
    return truth, truth
