r"""Activations: values by hand, where those of ``jax.nn`` lose digits.

``jax.nn``'s silu, gelu_tanh, gelu and mish lose all of them below zero, squareplus too, and overflows; soft_sign and
hard_silu are NaN at infinity; XLA's ``expm1`` and ``tanh`` are up to five ulp off in float32. Here ``x = |z|``, and
``T E = exp(-x)`` is the exponential of the slope (``handgrad.activations``), so that the two share it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax.numpy as jnp
from jax import Array, nn
from jax.lax import bitcast_convert_type

from handgrad.exponential import RANGE, T, scaled_exp, scaled_exp2, scaled_expm1
from handgrad.polynomials import NORMAL, NORMAL_TAIL, of_dtype, polynomial


def capped(x: Array, largest: float) -> Array:
    """``min(x, largest)``, as one instruction, and NaN for NaN."""
    return jnp.where(x > largest, largest, x)


def floored(x: Array, smallest: float) -> Array:
    """``max(x, smallest)``, likewise."""
    return jnp.where(x < smallest, smallest, x)


def size(z: Array) -> Array:
    """``|z|`` as far as ``exp(-|z|)`` matters."""
    return capped(jnp.abs(z), of_dtype(*RANGE, z))


def hard_silu(z: Array) -> Array:
    return jnp.where(z <= -3, 0.0, z * nn.hard_sigmoid(z))


SCALE, ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
"""With these ``selu`` keeps mean 0 and variance 1."""


def elu(z: Array) -> Array:
    return jnp.where(z > 0, z, T * scaled_expm1(size(z)))


def selu(z: Array) -> Array:
    return jnp.where(z > 0, SCALE * z, (SCALE * ALPHA * T) * scaled_expm1(size(z)))


def soft_sign(z: Array) -> Array:
    z = floored(capped(z, 2.0**60), -(2.0**60))
    return z / (1 + jnp.abs(z))


def tanh(z: Array) -> Array:
    """With ``m = exp(-2|z|) - 1``: ``m / (2 + m)``, of the other sign."""
    m = scaled_expm1(size(2 * z))
    return jnp.where(z < 0, 1.0, -1.0) * (m / (2 / T + m))


def _times_sigmoid(y: Array, exp: Callable[[Array | None], Array]) -> Array:
    """``y σ(u)`` where ``exp`` gives ``exp(-|u|)``, scaled and times a number, and ``u`` has the sign of ``y``.

    ``1/(1 + e)`` is taken as ``1 - e/(1 + e)``: the smaller ``e``, the less its roundings count.
    """
    e = T * exp(None)
    part = jnp.where(y < 0, T * exp(y), y)
    return part - capped(part, RANGE[1]) * (e / (1 + e))  # ∞ times 0 would be NaN


def silu(z: Array) -> Array:
    return _times_sigmoid(floored(z, -of_dtype(*RANGE, z)), lambda times: scaled_exp(size(z), times=times))


def mish(z: Array) -> Array:
    """``z m/d`` with ``w = exp z``, ``m = w (w + 2)`` and ``d = m + 2``: as ``z (1 - 2/d)``, and further below zero,
    where ``m`` is small, as ``z m/2 (1 - m/d)``. (One quotient, used once: else XLA keeps it in memory.)"""
    y, below = capped(floored(z, -of_dtype(*RANGE, z)), 40.0), z < -0.5
    w = T * scaled_exp(-y)
    m = w * (2 + w)
    part = jnp.where(below, T * (scaled_exp(-y, times=y) * (1 + 0.5 * w)), z)
    return part - capped(part, 40.0) * (jnp.where(below, m, 2.0) / (2 + m))


C, K = 2 * math.sqrt(2 / math.pi), 0.044715
"""``gelu_tanh z = z σ(u)`` with ``u = C (z + K z³)``."""
GELU_TANH_RANGE, GELU_RANGE = (11.0, 21.9), (14.8, 39.0)
"""From here on the two gelus, of minus that, and their slopes are smaller than any number but zero."""


def gelu_tanh_exp(x: Array, times: Array | None = None) -> Array:
    """``exp(-u)``, scaled; of ``u`` in units of ``log 2`` the larger part, ``2x``, is exact."""
    return scaled_exp2(2 * x, x * ((C / math.log(2) - 2) + (C * K / math.log(2)) * (x * x)), times)


def gelu_tanh(z: Array) -> Array:
    most = of_dtype(*GELU_TANH_RANGE, z)
    return _times_sigmoid(floored(z, -most), lambda times: gelu_tanh_exp(capped(jnp.abs(z), most), times))


def normal_exp(x: Array) -> Array:
    """``exp(-x²/2)``, scaled; in float32 with all digits of ``x²``: the square of 12 bits of ``x`` is exact."""
    if x.dtype != jnp.float32:
        return scaled_exp(0.5 * (x * x))
    high = bitcast_convert_type(bitcast_convert_type(x, jnp.int32) & ~0xFFF, jnp.float32)
    return scaled_exp(0.5 * (high * high), 0.5 * ((x - high) * (x + high)))


def gelu(z: Array) -> Array:
    """``z Φ(z)``; ``Φ(-x) exp(x²/2)`` is a polynomial in ``t = (x - 3)/(x + 3)``, and for
    small ``x`` ``(Φ(x) - 1/2)/x`` one in ``x²``."""
    x, above = capped(jnp.abs(z), of_dtype(*GELU_RANGE, z)), z > 0
    t = (1.4375 * x - 1.6875) / (x + 3) - 0.4375  # most accurate beside x = 1.2, where the slope vanishes
    tail = polynomial(t, NORMAL_TAIL) * normal_exp(x)
    tail = jnp.where(x < 0.5, 0.5 / T - x * (polynomial(x * x, NORMAL) / T), tail)
    y = floored(z, -of_dtype(*GELU_RANGE, z))
    return y * jnp.where(above, 1 - T * tail, tail) * jnp.where(above, 1.0, T)


def squareplus(z: Array) -> Array:
    """``s = (x + r)/2`` above zero and ``1/s`` below; as for the slope with 15/16 of ``x`` and ``r``."""
    x = jnp.abs(z) * 0.9375
    s = 0.5 * x + jnp.where(x > 2.0**60, 0.5 * x, 0.5 * jnp.sqrt(4 * 0.9375**2 + x * x))
    below = z < 0
    return jnp.where(below, 0.9375, s) / jnp.where(below, s, 0.9375)
