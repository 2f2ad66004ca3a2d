"""What a sweep keeps: in every binade, for the hand-written function and for the reference, the worst and the counts.

Pure NumPy; a tally is plain numbers and travels as JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from verify.sweep.measure import BEYOND, COUNTED, Format, fair_unit, flushed, ulp

FIRST = 512
"""So many entries are looked at first: most others then need no fair ulp."""


@dataclass(frozen=True)
class Tally:
    """One side in one binade. ``fair`` and ``ulp`` are worst errors, ``at`` and ``ulp_at`` where they are."""

    count: int = 0
    fair: float = -1.0
    at: float = 0.0
    got: float = 0.0
    truth: float = 0.0
    ulp: float = -1.0
    ulp_at: float = 0.0
    beyond: tuple[int, ...] = (0,) * len(BEYOND)
    flushed: int = 0
    not_finite: int = 0
    wrong_sign: int = 0
    nan_lost: int = 0
    unknown: int = 0

    def plus(self, other: Tally) -> Tally:
        """Both together."""
        fair = other if other.fair > self.fair else self
        size = other if other.ulp > self.ulp else self
        return Tally(
            self.count + other.count, fair.fair, fair.at, fair.got, fair.truth, size.ulp, size.ulp_at,
            tuple(a + b for a, b in zip(self.beyond, other.beyond, strict=True)),
            *(getattr(self, name) + getattr(other, name) for name in COUNTED),
        )  # fmt: skip


def tally(
    z: np.ndarray,
    got: np.ndarray,
    truth: np.ndarray,
    errors: np.ndarray,
    counts: np.ndarray,
    form: Format,
    near: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    before: Tally,
) -> Tally:
    """``before``, with some inputs of one binade added.

    ``errors`` and ``counts`` are those of ``measure.errors``; ``near(i)`` is the truth half an ulp to the left and to
    the right of the inputs numbered ``i``. Only where the error in ulp is larger than the worst fair one can the fair
    one be: the others need no ``near``.
    """
    fair, best = before.fair, None

    def look(at: np.ndarray) -> None:
        nonlocal fair, best
        unit = ulp(truth[at], form)
        wider = fair_unit(unit, truth[at], *near(at))
        found = np.where(flushed(got[at], truth[at], wider, form), 0.0, errors[at] * (unit / wider))
        k = int(np.argmax(found))
        if found[k] > fair:
            fair, best = float(found[k]), int(at[k])

    worst = int(np.argmax(errors)) if z.size else 0
    suspects = np.flatnonzero(errors > max(fair, 0.0)) if z.size and errors[worst] > fair else np.zeros(0, int)
    if suspects.size > FIRST:
        look(np.append(suspects[:: suspects.size // FIRST], worst))
        suspects = suspects[errors[suspects] > fair]
    if suspects.size:
        look(suspects)
    if fair < 0 and z.size:
        fair, best = 0.0, 0
    numbers = [int(n) for n in counts]
    some = dict(zip(COUNTED, numbers[len(BEYOND) :], strict=True))
    new = Tally(int(z.size), beyond=tuple(numbers[: len(BEYOND)]), **some)
    if z.size:
        new = replace(new, ulp=float(errors[worst]), ulp_at=float(z[worst]))
    if best is not None:
        new = replace(new, fair=fair, at=float(z[best]), got=float(got[best]), truth=float(truth[best]))
    return before.plus(new)
