"""Breadth: one dtype of a claim on the numpy engine, a thousand cases at fresh sizes.

Every case is compared in float64 first; what differs there is examined in exact arithmetic. Cells of lower
precision are held, besides, against that wide result in their own arithmetic.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter

import numpy as np

from verify.accuracy import Loss, Suspicion, confirm, most_telling, one_by_one, suspicions
from verify.adversary import DEAR_STEPS, STARTS, STEPS, climbed, discrepancy
from verify.cases import Case
from verify.comparison import RESOLUTION, clearly_fine, compare_all, differs, precision
from verify.draws import BLOCK
from verify.engine import EVERY, Arrays, Engine
from verify.exact import hand_exactly
from verify.formula import Examined, examine
from verify.program import Undecided, Untranslatable
from verify.trace import Traced
from verify.trials import trials_of

MOST_COMPARED = 400
"""Cases that differ in float64 and are looked at in extended precision."""
MOST_EXAMINED = 48
MOST_ROUNDING, FEW_ROUNDING = 12, 3
"""Cases whose difference is rounding that are looked at: of the formula's own dtype, of others."""
EXAMINED_ENTRIES = 10_000
MODERATE, MODERATE_SIZE = 300, 48
"""Entries of a case, and its largest dimension, that exact arithmetic takes without a question."""
SHRINKS = 64
FEWEST_EXAMINED = 3
TRIED = {"hand": 12, "reference": 5}
"""Suspected losses of each side that are looked into: the hand-written function is what is judged."""
ENOUGH_WRONG = 18
ENTRIES_BUDGET = 4_000_000
FEWEST_CASES = 12
NATIVE_FORMULA = 60
STACKED, FEW_TRIALS = 250, 6
"""Fresh cases for which there is one stack of trials; of those that differ so many are looked at."""
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
    total: int = 0
    """Entries of all cases together."""
    traces: set[Traced] = field(default_factory=set)
    tried: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TRIED, 0))

    def found(self, finding: str) -> list[tuple[Seen, Examined]]:
        return [(s, e) for s, e in self.examined if e.finding == finding]


