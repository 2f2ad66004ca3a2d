r"""``exp(-x)``, and that minus one, times a power of two: for activations, not zero before their slopes are.

In float32 by hand: with ``n`` the integer next to ``x / log 2`` and ``r = n log 2 - x`` it is ``2⁻ⁿ exp(r)``, the
second factor a polynomial and the first put together from its bits. XLA's own, written alike, clips and selects more.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
from jax import Array
from jax.lax import bitcast_convert_type
from jaxtyping import Array as AnyArray
from jaxtyping import Float

from handgrad.polynomials import EXP

__all__ = ["RANGE", "T", "scaled_exp", "scaled_expm1"]

SCALE = 40
T = 2.0**-SCALE
"""``T scaled_exp(x)`` is ``exp(-x)``."""

RANGE = (110.0, 760.0)
"""From here on ``x exp(-x)`` is smaller than any number but zero, in float32 and in float64."""

X = Float[AnyArray, "..."]
LOG2 = (0.693359375, -2.12194440054690583e-4)
"""``log 2`` in two parts: the product of the first with a small integer is exact."""
ROUND = 1.5 * 2**23
"""Added to a small number, it leaves that rounded to an integer in the lowest bits."""
BIAS, PLACE = 127, 23
"""Of the exponent of a float32, and where its bits begin."""


def scaled_exp(x: X, lost: Array | float = 0.0) -> Array:
    """``2⁴⁰ exp(-(x + lost))``, for ``x`` from 0 to 112 (760 in float64) and a small ``lost``; NaN for NaN."""
    if x.dtype != jnp.float32:
        far = x > 600.0
        e = jnp.exp(jnp.where(far, 28.0, 0.0) - x) * jnp.where(far, math.exp(-28) / T, 1 / T)
        return e - e * lost
    r, beyond_one, power = _factors(x, lost)
    return (beyond_one * r + 1) * power


def scaled_expm1(x: X, lost: Array | float = 0.0) -> Array:
    """``2⁴⁰ (exp(-(x + lost)) - 1)``, likewise, with all its digits where ``x`` is small."""
    if x.dtype != jnp.float32:
        e = jnp.expm1(-x) / T
        return e - (e + 1 / T) * lost
    r, beyond_one, power = _factors(x, lost)
    return beyond_one * r * power + (power - 1 / T)


def _factors(x: Array, lost: Array | float) -> tuple[Array, Array, Array]:
    """``r``, ``(exp(r) - 1)/r`` and ``2⁴⁰⁻ⁿ``."""
    bits = bitcast_convert_type(x * (1 / sum(LOG2)) + ROUND, jnp.int32)
    n = (bits - bitcast_convert_type(jnp.float32(ROUND), jnp.int32)).astype(jnp.float32)
    r = n * LOG2[1] + (n * LOG2[0] - x) - lost
    *others, second, last = EXP
    p = last * r + second
    for c in reversed(others):
        p = p * r + c
    return r, p, bitcast_convert_type(jnp.int32(BIAS + SCALE << PLACE) - (bits << PLACE), jnp.float32)
