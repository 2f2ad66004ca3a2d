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

from verify.cells.comparison import RESOLUTION, WORSE, as_wide, differ
from verify.drawing.cases import Case
from verify.programs.arithmetic import wide
from verify.programs.ball import ball, rounded_number
from verify.programs.elementwise import is_floating
from verify.tracing.relations import RULES
from verify.tracing.trace import Traced
from verify.truth.coarse import CONFIRMING, Coarse, rungs
from verify.truth.entry import Entries, Entry
from verify.truth.oracle import BITS, magnitude, to_floats
from verify.truth.sides import NO_FORM, Sides

if TYPE_CHECKING:
    from verify.tracing.engine import Engine

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


class Approximation:
    """What excuses a rule that differs from the derivative of the primal's program at one case."""

    def __init__(self, sides: Sides):
        self.sides = sides
        self.excused = False
        self._seam: float | None = None
        self._coarse: dict[tuple[int, bool], Entries] = {}

    def excuse(self, entry: Entry) -> Literal["uncounted", "undecided"] | None:
        """``entry`` has the program's own derivative; None if the rule is not to be excused."""
        found = self._excuse(entry)
        self.excused = self.excused or found == "uncounted"
        return found

    def _excuse(self, entry: Entry) -> Literal["uncounted", "undecided"] | None:
        if self.sides.relation not in RULES or not np.isfinite(gap := abs(self._hand(entry) - complex(entry.value))):
            return None
        if self._is_of_a_table(entry, gap):
            return "uncounted"
        if getattr(self.sides.traced.primal, "repeats_until", False):  # elsewhere its loop need not end
            return self._of_a_loop(entry)
        return "uncounted" if self._is_of_a_seam(entry, gap) else None

    def _hand(self, entry: Entry) -> complex:
        sides, exact = self.sides, self.sides.exact_hand
        return complex(sides.hand[entry.leaf][entry.at] if exact is None else to_floats(exact[entry.leaf])[entry.at])

    def _of_a_loop(self, entry: Entry) -> Literal["uncounted", "undecided"] | None:
        """A difference counts if steps above the loop's tolerance confirm it."""
        sides, mine, told = self.sides, self._hand(entry), abs(complex(entry.value))
        flat = int(np.ravel_multi_index(entry.at, np.shape(sides.hand[entry.leaf]))) if entry.at else 0
        nothing = self._tolerance * sides.largest  # as what a start that is forgotten leaves behind
        confirmed = vague = False
        for rung, relative in rungs():
            if (rung, relative) not in self._coarse:
                self._coarse[rung, relative] = Entries(sides, Coarse(sides.oracle, rung, relative))
            try:
                coarse = self._coarse[rung, relative].at(entry.leaf, flat)
            except NO_FORM:
                continue
            value, size = complex(coarse.value), max(abs(complex(coarse.value)), told)
            if not np.isfinite(value) or not coarse.error <= VAGUE * size:
                continue
            equal = abs(mine - value) <= RESOLUTION * abs(value) + 4 * coarse.error + nothing
            if equal and coarse.error <= CLEAR * size:
                return "uncounted"
            vague |= equal
            confirmed |= not equal and rung <= CONFIRMING
        return "undecided" if vague and not confirmed else None

    @property
    def _tolerance(self) -> float:
        """That of the primal's loop, if it is one of its numbers."""
        numbers = getattr(self.sides.traced.primal, "numbers", ())
        return max((n for n in numbers if ROUNDING < n < RESOLUTION), default=ROUNDING)

    def _is_of_a_seam(self, entry: Entry, gap: float) -> bool:
        """Whether the rule is made with the primal's value, and differs by no more than the value itself is off."""
        sides = self.sides
        if sides.exact_hand is None or sides.traced.made_with is None:
            return False
        if self._seam is None:
            self._seam = seam(sides.traced, sides.case, sides.oracle.inputs, sides.bits or BITS)
        if not self._seam:
            return False
        try:
            program = sides.traced.made_with(1 + MOVED).link(ball(sides.bits or BITS))
            moved = program(sides.case.dims, sides.arguments)
            shift = float(magnitude(moved[entry.leaf] - sides.exact_hand[entry.leaf])[entry.at]) / MOVED
        except Exception:  # a rule that cannot be run with another value
            return False
        return gap <= WORSE * self._seam * shift

    def _is_of_a_table(self, entry: Entry, gap: float) -> bool:
        """Whether the primal has a table of coefficients, and the rule differs from its derivative by no more than
        moving its numbers by the resolution would."""
        sides = self.sides
        if not has_table(sides.traced):
            return False
        driving = max((float(np.abs(as_wide(e)).max(initial=0.0)) for e in sides.case.extra), default=1.0)
        allowed = RESOLUTION * max(sides.largest, ordinary_size(sides.traced, sides.case) * max(1.0, driving))
        if gap <= allowed or not sides.exact:
            return gap <= allowed
        rng = np.random.default_rng(0)
        pairs = ((sides.traced.hand, sides.exact_hand), (sides.traced.reference, sides.exact_reference))
        for program, base in pairs:
            for _ in range(3 if base is not None else 0):
                try:
                    moved = program.link(ball(sides.bits or BITS, rng, RESOLUTION))(sides.case.dims, sides.arguments)
                except NO_FORM:
                    continue
                shift = float(magnitude(moved[entry.leaf] - base[entry.leaf])[entry.at])  # type: ignore[index]
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
        except NO_FORM:
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
    return differ(*values)
