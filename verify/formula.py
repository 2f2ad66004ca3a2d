"""The formula: is the hand-written function the derivative in exact arithmetic, and if not, who is wrong?

One case at a time. Hand and reference run in ball arithmetic, the oracle takes difference quotients of the primal,
and three proven values meet. At a kink the generalised derivatives near by decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from flint import ctx

from verify.approximation import Approximation
from verify.arithmetic import wide
from verify.ball import ball
from verify.cases import Case
from verify.comparison import EQUAL, RESOLUTION, as_wide, differs, relative
from verify.exact import exact_inputs
from verify.kinks import Surroundings
from verify.oracle import BITS, Oracle, Truth, magnitude, radius, to_floats
from verify.program import Undecided, Untranslatable
from verify.trace import Traced

MOST_ENTRIES = 12
"""Entries of one output whose derivative the oracle computes; fewer in large cases."""
LADDER = (BITS, 4 * BITS)
LARGE = 300
"""Entries of a case from which the oracle is dear: it looks at one entry that differs exactly, if there is one."""
LARGE_MATRIX = 40
NOTHING = 2.0**-100
LARGEST_EXACT = 60_000
"""Entries beyond which exact arithmetic takes too long and extended precision stands in."""

NO_FORM = (Undecided, Untranslatable, ArithmeticError, ValueError, NotImplementedError)
"""What a program raises in ball arithmetic: an operation without this form, a branch that cannot be decided."""

Finding = Literal["agrees", "wrong", "reference_wrong", "convention", "inaccurate", "undecided", "uncounted"]


@dataclass(frozen=True, eq=False)
class Examined:
    """What the examination of one case found. ``truth`` is NaN where it was not computed."""

    finding: Finding
    hand: tuple[np.ndarray, ...]
    reference: tuple[np.ndarray, ...]
    truth: tuple[np.ndarray, ...]
    note: str = ""
    leaf: int = 0
    entry: tuple[int, ...] = ()
    singular: bool = False
    both: bool = False
    """Whether the reference is proven wrong at the same entry, too."""
    exact: bool = True
    """Whether exact arithmetic decided; otherwise extended precision stood in."""


def examine(
    traced: Traced,
    relation: str,
    case: Case,
    hand: Sequence[np.ndarray],
    reference: Sequence[np.ndarray],
    suspects: Sequence[np.ndarray] | None = None,
) -> Examined:
    """Judges one case. ``hand`` and ``reference`` are the float64 results, ``suspects`` masks of entries to look at."""
    if suspects is None:
        suspects = [differs(h, r) for h, r in zip(hand, reference, strict=True)]
    exact = traced.engine != "jax" and case.size <= LARGEST_EXACT
    note, found = "", None
    before = ctx.prec
    try:
        for bits, width in (*((b, None) for b in LADDER if exact), (None, np.longdouble), (None, np.float64)):
            if bits is not None:
                ctx.prec = bits
            try:
                examination = Examination(traced, relation, case, hand, reference, suspects, bits, width)
                found = examination.run()
            except NO_FORM as error:
                note = f"no oracle: {type(error).__name__}: {error}"
                continue
            if found.finding != "undecided" or bits == LADDER[-1] or width is not None:
                return found
    finally:
        ctx.prec = before
    return found or _blank(hand, reference, "undecided", note)


def _blank(hand: Any, reference: Any, finding: Finding, note: str = "") -> Examined:
    blank = tuple(np.full(np.shape(r), np.nan) for r in reference)
    return Examined(finding, tuple(hand), tuple(reference), blank, note)


class Examination:
    def __init__(
        self, traced: Traced, relation: str, case: Case, hand: Any, reference: Any, suspects: Any,
        bits: int | None, width: Any = np.longdouble,
    ):  # fmt: skip
        self.traced, self.relation, self.case = traced, relation, case
        self.hand, self.reference, self.suspects = tuple(hand), tuple(reference), suspects
        self.bits, self.exact, self.width = bits, bits is not None, width
        exact = self.exact
        self.oracle = Oracle(traced, relation, case, bits, width)
        if bits is not None:
            self.oracle.inputs = exact_inputs(case, bits)
        self.truth = [np.full(r.shape, np.nan, dtype=r.dtype) for r in self.reference]
        self.exact_hand = self._side(traced.hand) if exact else None
        self.exact_reference = self._side(traced.reference) if exact else None
        self._noise: list[np.ndarray] | None = None
        self.largest = self._scale()
        self._approximation = Approximation(self)
        self._surroundings: Surroundings | None = None
        self._both: set[tuple[int, tuple[int, ...]]] = set()
        self._meant: Oracle | None = None
        self._tangents: dict[Oracle, list[Truth]] = {}

    def _scale(self) -> float:
        """How large values and results are here: what is 30 digits smaller is zero beside them."""
        sizes = [np.abs(r) for r in self.reference]
        if self.exact:
            sizes += [magnitude(v) for v in self.oracle.value() if v.dtype == object]
        finite = [s[np.isfinite(s)] for s in sizes]
        return max((float(s.max(initial=0.0)) for s in finite), default=0.0)

    def _side(self, program: Any) -> tuple[np.ndarray, ...] | None:
        """A side in ball arithmetic; None where its branches cannot be decided there."""
        try:
            return program.link(ball(self.bits or BITS))(self.case.dims, [*self.oracle.inputs, *self.oracle.extra])
        except Untranslatable:
            raise
        except NO_FORM:
            return None

    def run(self) -> Examined:
        if not self._primal_is_finite():
            return self._result("uncounted", "the primal is not finite here")
        found: list[tuple[str, int, tuple[int, ...], Truth, int]] = []
        for leaf, at, truth, position in self._entries():
            found.append((self._entry(leaf, at, truth, position), leaf, at, truth, position))
        for finding in ("wrong", "reference_wrong", "convention", "undecided"):
            for verdict, leaf, at, truth, position in found:
                if verdict == finding:
                    singular = bool(truth.kink.reshape(-1)[position])
                    both = (leaf, at) in self._both
                    return replace(self._result(finding), leaf=leaf, entry=at, singular=singular, both=both)
        if self._approximation.excused:
            return self._result("uncounted", "the primal is an approximation, which itself is as far off")
        if found and all(v == "uncounted" for v, *_ in found):
            return self._result("uncounted", "no finite derivative here")
        return self._result("agrees")

    def _result(self, finding: Any, note: str = "") -> Examined:
        hand = self.hand
        if self.exact_hand is not None and finding == "wrong":
            hand = tuple(to_floats(h).reshape(np.shape(g)) for h, g in zip(self.exact_hand, hand, strict=True))
        return Examined(finding, hand, self.reference, tuple(self.truth), note, exact=self.exact)

    def _primal_is_finite(self) -> bool:
        values = self.oracle.value()
        if self.exact:
            return all(np.isfinite(magnitude(v)).all() for v in values if v.dtype == object)
        return all(np.isfinite(as_wide(v)).all() for v in values if v.dtype.kind in "fc")

    # --- the entries to look at, with the truth of each ----------------------------------------------

    def _entries(self) -> Any:
        for leaf, suspect in enumerate(self.suspects):
            for flat in self._chosen(suspect, leaf):
                at = np.unravel_index(flat, suspect.shape) if suspect.shape else ()
                at = tuple(int(i) for i in at)
                truth, position = self.truth_at(self.oracle, leaf, at, flat)
                if self.traced.stops and not self._reference_equals(leaf, at, truth, position):
                    truth, position = self._as_meant(leaf, at, flat, truth, position)
                self.truth[leaf][at] = truth.value.reshape(-1)[position]
                yield leaf, at, truth, position

    def truth_at(self, oracle: Oracle, leaf: int, at: tuple[int, ...], flat: int) -> tuple[Truth, int]:
        """The derivative that belongs to one entry, and where it stands in the array returned."""
        values = self.relation in ("value_and_gradient", "custom_vjp", "custom_jvp", "equal_to", "at_most")
        outputs = [o for o in oracle.value() if o.dtype == object or o.dtype.kind in "fc"] if values else []
        if leaf < len(outputs):
            return _exactly(outputs[leaf], self.exact), flat
        if self.relation in ("jvp", "custom_jvp"):
            if oracle not in self._tangents:
                self._tangents[oracle] = oracle.tangent(self.traced.wrt)
            return self._tangents[oracle][leaf - len(outputs)], flat
        return self._partial(oracle, self.traced.wrt[leaf - len(outputs)], at), 0

    def _reference_equals(self, leaf: int, at: tuple[int, ...], truth: Truth, position: int) -> bool:
        if truth.kink.reshape(-1)[position] or not np.isfinite(truth.value.reshape(-1)[position]):
            return False
        return bool(self._equals(self.exact_reference, self.reference, leaf, at, truth, position))

    def _as_meant(self, leaf: int, at: tuple[int, ...], flat: int, truth: Truth, position: int) -> tuple[Truth, int]:
        """What a stop_gradient hides is meant to be hidden, if that is how JAX understood it.

        It stands in libraries, too, where it hides nothing (the shift of a logsumexp, the factors of a solve).
        """
        if self._meant is None:
            self._meant = Oracle(self.traced, self.relation, self.case, self.bits, self.width, stopping=True)
            self._meant.inputs = self.oracle.inputs
        meant, place = self.truth_at(self._meant, leaf, at, flat)
        return (meant, place) if self._reference_equals(leaf, at, meant, place) else (truth, position)

    def _partial(self, oracle: Oracle, leaf: int, at: tuple[int, ...]) -> Truth:
        if self.relation == "hvp":
            return oracle.second(self.traced.wrt, leaf, at)
        if self.case.values[leaf].dtype.kind != "c":
            return oracle.entry(leaf, at)
        # JAX's convention: the cotangent of z = x + iy is d/dx - i d/dy.
        real, imaginary = oracle.entry(leaf, at), oracle.entry(leaf, at, imaginary=True)
        return _complex(real, imaginary)

    def _chosen(self, suspect: np.ndarray, leaf: int) -> list[int]:
        """Suspects first, the largest differences before others, then a few that look right."""
        flat = np.flatnonzero(suspect)
        flat = flat[[not self._same_formula(leaf, int(i)) for i in flat]] if flat.size else flat
        differing = any(s.any() for s in self.suspects)
        if differing and self.exact and self._is_dear():
            gap = relative(self.hand[leaf], self.reference[leaf]).reshape(-1)[flat]
            return [int(i) for i in flat[np.argsort(-gap)[:1]]]  # none where both are one formula, to 150 digits
        most = max(2, min(MOST_ENTRIES, 1500 // max(1, self.case.size)))
        if flat.size > most:
            gap = relative(self.hand[leaf], self.reference[leaf]).reshape(-1)[flat]
            spread = flat[np.linspace(0, flat.size - 1, most // 2).astype(int)]
            flat = np.unique(np.concatenate([flat[np.argsort(-gap)[: most // 2]], spread]))
        rest = np.setdiff1d(np.arange(suspect.size), flat)
        rng = np.random.default_rng(self.case.index)
        more = rng.permutation(rest)[: 1 + (most > 2) * (1 if flat.size else 3)]
        return [int(i) for i in (*flat, *more)]

    def _is_dear(self) -> bool:
        """Whether the oracle takes seconds here: many entries, or a decomposition of a matrix that is not small."""
        if self.case.size > LARGE:
            return True
        return self.traced.factorises and max(self.case.dims.values(), default=0) > LARGE_MATRIX

    def _same_formula(self, leaf: int, flat: int) -> bool:
        """Whether hand and reference are one value in exact arithmetic: their floats differ by rounding alone."""
        if self.exact_hand is None or self.exact_reference is None or self.relation == "at_most":
            return False
        mine, other = (np.asarray(x[leaf], dtype=object).flat[flat] for x in (self.exact_hand, self.exact_reference))
        gap = abs(mine - other)
        if not gap.is_finite():
            return False
        size, slack = float(abs(other).mid()), float(gap.rad())
        return slack <= 2.0**-20 * size and float(gap.mid()) <= EQUAL * size + slack

    # --- one entry: three values meet -----------------------------------------------------------------

    def _entry(self, leaf: int, at: tuple[int, ...], truth: Truth, position: int) -> str:
        value, kink = truth.value.reshape(-1)[position], truth.kink.reshape(-1)[position]
        if self.relation == "at_most":
            return self._at_most(leaf, at)
        if kink:
            return self._kink(leaf, at, truth, position)
        if not np.isfinite(value):
            return "uncounted"
        hand = self._equals(self.exact_hand, self.hand, leaf, at, truth, position)
        reference = self._equals(self.exact_reference, self.reference, leaf, at, truth, position)
        if hand is None:
            return "undecided"
        if not hand and reference is False:
            self._both.add((leaf, at))
        if not hand and (excuse := self._approximation.excuse(leaf, at, complex(value))) is not None:
            return excuse
        if not hand:
            return "uncounted" if self._nowhere_differentiable(leaf, at, position) else "wrong"
        if reference is None and not np.isfinite(self.reference[leaf][at]):
            return "reference_wrong"
        return "agrees" if reference is None or reference else "reference_wrong"

    def _nowhere_differentiable(self, leaf: int, at: tuple[int, ...], position: int) -> bool:
        """Both sides are undefined, and a zero cotangent or tangent is all that makes the truth zero."""
        if np.isfinite(self.hand[leaf][at]) or np.isfinite(self.reference[leaf][at]):
            return False
        if not any((np.asarray(e) == 0).any() for e in self.case.extra):
            return False
        rng = np.random.default_rng(0)
        extra = tuple(rng.uniform(0.5, 1.5, e.shape).astype(e.dtype) for e in self.case.extra)
        probe = Examination.__new__(Examination)
        probe.__dict__.update(self.__dict__)
        probe.case = replace(self.case, extra=extra)
        probe.oracle = Oracle(self.traced, self.relation, probe.case, self.bits, self.width)
        probe._meant, probe._tangents = None, {}
        probe.suspects = [np.zeros(s.shape, bool) for s in self.suspects]
        probe.truth = [t.copy() for t in self.truth]
        probe.suspects[leaf][at] = True
        for found_leaf, found_at, truth, where in probe._entries():
            if (found_leaf, found_at) == (leaf, at):
                return bool(truth.kink.reshape(-1)[where]) or not np.isfinite(truth.value.reshape(-1)[where])
        return False

    def _equals(self, exact: Any, floats: Any, leaf: int, at: Any, truth: Truth, position: int) -> bool | None:
        """Whether a side equals the truth at one entry; None if neither can be said."""
        value = truth.value.reshape(-1)[position]
        error = float(truth.error.reshape(-1)[position])
        if exact is None or truth.exact is None:
            mine = floats[leaf][at]
            if not np.isfinite(mine):
                return None if not self.exact and self._is_finite_when_wider(leaf, at) else False
            gap = abs(complex(mine) - complex(value))
            if gap <= RESOLUTION * abs(value) + 2 * error:
                return True
            return False if self._survives_the_ladder(leaf, at, gap, error) else None
        mine = exact[leaf][at] if exact[leaf].shape else exact[leaf].item()
        other = truth.exact.reshape(-1)[position]
        gap_ball = abs(mine - other)
        if not gap_ball.is_finite():
            return False
        gap = float(gap_ball.mid())
        size = float(abs(other).mid()) if not isinstance(other, float) else abs(other)
        slack = float(gap_ball.rad()) + error
        if slack > 2.0**-20 * size and slack > 2.0**-200 and slack > NOTHING * self.largest:  # more bits would tell
            return None
        if gap <= EQUAL * size + slack:
            return True
        return gap <= EQUAL * size + slack + self._constants(leaf, at)

    def _is_finite_when_wider(self, leaf: int, at: Any) -> bool:
        """Whether only the range of float64 may have ended."""
        if self.traced.engine == "jax":
            return True
        inputs = [*self.oracle.inputs, *self.oracle.extra]
        try:
            wider = self.traced.hand.link(wide(np.longdouble))(self.case.dims, inputs)
        except NO_FORM:
            return True
        return bool(np.isfinite(np.asarray(wider[leaf])[at]))

    def _survives_the_ladder(self, leaf: int, at: Any, gap: float, error: float) -> bool:
        """Without exact arithmetic: a difference is real if extended precision does not shrink it."""
        if error > gap / 8:
            return False
        if self.traced.engine == "jax" or self.width == np.float64:
            return gap > 2.0**-20 * abs(complex(self.truth[leaf][at]))
        inputs = [*self.oracle.inputs, *self.oracle.extra]
        finer = self.traced.hand.link(wide(np.longdouble))(self.case.dims, inputs)
        mine = complex(np.asarray(finer[leaf])[at])
        return abs(mine - complex(self.truth[leaf][at])) > gap / 4

    def _constants(self, leaf: int, at: Any) -> float:
        """How far rounding the programs' own constants (0.7978845608028654, 0.1) moves this entry."""
        if self._noise is None:
            self._noise = [np.zeros(r.shape) for r in self.reference]
            rng = np.random.default_rng(0)
            inputs = [*self.oracle.inputs, *self.oracle.extra]
            pairs = ((self.traced.hand, self.exact_hand), (self.traced.reference, self.exact_reference))
            for program, base in pairs:
                if base is None:
                    continue
                for _ in range(3):
                    try:
                        moved = program.link(ball(self.bits or BITS, literal_noise=rng))(self.case.dims, inputs)
                    except NO_FORM:
                        continue
                    for i, (m, b) in enumerate(zip(moved, base, strict=True)):
                        if b.dtype == object:
                            shift = magnitude(m - b).reshape(self._noise[i].shape)
                            shift = np.where(np.isfinite(shift), shift, 0.0)
                            self._noise[i] = np.maximum(self._noise[i], 8 * shift)
        return float(self._noise[leaf][at])

    def _at_most(self, leaf: int, at: Any) -> str:
        if self.exact_hand is None or self.exact_reference is None:
            value, limit = self.hand[leaf][at], self.reference[leaf][at]
            return "agrees" if value <= limit + RESOLUTION * abs(limit) else "wrong"
        hand: Any = np.asarray(self.exact_hand[leaf], dtype=object)[at]
        bound: Any = np.asarray(self.exact_reference[leaf], dtype=object)[at]
        gap = hand - bound
        if not gap.is_finite():
            if hand.is_nan() and bound.is_finite():  # at most nothing
                return "wrong"
            return "uncounted" if self.hand[leaf][at] <= self.reference[leaf][at] else "undecided"
        slack = EQUAL * float(abs(bound).mid()) + float(gap.rad()) + self._constants(leaf, at)
        return "agrees" if float(gap.mid()) <= slack else "wrong"

    def _kink(self, leaf: int, at: Any, truth: Truth, position: int) -> str:
        """Both values may be valid generalised derivatives; a valid one beside an invalid one is right."""
        hand, reference = self.hand[leaf][at], self.reference[leaf][at]
        if self._surroundings is None:
            self._surroundings = Surroundings(self.traced, self.relation, self.oracle)
        valid = self._surroundings.test(leaf, at, truth, position)
        hand_valid, reference_valid = valid(self.hand), valid(self.reference)
        if not hand_valid:
            both_undefined = not np.isfinite(hand) and not np.isfinite(reference)
            return "uncounted" if both_undefined else "wrong"
        if not reference_valid:
            return "reference_wrong"
        return "convention" if differs(np.asarray(hand), np.asarray(reference)).any() else "agrees"


def _exactly(output: np.ndarray, exact: bool) -> Truth:
    """The truth of a value: the primal itself."""
    value = to_floats(output) if exact else as_wide(output)
    error = radius(output) if exact else np.finfo(np.longdouble).eps * np.abs(value)
    return Truth(value, np.asarray(error), value, value, np.zeros(value.shape, bool), output if exact else None)


def _complex(real: Truth, imaginary: Truth) -> Truth:
    from flint import acb

    exact = None
    if real.exact is not None and imaginary.exact is not None:
        combine = np.frompyfunc(lambda a, b: acb(getattr(a, "real", a), -getattr(b, "real", b)), 2, 1)
        exact = np.asarray(combine(real.exact, imaginary.exact), dtype=object)
    return Truth(
        real.value - 1j * imaginary.value,
        real.error + imaginary.error,
        real.left - 1j * imaginary.left,
        real.right - 1j * imaginary.right,
        real.kink | imaginary.kink,
        exact,
    )
