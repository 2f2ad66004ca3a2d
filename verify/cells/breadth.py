"""Breadth: one dtype of a claim on the numpy engine, a thousand cases at fresh sizes.

Every case is compared in float64 first; what differs there is examined in exact arithmetic. Cells of lower
precision are held, besides, against that wide result in their own arithmetic.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from time import perf_counter

import numpy as np

from verify.cells.accuracy import Suspicion, suspicions
from verify.cells.adversary import DEAR_STEPS, STARTS, STEPS, climbed
from verify.cells.comparison import clearly_fine, compare_all, differ, precision
from verify.cells.examining import examine_cases, is_moderate
from verify.cells.losses import agreed, confirm_losses
from verify.cells.seen import Breadth, Seen
from verify.drawing.cases import Case
from verify.drawing.draws import BLOCK
from verify.tracing.engine import EVERY, Engine
from verify.tracing.trials import trials_of

ENTRIES_BUDGET = 4_000_000
FEWEST_CASES = 12
NATIVE_FORMULA = 60
STACKED, FEW_TRIALS = 250, 6
"""Fresh cases for which there is one stack of trials; of those that differ so many are looked at."""
KEPT = 64
"""Passing cases kept as evidence for the diagnosis."""


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
    examine_cases(engine, seen, lambda: report(seen.cases))
    confirm_losses(engine, seen, suspects)
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
    faint = compared.faint.tolist()
    for case, (hand, reference), agrees, may_differ, tops in zip(
        cases, wide, agree, faint, compared.tops, strict=True
    ):
        here = Seen(case, hand, reference)
        if agrees:
            engine.note_size(case, tops)
            if len(seen.passing) < KEPT:
                seen.passing.append(here)
            if may_differ and not at_most:
                seen.faint.append(here)
        else:
            parts = [Seen(p, *engine.wide(p)) for p in engine.cut(case, hand, reference) if p is not case]
            # alone a row may be right that is wrong at its place
            seen.differing += [part for part in parts if differ(part.hand, part.reference)] or [here]
    if at_most:
        return
    if not low:
        seen.worst_error = max(seen.worst_error, float(compared.relative[compared.agree].max(initial=0.0)))
        moderate = np.array([is_moderate(case) for case in cases])
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
        truths = [wide[i][1] if agree[i] else agreed(*wide[i]) for i in looked_at]
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
    few = FEW_TRIALS if is_moderate(case) else 1
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