def breadth(
    engine: Engine,
    dtype: str,
    cases: int,
    stop: Callable[[], bool] = lambda: False,
    report: Callable[[int], None] = lambda cases: None,
    trials: bool = True,
) -> Breadth:
    """Judges ``cases`` cases of one dtype; fewer where each is large. ``report`` hears how many are done.

    ``trials`` asks for many values at a few more sizes besides, in the formula's own dtype.
    """
    start = perf_counter()
    seen = Breadth(dtype)
    suspects: list[tuple[Case, Suspicion]] = []
    climbs: list[tuple[float, Seen]] = []
    for first in range(0, cases, BLOCK):
        report(first)
        block = _block(engine, seen, range(first, min(first + BLOCK, cases)))
        if block:
            _judge_block(engine, seen, block, suspects, climbs, partial(report, first))
        if stop() or len(block) < BLOCK:
            break
    formula = dtype == engine.formula_dtype and engine.claim.relation != "at_most" and not seen.shape_mistake
    if trials and formula:
        ordinary = (i for i in itertools.count(cases) if i % EVERY not in (EVERY - 1, EVERY // 2))
        for index in itertools.islice(ordinary, cases // STACKED):
            if not stop():
                _judge_trials(engine, seen, index)
    for _, here in climbs if engine.claim.relation != "at_most" else ():
        report(seen.cases)
        found_uphill = climbed(engine, here.case, DEAR_STEPS if engine.formula(here.case).is_dear else STEPS)
        if found_uphill:
            seen.differing.append(Seen(*found_uphill))
    _examine(engine, seen, lambda: report(seen.cases))
    _confirm(engine, seen, suspects)
    seen.seconds = perf_counter() - start
    return seen


def _block(engine: Engine, seen: Breadth, indices: range) -> list[Case]:
    """The cases of these indices; fewer where the budget of entries ends, or shapes clash."""
    cases: list[Case] = []
    for index in indices:
        if seen.total > ENTRIES_BUDGET and index >= FEWEST_CASES:
            break
        case = engine.case(index, seen.dtype)
        traced = engine.formula(case)
        if traced not in seen.traces:
            seen.traces.add(traced)
            seen.engines.add(traced.engine)
            if _shapes_clash(engine, seen, case):
                break
        seen.entries.append(case.size)
        seen.total += case.size
        seen.cases += 1
        sizes = (case.structure.key, *case.dims.values())
        seen.fresh += sizes not in seen.shapes or (traced.engine == "symbolic" and engine.draws.is_fresh(index))
        seen.shapes.add(sizes)
        cases.append(case)
    return cases


def _judge_block(
    engine: Engine,
    seen: Breadth,
    cases: list[Case],
    suspects: list[tuple[Case, Suspicion]],
    climbs: list[tuple[float, Seen]],
    alive: Callable[[], None],
) -> None:
    """Both sides at every case, compared all at once; only what differs or loses digits is looked at alone."""
    low = seen.dtype != engine.formula_dtype
    at_most = engine.claim.relation == "at_most"
    wide = []
    for case in cases:
        if engine.formula(case).is_dear:
            alive()
        wide.append(engine.wide(case))
    compared = compare_all([h for h, _ in wide], [r for _, r in wide])
    agree = compared.agree.tolist()
    if at_most:
        agree = [all([bool((h <= r).all()) for h, r in zip(*both, strict=True)]) for both in wide]
    for case, (hand, reference), agrees, tops in zip(cases, wide, agree, compared.tops, strict=True):
        here = Seen(case, hand, reference)
        if agrees:
            engine.note_size(case, tops)
            if len(seen.passing) < KEPT:
                seen.passing.append(here)
        else:
            for part in engine.cut(case, hand, reference):
                seen.differing.append(here if part is case else Seen(part, *engine.wide(part)))
    if at_most:
        return
    if not low:
        seen.worst_error = max(seen.worst_error, float(compared.relative[compared.agree].max(initial=0.0)))
        moderate = np.array([_is_moderate(case) for case in cases])
        heights = np.where(compared.agree & moderate, compared.discrepancy, -1.0)
        best = np.argsort(-heights, kind="stable")[:STARTS]
        climbs += [(float(heights[i]), Seen(cases[i], *wide[i])) for i in best if heights[i] >= 0]
        climbs[:] = sorted(climbs, key=lambda c: -c[0])[:STARTS]
    # Below size 3 whole results vanish identically (a normalised pair), and any rounding of zero is a loss. In the
    # formula's own dtype only casts can lose digits: a few cases show them.
    looked_at = [
        i for i, case in enumerate(cases)
        if (low or case.index < NATIVE_FORMULA) and min(case.dims.values(), default=3) >= 3
    ]  # fmt: skip
    if looked_at:
        p = precision(seen.dtype)
        native = [engine.native(cases[i]) for i in looked_at]
        truths = [wide[i][1] if agree[i] else _agreed(*wide[i]) for i in looked_at]
        fine, errors = clearly_fine([h for h, _ in native], truths, p)
        fine &= clearly_fine([r for _, r in native], truths, p)[0]
        largest = float(errors[fine].max(initial=0.0))
        for at in np.flatnonzero(~fine):
            found, worst = suspicions(*native[at], truths[at], p)
            largest = max(largest, worst)
            suspects += [(cases[looked_at[at]], s) for s in found]
        seen.worst_error = max(seen.worst_error, largest) if low else seen.worst_error


def _judge_trials(engine: Engine, seen: Breadth, index: int) -> None:
    """Many values at the sizes of one more case: what goes wrong for few values only."""
    case = engine.case(index, seen.dtype)
    if engine.draws.given or not engine.can_stack(case):
        return
    trials = trials_of(engine.draws, engine.formula(case), case)
    hand, reference = engine.wide_trials(trials)
    rows = [[tuple(a[k] for a in side) for k in range(trials.count)] for side in (hand, reference)]
    compared = compare_all(*rows)
    seen.cases += trials.count
    seen.fresh += 1
    seen.worst_error = max(seen.worst_error, float(compared.relative[compared.agree].max(initial=0.0)))
    differing = np.flatnonzero(~compared.agree)
    few = FEW_TRIALS if _is_moderate(case) else 1
    for k in differing[:: max(1, differing.size // few)][:few].tolist():
        alone = trials.case(k)
        seen.differing.append(Seen(alone, *engine.wide(alone)))


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
        spent += here.case.size
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
    small = sorted(seen.passing, key=lambda s: s.case.size)
    moderate = [s for s in small if _is_moderate(s.case)] or small[:1]
    for here in moderate[:: max(1, len(moderate) // 8)][:8]:
        examined = _examined(engine, here)
        if examined.finding != "agrees":
            seen.examined.append((here, examined))


def _to_be_examined(engine: Engine, seen: Breadth) -> list[Seen]:
    """Of the cases that differ, those over all sizes whose difference is no rounding, then the worst of the others."""
    order = sorted(seen.differing, key=lambda s: s.case.size)
    lasting, rounding = [], []
    for here in _spread(order, MOST_COMPARED):
        (rounding if is_rounding(engine, here) else lasting).append(here)
    moderate = [s for s in rounding if _is_moderate(s.case)]
    worst = sorted(moderate, key=lambda s: -discrepancy(s.hand, s.reference))
    worst = worst[: MOST_ROUNDING if seen.dtype == engine.formula_dtype else FEW_ROUNDING]
    far = [s for s in lasting if engine.is_along_exponents(s.case)]  # numbers of 1e100 explain little
    near = [s for s in lasting if not engine.is_along_exponents(s.case)]
    return [*_spread(near, MOST_EXAMINED), *_spread(far, MOST_ROUNDING), *worst]


def _spread(seen: list[Seen], most: int) -> list[Seen]:
    return seen[:: max(1, len(seen) // most)][:most]


def _is_moderate(case: Case) -> bool:
    return case.size <= MODERATE and max(case.dims.values(), default=1) <= MODERATE_SIZE


def is_rounding(engine: Engine, here: Seen) -> bool:
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


def _confirm(engine: Engine, seen: Breadth, suspects: list[tuple[Case, Suspicion]]) -> None:
    per_side = dict.fromkeys(TRIED, 0)
    for case, suspicion in most_telling(suspects, lambda s: s[1]):
        side = suspicion.side
        if per_side[side] >= TRIED[side]:
            continue
        per_side[side] += 1
        p = precision(seen.dtype)
        truth_of = lambda c: _twice(_agreed(*engine.wide(c)))  # noqa: E731
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
