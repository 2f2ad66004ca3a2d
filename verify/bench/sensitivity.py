"""What each tool sees of a small mistake, and whether it accuses the correct rule.

A mistake counts in a case if it changes some entry of a result by more than ``ROUNDINGS`` roundings of float64 of the
largest entry of that result, both in float64 and in extended precision: in float64 alone it could be rounding that
cancellation left over, in extended precision alone the change of what is zero in float64 (a saturated slope). This is
computed from the NumPy form. The other cases (a term that is zero there) are left out for every tool.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np

from verify.bench import ours, peers
from verify.bench.function import Arrays, Function, changed_by
from verify.bench.plan import Plan, Tell
from verify.bench.record import OURS, Accusation, Sensitivity

MISTAKES = (1e-5, 1e-6)
ROUNDINGS = 64
ROUNDOFF = 2.0**-53


def sensitivity(
    functions: Sequence[Function], seed: int, plan: Plan, tell: Tell
) -> tuple[list[Sensitivity], list[Accusation]]:
    """Every tool on every function, with each mistake and without."""
    seen, accused = [], []
    for function in functions:
        tell(f"sensitivity: {function.title}")
        accused.append(_accused_by_ours(function, seed, plan))
        seen += [_seen_by_ours(function, mistake, seed, plan) for mistake in MISTAKES]
        for tool in peers.HOMES:
            if right := peers.check_of(tool, function):
                told = _asked(right, function, 0.0, seed, plan)
                accused.append(Accusation(function.name, tool, len(told), sum(not ok for _, ok in told)))
            for mistake in MISTAKES:
                if wrong := peers.check_of(tool, function, mistake):
                    told = _asked(wrong, function, mistake, seed, plan)
                    visible = [(change, ok) for change, ok in told if change is not None]
                    missed = [change for change, ok in visible if ok]
                    noticed = len(visible) - len(missed)
                    largest = max(missed, default=None)
                    seen.append(
                        Sensitivity(function.name, tool, mistake, len(told), len(visible), noticed, largest)
                    )
    return seen, accused


def change(function: Function, mistake: float, values: Arrays) -> float | None:
    """The largest relative change of an entry that changes by more than rounding; None where there is none."""
    largest = None
    with np.errstate(all="ignore"):
        in_both = (changed_by(function, mistake, values, dtype) for dtype in (np.longdouble, np.float64))
        for exact_with, exact, with_it, without in zip(*(r for pair in in_both for r in pair), strict=True):
            visible = _beyond_rounding(exact_with, exact) & _beyond_rounding(with_it, without)
            if visible.any():
                relative = np.abs(with_it - without)[visible] / np.abs(without)[visible]
                largest = max(largest or 0.0, float(relative.max()))
    return largest


def _beyond_rounding(with_it: np.ndarray, without: np.ndarray) -> np.ndarray:
    gap = np.abs(with_it - without)
    return (gap > ROUNDINGS * ROUNDOFF * np.abs(without).max(initial=0.0)) & np.isfinite(gap)


def _accused_by_ours(function: Function, seed: int, plan: Plan) -> Accusation:
    found = ours.judged(ours.prepared(function.claim, seed), plan.cases)
    verdict = ours.verdict(function.claim, plan.cases, seed)
    return Accusation(function.name, OURS, found.cases, found.accused, verdict)


def _seen_by_ours(function: Function, mistake: float, seed: int, plan: Plan) -> Sensitivity:
    claim = function.planted(mistake)
    engine = ours.prepared(claim, seed)
    visible, noticed, missed = 0, 0, []
    for index in range(plan.cases):
        case, differs = ours.differs_at(engine, index)
        changed = change(function, mistake, (*case.values, *case.extra))
        if changed is None:
            continue
        visible += 1
        noticed += differs
        if not differs:
            missed.append(changed)
    verdict = ours.verdict(claim, plan.cases, seed)
    largest = max(missed, default=None)
    return Sensitivity(function.name, OURS, mistake, plan.cases, visible, noticed, largest, verdict)


def _asked(
    check: Callable[[Arrays], bool], function: Function, mistake: float, seed: int, plan: Plan
) -> list[tuple[float | None, bool]]:
    """What a peer says of each case, beside the change that the mistake makes there."""
    rng, told, start = np.random.default_rng([seed, 1]), [], perf_counter()
    while not told or (len(told) < plan.cases and perf_counter() - start < plan.patience):
        values = function.draw(rng)
        told.append((change(function, mistake, values) if mistake else None, check(values)))
    return told
