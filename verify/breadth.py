"""Breadth: one dtype of a claim on the numpy engine, a thousand cases at fresh sizes.

Every case is compared in float64 first; what differs there is examined in exact arithmetic. Cells of lower
precision are held, besides, against that wide result in their own arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from verify.accuracy import Loss, Suspicion, confirm, most_telling, suspicions
from verify.adversary import STARTS, climbed, discrepancy
from verify.cases import Case
from verify.comparison import RESOLUTION, agrees, differs, precision, relative
from verify.engine import Arrays, Engine
from verify.exact import hand_exactly
from verify.formula import Examined, examine
from verify.program import Undecided, Untranslatable
from verify.trace import Traced

MOST_COMPARED = 400
"""Cases that differ in float64 and are looked at in extended precision."""
MOST_EXAMINED = 48
MOST_ROUNDING = 12
EXAMINED_ENTRIES = 10_000
MODERATE = 300
"""Entries of a case that exact arithmetic takes without a question."""
SHRINKS = 64
FEWEST_EXAMINED = 3
MOST_CONFIRMED = 12
ENOUGH_WRONG = 18
ENTRIES_BUDGET = 4_000_000
FEWEST_CASES = 12
REPORTED = 256
"""A sign of life after so many cases."""
NATIVE_FORMULA = 60
KEPT = 64
"""Passing cases kept as evidence for the diagnosis."""


@dataclass(frozen=True, eq=False)
class Seen:
    """One case and both float64 results at it."""

    case: Case
    hand: Arrays
    reference: Arrays


@dataclass
class Breadth:
    """What a dtype's cases showed."""

    dtype: str
    cases: int = 0
    shapes: set[tuple[object, ...]] = field(default_factory=set)
    fresh: int = 0
    """Cases whose sizes were drawn anew."""
    entries: list[int] = field(default_factory=list)
    passing: list[Seen] = field(default_factory=list)
    differing: list[Seen] = field(default_factory=list)
    examined: list[tuple[Seen, Examined]] = field(default_factory=list)
    losses: list[tuple[Case, Loss]] = field(default_factory=list)
    dependent: list[tuple[Case, Loss]] = field(default_factory=list)
    """Losses that widening the cell's own trace does not cure: the formula depends on the dtype."""
    uncounted: int = 0
    undecided: int = 0
    worst_error: float = 0.0
    engines: set[str] = field(default_factory=set)
    seconds: float = 0.0
    shape_mistake: tuple[Case, str] | None = None

    def found(self, finding: str) -> list[tuple[Seen, Examined]]:
        return [(s, e) for s, e in self.examined if e.finding == finding]


