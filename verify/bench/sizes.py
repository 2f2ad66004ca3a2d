"""The cost of a case against its size, of ``verify`` and of the floor: drawn, evaluated, compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from statistics import median
from time import perf_counter

import numpy as np

from verify.bench import floor, ours
from verify.bench.function import Function
from verify.bench.plan import Plan, Tell
from verify.bench.record import SizePoint

FEWEST, MOST = 6, 200
"""Cases of one size: values are drawn in regimes of unequal cost."""


def sizes(functions: Sequence[Function], seed: int, plan: Plan, tell: Tell) -> list[SizePoint]:
    """A point for every function and number of entries; all sizes of a case are equal."""
    found = []
    for function in functions:
        tell(f"sizes: {function.title}")
        engine = ours.prepared(function.claim, seed)
        rng = np.random.default_rng(seed)
        for target in plan.entries:
            n = side(function, target)
            dims = dict.fromkeys(function.dims, n)

            def by_floor(index: int) -> float:
                start = perf_counter()
                floor.compared(function, function.values(rng, *dims.values()))
                return perf_counter() - start

            mine = _median(lambda index: ours.at_sizes(engine, dims, index), plan.at_size)
            theirs = _median(by_floor, plan.at_size)
            entries, cases = function.entries(n), mine[1]
            found.append(SizePoint(function.name, function.work, entries, mine[0], theirs[0], cases))
    return found


def side(function: Function, entries: int) -> int:
    """The size, equal in all dimensions, at which a case has about so many entries."""
    n = next(n for n in count(1) if function.entries(n + 1) > entries)
    return min((n, n + 1), key=lambda k: abs(function.entries(k) - entries))


def _median(one: Callable[[int], float], seconds: float) -> tuple[float, int]:
    """The median cost of some cases; the first is left out: it fills caches."""
    taken, start = [one(0)], perf_counter()
    while len(taken) < FEWEST or (len(taken) < MOST and perf_counter() - start < seconds):
        taken.append(one(len(taken)))
    return median(taken[1:]), len(taken) - 1
