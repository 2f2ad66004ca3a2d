"""Exact values and derivatives of a function of one number, in ball arithmetic, with proven error bounds.

A derivative is a difference quotient of the primal, its step 2⁻⁶⁰ of the input: exact to far more digits than are asked
for, whatever autodiff would say. One-sided quotients tell a kink. Precision is raised until the ball is small enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from flint import arb, ctx

from verify.programs.ball import ball
from verify.programs.program import Undecided, translate
from verify.sweep.sides import ElementWise
from verify.tracing.survey import precision_of

STEP = 60
"""Binary exponent of the step of a difference quotient, relative to the input."""
DIGITS, NOTHING = 64, -1140
"""Bits of the result that are wanted, and the power of two below which it is as good as zero."""
BLOCK = 128
LADDER = (256, 1024, 3072, 8192)

Found = tuple[float, float, float]

FAILED = (Undecided, ArithmeticError, ValueError, NotImplementedError, OverflowError)


@dataclass(frozen=True)
class Exact:
    """True values: ``low`` and ``high`` are equal but at a kink; NaN where nothing could be proven.

    ``rest`` is what float64 has no room for: the truth is ``low + rest``.
    """

    low: np.ndarray
    high: np.ndarray
    rest: np.ndarray

    @property
    def kink(self) -> np.ndarray:
        return self.low < self.high


class Oracle:
    """What an element-wise claim should return."""

    def __init__(self, claim: ElementWise):
        self.derivative = claim.differentiates
        dtype = claim.dtypes[0]
        with precision_of(dtype):
            shape = jax.ShapeDtypeStruct((BLOCK,), dtype)
            jaxpr = jax.make_jaxpr(claim.primal)(shape)
            self._program: Any = translate(jaxpr)
        self._linked: dict[int, Any] = {}

    def at(self, z: np.ndarray, moved: int = 0) -> Exact:
        """The truth at finite ``z``, or half an ulp of float64 to a side of it (``moved`` = -1 or 1)."""
        z = np.asarray(z, np.float64)
        found = np.full((3, len(z)), np.nan)
        for start in range(0, len(z), BLOCK):
            part = slice(start, start + BLOCK)
            found[:, part] = self._block(z[part], moved)
        return Exact(*found)

    def limit(self, sign: int) -> float:
        """The value towards ±infinity: far out, and infinite where it still grows there."""
        near, far = self.at(np.asarray([sign * 1e100, sign * 1e200])).low
        if abs(far) < abs(near) / 4:  # 1/|z|, say
            return 0.0
        return float(far) if not abs(far) > 4 * abs(near) + 4 else float(np.copysign(np.inf, far))

    def _block(self, z: np.ndarray, moved: int) -> np.ndarray:
        out = np.full((3, len(z)), np.nan)
        left = np.arange(len(z))
        for bits in LADDER:
            if len(left) == 0:
                break
            found = self._attempt(z[left], moved, bits)
            for place, f in zip(left, found, strict=True):
                if f is not None:
                    out[:, place] = f
            left = left[[f is None for f in found]]
        return out

    def _attempt(self, z: np.ndarray, moved: int, bits: int) -> list[Found | None]:
        before, ctx.prec = ctx.prec, bits
        try:
            points = [_shifted(float(v), moved) for v in z]
            if not self.derivative:
                return [_value(v) for v in self._run(points, bits)]
            steps = [abs(p) * arb(2) ** -STEP if not p.is_zero() else arb(2) ** (NOTHING - 8) for p in points]
            quotients = []
            for s in (steps, [4 * h for h in steps]):
                up = self._run([p + h for p, h in zip(points, s, strict=True)], bits)
                down = self._run([p - h for p, h in zip(points, s, strict=True)], bits)
                middle = self._run(points, bits)
                quotients.append([((m - d) / h, (u - m) / h) for u, m, d, h in zip(up, middle, down, s, strict=True)])
            return [_slope(near, far) for near, far in zip(*quotients, strict=True)]
        except FAILED:
            if len(z) == 1:
                return [None]
            return [f for v in z for f in self._attempt(np.asarray([v]), moved, bits)]
        finally:
            ctx.prec = before

    def _run(self, points: Sequence[Any], bits: int) -> np.ndarray:
        if bits not in self._linked:
            self._linked[bits] = self._program.link(ball(bits))
        padded = np.empty(BLOCK, object)
        padded[:] = [*points, *[points[-1]] * (BLOCK - len(points))]
        (out,) = self._linked[bits]({}, [padded])
        return np.asarray(out).reshape(-1)[: len(points)]


def _shifted(v: float, moved: int) -> arb:
    if not moved:
        return arb(v)
    with np.errstate(over="ignore"):
        towards = float(np.nextafter(v, moved * np.inf))
    return (arb(v) + arb(towards)) / 2 if np.isfinite(towards) else arb(v)


def _value(x: arb) -> Found | None:
    if not x.is_finite():
        return None
    size, radius = abs(x).upper(), x.rad()
    if radius > size * arb(2) ** -DIGITS and size > arb(2) ** NOTHING:
        return None
    middle = float(x.mid())
    rest = float((x - arb(middle)).mid()) if np.isfinite(middle) else 0.0
    return middle, middle, rest


def _slope(near: tuple[arb, arb], far: tuple[arb, arb]) -> Found | None:
    """The derivative, or at a kink the two: a jump that does not shrink with the step.

    ``near`` and ``far`` are the quotients to the left and to the right, with one step and with four; together they give
    the one-sided derivatives to the second order.
    """
    left, right = ((4 * n - f) / 3 for n, f in zip(near, far, strict=True))
    jump, wide = abs(right - left), abs(far[1] - far[0])
    if not (jump.is_finite() and wide.is_finite()):
        return None
    if jump > (abs(left) + abs(right)) * arb(2) ** -20 and jump > wide / 2:
        sides = _value(left), _value(right)
        if sides[0] is None or sides[1] is None:
            return None
        return min(sides[0][0], sides[1][0]), max(sides[0][0], sides[1][0]), 0.0
    return _value((left + right) / 2)
