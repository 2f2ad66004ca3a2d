"""The oracle: true derivatives from difference quotients of the primal, independent of automatic differentiation.

In ball arithmetic at some 500 bits a step of 2**-100 leaves neither truncation nor rounding error to speak of, so
a difference quotient *is* the derivative, one-sided derivatives show a kink, and every value carries a proven
radius. Where an operation has no ball form, extended precision and Richardson extrapolation stand in, with an error
estimate instead of a proof.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from flint import arb, ctx

from verify.drawing.cases import Case
from verify.programs.arithmetic import wide
from verify.programs.ball import ball
from verify.programs.ball_functions import to_ball
from verify.tracing.trace import Traced

BITS = 512
"""Working precision; what cannot be decided there is tried again with four times as many."""
COARSE, FINE = 70, 100
"""Binary exponents of the two steps, relative to the scale of the input; more by half of the bits beyond ``BITS``."""


@dataclass(frozen=True)
class Truth:
    """Derivatives along one direction, entry by entry, in float64: ``value`` to within ``error``.

    Where ``kink`` is set, ``left`` and ``right`` are the two one-sided derivatives and differ. ``exact`` keeps
    the balls themselves for comparisons finer than float64.
    """

    value: np.ndarray
    error: np.ndarray
    left: np.ndarray
    right: np.ndarray
    kink: np.ndarray
    exact: np.ndarray | None = None


class Stops:
    """``stop_gradient`` as an author means it: near by, a stopped value is what it was at the point itself."""

    def __init__(self) -> None:
        self.recorded = False
        self._values: list[Any] = []
        self._next = 0

    def rewind(self) -> None:
        self._next = 0

    def __call__(self, x: Any) -> Any:
        if not self.recorded:
            self._values.append(x)
            return x
        self._next += 1
        kept = self._values[self._next - 1] if self._next <= len(self._values) else x
        return kept if np.shape(kept) == np.shape(x) else x


Direction = list[tuple[int, np.ndarray, np.ndarray]]
"""Of every leaf that moves, the entries that move and by how much."""


class Oracle:
    """Values and derivatives of a claim's primal at one case."""

    most_turns: int | None = None
    """After so many turns a loop is given up."""

    def __init__(
        self,
        traced: Traced,
        relation: str,
        case: Case,
        bits: int | None = BITS,
        width: Any = np.longdouble,
        stopping: bool = False,
    ):
        self.relation, self.case, self.traced = relation, case, traced
        self.bits, self.exact = bits, bits is not None
        self.width = np.dtype(width or np.longdouble)
        arithmetic = ball(bits) if bits is not None else wide(self.width)
        self._stops = Stops() if stopping else None
        if self._stops is not None:
            arithmetic.stopped = self._stops
        arithmetic.most_turns = self.most_turns
        self._program = traced.primal.link(arithmetic)
        self.inputs = [self._number(v) for v in case.values]
        self.extra = [self._number(v) for v in case.extra]

    def _number(self, x: np.ndarray) -> np.ndarray:
        if x.dtype.kind in "iub":
            return x
        if self.exact:
            return to_balls(x)
        return x.astype(np.result_type(self.width, np.complex64) if x.dtype.kind == "c" else self.width)

    def value(self) -> tuple[np.ndarray, ...]:
        """The primal at the case."""
        return self.run(self.case.dims, self.inputs)

    def run(self, dims: Mapping[str, int], inputs: Sequence[Any]) -> tuple[np.ndarray, ...]:
        """The primal near the case."""
        if self._stops is None:
            return self._program(dims, inputs)
        if not self._stops.recorded:
            self._program(self.case.dims, self.inputs)
            self._stops.recorded = True
        self._stops.rewind()
        return self._program(dims, inputs)

    def entry(self, leaf: int, at: tuple[int, ...], imaginary: bool = False) -> Truth:
        """The derivative of <cotangent, f> with respect to one entry of one input leaf."""
        unit = np.zeros(self.case.values[leaf].shape, dtype=complex if imaginary else float)
        unit[at] = 1j if imaginary else 1.0
        x = abs(complex(np.asarray(self.case.values[leaf])[at]))
        return self._along(self._moving({leaf: unit}), self._limited(x) or self.smallest([leaf]), contracted=True)

    def tangent(self, wrt: Sequence[int]) -> list[Truth]:
        """The directional derivative of every output along the case's tangents."""
        directions = dict(zip(wrt, self.case.extra, strict=True))
        scale = self._scale(directions)
        return self._each_output(directions, scale)

    def second(self, wrt: Sequence[int], leaf: int, at: tuple[int, ...]) -> Truth:
        """The derivative, with respect to one entry, of the directional derivative along the tangents."""
        directions = dict(zip(wrt, self.case.extra, strict=True))
        unit = np.zeros(self.case.values[leaf].shape)
        unit[at] = 1.0
        x = self._limited(abs(float(np.asarray(self.case.values[leaf], np.float64)[at]))) or self.smallest([leaf])

        def slope(t: Any, step: Any) -> np.ndarray:
            up, down = (self._at(self._shifted((spot, t), (along_tangents, s))) for s in (step, -step))
            return (up - down) / (2 * step)

        spot, along_tangents = self._direction({leaf: unit}), self._direction(directions)
        if not self.exact:
            inner = self._step(self._scale(directions), 14)
            return self._along(lambda t: slope(t, inner), x, contracted=True)
        coarse, fine = self._steps(self._scale(directions))
        found = self._along(lambda t: slope(t, fine), x, contracted=True)
        other = self._along(lambda t: slope(t, coarse), x, contracted=True)
        along = self._along(self._moving(directions), self._scale(directions), contracted=True)
        error = found.error + np.abs(found.value - other.value)
        value = np.where(along.kink, np.inf, found.value)  # without a first derivative there is no second
        return replace(found, value=value, error=error, kink=found.kink & ~along.kink)

    # --- the line through the case ----------------------------------------------------------------------

    def _moving(self, directions: Mapping[int, np.ndarray]) -> Callable[[Any], np.ndarray]:
        direction = self._direction(directions)
        return lambda t: self._at(self._shifted((direction, t)))

    def _direction(self, directions: Mapping[int, np.ndarray]) -> Direction:
        """What moves, leaf by leaf, as numbers of this arithmetic."""
        found = []
        for leaf, v in directions.items():
            flat = np.asarray(v).reshape(-1)
            at = np.flatnonzero(flat)
            found.append((leaf, at, self._number(flat[at])))
        return found

    def _at(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        return self._contract(self.run(self.case.dims, inputs))

    def _shifted(self, *steps: tuple[Direction, Any]) -> list[np.ndarray]:
        moved = list(self.inputs)
        for direction, step in steps:
            for leaf, at, numbers in direction:
                flat = moved[leaf].flatten()
                flat[at] = flat[at] + step * numbers
                moved[leaf] = flat.reshape(moved[leaf].shape)
        return moved

    def _contract(self, outputs: Sequence[np.ndarray]) -> np.ndarray:
        """<cotangent, outputs>: without a cotangent the one scalar output."""
        if not self.extra or self.relation in ("hvp", "jvp", "custom_jvp"):
            return np.asarray(outputs[0])
        moving = [o for o in outputs if o.dtype.kind not in "iub"]
        total = sum((np.sum(c * o) for c, o in zip(self.extra, moving, strict=True)), start=0)
        return np.asarray(getattr(total, "real", total) if self._is_complex() else total)

    def _is_complex(self) -> bool:
        return any(v.dtype.kind == "c" for v in (*self.case.values, *self.case.extra))

    def _each_output(self, directions: Mapping[int, np.ndarray], scale: float) -> list[Truth]:
        direction = self._direction(directions)

        def outputs(t: Any) -> np.ndarray:
            out = self.run(self.case.dims, self._shifted((direction, t)))
            return np.concatenate([np.asarray(o).reshape(-1) for o in out])

        whole = self._along(outputs, scale, contracted=False)
        found, start = [], 0
        for o in self.value():
            part = slice(start, start + o.size)
            start += o.size
            fields = [getattr(whole, f) for f in ("value", "error", "left", "right", "kink", "exact")]
            found.append(Truth(*(None if f is None else f[part].reshape(o.shape) for f in fields)))  # type: ignore[arg-type]
        return found

    def smallest(self, leaves: Sequence[int]) -> float:
        magnitudes = np.concatenate(
            [np.abs(np.asarray(self.case.values[i]).astype(complex)).reshape(-1) for i in leaves]
        )
        magnitudes = magnitudes[magnitudes > 0]
        return float(min(1.0, magnitudes.min())) if magnitudes.size else 1.0

    def _scale(self, directions: Mapping[int, np.ndarray]) -> float:
        """A step of this scale moves no entry by more than its own size."""
        scale = np.inf
        for leaf, v in directions.items():
            x = self._limited(np.abs(np.asarray(self.case.values[leaf]).astype(complex)))
            v = np.abs(np.asarray(v).astype(complex))
            moving = v > 0
            if moving.any():
                floor = self.smallest([leaf])
                scale = min(scale, float((np.where(x > 0, x, floor)[moving] / v[moving]).min()))
        return scale if np.isfinite(scale) and scale > 0 else 1.0

    def _limited(self, x: Any) -> Any:
        """Exactly, no step is longer than those at 1: a sine at 1e120 has its period all the same."""
        return np.minimum(x, 1.0) if self.exact else x

    def _step(self, scale: float, bits: int) -> Any:
        return arb(scale) * arb(2) ** -bits if self.exact else self.width.type(scale * 2.0**-bits)

    def _steps(self, scale: float) -> tuple[Any, Any]:
        """The two steps, coarse and fine, of exact arithmetic."""
        assert self.bits is not None
        further = (self.bits - BITS) // 2
        return self._step(scale, COARSE + further), self._step(scale, FINE + further)

    def _along(self, line: Callable[[Any], np.ndarray], scale: float, contracted: bool) -> Truth:
        return self._along_exact(line, scale) if self.exact else self._along_extended(line, scale)

    def _along_exact(self, line: Callable[[Any], np.ndarray], scale: float) -> Truth:
        before = ctx.prec
        assert self.bits is not None
        ctx.prec = self.bits
        try:
            coarse, fine = self._steps(scale)
            middle = line(arb(0))
            sides = {}
            for step in (coarse, fine):
                up, down = line(step), line(-step)
                sides[step is fine] = ((up - middle) / step, (middle - down) / step, (up - down) / (2 * step))
            right, left, centre = sides[True]
            right0, left0, centre0 = sides[False]
            jump, jump0 = magnitude(right - left), magnitude(right0 - left0)
            size = magnitude(centre) + magnitude(right)
            # A jump that does not shrink with the step is a kink; a smooth function's shrinks in proportion.
            certain = jump > 4 * (radius(right) + radius(left))
            kink = certain & (jump > 2.0**-60 * size) & (jump > 2.0 ** -((FINE - COARSE) / 2) * jump0)
            wild = np.zeros(np.shape(centre), bool)  # grows as the step shrinks: no finite derivative
            for now, then in ((right, right0), (left, left0), (centre, centre0)):
                # A logarithm grows by its share only, and grows all the same: a derivative would have settled.
                drift = magnitude(now - then)
                growing = (magnitude(now) > magnitude(then)) & (drift > 2.0**-10 * magnitude(now) + 2.0**-40)
                wild = wild | (growing & (drift > 4 * (radius(now) + radius(then))))
            value = to_floats(centre)
            value = np.where(np.isfinite(value) & ~wild, value, np.inf)
            kink = kink & ~wild
            error = radius(centre) + magnitude(centre - centre0)
            return Truth(value, error, to_floats(left), to_floats(right), kink, np.asarray(centre, dtype=object))
        finally:
            ctx.prec = before

    def _size(self) -> float:
        """What the rounding errors of a value are proportional to: sums may cancel, their errors do not."""
        outputs = [o for o in self.value() if o.dtype.kind in "fc"]
        weights = self.extra if len(self.extra) == len(outputs) else [np.ones(()) for _ in outputs]
        sizes = [np.abs(o).max(initial=0.0) * np.sum(np.abs(w)) for o, w in zip(outputs, weights, strict=True)]
        return float(sum(s for s in sizes if np.isfinite(s)))

    def _along_extended(self, line: Callable[[Any], np.ndarray], scale: float) -> Truth:
        middle = np.asarray(line(self.width.type(0)))
        steps = [self._step(scale, k) for k in (6, 9, 12, 15, 18)]
        ups, downs = [np.asarray(line(s)) for s in steps], [np.asarray(line(-s)) for s in steps]
        centres = [(u - d) / (2 * s) for u, d, s in zip(ups, downs, steps, strict=True)]
        better = [(64 * b - a) / 63 for a, b in pairwise(centres)]
        gaps = np.stack([np.abs(b - a) for a, b in pairwise(better)])
        gaps = np.where(np.isfinite(gaps), gaps, np.inf)
        best = np.argmin(gaps, axis=0)
        value = np.choose(best, np.stack(better[1:]))
        eps = np.finfo(self.width).eps
        noise = self._size() * eps / np.array(steps)
        error = 4 * np.min(gaps, axis=0) + eps * np.abs(value) + noise[2:][best]
        right, left = (ups[-1] - middle) / steps[-1], (middle - downs[-1]) / steps[-1]
        jump = np.abs(right - left)
        jump0 = np.abs((ups[1] - middle) / steps[1] - (middle - downs[1]) / steps[1])
        kink = (jump > 2.0**-4 * jump0) & (jump > 2.0**-10 * (np.abs(right) + np.abs(left))) & (jump > 8 * noise[-1])
        numbers = [np.asarray(a, np.float64) for a in (value, error, left, right)]
        return Truth(numbers[0], numbers[1], numbers[2], numbers[3], np.asarray(kink))


def to_balls(x: np.ndarray) -> np.ndarray:
    """Exact balls of a floating array."""
    return np.asarray(_TO_BALLS(np.asarray(x)), dtype=object).reshape(np.shape(x))


_TO_BALLS = np.frompyfunc(to_ball, 1, 1)


def _elementwise(function: Callable[[Any], Any], dtype: Any = np.float64) -> Callable[[Any], np.ndarray]:
    vectorised = np.frompyfunc(function, 1, 1)
    return lambda x: np.asarray(vectorised(np.asarray(x, dtype=object)), dtype=dtype)


def _magnitude(x: Any) -> float:
    size = abs(x)
    size = size if isinstance(size, arb) else arb(size)
    return float(size.mid()) if size.is_finite() else float("inf")


def _float(x: Any) -> complex:
    if hasattr(x, "imag") and not isinstance(x, arb | float | int):
        return complex(float(x.real.mid()), float(x.imag.mid()))
    x = x if isinstance(x, arb) else arb(x)
    if x.is_nan():
        return float("nan")
    return float(x.mid()) if x.is_finite() else float("inf")


def _radius(x: Any) -> float:
    if hasattr(x, "imag") and not isinstance(x, arb | float | int):
        return float(x.real.rad()) + float(x.imag.rad())
    return float(x.rad()) if isinstance(x, arb) else 0.0


magnitude = _elementwise(_magnitude)
radius = _elementwise(_radius)


def to_floats(x: np.ndarray) -> np.ndarray:
    """The midpoints of balls, in float64 or complex128."""
    out = np.asarray(np.frompyfunc(_float, 1, 1)(np.asarray(x, dtype=object)))
    complex_valued = any(isinstance(v, complex) for v in out.reshape(-1))
    return out.astype(np.complex128 if complex_valued else np.float64)
