"""Ratios of what was measured in one run. The machine is noisy: tools take turns, a ratio is formed within each
repetition, and the median over repetitions counts. Over functions means are geometric. No JAX."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import linear_regression, median

from verify.bench.record import FLOOR, OURS, Bench, SizePoint, Speed


def geometric_mean(values: Iterable[float]) -> float:
    """Raises ``ValueError`` where there is none to take."""
    found = list(values)
    if not found or min(found) <= 0:
        raise ValueError(f"got {found}, wanted positive numbers")
    return math.exp(sum(map(math.log, found)) / len(found))


def functions_of(bench: Bench) -> list[str]:
    return list(bench.titles)


def tools_of(speeds: Sequence[Speed]) -> list[str]:
    return list(dict.fromkeys(s.tool for s in speeds))


def rates(bench: Bench, tool: str) -> dict[str, float]:
    """The median rate of a tool on each function."""
    return {s.function: median(s.rates) for s in bench.speed if s.tool == tool}


def ratios(bench: Bench, tool: str, to: str = FLOOR) -> dict[str, float]:
    """On each function, the median over repetitions of a tool's rate over another's in the same repetition."""
    others = {s.function: s.rates for s in bench.speed if s.tool == to}
    return {
        s.function: median(a / b for a, b in zip(s.rates, others[s.function], strict=True))
        for s in bench.speed
        if s.tool == tool and s.function in others
    }


def mean_of(by_function: Mapping[str, float]) -> float | None:
    return geometric_mean(by_function.values()) if by_function else None


def slowest(bench: Bench, tool: str = OURS) -> tuple[str, float] | None:
    """The function on which a tool is furthest from the floor, and its ratio there."""
    found = ratios(bench, tool)
    return min(found.items(), key=lambda item: item[1]) if found else None


def fixed_cost(points: Sequence[SizePoint]) -> float:
    """Seconds of the smallest case of a curve: what does not depend on size."""
    return min(points, key=lambda p: p.entries).verify


def growth(points: Sequence[SizePoint]) -> float:
    """The exponent with which a curve grows over its last two decades: the slope of the line through their points."""
    last = max(p.entries for p in points)
    kept = [(math.log(p.entries), math.log(p.verify)) for p in points if p.entries >= last / 120]
    return linear_regression(*zip(*kept, strict=True)).slope


def bend(points: Sequence[SizePoint]) -> float | None:
    """The entries at which a case costs twice its fixed cost, interpolated between sizes; None if it never does."""
    twice = 2 * fixed_cost(points)
    ordered = sorted(points, key=lambda p: p.entries)
    for one, two in pairwise(ordered):
        if one.verify < twice <= two.verify:
            part = math.log(twice / one.verify) / math.log(two.verify / one.verify)
            return one.entries * (two.entries / one.entries) ** part
    return None