def breadth(
    engine: Engine,
    dtype: str,
    cases: int,
    stop: Callable[[], bool] = lambda: False,
    report: Callable[[int], None] = lambda cases: None,
) -> Breadth:
    """Judges ``cases`` cases of one dtype; fewer where each is large. ``report`` hears how many are done."""
    start = perf_counter()
    seen = Breadth(dtype)
    p = precision(dtype)
    low = dtype != engine.formula_dtype
    suspects: list[tuple[Case, Suspicion]] = []
    climbs: list[tuple[float, Seen]] = []
    known: set[Traced] = set()
    at_most = engine.claim.relation == "at_most"
    entries = 0
    for index in range(cases):
        if stop() or (entries > ENTRIES_BUDGET and index >= FEWEST_CASES):
            break
        if index % REPORTED == REPORTED - 1:
            report(index)
        case = engine.case(index, dtype)
        traced = engine.formula(case)
        if traced not in known:
            known.add(traced)
            if _shapes_clash(engine, seen, case):
                break
        hand, reference = engine.wide(case)
        here = Seen(case, hand, reference)
        size = sum([v.size for v in case.values])
        entries += size
        seen.entries.append(size)
        seen.cases += 1
        sizes = (case.structure.key, *case.dims.values())
        seen.fresh += sizes not in seen.shapes or (traced.engine == "symbolic" and engine.draws.is_fresh(index))
        seen.shapes.add(sizes)
        seen.engines.add(traced.engine)
        if at_most:
            agree = all([bool((h <= r).all()) for h, r in zip(hand, reference, strict=True)])
        else:
            agree = all([agrees(h, r) for h, r in zip(hand, reference, strict=True)])
        if agree:
            engine.note_size(case, reference)
            if len(seen.passing) < KEPT:
                seen.passing.append(here)
            if not low:
                gaps = [relative(h, r) for h, r in zip(hand, reference, strict=True)]
                seen.worst_error = max([seen.worst_error, *(float(g.max(initial=0.0)) for g in gaps)])
                if size <= MODERATE:
                    climbs.append((discrepancy(hand, reference), here))
                    climbs = sorted(climbs, key=lambda c: -c[0])[:STARTS]
        else:
            for part in engine.cut(case, hand, reference):
                seen.differing.append(here if part is case else Seen(part, *engine.wide(part)))
        # Below size 3 whole results vanish identically (a normalised pair), and any rounding of zero is a loss.
        accuracy = low or index < NATIVE_FORMULA  # in the formula's own dtype only casts can lose digits
        if accuracy and not at_most and min(case.dims.values(), default=3) >= 3:
            mine, theirs = engine.native(case)
            truth = reference if agree else _agreed(hand, reference)
            found, largest = suspicions(mine, theirs, truth, p)
            seen.worst_error = max(seen.worst_error, largest) if low else seen.worst_error
            suspects += [(case, s) for s in found]
    for _, here in climbs if engine.claim.relation != "at_most" else ():
        found_uphill = climbed(engine, here.case)
        if found_uphill:
            seen.differing.append(Seen(*found_uphill))
    _examine(engine, seen, lambda: report(seen.cases))
    _confirm(engine, seen, suspects)
    seen.seconds = perf_counter() - start
    return seen


def _shapes_clash(engine: Engine, seen: Breadth, case: Case) -> bool:
    traced = engine.formula(case)
    if traced.mismatch:
        seen.shape_mistake = (case, traced.mismatch)
    else:
        pairs = zip(traced.labels, traced.hand_shapes, traced.reference_shapes, strict=True)
        clashes = [f"{k} has shape ({', '.join(h)}), wanted ({', '.join(w)})" for k, h, w in pairs if h != w]
        if clashes:
            seen.shape_mistake = (case, "; ".join(clashes))
    return seen.shape_mistake is not None


def _agreed(hand: Arrays, reference: Arrays) -> Arrays:
    """The truth for cells of low precision: NaN where hand and reference do not agree in wide precision."""
    return tuple(np.where(differs(h, r), np.nan, r) for h, r in zip(hand, reference, strict=True))


def _twice(truth: Arrays) -> tuple[Arrays, Arrays]:
    return truth, truth


