r"""Activations: the scalar functions ``σ`` of a network, and their derivatives, written by hand.

Applied entry by entry, an activation has the differential ``d σ(z) = σ'(z) ⊙ dz``; the work is in ``σ'``. Each
function below is the derivative of the ``jax.nn`` function named above it, right over the whole floating-point axis:

- Of the two half lines the one where the slope is small is computed, with ``x = |z|`` and ``e = exp(-x)``; the other
  follows from a symmetry, mostly ``σ'(z) + σ'(-z) = 1``.
- ``exp`` flushes to zero while its product with ``x`` does not: ``E = 2⁴⁰ exp(-x)`` is taken (``handgrad.exponential``)
  and the factor ``T = 2⁻⁴⁰`` put where it costs nothing.
- Near zero such a slope is ``1/2 + z S(z²)`` with a polynomial ``S`` (``handgrad.polynomials``).
- One exponential and one division each, no float64; roundings are few, and small where they count: at the roots of
  gelu', silu' and mish', and where a slope lies just above a power of two.
- At ±inf the limit; NaN for NaN; at a kink the value that
  ``jax.grad`` takes, which lies between the slopes.

The values are those of ``jax.nn`` or, where these lose digits, of ``handgrad.activation_values``.

Shapes: any; the output has the shape and dtype of ``z``. Sources: the papers that name each function. ``verify sweep``
measures the errors (``reports/activations``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import jax.numpy as jnp
from jax import Array, nn
from jax.lax import rsqrt

from handgrad import activation_values as values
from handgrad.activation_values import (
    ALPHA,
    GELU_RANGE,
    GELU_TANH_RANGE,
    SCALE,
    C,
    K,
    capped,
    gelu_tanh_exp,
    normal_exp,
    size,
)
from handgrad.claims import at_most, equal_to, jvp_of
from handgrad.elementwise import Activation, Function, Z
from handgrad.exponential import T, scaled_exp
from handgrad.polynomials import (
    GELU,
    GELU_AT_ROOT,
    GELU_ROOT,
    GELU_TAIL,
    GELU_TANH,
    MISH,
    SILU,
    of_dtype,
    polynomial,
)

__all__ = ["ACTIVATIONS", "Activation", "activation_named"]

FAR, SHIFT = 80.0, 16.0
"""From ``exp(-FAR)`` on, other exponentials are scaled by ``exp(SHIFT)``: they flush to zero at -87 and -708."""

_TABLE: dict[str, Activation] = {}


def activation(
    value: Function, curvature: Function | None = None, accurate: Function | None = None
) -> Callable[[Function], Activation]:
    """Enter a hand-written slope in the table, under its own name, and claim it to be the derivative of ``value``; of a
    value by hand, that it is ``value``."""

    def enter(slope: Function) -> Activation:
        entry = _TABLE[slope.__name__] = Activation(slope.__name__, value, slope, curvature, accurate)
        jvp_of(entry.apply, wrt="z", name=f"{entry.name}_differential")(entry.differential)
        if accurate is not None:
            equal_to(entry.apply, name=f"{entry.name}_value")(entry.__call__)
        return entry

    return enter


# --- Piecewise linear -------------------------------------------------------------------------------------


@activation(nn.identity)
def identity(z: Z) -> Z:
    """1. For the NaN of a NaN every ``z`` is read, which ``jax.grad`` need not do."""
    return _unless_nan(z, jnp.ones_like(z))


@activation(nn.relu)
def relu(z: Z) -> Z:
    """1 where ``z > 0``, else 0."""
    return _unless_nan(z, jnp.where(z > 0, 1.0, 0.0))


@activation(nn.relu6)
def relu6(z: Z) -> Z:
    """1 between 0 and 6."""
    return _unless_nan(z, jnp.where((z > 0) & (z < 6), 1.0, 0.0))


@activation(nn.leaky_relu)
def leaky_relu(z: Z) -> Z:
    """1 where ``z ≥ 0``, else the leak, 1/100."""
    return _unless_nan(z, jnp.where(z >= 0, 1.0, 0.01))


@activation(nn.hard_tanh)
def hard_tanh(z: Z) -> Z:
    """1 where ``|z| ≤ 1``."""
    return _unless_nan(z, jnp.where(jnp.abs(z) <= 1, 1.0, 0.0))


@activation(nn.hard_sigmoid)
def hard_sigmoid(z: Z) -> Z:
    """``relu6(z + 3) / 6``: 1/6 where ``|z| < 3``."""
    return _unless_nan(z, jnp.where(jnp.abs(z) < 3, 1 / 6, 0.0))


@activation(nn.sparse_sigmoid)
def sparse_sigmoid(z: Z) -> Z:
    """``(z + 1) / 2`` clipped to [0, 1]: 1/2 where ``|z| < 1``, and half of that at the two corners."""
    x = jnp.abs(z)
    return _unless_nan(z, jnp.where(x < 1, 0.5, jnp.where(x == 1, 0.25, 0.0)))


# --- Piecewise smooth -------------------------------------------------------------------------------------


@activation(nn.hard_silu, lambda z: jnp.where(jnp.abs(z) < 3, jnp.full_like(z, 1 / 3), 0.0), values.hard_silu)
def hard_silu(z: Z) -> Z:
    """``z hard_sigmoid(z)``: ``(2z + 3) / 6`` where ``|z| < 3``, else the step."""
    return jnp.where(jnp.abs(z) >= 3, jnp.where(z > 0, 1.0, 0.0), (2 * z + 3) * (1 / 6))


@activation(nn.sparse_plus, lambda z: jnp.where(jnp.abs(z) < 1, jnp.full_like(z, 0.5), 0.0))
def sparse_plus(z: Z) -> Z:
    """``(z + 1)²/4`` between 0 and z: its slope is ``(z + 1)/2``, clipped to [0, 1]."""
    return jnp.clip(0.5 + 0.5 * z, 0.0, 1.0)


def _elu_curvature(z: Array) -> Array:
    return jnp.where(z > 0, 0.0, jnp.exp(jnp.minimum(z, 0.0)))


@activation(nn.elu, _elu_curvature, values.elu)
def elu(z: Z) -> Z:
    """``exp(z) - 1`` below zero: ``exp(z)`` there, and 1 above."""
    return jnp.exp(jnp.minimum(z, 0.0))


@activation(nn.celu, _elu_curvature, values.elu)
def celu(z: Z) -> Z:
    """As ``elu``: the two agree at α = 1."""
    return jnp.exp(jnp.minimum(z, 0.0))


@activation(nn.selu, lambda z: SCALE * ALPHA * _elu_curvature(z), values.selu)
def selu(z: Z) -> Z:
    """``λ`` times an ``elu`` with ``α``: ``λ α exp(z)`` below zero, ``λ`` above."""
    far = z < -FAR
    factor = jnp.where(far, SCALE * ALPHA * math.exp(-SHIFT), SCALE * ALPHA)
    return jnp.where(z > 0, SCALE, factor * jnp.exp(jnp.minimum(z, 0.0) + jnp.where(far, SHIFT, 0.0)))


@activation(nn.soft_sign, lambda z: -2 * jnp.sign(z) / (1 + jnp.abs(z)) ** 3, values.soft_sign)
def soft_sign(z: Z) -> Z:
    """``z / (1 + |z|)``: ``1 / (1 + |z|)²``; where the square overflows, the slope underflows."""
    x = jnp.abs(z)
    return 1 / (1 + x * (2 + x))


# --- The logistic family ----------------------------------------------------------------------------------


def _sigmoid_curvature(z: Array) -> Array:
    """``σ'' = σ' (1 - 2σ)``, an odd function."""
    x, e = jnp.abs(z), jnp.exp(-jnp.abs(z))
    return jnp.where(x == z, -1.0, 1.0) * e * (1 - e) / (1 + e) ** 3


