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

from verify.cells.comparison import as_wide, differs, stands_out
from verify.drawing.cases import Case
from verify.tracing.trace import Traced
from verify.truth.approximation import Approximation
from verify.truth.entry import Entry
from verify.truth.equality import at_most, equals
from verify.truth.kinks import Surroundings
from verify.truth.looked_at import looked_at
from verify.truth.meant import Meant
from verify.truth.oracle import BITS, Oracle, magnitude, to_floats
from verify.truth.sides import NO_FORM, Sides, sides_of

LADDER = (BITS, 4 * BITS)
FAR_OUT = 2.0**40
"""Beyond, a finding other than ``agrees`` is confirmed with more bits, and far smaller steps."""
LARGEST_EXACT = 60_000
"""Entries beyond which exact arithmetic takes too long and extended precision stands in."""

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
        suspects = _suspected(hand, reference)
    exact = traced.engine != "jax" and case.size <= LARGEST_EXACT
    note, found = "", None
    before = ctx.prec
    try:
        for bits, width in (*((b, None) for b in LADDER if exact), (None, np.longdouble), (None, np.float64)):
            if bits is not None:
                ctx.prec = bits
            try:
                sides = sides_of(traced, relation, case, tuple(hand), tuple(reference), bits, width)
                found = _Examination(sides, suspects).run()
            except NO_FORM as error:
                note = f"no oracle: {type(error).__name__}: {error}"
                continue
            if width is not None or bits == LADDER[-1] or found.finding == "agrees":
                return found
            if found.finding != "undecided" and not _turns_fast(found, case):
                return found
    finally:
        ctx.prec = before
    return found or _blank(hand, reference, "undecided", note)


def _suspected(hand: Sequence[np.ndarray], reference: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The entries that differ; if none does, those that stand out of rounding."""
    found = [differs(h, r) for h, r in zip(hand, reference, strict=True)]
    return found if any(f.any() for f in found) else [stands_out(h, r) for h, r in zip(hand, reference, strict=True)]


def _turns_fast(found: Examined, case: Case) -> bool:
    """Whether the primal may turn within a step, and the quotients mean nothing: far out, as sin(x²) does at 1e68; or
    where both sides agree against them."""
    if any((np.abs(as_wide(v)) > FAR_OUT).any() for v in case.values if v.dtype.kind not in "iub"):
        return True
    return found.both and not differs(*(side[found.leaf][found.entry] for side in (found.hand, found.reference))).any()


def _blank(hand: Any, reference: Any, finding: Finding, note: str = "") -> Examined:
    blank = tuple(np.full(np.shape(r), np.nan) for r in reference)
    return Examined(finding, tuple(hand), tuple(reference), blank, note)


class _Examination:
    """One case in one arithmetic: the entries looked at, each with what is found of it."""

    def __init__(self, sides: Sides, suspects: Sequence[np.ndarray]):
        self.sides, self.suspects = sides, suspects
        self.meant = Meant(sides)
        self.approximation = Approximation(sides)
        self.truth = [np.full(r.shape, np.nan, dtype=r.dtype) for r in sides.reference]
        self._surroundings: Surroundings | None = None
        self._both: set[tuple[int, tuple[int, ...]]] = set()

    def run(self) -> Examined:
        if not _primal_is_finite(self.sides):
            return self._result("uncounted", "the primal is not finite here")
        found: list[tuple[Finding, Entry]] = []
        for leaf in range(len(self.suspects)):
            for flat in looked_at(self.sides, self.suspects, leaf):
                entry = self.meant.at(leaf, flat)
                self.truth[leaf][entry.at] = entry.value
                found.append((self._finding(entry), entry))
        for finding in ("wrong", "reference_wrong", "convention", "undecided"):
            for verdict, entry in found:
                if verdict == finding:
                    both = (entry.leaf, entry.at) in self._both
                    result = self._result(finding)
                    return replace(result, leaf=entry.leaf, entry=entry.at, singular=entry.kink, both=both)
        if self.approximation.excused:
            return self._result("uncounted", "the primal is an approximation, which itself is as far off")
        if found and all(verdict == "uncounted" for verdict, _ in found):
            return self._result("uncounted", "no finite derivative here")
        return self._result("agrees")

    def _result(self, finding: Finding, note: str = "") -> Examined:
        sides, hand = self.sides, self.sides.hand
        if sides.exact_hand is not None and finding == "wrong":
            hand = tuple(to_floats(h).reshape(np.shape(g)) for h, g in zip(sides.exact_hand, hand, strict=True))
        return Examined(finding, hand, sides.reference, tuple(self.truth), note, exact=sides.exact)

    def _finding(self, entry: Entry) -> Finding:
        """What one entry shows, where three values meet."""
        if self.sides.relation == "at_most":
            return at_most(self.sides, entry)
        if entry.kink:
            return self._at_a_kink(entry)
        if not np.isfinite(entry.value):
            return "uncounted"
        hand, reference = equals(self.sides, "hand", entry), equals(self.sides, "reference", entry)
        if hand is None:
            return "undecided"
        if not hand and reference is False:
            self._both.add((entry.leaf, entry.at))
        if not hand and (excuse := self.approximation.excuse(entry)) is not None:
            return excuse
        if not hand:
            return "uncounted" if _is_nowhere_differentiable(self.sides, entry) else "wrong"
        if reference is None and not np.isfinite(self.sides.reference[entry.leaf][entry.at]):
            return "reference_wrong"
        return "agrees" if reference is None or reference else "reference_wrong"

    def _at_a_kink(self, entry: Entry) -> Finding:
        """Both values may be valid generalised derivatives; a valid one beside an invalid one is right."""
        sides = self.sides
        hand, reference = sides.hand[entry.leaf][entry.at], sides.reference[entry.leaf][entry.at]
        if self._surroundings is None:
            self._surroundings = Surroundings(sides.traced, sides.relation, sides.oracle)
        valid = self._surroundings.test(entry)
        hand_valid, reference_valid = valid(sides.hand), valid(sides.reference)
        if not hand_valid:
            both_undefined = not np.isfinite(hand) and not np.isfinite(reference)
            return "uncounted" if both_undefined else "wrong"
        if not reference_valid:
            return "reference_wrong"
        return "convention" if differs(np.asarray(hand), np.asarray(reference)).any() else "agrees"


def _primal_is_finite(sides: Sides) -> bool:
    values = sides.oracle.value()
    if sides.exact:
        return all(np.isfinite(magnitude(v)).all() for v in values if v.dtype == object)
    return all(np.isfinite(as_wide(v)).all() for v in values if v.dtype.kind in "fc")


def _is_nowhere_differentiable(sides: Sides, entry: Entry) -> bool:
    """Both sides are undefined, and a zero cotangent or tangent is all that makes the truth zero."""
    if np.isfinite(sides.hand[entry.leaf][entry.at]) or np.isfinite(sides.reference[entry.leaf][entry.at]):
        return False
    if not any((np.asarray(e) == 0).any() for e in sides.case.extra):
        return False
    rng = np.random.default_rng(0)
    case = replace(sides.case, extra=tuple(rng.uniform(0.5, 1.5, e.shape).astype(e.dtype) for e in sides.case.extra))
    oracle = Oracle(sides.traced, sides.relation, case, sides.bits, sides.width)
    flat = int(np.ravel_multi_index(entry.at, np.shape(sides.reference[entry.leaf]))) if entry.at else 0
    there = Meant(replace(sides, case=case, oracle=oracle)).at(entry.leaf, flat)
    return there.kink or not np.isfinite(there.value)
