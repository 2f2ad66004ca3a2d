"""Which of a dtype's cases exact arithmetic examines: of those that differ, and a few of those that do not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from verify.cells.adversary import discrepancy
from verify.cells.comparison import differs, stands_out
from verify.cells.losses import lost_in_float64
from verify.cells.seen import Breadth, Seen
from verify.drawing.cases import Case
from verify.programs.program import Undecided, Untranslatable
from verify.tracing.engine import Engine
from verify.truth.formula import Examined, examine

MOST_COMPARED, FEW_COMPARED = 400, 100
"""Cases that differ in float64 and are looked at in extended precision: of the formula's own dtype, of others, which
are further draws of the same formula."""
MOST_EXAMINED, FEW_EXAMINED = 48, 16
"""The same for those whose difference is no rounding, in exact arithmetic."""
MOST_ROUNDING, FEW_ROUNDING = 12, 3
"""Cases whose difference is rounding that are looked at: of the formula's own dtype, of others."""
EXAMINED_ENTRIES = 10_000
MODERATE, MODERATE_SIZE = 300, 48
"""Entries of a case, and its largest dimension, that exact arithmetic takes without a question."""
SHRINKS = 64
FEWEST_EXAMINED = 3
ENOUGH_WRONG, FEW_WRONG = 18, 3
"""Cases found wrong after which no more are looked at: of the formula's own dtype, of others."""


def examine_cases(engine: Engine, seen: Breadth, alive: Callable[[], None]) -> None:
    """Exact arithmetic for the cases that differ, and for a few that do not: both sides may be wrong alike."""
    wrong = 0
    low = seen.dtype != engine.formula_dtype
    spent = 0
    for number, here in enumerate(_to_be_examined(engine, seen)):
        spent += here.case.size
        if spent > EXAMINED_ENTRIES and number >= FEWEST_EXAMINED:
            break
        alive()
        examined = _examined(engine, here)
        seen.examined.append((here, examined))
        seen.uncounted += examined.finding == "uncounted"
        seen.undecided += examined.finding == "undecided"
        wrong += examined.finding == "wrong"
        if wrong >= (FEW_WRONG if low else ENOUGH_WRONG):
            return
        if examined.finding == "agrees":
            lost_in_float64(engine, seen, here, examined)
    if low or not seen.passing or engine.claim.relation in ("equal_to", "at_most"):
        return
    small = sorted(seen.passing, key=lambda s: s.case.size)
    moderate = [s for s in small if is_moderate(s.case)] or small[:1]
    for here in moderate[:: max(1, len(moderate) // 8)][:8]:
        examined = _examined(engine, here)
        if examined.finding != "agrees":
            seen.examined.append((here, examined))


def _to_be_examined(engine: Engine, seen: Breadth) -> list[Seen]:
    """Of the cases that differ, those over all sizes whose difference is no rounding, then the worst of the others."""
    own = seen.dtype == engine.formula_dtype
    compared = MOST_COMPARED if own else FEW_COMPARED
    lasting, rounding = [], []
    for here in _spread(_by_size(seen.differing), compared):
        (rounding if is_rounding(engine, here) else lasting).append(here)
    lasting += [here for here in _spread(_by_size(seen.faint), compared) if is_faint_mistake(engine, here)]
    moderate = [s for s in rounding if is_moderate(s.case)]
    worst = sorted(moderate, key=lambda s: -discrepancy(s.hand, s.reference))
    worst = worst[: MOST_ROUNDING if own else FEW_ROUNDING]
    far = [s for s in lasting if engine.is_along_exponents(s.case)]  # numbers of 1e100 explain little
    near = [s for s in lasting if not engine.is_along_exponents(s.case)]
    return [*_spread(near, MOST_EXAMINED if own else FEW_EXAMINED), *_spread(far, MOST_ROUNDING), *worst]


def _by_size(seen: list[Seen]) -> list[Seen]:
    return sorted(seen, key=lambda s: s.case.size)


def _spread(seen: list[Seen], most: int) -> list[Seen]:
    return seen[:: max(1, len(seen) // most)][:most]


def is_moderate(case: Case) -> bool:
    """Whether exact arithmetic is cheap at this case."""
    return case.size <= MODERATE and max(case.dims.values(), default=1) <= MODERATE_SIZE


def is_rounding(engine: Engine, here: Seen) -> bool:
    """Whether the difference shrinks with the unit roundoff, in extended precision."""
    return engine.claim.relation != "at_most" and bool(_shrinks(engine, here, differs))


def is_faint_mistake(engine: Engine, here: Seen) -> bool:
    """Whether a difference that the comparison passes stands out of rounding, in extended precision as well."""
    return _shrinks(engine, here, stands_out) is False


def _shrinks(engine: Engine, here: Seen, where: Callable[..., np.ndarray]) -> bool | None:
    """Whether all differences there do; None where extended precision cannot be had."""
    try:
        finer = engine.wide(here.case, np.longdouble)
    except (Untranslatable, Undecided):
        return None
    for h, r, finer_h, finer_r in zip(here.hand, here.reference, *finer, strict=True):
        bad = where(h, r)
        gap, finer_gap = np.abs(h - r)[bad], np.abs(finer_h - finer_r)[bad]
        if not (finer_gap <= gap / SHRINKS).all() or not np.isfinite(gap).all():
            return False
    return True


def _examined(engine: Engine, here: Seen) -> Examined:
    return examine(engine.formula(here.case), engine.claim.relation, here.case, here.hand, here.reference)
