"""``verify`` itself as a benchmarked tool: the one place that calls the numpy engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from handgrad.claims import Claim
from verify.bench.function import LARGEST
from verify.breadth import breadth
from verify.cases import Case, Draws
from verify.comparison import agrees, differs
from verify.engine import Arrays, Engine

DTYPE = "float64"
WARM = 64
"""Cases judged beforehand, so that traces are made and programs linked."""
SHRINKS = 64
"""A difference that is rounding is at least so many times smaller in extended precision."""


class UniformDraws(Draws):
    """The cases of a claim with its own values, but every size from 1 to ``LARGEST``, each as likely."""

    def case(self, index: int, dtype: str) -> Case:
        rng = self.stream(2, dtype, index)
        structure = self._structure(*self.variants()[0])
        dims = dict(zip(structure.dims, rng.integers(1, LARGEST + 1, len(structure.dims)).tolist(), strict=True))
        plain = rng.random() < 0.35
        values = tuple([self._value(rng, leaf, dims, dtype, plain) for leaf in structure.leaves])
        return Case(self.case_id(index, dtype), index, structure, dims, values, dtype, plain=plain)


@dataclass(frozen=True)
class Judged:
    """What some cases of a claim showed: ``accused`` are those at which the hand-written rule is called wrong, or
    less accurate than the reference, after exact arithmetic has looked at them."""

    cases: int
    seconds: float
    accused: int


@dataclass(frozen=True)
class Stages:
    """Seconds a case, by what they are spent on."""

    draw: float
    evaluate: float
    compare: float


def prepared(claim: Claim, seed: int) -> Engine:
    """The engine of a claim, warm."""
    engine = Engine(claim, UniformDraws(claim, seed))
    breadth(engine, DTYPE, WARM)
    return engine


def reseeded(engine: Engine, seed: int) -> Engine:
    """The same engine before other cases."""
    engine.draws = UniformDraws(engine.claim, seed)
    return engine


def judged(engine: Engine, cases: int) -> Judged:
    """Judges so many cases at fresh shapes, as ``verify run`` does: drawing and verdict included."""
    start = perf_counter()
    seen = breadth(engine, DTYPE, cases)
    seconds = perf_counter() - start
    losses = sum(loss.side == "hand" for _, loss in (*seen.losses, *seen.dependent))
    return Judged(seen.cases, seconds, len(seen.found("wrong")) + losses)


def differs_at(engine: Engine, index: int) -> tuple[Case, bool]:
    """One case, and whether hand and reference differ there by what is no rounding: some difference in float64 does
    not shrink in extended precision. Exact arithmetic would then look at the case."""
    case = engine.case(index, DTYPE)
    hand, reference = engine.wide(case)
    return case, not _agree(hand, reference) and _lasts(engine, case, hand, reference)


def _lasts(engine: Engine, case: Case, hand: Arrays, reference: Arrays) -> bool:
    finer = engine.wide(case, np.longdouble)
    with np.errstate(all="ignore"):
        for h, r, finer_h, finer_r in zip(hand, reference, *finer, strict=True):
            bad = differs(h, r)
            shrunk = SHRINKS * np.abs(finer_h - finer_r)[bad] <= np.abs(h - r)[bad]
            if not shrunk.all():
                return True
    return False


def stages(engine: Engine, cases: int) -> Stages:
    """Each step of the same cases, timed alone."""
    drawn, start = [], perf_counter()
    for index in range(cases):
        drawn.append(engine.case(index, DTYPE))
    drawing, start, results = perf_counter() - start, perf_counter(), []
    for case in drawn:
        results.append(engine.wide(case))
    evaluating, start = perf_counter() - start, perf_counter()
    for hand, reference in results:
        _agree(hand, reference)
    comparing = perf_counter() - start
    return Stages(drawing / cases, evaluating / cases, comparing / cases)


def at_sizes(engine: Engine, dims: Mapping[str, int], index: int) -> float:
    """The seconds of one case at these sizes: drawn, evaluated, compared."""
    first = engine.case(0, DTYPE)
    start = perf_counter()
    case = engine.completed(engine.draws.resized(first, dict(dims), index))
    _agree(*engine.wide(case))
    return perf_counter() - start


def verdict(claim: Claim, cases: int, seed: int) -> str:
    """The verdict of the whole claim in float64, as ``verify run`` would tell it."""
    from verify.budget import Budget
    from verify.judge import judge

    budget = Budget(seed, cases, ("numpy",), (DTYPE,))
    return judge(claim, budget, UniformDraws(claim, seed)).record.verdict


def _agree(hand: Arrays, reference: Arrays) -> bool:
    with np.errstate(all="ignore"):
        return all([agrees(h, r) for h, r in zip(hand, reference, strict=True)])
