"""Primals that are approximations: special functions by tables of coefficients, solutions by iteration.

A rule is the derivative of the function that is meant; the program's own derivative is that of the approximation.
They differ by what the approximation is off: no precision of arithmetic takes it away, and the rule is not at fault.
How far off a primal is, it shows itself, in one of three ways:

- it repeats something until it is good enough: quotients with steps far above that tolerance see what is meant;
- it is put together from pieces, and they do not quite meet: a rule that is made with the value is off accordingly;
- it has a table of coefficients, of which the last digits are as good as any others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from flint import arb

from verify.arithmetic import Undecided, Untranslatable, wide
from verify.ball import ball, rounded_number
from verify.cases import Case
from verify.coarse import CONFIRMING, Coarse, rungs
from verify.comparison import RESOLUTION, WORSE, as_wide, differs
from verify.elementwise import is_floating
from verify.oracle import BITS, magnitude, to_floats
from verify.relations import RULES
from verify.trace import Traced

if TYPE_CHECKING:
    from verify.engine import Engine
    from verify.formula import Examination

TABLE = 6
"""So many rounded numbers in a primal are the coefficients of an approximation."""
MOST_LOOKED_AT = 1000
MOST_BORDERS = 16
NEARBY = 100
"""The two sides of a border are looked at 2**-NEARBY from it, relative to its own size."""
NO_SEAM, JUMP = 2.0**-70, 2.0**-17
"""Pieces that meet to within the former are continuous; where they differ by more than the latter, they jump."""
MOVED = 2.0**-20
"""By how much of itself the value is moved, to see how a rule that is made with it moves."""
CLEAR, VAGUE = 2.0**-14, 2.0**-3
"""Relative errors of coarse quotients: a mistake of 1e-3 shows at least, or nothing is said."""
ROUNDING = 2.0**-45
"""Beside values this is what rounding may leave of a derivative that is zero."""
UNSURE = (Undecided, Untranslatable, ArithmeticError, ValueError, NotImplementedError)


class Approximation:
    """What excuses a rule that differs from the derivative of the primal's program at one case."""

    def __init__(self, examination: Examination):
        self.of = examination
        self.excused = False
        self._seam: float | None = None
        self._coarse: dict[tuple[int, bool], Coarse] = {}

    def excuse(self, leaf: int, at: tuple[int, ...], told: complex) -> Literal["uncounted", "undecided"] | None:
        """``told`` is the program's own derivative; None if the rule is not to be excused."""
        found = self._excuse(leaf, at, told)
        self.excused = self.excused or found == "uncounted"
        return found

    def _excuse(self, leaf: int, at: tuple[int, ...], told: complex) -> Literal["uncounted", "undecided"] | None:
        of = self.of
        if of.relation not in RULES or not np.isfinite(gap := abs(self._hand(leaf, at) - told)):
            return None
        if self._is_of_a_table(leaf, at, gap):
            return "uncounted"
        if getattr(of.traced.primal, "repeats_until", False):  # elsewhere its loop need not end
            return self._of_a_loop(leaf, at, abs(told))
        return "uncounted" if self._is_of_a_seam(leaf, at, gap) else None

    def _hand(self, leaf: int, at: tuple[int, ...]) -> complex:
        exact = self.of.exact_hand
        return complex(self.of.hand[leaf][at] if exact is None else to_floats(exact[leaf])[at])

    def _of_a_loop(self, leaf: int, at: tuple[int, ...], told: float) -> Literal["uncounted", "undecided"] | None:
        """A difference counts if steps above the loop's tolerance confirm it."""
        of, mine = self.of, self._hand(leaf, at)
        flat = int(np.ravel_multi_index(at, np.shape(of.hand[leaf]))) if at else 0
        nothing = self._tolerance * of.largest  # as what a start that is forgotten leaves behind
        confirmed = vague = False
        for rung, relative in rungs():
            if (rung, relative) not in self._coarse:
                self._coarse[rung, relative] = Coarse(of.oracle, rung, relative)
            try:
                truth, position = of.truth_at(self._coarse[rung, relative], leaf, at, flat)
            except UNSURE:
                continue
            value, error = complex(truth.value.reshape(-1)[position]), float(truth.error.reshape(-1)[position])
            size = max(abs(value), told)
            if not np.isfinite(value) or not error <= VAGUE * size:
                continue
            equal = abs(mine - value) <= RESOLUTION * abs(value) + 4 * error + nothing
            if equal and error <= CLEAR * size:
                return "uncounted"
            vague |= equal
            confirmed |= not equal and rung <= CONFIRMING
        return "undecided" if vague and not confirmed else None

    @property
    def _tolerance(self) -> float:
        """That of the primal's loop, if it is one of its numbers."""
        numbers = getattr(self.of.traced.primal, "numbers", ())
        return max((n for n in numbers if ROUNDING < n < RESOLUTION), default=ROUNDING)

    def _is_of_a_seam(self, leaf: int, at: tuple[int, ...], gap: float) -> bool:
        """Whether the rule is made with the primal's value, and differs by no more than the value itself is off."""
        of = self.of
        if of.exact_hand is None or of.traced.made_with is None:
            return False
        if self._seam is None:
            self._seam = seam(of.traced, of.case, of.oracle.inputs, of.bits or BITS)
        if not self._seam:
            return False
        try:
            program = of.traced.made_with(1 + MOVED).link(ball(of.bits or BITS))
            moved = program(of.case.dims, [*of.oracle.inputs, *of.oracle.extra])
            shift = float(magnitude(moved[leaf] - of.exact_hand[leaf])[at]) / MOVED
        except Exception:  # a rule that cannot be run with another value
            return False
        return gap <= WORSE * self._seam * shift

    def _is_of_a_table(self, leaf: int, at: tuple[int, ...], gap: float) -> bool:
        """Whether the primal has a table of coefficients, and the rule differs from its derivative by no more than
        moving its numbers by the resolution would."""
        of = self.of
        if not has_table(of.traced):
            return False
        driving = max((float(np.abs(as_wide(e)).max(initial=0.0)) for e in of.case.extra), default=1.0)
        allowed = RESOLUTION * max(of.largest, ordinary_size(of.traced, of.case) * max(1.0, driving))
        if gap <= allowed or not of.exact:
            return gap <= allowed
        rng = np.random.default_rng(0)
        inputs = [*of.oracle.inputs, *of.oracle.extra]
        for program, base in ((of.traced.hand, of.exact_hand), (of.traced.reference, of.exact_reference)):
            for _ in range(3 if base is not None else 0):
                try:
                    moved = program.link(ball(of.bits or BITS, rng, RESOLUTION))(of.case.dims, inputs)
                except UNSURE:
                    continue
                shift = float(magnitude(moved[leaf] - base[leaf])[at])  # type: ignore[index]
                allowed += 8 * shift if np.isfinite(shift) else 0.0
        return gap <= allowed


