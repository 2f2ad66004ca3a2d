"""Both sides of a claim at one case: as floats, and in exact arithmetic where they can be had in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from verify.drawing.cases import Case
from verify.programs.arithmetic import wide
from verify.programs.ball import ball
from verify.programs.program import Undecided, Untranslatable
from verify.tracing.trace import Traced
from verify.truth.exact import exact_inputs
from verify.truth.oracle import BITS, Oracle, magnitude

NO_FORM = (Undecided, Untranslatable, ArithmeticError, ValueError, NotImplementedError)
"""What a program raises in ball arithmetic: an operation without this form, a branch that cannot be decided."""
ROUNDINGS = 3
"""So many times the programs' own constants are rounded anew."""
Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True, eq=False)
class Sides:
    """``hand`` and ``reference`` are the float64 results, ``exact_hand`` and ``exact_reference`` the same in balls.

    Without ``bits`` there is no exact arithmetic and the oracle works in ``width``.
    """

    traced: Traced
    relation: str
    case: Case
    hand: Arrays
    reference: Arrays
    bits: int | None
    width: Any
    oracle: Oracle
    exact_hand: Arrays | None
    exact_reference: Arrays | None
    """None where a side's branches cannot be decided in balls."""
    largest: float
    """How large values and results are here: what is 30 digits smaller is zero beside them."""

    @property
    def exact(self) -> bool:
        return self.bits is not None

    @property
    def arguments(self) -> list[np.ndarray]:
        return [*self.oracle.inputs, *self.oracle.extra]

    def finer(self) -> Arrays:
        """The hand-written side in extended precision."""
        return self.traced.hand.link(wide(np.longdouble))(self.case.dims, self.arguments)

    @cached_property
    def constants(self) -> Arrays:
        """How far rounding the programs' own constants (0.7978845608028654, 0.1) moves each entry."""
        moves = [np.zeros(r.shape) for r in self.reference]
        rng = np.random.default_rng(0)
        pairs = ((self.traced.hand, self.exact_hand), (self.traced.reference, self.exact_reference))
        for program, base in pairs:
            if base is None:
                continue
            for _ in range(ROUNDINGS):
                try:
                    moved = program.link(ball(self.bits or BITS, literal_noise=rng))(self.case.dims, self.arguments)
                except NO_FORM:
                    continue
                for i, (m, b) in enumerate(zip(moved, base, strict=True)):
                    if b.dtype == object:
                        shift = magnitude(m - b).reshape(moves[i].shape)
                        shift = np.where(np.isfinite(shift), shift, 0.0)
                        moves[i] = np.maximum(moves[i], 8 * shift)
        return tuple(moves)


def sides_of(
    traced: Traced, relation: str, case: Case, hand: Arrays, reference: Arrays, bits: int | None, width: Any
) -> Sides:
    """Evaluates both sides exactly, with so many ``bits``; without them there are the floats alone."""
    oracle = Oracle(traced, relation, case, bits, width)
    exact_hand = exact_reference = None
    if bits is not None:
        oracle.inputs = exact_inputs(case, bits)
        exact_hand, exact_reference = (_exactly(program, oracle, bits) for program in (traced.hand, traced.reference))
    largest = _largest(oracle, reference)
    return Sides(
        traced, relation, case, hand, reference, bits, width, oracle, exact_hand, exact_reference, largest
    )


def _exactly(program: Any, oracle: Oracle, bits: int) -> Arrays | None:
    try:
        return program.link(ball(bits))(oracle.case.dims, [*oracle.inputs, *oracle.extra])
    except Untranslatable:
        raise
    except NO_FORM:
        return None


def _largest(oracle: Oracle, reference: Arrays) -> float:
    sizes = [np.abs(r) for r in reference]
    if oracle.exact:
        sizes += [magnitude(v) for v in oracle.value() if v.dtype == object]
    finite = [s[np.isfinite(s)] for s in sizes]
    return max((float(s.max(initial=0.0)) for s in finite), default=0.0)
