"""``verify`` itself as a benchmarked tool: the one place that calls the numpy engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

from handgrad.claims import Claim
from verify.bench.function import LARGEST
from verify.cells.breadth import breadth
from verify.cells.comparison import compare_all
from verify.cells.examining import is_faint_mistake, is_rounding
from verify.cells.seen import Seen
from verify.drawing.cases import Case, Structure
from verify.drawing.draws import Draws
from verify.tracing.engine import Arrays, Engine

DTYPE = "float64"
WARM = 64
"""Cases judged beforehand, so that traces are made and programs linked."""


class UniformDraws(Draws):
    """The cases of a claim with its own values, but every size from 1 to ``LARGEST``, each as likely."""

    def sizes(self, numbers: Sequence[float], structure: Structure, turn: int) -> dict[str, int]:
        return {name: 1 + int(LARGEST * u) for name, u in zip(structure.dims, numbers, strict=False)}


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
    breadth(engine, DTYPE, WARM, trials=False)
    return engine


def reseeded(engine: Engine, seed: int) -> Engine:
    """The same engine before other cases."""
    engine.draws = UniformDraws(engine.claim, seed)
    return engine


def judged(engine: Engine, cases: int) -> Judged:
    """Judges so many cases at fresh shapes, as ``verify run`` does: drawing and verdict included."""
    start = perf_counter()
    seen = breadth(engine, DTYPE, cases, trials=False)
    seconds = perf_counter() - start
    losses = sum(loss.side == "hand" for _, loss in (*seen.losses, *seen.dependent))
    return Judged(seen.cases, seconds, len(seen.found("wrong")) + losses)


def differs_at(engine: Engine, index: int) -> tuple[Case, bool]:
    """One case, and whether hand and reference differ there by what is no rounding: some difference in float64 does
    not shrink in extended precision. Exact arithmetic would then look at the case."""
    case = engine.case(index, DTYPE)
    here = Seen(case, *engine.wide(case))
    compared = compare_all([here.hand], [here.reference])
    if compared.agree.all():
        return case, bool(compared.faint.any()) and is_faint_mistake(engine, here)
    return case, not is_rounding(engine, here)


def stages(engine: Engine, cases: int) -> Stages:
    """Each step of the same cases, timed alone."""
    drawn, start = [], perf_counter()
    for index in range(cases):
        drawn.append(engine.case(index, DTYPE))
    drawing, start, results = perf_counter() - start, perf_counter(), []
    for case in drawn:
        results.append(engine.wide(case))
    evaluating, start = perf_counter() - start, perf_counter()
    _agree(results)
    comparing = perf_counter() - start
    return Stages(drawing / cases, evaluating / cases, comparing / cases)


def at_sizes(engine: Engine, dims: Mapping[str, int], index: int) -> float:
    """The seconds of one case at these sizes: drawn, evaluated, compared."""
    first = engine.case(0, DTYPE)
    start = perf_counter()
    case = engine.completed(engine.draws.resized(first, dict(dims), index))
    _agree([engine.wide(case)])
    return perf_counter() - start


def verdict(claim: Claim, cases: int, seed: int) -> str:
    """The verdict of the whole claim in float64, as ``verify run`` would tell it."""
    from verify.cells.budget import Budget
    from verify.verdict.judge import judge

    budget = Budget(seed, cases, ("numpy",), (DTYPE,))
    return judge(claim, budget, UniformDraws(claim, seed)).record.verdict


def _agree(results: Sequence[tuple[Arrays, Arrays]]) -> bool:
    return bool(compare_all([h for h, _ in results], [r for _, r in results]).agree.all())