def has_table(traced: Traced) -> bool:
    """Whether the primal has a table of coefficients."""
    numbers: set[float] = set()
    for constant in getattr(traced.primal, "constants", {}).values():
        if is_floating(constant.dtype) or constant.dtype.startswith("complex"):
            flat = np.asarray(constant.value).astype(np.complex128).reshape(-1)[:MOST_LOOKED_AT]
            numbers |= {float(x) for x in (*flat.real, *flat.imag) if rounded_number(x)}
    return len(numbers) >= TABLE


def seam(traced: Traced, case: Case, inputs: Sequence[Any], bits: int = BITS) -> float:
    """By how much, relative to its value, the primal's pieces do not meet where they do worst.

    A formula branches at one of the numbers that it is written with. A function has no step there, or one that is meant
    and can be seen.
    """
    program = traced.primal.link(ball(bits))
    worst = 0.0
    for below, above in _borders(traced, inputs):
        try:
            sides = [program(case.dims, near) for near in (below, above)]
        except UNSURE:
            continue
        for a, b in zip(*sides, strict=True):
            if a.dtype == object:
                size = magnitude(b)
                step = magnitude(a - b) / np.where(size > 0, size, np.inf)
                worst = max(worst, float(np.max(step, where=(step > NO_SEAM) & (step < JUMP), initial=0.0)))
    return worst


def _borders(traced: Traced, inputs: Sequence[Any]) -> Iterator[tuple[list[Any], list[Any]]]:
    """Inputs of which one is a number of the primal's, from below and from above."""
    numbers = sorted(getattr(traced.primal, "numbers", ()))
    for number in numbers[:: max(1, -(-len(numbers) // MOST_BORDERS))]:
        for leaf, x in enumerate(inputs):
            if x.dtype != object or not x.size:
                continue
            for sign in (1, -1):
                sides = []
                for side in (-1, 1):
                    moved = np.empty(x.shape, object)
                    moved[...] = arb(sign * number) * (1 + side * arb(2) ** -NEARBY)
                    sides.append([moved if i == leaf else y for i, y in enumerate(inputs)])
                yield sides[0], sides[1]


def ordinary_size(traced: Traced, case: Case) -> float:
    """How large values are at ordinary inputs: beside them an approximation need not be right in its tails."""
    rng = np.random.default_rng(0)
    inputs = [v if v.dtype.kind in "iubV" and v.dtype.name != "bfloat16" else _ordinary(rng, v) for v in case.values]
    try:
        values = traced.primal.link(wide(np.float64))(case.dims, inputs)
    except Exception:  # out of the domain
        return 0.0
    sizes = np.concatenate([np.abs(as_wide(v)).reshape(-1) for v in values if v.dtype.kind in "fc"] or [np.zeros(1)])
    return float(np.max(sizes, where=np.isfinite(sizes), initial=0.0))


def _ordinary(rng: np.random.Generator, like: np.ndarray) -> np.ndarray:
    drawn = rng.uniform(0.25, 1.0, like.shape)
    return drawn.astype(like.dtype if like.dtype.kind in "fc" else np.float64)


def primal_depends_on_dtype(engine: Engine, case: Case) -> bool:
    """Whether a dtype has an approximation of its own, with fewer coefficients."""
    values = [
        [as_wide(x) for x in traced.primal.link(wide(np.float64))(case.dims, list(case.values)) if x.dtype.kind in "fc"]
        for traced in (engine.formula(case), engine.traced(case.structure, case.dtype, case.dims))
    ]
    return any(differs(a, b).any() for a, b in zip(*values, strict=True))
