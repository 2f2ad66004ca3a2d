"""From which size on a formula is wrong: further cases between the sizes that pass and those that fail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from verify.cells.comparison import differ
from verify.cells.seen import Seen
from verify.drawing.cases import Case
from verify.tracing.engine import Engine

DRAWS = 2
"""Cases at one size: it passes if all of them do."""


def around_thresholds(engine: Engine, wrong: Sequence[Case], right: Sequence[Case]) -> Iterator[tuple[Seen, bool]]:
    """Cases, each with whether it fails, that halve the gap between right and wrong sizes until there is none.

    Nothing for a dimension in which right and wrong sizes are mixed, nor where every case must be compiled.
    """
    if engine.draws.given or not wrong or not right:
        return
    for name in wrong[0].dims:
        bad = [c.dims[name] for c in wrong if name in c.dims]
        good = [c.dims[name] for c in right if name in c.dims]
        if not good or not (max(good) < min(bad) or max(bad) < min(good)):
            continue
        fails, passes = (min(bad), max(good)) if max(good) < min(bad) else (max(bad), min(good))
        base = next(c for c in wrong if c.dims.get(name) == fails)
        if engine.formula(base).asks_jax or engine.formula(base).is_dear:
            continue
        while abs(fails - passes) > 1:
            middle = (fails + passes) // 2
            found = [_at(engine, base, name, middle, number) for number in range(DRAWS)]
            yield from found
            if any(failed for _, failed in found):
                fails = middle
            else:
                passes = middle


def _at(engine: Engine, base: Case, name: str, size: int, number: int) -> tuple[Seen, bool]:
    case = engine.completed(engine.draws.resized(base, {**base.dims, name: size}, base.index + number))
    hand, reference = engine.wide(case)
    return Seen(case, hand, reference), differ(hand, reference)
