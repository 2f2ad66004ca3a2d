"""Times in turn, temporary memory and operations; and one run of all comparisons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import jax

from verify.bench.derivations.record import PARTS, Comparison, Derivations, Way
from verify.bench.measure import _environment as environment_of
from verify.bench.plan import Tell

TURN = 1e-2
"""Seconds that a turn takes at least: short calls are repeated, as they are in a loop, until caches are theirs."""
FEWEST_TURNS = 5


@dataclass(frozen=True)
class Candidate:
    """A way that is about to be measured: a function that JAX compiles, or with ``compiled=False`` one that runs as it
    is (scikit-learn)."""

    who: str
    text: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    compiled: bool = True


def compare(part: str, case: str, candidates: Sequence[Candidate], seconds: float, **facts: Any) -> Comparison:
    """Compiles all, then lets them take turns for ``seconds``."""
    calls, costs = zip(*map(_prepared, candidates), strict=True)
    once = []
    for call in calls:  # the first call is for the caches
        call()
        start = perf_counter()
        call()
        once.append(perf_counter() - start)
    times: list[list[float]] = [[] for _ in calls]
    repeats = [max(1, round(TURN / max(t, 1e-7))) for t in once]
    end = perf_counter() + seconds
    while len(times[0]) < FEWEST_TURNS or perf_counter() < end:
        for call, repeat, found in zip(calls, repeats, times, strict=True):
            start = perf_counter()
            for _ in range(repeat):
                call()
            found.append((perf_counter() - start) / repeat)
    ways = (Way(c.who, c.text, tuple(t), *cost) for c, t, cost in zip(candidates, times, costs, strict=True))
    return Comparison(part, case, tuple(ways), facts)


def _prepared(candidate: Candidate) -> tuple[Callable[[], Any], tuple[int | None, float | None]]:
    if not candidate.compiled:
        return lambda: candidate.function(*candidate.arguments), (None, None)
    compiled = jax.jit(candidate.function)
    program = compiled.lower(*candidate.arguments).compile()
    memory, cost = program.memory_analysis(), program.cost_analysis()
    flops = cost.get("flops") if isinstance(cost, dict) else None
    call = lambda: jax.block_until_ready(compiled(*candidate.arguments))  # noqa: E731  # faster to call than `program`
    return call, (getattr(memory, "temp_size_in_bytes", None), flops)


def measured(
    parts: Sequence[str], seed: int, quick: bool, argv: Sequence[str], tell: Tell, keep: Callable[[Derivations], object]
) -> Derivations:
    """Measures, with all the processors that JAX finds; hands what there is to ``keep`` after every part."""
    from verify.bench.derivations import cross_entropy, networks, ridge

    home = {name: module for module in (networks, ridge, cross_entropy) for name in module.PARTS}
    start, started = perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    environment, found, absent = environment_of(), [], []
    result = Derivations(tuple(argv), seed, quick, environment, started, 0.0)
    for part in (p for p in PARTS if p in parts):
        tell(f"derivations: {part}")
        try:
            found += home[part].PARTS[part](seed, quick)
        except ImportError as error:
            absent.append(f"{error.name} ({part})")
        elapsed = perf_counter() - start
        result = replace(result, seconds=elapsed, comparisons=tuple(found), absent=tuple(absent))
        keep(result)
    return result
