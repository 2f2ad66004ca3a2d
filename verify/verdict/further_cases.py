"""Further cases for a diagnosis: between and beside the sizes that fail, and more of the kind that fails where few do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from verify.cells.comparison import differ
from verify.cells.seen import Seen
from verify.drawing.cases import Case
from verify.drawing.sizes import SizeError
from verify.tracing.engine import EVERY, Engine

DRAWS = 2
"""Cases at one size: it passes if all of them do."""
MOST_DIVISORS = 12
FEW, SEARCHED = 6, 60
"""Failing cases from which on no more are looked for, and among how many."""
ELSEWHERE = 100_000
"""Indices of cases that no run has judged."""
Told = Iterator[tuple[Seen, bool]]


def around_thresholds(engine: Engine, wrong: Sequence[Case], right: Sequence[Case]) -> Told:
    """Cases, each with whether it fails, that show from which size or whole number on, or at multiples of which size, a
    formula is wrong.

    Nothing for a dimension in which right and wrong sizes are mixed, nor where every case must be compiled.
    """
    if not _can_be_asked(engine, wrong) or not right:
        return
    for name in wrong[0].dims:
        bad = {c.dims[name]: c for c in wrong if name in c.dims}
        good = {c.dims[name] for c in right if name in c.dims}
        if _are_apart(set(bad), good):
            yield from _halved(engine, bad, good, lambda case, size, name=name: _resized(engine, case, name, size))
        elif len(bad) > 1 and not any(size % math.gcd(*bad) == 0 for size in good):
            yield from _at_divisors(engine, name, bad)
    structure = wrong[0].structure
    for place, leaf in enumerate(structure.leaves):
        if leaf.kind == "int" and not leaf.shape:
            bad = {int(c.values[place]): c for c in wrong if c.structure is structure}
            good = {int(c.values[place]) for c in right if c.structure is structure}
            if _are_apart(set(bad), good):
                yield from _halved(engine, bad, good, lambda case, value, place=place: _with(case, place, value))


def _can_be_asked(engine: Engine, wrong: Sequence[Case]) -> bool:
    if engine.draws.given or not wrong:
        return False
    traced = engine.formula(wrong[0])
    return not traced.asks_jax and not traced.is_dear


def _are_apart(bad: set[int], good: set[int]) -> bool:
    return bool(good) and (max(good) < min(bad) or max(bad) < min(good))


def _with(case: Case, place: int, value: int) -> Iterator[Case]:
    """The case with another whole number."""
    changed = np.asarray(value, case.values[place].dtype)
    yield replace(case, values=(*case.values[:place], changed, *case.values[place + 1 :]))


def _resized(engine: Engine, base: Case, name: str, size: int) -> Iterator[Case]:
    """Two draws of another size: what is right at one place only may be right by accident."""
    for number in range(DRAWS):
        with suppress(SizeError):  # another axis would be empty
            yield engine.completed(engine.draws.resized(base, {**base.dims, name: size}, base.index + number))


def more_like(engine: Engine, wrong: Sequence[Case]) -> Told:
    """Where few cases fail, further ones of the kinds that did (those at a program's own numbers, say), each with
    whether it fails."""
    if len(wrong) >= FEW or not _can_be_asked(engine, wrong):
        return
    for kind in sorted({case.index % EVERY for case in wrong} - {EVERY - 1}):  # those along the exponents are long
        for number in range(SEARCHED):
            yield _asked(engine, engine.case(ELSEWHERE + number * EVERY + kind, engine.formula_dtype))


def _halved(
    engine: Engine, bad: Mapping[int, Case], good: set[int], at: Callable[[Case, int], Iterable[Case]]
) -> Told:
    """Halves the gap between right and wrong numbers until there is none."""
    fails, passes = (min(bad), max(good)) if max(good) < min(bad) else (max(bad), min(good))
    base = bad[fails]
    while abs(fails - passes) > 1:
        middle = (fails + passes) // 2
        found = [_asked(engine, case) for case in at(base, middle)]
        yield from found
        fails, passes = (middle, passes) if any(failed for _, failed in found) else (fails, middle)


def _at_divisors(engine: Engine, name: str, bad: Mapping[int, Case]) -> Told:
    """At the divisors of what divides all wrong sizes: is it wrong at their multiples, too?"""
    common, base = math.gcd(*bad), bad[min(bad)]
    divisors = [size for size in range(2, common) if common % size == 0]
    for size in divisors[-MOST_DIVISORS:]:
        for case in _resized(engine, base, name, size):
            yield _asked(engine, case)


def _asked(engine: Engine, case: Case) -> tuple[Seen, bool]:
    hand, reference = engine.wide(case)
    return Seen(case, hand, reference), differ(hand, reference)
