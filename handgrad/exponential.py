r"""``exp(-x)``, and that minus one, times a power of two: for activations, not zero before their slopes are.

In float32 by hand: with ``n`` the integer next to ``x / log 2`` and ``r = x - n log 2`` it is ``2⁻ⁿ exp(-r)``, the
second factor a polynomial, ``1 - r + r² q(r)``, and the first put together from its bits. XLA's own, written alike,
clips and selects more.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
from jax import Array
from jax.lax import bitcast_convert_type
from jaxtyping import Array as AnyArray
from jaxtyping import Float

from handgrad.polynomials import EXP, polynomial

__all__ = ["RANGE", "T", "scaled_exp", "scaled_exp2", "scaled_expm1"]

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


EXP2 = tuple(c * math.log(2) ** (k + 2) for k, c in enumerate(EXP[0]))
"""``2⁻ʳ = 1 - r log 2 + r² q(r)``, its ``q``."""


def scaled_exp(x: X, lost: Array | float = 0.0, times: Array | None = None) -> Array:
    """``2⁴⁰ exp(-(x + lost))``, for ``x`` from -80 to 112 (760 in float64) and a small ``lost``; NaN for NaN.

    ``times`` a factor, it is rounded as often as without.
    """
    if x.dtype != jnp.float32:
        far = x > 600.0
        e = jnp.exp(jnp.where(far, 28.0, 0.0) - x) * jnp.where(far, math.exp(-28) / T, 1 / T)
        e = e - e * lost
        return e if times is None else times * e
    r, power = _reduced(x, lost)
    return _of_parts(polynomial(r, EXP) * r - 1, r, power, times)


def scaled_expm1(x: X) -> Array:
    """``2⁴⁰ (exp(-x) - 1)``, likewise, for ``x`` from 0 on, with all its digits where ``x`` is small."""
    if x.dtype != jnp.float32:  # XLA's own is off by 2.7 ulp
        return jnp.where(x < 0.7, (polynomial(x, EXP) * x) * x - x, jnp.exp(-x) - 1) / T
    r, power = _reduced(x)
    return ((polynomial(r, EXP) * r) * r - r) * power + (power - 1 / T)


def scaled_exp2(x: X, rest: Array, times: Array | None = None) -> Array:
    """``2⁴⁰ 2^-(x + rest)``, for a sum up to 160 (1090 in float64).

    In float32 that sum is never rounded: what it is beyond an integer is ``(x - n) + rest``, the difference exact.
    """
    if x.dtype != jnp.float32:
        rounded = x + rest
        return scaled_exp(math.log(2) * rounded, math.log(2) * ((x - rounded) + rest), times)
    minus_n, power = _integer(x + rest)
    r = (x + minus_n) + rest
    return _of_parts(polynomial(r, (EXP2, EXP2)) * r - math.log(2), r, power, times)


def _of_parts(beyond: Array, r: Array, power: Array, times: Array | None) -> Array:
    if times is None:
        return (beyond * r + 1) * power
    whole = times * power
    return beyond * r * whole + whole


def _reduced(x: Array, lost: Array | float = 0.0) -> tuple[Array, Array]:
    """``r`` and ``2⁴⁰⁻ⁿ``."""
    minus_n, power = _integer(x * (1 / sum(LOG2)))
    return minus_n * LOG2[1] + (minus_n * LOG2[0] + x) + lost, power


def _integer(y: Array) -> tuple[Array, Array]:
    """``-n`` and ``2⁴⁰⁻ⁿ``, with ``n`` the integer next to ``y``.

    Not ``(y + ROUND) - ROUND``: XLA takes that for ``y``.
    """
    rounded = y + ROUND
    bits = bitcast_convert_type(rounded, jnp.int32) << PLACE
    return ROUND - rounded, bitcast_convert_type(jnp.int32(BIAS + SCALE << PLACE) - bits, jnp.float32)