def _examine(engine: Engine, seen: Breadth, alive: Callable[[], None]) -> None:
    """Exact arithmetic for the cases that differ, and for a few that do not: both sides may be wrong alike."""
    wrong = 0
    low = seen.dtype != engine.formula_dtype
    spent = 0
    for number, here in enumerate(_to_be_examined(engine, seen)):
        spent += sum(v.size for v in here.case.values)
        if spent > EXAMINED_ENTRIES and number >= FEWEST_EXAMINED:
            break
        alive()
        examined = _examined(engine, here)
        seen.examined.append((here, examined))
        seen.uncounted += examined.finding == "uncounted"
        seen.undecided += examined.finding == "undecided"
        wrong += examined.finding == "wrong"
        if wrong >= ENOUGH_WRONG:
            return
        if examined.finding == "agrees":
            _lost_in_float64(engine, seen, here, examined)
    if low or not seen.passing or engine.claim.relation in ("equal_to", "at_most"):
        return
    small = sorted(seen.passing, key=lambda s: sum(v.size for v in s.case.values))
    moderate = [s for s in small if sum(v.size for v in s.case.values) <= MODERATE] or small[:1]
    for here in moderate[:: max(1, len(moderate) // 8)][:8]:
        examined = _examined(engine, here)
        if examined.finding != "agrees":
            seen.examined.append((here, examined))


def _to_be_examined(engine: Engine, seen: Breadth) -> list[Seen]:
    """Of the cases that differ, those over all sizes whose difference is no rounding, then the worst of the others."""
    order = sorted(seen.differing, key=lambda s: sum(v.size for v in s.case.values))
    lasting, rounding = [], []
    for here in _spread(order, MOST_COMPARED):
        (rounding if _is_rounding(engine, here) else lasting).append(here)
    moderate = [s for s in rounding if sum(v.size for v in s.case.values) <= MODERATE]
    worst = sorted(moderate, key=lambda s: -discrepancy(s.hand, s.reference))[:MOST_ROUNDING]
    far = [s for s in lasting if engine.is_along_exponents(s.case)]  # numbers of 1e100 explain little
    near = [s for s in lasting if not engine.is_along_exponents(s.case)]
    return [*_spread(near, MOST_EXAMINED), *_spread(far, MOST_ROUNDING), *worst]


def _spread(seen: list[Seen], most: int) -> list[Seen]:
    return seen[:: max(1, len(seen) // most)][:most]


def _is_rounding(engine: Engine, here: Seen) -> bool:
    """Whether the difference shrinks with the unit roundoff, in extended precision."""
    if engine.claim.relation == "at_most":
        return False
    try:
        finer = engine.wide(here.case, np.longdouble)
    except (Untranslatable, Undecided):
        return False
    for h, r, finer_h, finer_r in zip(here.hand, here.reference, *finer, strict=True):
        bad = differs(h, r)
        gap, finer_gap = np.abs(h - r)[bad], np.abs(finer_h - finer_r)[bad]
        if not (finer_gap <= gap / SHRINKS).all() or not np.isfinite(gap).all():
            return False
    return True


def _examined(engine: Engine, here: Seen) -> Examined:
    return examine(
        engine.formula(here.case), engine.claim.relation, here.case, here.hand, here.reference
    )


def _lost_in_float64(engine: Engine, seen: Breadth, here: Seen, examined: Examined) -> None:
    """The formula is right and the float64 results differ all the same: one of them lost its digits."""
    if seen.dtype != engine.formula_dtype or engine.claim.relation == "at_most":
        return
    p = precision(seen.dtype)
    truth = _truth_of(engine, here.case)
    if truth is None:
        return
    found, _ = suspicions(here.hand, here.reference, truth, p)
    for suspicion in found:
        exactly = lambda c: _twice(_truth_of(engine, c) or truth)  # noqa: E731
        loss = confirm(engine.wide, exactly, here.case, suspicion, p, engine.usual_size)
        if loss:
            seen.losses.append((here.case, loss))


def _truth_of(engine: Engine, case: Case) -> Arrays | None:
    """The hand-written formula, known to be right, in extended precision or exactly."""
    return hand_exactly(engine.formula(case), case)


def _confirm(engine: Engine, seen: Breadth, suspects: list[tuple[Case, Suspicion]]) -> None:
    per_side = {"hand": 0, "reference": 0}
    for case, suspicion in most_telling(suspects, lambda s: s[1]):
        side = suspicion.side
        if per_side[side] >= MOST_CONFIRMED:
            continue
        per_side[side] += 1
        p = precision(seen.dtype)
        loss = confirm(engine.native, lambda c: _twice(_agreed(*engine.wide(c))), case, suspicion, p, engine.usual_size)
        if loss is None:
            continue
        if loss.side == "hand" and _depends_on_dtype(engine, case, loss, p.roundoff):
            seen.dependent.append((case, loss))
        else:
            seen.losses.append((case, loss))
        if sum(1 for _, found in seen.losses if found.side == side) >= 4:
            per_side[side] = MOST_CONFIRMED


def _depends_on_dtype(engine: Engine, case: Case, loss: Loss, roundoff: float) -> bool:
    """Whether the error stays when the cell's own trace runs in float64: then the formula itself is wrong there."""
    hand, _ = engine.widened_cell(case)
    _, truth = engine.wide(case)
    gap = abs(hand[loss.leaf][loss.entry] - truth[loss.leaf][loss.entry])
    size = abs(truth[loss.leaf][loss.entry])
    return bool(gap > loss.error / 2 and gap > 64 * roundoff * size and gap > RESOLUTION * size)