@activation(nn.sigmoid, _sigmoid_curvature)
def sigmoid(z: Z) -> Z:
    """``σ' = σ(z) σ(-z) = e / (1 + e)²``, an even function: ``1 - σ`` would round to 0."""
    e = jnp.exp(-jnp.abs(z))
    return e / (1 + e * (2 + e))


@activation(nn.tanh, lambda z: 8 * _sigmoid_curvature(2 * z), values.tanh)
def tanh(z: Z) -> Z:
    """``tanh z = 2σ(2z) - 1``, so ``tanh' = 4σ'(2z)``, which is ``sech²``; ``1 - tanh²`` would round to 0."""
    E = scaled_exp(size(2 * z))
    return E / (0.25 / T + E * (0.5 + 0.25 * T * E))


@activation(nn.softplus, sigmoid.slope)
def softplus(z: Z) -> Z:
    """``log(1 + exp z)' = σ(z)``."""
    return 1 / (1 + jnp.exp(-z))


@activation(nn.log_sigmoid, lambda z: -sigmoid.slope(z))
def log_sigmoid(z: Z) -> Z:
    """``log σ(z) = -softplus(-z)``, so the slope is ``σ(-z)``."""
    return 1 / (1 + jnp.exp(z))


def _silu_curvature(z: Array) -> Array:
    """``σ' (2 + z (1 - 2σ))``, an even function."""
    x = jnp.minimum(jnp.abs(z), 1000.0)
    e = jnp.exp(-x)
    return e * (2 - x * (1 - e) / (1 + e)) / (1 + e) ** 2


