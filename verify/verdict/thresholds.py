"""At which sizes a formula is wrong: further cases between and beside those that fail and those that pass."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain

from verify.cells.comparison import differ
from verify.cells.seen import Seen
from verify.drawing.cases import Case
from verify.drawing.sizes import SizeError
from verify.tracing.engine import Engine

DRAWS = 2
"""Cases at one size: it passes if all of them do."""
MOST_DIVISORS = 12
Told = Iterator[tuple[Seen, bool]]


def around_thresholds(engine: Engine, wrong: Sequence[Case], right: Sequence[Case]) -> Told:
    """Cases, each with whether it fails, that show from which size on, or at multiples of which, a formula is wrong.

    Nothing for a dimension in which right and wrong sizes are mixed, nor where every case must be compiled.
    """
    if engine.draws.given or not wrong or not right:
        return
    if engine.formula(wrong[0]).asks_jax or engine.formula(wrong[0]).is_dear:
        return
    for name in wrong[0].dims:
        bad = {c.dims[name]: c for c in wrong if name in c.dims}
        good = {c.dims[name] for c in right if name in c.dims}
        if good and (max(good) < min(bad) or max(bad) < min(good)):
            yield from _halved(engine, name, bad, good)
        elif len(bad) > 1 and not any(size % math.gcd(*bad) == 0 for size in good):
            yield from _at_divisors(engine, name, bad)


def _halved(engine: Engine, name: str, bad: dict[int, Case], good: set[int]) -> Told:
    """Halves the gap between right and wrong sizes until there is none."""
    fails, passes = (min(bad), max(good)) if max(good) < min(bad) else (max(bad), min(good))
    base = bad[fails]
    while abs(fails - passes) > 1:
        middle = (fails + passes) // 2
        found = list(_at(engine, base, name, middle))
        yield from found
        fails, passes = (middle, passes) if any(failed for _, failed in found) else (fails, middle)


def _at_divisors(engine: Engine, name: str, bad: dict[int, Case]) -> Told:
    """At the divisors of what divides all wrong sizes: is it wrong at their multiples, too?"""
    common, base = math.gcd(*bad), bad[min(bad)]
    divisors = [size for size in range(2, common) if common % size == 0]
    return chain.from_iterable(_at(engine, base, name, size) for size in divisors[-MOST_DIVISORS:])


def _at(engine: Engine, base: Case, name: str, size: int) -> Told:
    for number in range(DRAWS):
        with suppress(SizeError):  # another axis would be empty
            case = engine.completed(engine.draws.resized(base, {**base.dims, name: size}, base.index + number))
            hand, reference = engine.wide(case)
            yield Seen(case, hand, reference), differ(hand, reference)
