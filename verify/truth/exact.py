"""Exact inputs: a case's values as balls, with the constraints of their domains satisfied in high precision.

A float32 simplex sums to one only to 1e-7, and a hand-written formula may rely on the sum; so the formula is judged
where the constraint holds to the working precision.
"""

from __future__ import annotations

import numpy as np
from flint import arb, ctx

from verify.cells.comparison import as_wide
from verify.drawing.cases import Case
from verify.programs.arithmetic import wide
from verify.programs.ball import ball
from verify.tracing.trace import Traced
from verify.truth.oracle import BITS, to_balls, to_floats


def exact_inputs(case: Case, bits: int = BITS) -> list[np.ndarray]:
    """The leaves of the arguments in ball arithmetic; integers and booleans as they are."""
    before = ctx.prec
    ctx.prec = bits
    try:
        return [
            _constrained(to_balls(v), leaf.domain.kind) if v.dtype.kind not in "iub" else v
            for v, leaf in zip(case.values, case.structure.leaves, strict=True)
        ]
    finally:
        ctx.prec = before


def _constrained(x: np.ndarray, kind: str) -> np.ndarray:
    if kind == "simplex" and x.ndim:
        total = np.sum(x, axis=-1, keepdims=True)
        return np.asarray(x / total, dtype=object)
    if kind == "orthogonal":
        return _orthogonal(x)
    return x


def _orthogonal(x: np.ndarray) -> np.ndarray:
    """Newton's iteration Q <- Q (3 I - Q^T Q) / 2 doubles the digits of orthogonality."""
    n = x.shape[-1]
    identity = np.array([[arb(3 * (i == j)) for j in range(n)] for i in range(n)], dtype=object)
    for _ in range(5):
        x = np.asarray(x @ (identity - np.swapaxes(x, -1, -2) @ x) * arb(0.5), dtype=object)
    midpoint = np.frompyfunc(lambda b: b.mid(), 1, 1)
    return np.asarray(midpoint(x), dtype=object)


def hand_exactly(traced: Traced, case: Case) -> tuple[np.ndarray, ...] | None:
    """The hand-written function's exact value at a case, rounded to float64; None if it cannot be had."""
    if traced.engine == "jax":
        return None
    before = ctx.prec
    ctx.prec = BITS
    try:
        inputs = [*exact_inputs(case), *(to_balls(v) for v in case.extra)]
        found = traced.hand.link(ball(BITS))(case.dims, inputs)
        return tuple(to_floats(x) if x.dtype == object else as_wide(x) for x in found)
    except Exception:  # an operation without a ball form, or an undecided branch
        pass
    finally:
        ctx.prec = before
    try:
        extended = [
            v if v.dtype.kind in "iub" else v.astype(np.clongdouble if v.dtype.kind == "c" else np.longdouble)
            for v in (*case.values, *case.extra)
        ]
        return tuple(as_wide(x) for x in traced.hand.link(wide(np.longdouble))(case.dims, extended))
    except Exception:
        return None