@activation(nn.silu, _silu_curvature, values.silu)
def silu(z: Z) -> Z:
    """``(z σ)' = σ + z σ σ(-z)``; over the common denominator, below zero ``e (1 - x + e) / (1 + e)²``."""
    x = size(z)
    E = scaled_exp(x)
    below = E * ((1 - x) + T * E) / (1 + E * (2 * T + T * T * E))
    return jnp.where(x < 0.6, 0.5 + z * polynomial(x * x, SILU), _of_both_signs(z, below))


def _mish_curvature(z: Array) -> Array:
    """With ``τ = tanh(softplus z) = 1 - 2/d``: ``2τ' + z τ''``."""
    y = jnp.clip(z, -1000.0, 20.0)
    w = jnp.exp(y)
    m, r = w * (w + 1), 1 / (2 + w * (w + 2))
    return (8 * m + 4 * y * (w * (2 * w + 1) - 4 * m * (m * r))) * r * r


@activation(nn.mish, _mish_curvature, values.mish)
def mish(z: Z) -> Z:
    """``z tanh(softplus z) = z (1 - 2/d)`` with ``w = exp z`` and ``d = w² + 2w + 2``.

    The slope is ``1 - 2/d + 4 z w (w + 1)/d²``. Over the common denominator ``d²`` its numerator is
    ``w (4(1 + z) + w (6 + 4z + w (4 + w)))``, and that of one minus it ``4 + w (4(1 - z) + w (2 - 4z))``.
    """
    y, far = jnp.clip(z, -1000.0, 22.0), z < -FAR
    w = jnp.exp(y + jnp.where(far, SHIFT, 0.0))
    below = w * (4 * (1 + y) + w * ((6 + 4 * y) + w * (4 + w)))
    above = 4 + w * (4 * (1 - y) + w * (2 - 4 * y))
    square = 4 + w * (8 + w * (8 + w * (4 + w)))
    part = jnp.where(z < 0, below, above) / jnp.where(far, 4 * math.exp(SHIFT), square)
    slope = jnp.where(z < 0, part, 1 - part)
    return jnp.where(jnp.abs(z + 0.175) < 0.775, polynomial(z + 0.5, MISH), slope)


# --- The normal family ------------------------------------------------------------------------------------


def _gelu_tanh_curvature(z: Array) -> Array:
    """``σ'(u) (2u' + z u'' + z u'² (1 - 2σ(u)))``, an even function."""
    x = jnp.minimum(jnp.abs(z), 24.0)
    v = x * x
    e, du = jnp.exp(-C * x * (1 + K * v)), C * (1 + 3 * K * v)
    return e * (2 * du + 6 * C * K * v - x * du * du * (1 - e) / (1 + e)) / (1 + e) ** 2


