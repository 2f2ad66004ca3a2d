"""Trials: many draws at one choice of sizes, stacked along a first axis and evaluated together.

Fresh sizes find what depends on shapes; once a shape has been paid for, another thousand values cost next to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
import numpy as np
from jax.extend import core

from verify.drawing.cases import TRIAL, Case, Structure
from verify.drawing.draws import Draws
from verify.drawing.sizes import size_of
from verify.drawing.values import cotangent, draw_stacked
from verify.programs.program import Program, translate
from verify.tracing.relations import Sides
from verify.tracing.survey import precision_of
from verify.tracing.trace import Traced

MOST_TRIALS = 512
MOST_ENTRIES = 2**18
"""Entries of all trials together."""


@dataclass(frozen=True, eq=False)
class Trials:
    """Several cases of one structure and the same sizes; ``values`` and ``extra`` have one more axis, in front."""

    first: Case
    values: tuple[np.ndarray, ...]
    extra: tuple[np.ndarray, ...]
    plain: tuple[bool, ...]

    @property
    def count(self) -> int:
        return len(self.plain)

    @property
    def flat(self) -> tuple[np.ndarray, ...]:
        return (*self.values, *self.extra)

    def case(self, number: int) -> Case:
        """One of them alone."""
        if number == 0:
            return self.first
        return replace(
            self.first, id=f"{self.first.id}{TRIAL}{number}", plain=self.plain[number],
            values=tuple(v[number] for v in self.values), extra=tuple(e[number] for e in self.extra),
        )  # fmt: skip


def repeated(case: Case, count: int = 1) -> Trials:
    """The case over and over."""
    again = lambda v: np.broadcast_to(v, (count, *v.shape))  # noqa: E731
    return Trials(case, tuple(map(again, case.values)), tuple(map(again, case.extra)), (case.plain,) * count)


def together(cases: Sequence[Case], count: int) -> Trials:
    """Cases of one shape, the last one repeated until there are ``count``."""
    padded = [*cases, *[cases[-1]] * (count - len(cases))]
    stack = lambda columns: tuple(np.stack(column) for column in columns)  # noqa: E731
    values, extra = zip(*(c.values for c in padded), strict=True), zip(*(c.extra for c in padded), strict=True)
    return Trials(cases[0], stack(values), stack(extra), tuple(c.plain for c in padded))


def trials_of(draws: Draws, traced: Traced, case: Case, most: int = MOST_TRIALS) -> Trials:
    """The case and further draws at its sizes; as many as fit, and none where a strategy drew it."""
    if draws.given or most == 1:
        return repeated(case)
    shapes = [(tuple(size_of(a, case.dims) for a in shape), dtype) for shape, dtype in traced.extra_shapes]
    entries = case.size + sum(int(np.prod(shape)) for shape, _ in shapes)
    count = max(2, min(most, MOST_ENTRIES // max(entries, 1)))
    rng = draws.stream(9, case.dtype, case.index)
    plain = rng.random(count) < 0.35
    plain[0] = case.plain
    leaves = draws.wanted(case.structure.leaves, case.dims, case.dtype, False)
    values = tuple(draw_stacked(rng, w, plain) for w in leaves)
    extra = tuple(
        np.stack([cotangent(rng, shape, dtype, bool(p), [v[k] for v in values]) for k, p in enumerate(plain)])
        for shape, dtype in shapes
    )
    for stack, own in zip((*values, *extra), (*case.values, *case.extra), strict=True):
        stack[0] = own
    return Trials(case, values, extra, tuple(plain.tolist()))


TRIALS = "number_of_trials"
"""The name of the dimension along which trials are stacked."""


def stacked(sides: Sides, structure: Structure, traced: Traced) -> Program | None:
    """Hand and reference of a symbolic trace under ``jax.vmap`` over trials, as one program; hand's outputs first.

    None if there is no such form.
    """
    if TRIALS in structure.dims or traced.survey is None:
        return None
    hand, reference = map(core.jaxpr_as_fun, traced.sides)
    try:
        with precision_of(traced.dtype), sides.symbols.asked():
            trials = sides.symbols.named((TRIALS,))
            avals = [
                jax.ShapeDtypeStruct((*trials, *a.shape), a.dtype)
                for a in (*traced.survey.avals, *traced.survey.extra_avals)
            ]
            return translate(jax.make_jaxpr(jax.vmap(lambda *flat: (*hand(*flat), *reference(*flat))))(*avals))
    except Exception:  # anything at all: the trials are then evaluated one by one
        return None