@activation(partial(nn.gelu, approximate=True), _gelu_tanh_curvature, values.gelu_tanh)
def gelu_tanh(z: Z) -> Z:
    """``z (1 + tanh(u/2))/2 = z σ(u)``: as ``silu``, with ``t = x u'`` for ``x``: ``e (1 - t + e) / (1 + e)²``.

    Of ``1 - t`` the larger part, ``1 - 2x``, is exact. The denominator is ``1 + m``, of which ``1 - m/(1 + m)`` is the
    reciprocal, its error small where ``m`` is.
    """
    x = capped(jnp.abs(z), of_dtype(*GELU_TANH_RANGE, z))
    v, E = x * x, gelu_tanh_exp(x)
    e = T * E
    numerator = E * (1 - 2 * x) + E * (e + x * ((2 - C) - 3 * C * K * v))
    m = e * (2 + e)
    below = numerator - numerator * (m / (1 + m))
    return jnp.where(x < 0.5, 0.5 + z * polynomial(v, GELU_TANH), _of_both_signs(z, below))


def _gelu_curvature(z: Array) -> Array:
    """``φ(z) (2 - z²)``."""
    v = jnp.minimum(jnp.abs(z), 40.0) ** 2
    return jnp.exp(-v / 2) * ((2 - v) / math.sqrt(2 * math.pi))


@activation(partial(nn.gelu, approximate=False), _gelu_curvature, values.gelu)
def gelu(z: Z) -> Z:
    """``(z Φ)' = Φ(z) + z φ(z)``. Below zero ``Φ(-x) = φ(x) m(x)`` with Mills' ratio ``m``, so that the slope is
    ``φ(x) (m(x) - x)``: the second factor, with its root split off, is a polynomial in ``(x - k)/(x + k)``."""
    x = capped(jnp.abs(z), of_dtype(*GELU_RANGE, z))
    k = of_dtype(4.5, 5.0, x)
    tail = polynomial(1 - (2 * k) / (x + k), GELU_TAIL)
    below = ((x - of_dtype(*GELU_ROOT, x)) * tail + of_dtype(*GELU_AT_ROOT, x)) * normal_exp(x)
    return jnp.where(x < 0.5, 0.5 + z * polynomial(x * x, GELU), _of_both_signs(z, below))


# --- Algebraic --------------------------------------------------------------------------------------------


@activation(nn.squareplus, lambda z: 2 * rsqrt(4 + jnp.minimum(jnp.abs(z), 1e12) ** 2) ** 3, values.squareplus)
def squareplus(z: Z) -> Z:
    """``(z + r)/2`` with ``r = √(z² + 4)``: ``(1 + z/r)/2``, below zero ``2 / (r² + x r)``: nothing cancels.

    With 15/16 of ``x`` and of ``r``: near zero sums just below a power of two round less than those just above.
    """
    x = jnp.abs(z) * 0.9375
    square = 4 * 0.9375**2 + x * x
    below = (2 * 0.9375**2) / (square + x * jnp.sqrt(square))
    return jnp.where(z < 0, below, 1 - below)


def _unless_nan(z: Array, slope: Array | float) -> Array:
    return jnp.where(jnp.isnan(z), z, slope)


def _of_both_signs(z: Array, below: Array) -> Array:
    """A slope with ``σ'(z) + σ'(-z) = 1``, of which ``T below`` is that at ``-|z|``."""
    return jnp.where(z < 0, 0.0, 1.0) + jnp.where(z < 0, T, -T) * below


ACTIVATIONS: Mapping[str, Activation] = MappingProxyType(_TABLE)
"""By name; the names are those of ``jax.nn``, with ``gelu`` the exact one and ``gelu_tanh`` its
approximation."""


def activation_named(name: str | Activation) -> Activation:
    """Look an activation up; an ``Activation`` is returned as it is. Raises ``ValueError`` for an
    unknown name."""
    if isinstance(name, Activation):
        return name
    if name not in ACTIVATIONS:
        raise ValueError(f"handgrad: there is no activation {name!r}; wanted one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


# --- A few that say more ----------------------------------------------------------------------------------


def sigmoid_of_twice(z: Z) -> Z:
    """``2σ(2z) - 1``."""
    return 2 * nn.sigmoid(2 * z) - 1


@equal_to(sigmoid_of_twice)
def tanh_as_sigmoid(z: Z) -> Z:
    """``tanh`` is a sigmoid, stretched."""
    return jnp.tanh(z)


@at_most(nn.softplus)
def relu_below_softplus(x: Z) -> Z:
    """``max(0, x) ≤ log(1 + exp x)``."""
    return nn.relu(x)
