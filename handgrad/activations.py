r"""Activations: the scalar functions ``σ`` of a network, and their derivatives, written by hand.

Applied entry by entry, an activation has the differential ``d σ(z) = σ'(z) ⊙ dz``; the work is in ``σ'``.
Each function below is the derivative of the ``jax.nn`` function above it, in a form that neither cancels nor
overflows:

- exponentials only of negative numbers, ``e = exp(-|z|)``, and the other half line by the symmetry of ``σ``;
- bfloat16 and float16 are computed in float32 and rounded once;
- at ±inf the limit, NaN for NaN, at a kink the value that ``jax.grad`` takes, which lies between the slopes.

Shapes: any; the output has the shape and dtype of ``z``. Sources: the papers that name each function; the
values are those of ``jax.nn``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import jax.numpy as jnp
from jax import nn
from jax.scipy.special import erfc
from jaxtyping import Array, Float

from handgrad.claims import at_most, equal_to, jvp_of

__all__ = ["ACTIVATIONS", "Activation", "activation_named"]

Z = Float[Array, "..."]


@dataclass(frozen=True)
class Activation:
    """An element-wise function: its value, and ``slope``, the hand-written derivative at a finite, wide
    ``z``."""

    name: str
    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]

    def apply(self, z: Z) -> Z:
        """``σ(z)``."""
        return self.value(z)

    def derivative(self, z: Z) -> Z:
        """``σ'(z)``."""
        z = jnp.asarray(z)
        if not jnp.issubdtype(z.dtype, jnp.floating):
            z = z.astype(jnp.result_type(float))
        info = jnp.finfo(z.dtype)
        wide = z if info.bits >= 32 else z.astype(jnp.float32)
        far = float(jnp.finfo(wide.dtype).max) / 16  # where every slope has reached its limit at ±inf
        slope = self.slope(jnp.clip(wide, -far, far))
        return jnp.where(jnp.isnan(wide), wide, slope).astype(z.dtype)

    def differential(self, z: Z, dz: Z) -> Z:
        """``σ'(z) ⊙ dz``."""
        return self.derivative(z) * dz


_TABLE: dict[str, Activation] = {}


def activation(value: Callable[..., Array]) -> Callable[[Callable[[Array], Array]], Activation]:
    """Enter a hand-written slope in the table, under its own name, and claim it to be the derivative of
    ``value``."""

    def enter(slope: Callable[[Array], Array]) -> Activation:
        entry = _TABLE[slope.__name__] = Activation(slope.__name__, value, slope)
        jvp_of(entry.apply, wrt="z", name=f"{entry.name}_differential")(entry.differential)
        return entry

    return enter


# --- Piecewise linear -------------------------------------------------------------------------------------


@activation(nn.identity)
def identity(z: Z) -> Z:
    """1."""
    return jnp.ones_like(z)


@activation(nn.relu)
def relu(z: Z) -> Z:
    """1 where ``z > 0``, else 0."""
    return _one_where(z > 0, z)


@activation(nn.relu6)
def relu6(z: Z) -> Z:
    """1 between 0 and 6."""
    return _one_where((z > 0) & (z < 6), z)


@activation(nn.leaky_relu)
def leaky_relu(z: Z) -> Z:
    """1 where ``z ≥ 0``, else the leak, 1/100."""
    return jnp.where(z >= 0, 1.0, jnp.full_like(z, 0.01))


@activation(nn.hard_tanh)
def hard_tanh(z: Z) -> Z:
    """1 where ``|z| ≤ 1``."""
    return _one_where(jnp.abs(z) <= 1, z)


@activation(nn.hard_sigmoid)
def hard_sigmoid(z: Z) -> Z:
    """``relu6(z + 3) / 6``: 1/6 where ``|z| < 3``."""
    return _one_where(jnp.abs(z) < 3, z) / 6


@activation(nn.sparse_sigmoid)
def sparse_sigmoid(z: Z) -> Z:
    """``(z + 1) / 2`` clipped to [0, 1]: 1/2 where ``|z| < 1``, and half of that at the two corners."""
    return (1 + jnp.sign(1 - jnp.abs(z))) / 4


# --- Piecewise smooth -------------------------------------------------------------------------------------


@activation(nn.hard_silu)
def hard_silu(z: Z) -> Z:
    """``z hard_sigmoid(z)``: ``(2z + 3) / 6`` where ``|z| < 3``, else the step."""
    return jnp.where(jnp.abs(z) < 3, (2 * z + 3) / 6, _one_where(z > 0, z))


@activation(nn.sparse_plus)
def sparse_plus(z: Z) -> Z:
    """``(z + 1)²/4`` between 0 and z: its slope is ``(z + 1)/2``, clipped to [0, 1]."""
    return jnp.where(jnp.abs(z) < 1, (z + 1) / 2, _one_where(z > 0, z))


@activation(nn.elu)
def elu(z: Z) -> Z:
    """``exp(z) - 1`` below zero: ``exp(z)`` there, and 1 above."""
    return jnp.exp(jnp.where(z > 0, 0, z))


@activation(nn.celu)
def celu(z: Z) -> Z:
    """As ``elu``: the two agree at α = 1."""
    return jnp.exp(jnp.where(z > 0, 0, z))


@activation(nn.selu)
def selu(z: Z) -> Z:
    """``λ`` times an ``elu`` with ``α``, the fixed point of which has mean 0 and variance 1."""
    scale, alpha = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
    return jnp.where(z > 0, scale, scale * alpha * jnp.exp(jnp.where(z > 0, 0, z)))


@activation(nn.soft_sign)
def soft_sign(z: Z) -> Z:
    """``z / (1 + |z|)``: ``1 / (1 + |z|)²``, squared last so that it underflows rather than overflows."""
    r = 1 / (1 + jnp.abs(z))
    return r * r


# --- The logistic family: e = exp(-|z|) -------------------------------------------------------------------


@activation(nn.sigmoid)
def sigmoid(z: Z) -> Z:
    """``σ' = σ(z) σ(-z) = e / (1 + e)²``, an even function: ``1 - σ`` would round to 0."""
    e = jnp.exp(-_size(z))
    return e / ((1 + e) * (1 + e))


@activation(nn.tanh)
def tanh(z: Z) -> Z:
    """``tanh z = 2σ(2z) - 1``, so ``tanh' = 4σ'(2z)``, which is ``sech²``; ``1 - tanh²`` would round to 0."""
    e = jnp.exp(-2 * _size(z))
    return 4 * e / ((1 + e) * (1 + e))


@activation(nn.softplus)
def softplus(z: Z) -> Z:
    """``log(1 + exp z)' = σ(z)``."""
    return _logistic(z)


@activation(nn.log_sigmoid)
def log_sigmoid(z: Z) -> Z:
    """``log σ(z) = -softplus(-z)``, so the slope is ``σ(-z)``."""
    return _logistic(-z)


@activation(nn.silu)
def silu(z: Z) -> Z:
    """``(z σ)' = σ + z σ σ(-z)``; over the common denominator, below zero ``e (1 + e + z) / (1 + e)²``.

    Above zero, ``silu(z) - silu(-z) = z`` gives ``silu'(z) = 1 - silu'(-z) = (1 + e (1 + z)) / (1 + e)²``.
    """
    e = jnp.exp(-_size(z))
    return jnp.where(z < 0, e * (1 + e + z), 1 + e * (1 + z)) / ((1 + e) * (1 + e))


@activation(nn.mish)
def mish(z: Z) -> Z:
    """``z tanh(softplus z) = z t`` with ``w = exp z``, ``t = w (w + 2) / d`` and ``d = w² + 2w + 2``.

    Since ``dt = 4 w (w + 1) / d² dz``, the slope is ``(w (w + 2) d + 4 z w (w + 1)) / d²``. Above zero
    everything is divided by ``w⁴``, so that only ``e = 1 / w`` appears.
    """
    e = jnp.exp(-_size(z))
    d_below, d_above = 2 + e * (2 + e), 1 + 2 * e * (1 + e)
    below = e * ((e + 2) * d_below + 4 * z * (1 + e)) / (d_below * d_below)
    above = ((1 + 2 * e) * d_above + 4 * z * (e * e) * (1 + e)) / (d_above * d_above)
    return jnp.where(z < 0, below, above)


@activation(partial(nn.gelu, approximate=True))
def gelu_tanh(z: Z) -> Z:
    """``z (1 + tanh u)/2 = z σ(2u)`` with ``u = √(2/π) (z + 0.044715 z³)``: as ``silu``, with ``z 2u'``
    for ``z``."""
    c, k = math.sqrt(2 / math.pi), 0.044715
    z = jnp.clip(z, -100, 100)  # beyond, the slope is 0 or 1 in every precision, and z⁴ would overflow
    e = jnp.exp(-2 * c * _size(z) * (1 + k * z * z))
    t = 2 * c * z * (1 + 3 * k * z * z)
    return jnp.where(z < 0, e * (1 + e + t), 1 + e * (1 + t)) / ((1 + e) * (1 + e))


# --- Others -----------------------------------------------------------------------------------------------


@activation(partial(nn.gelu, approximate=False))
def gelu(z: Z) -> Z:
    """``(z Φ)' = Φ(z) + z φ(z)``, with the normal distribution ``Φ`` from ``erfc``, whose tail keeps its
    digits."""
    density = jnp.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    return erfc(-z / math.sqrt(2)) / 2 + z * density


@activation(nn.squareplus)
def squareplus(z: Z) -> Z:
    """``(z + √(z² + 4))/2``. With ``h = |z|/2`` and ``r = √(1 + h²)`` the slope is ``(r ± h) / 2r``.

    Below zero ``r - h = 1 / (r + h)``, without the cancellation; above, one minus that.
    """
    h = _size(z) / 2
    r = jnp.sqrt(1 + h * h)
    below = 0.5 / (r * (r + h))
    return jnp.where(z < 0, below, 1 - below)


def _one_where(condition: Array, like: Array) -> Array:
    return condition.astype(like.dtype)


def _size(z: Array) -> Array:
    """``|z|``, with the slope 1 at zero, so that a formula for ``z ≥ 0`` has the right slope there too."""
    return jnp.where(z < 0, -z, z)


def _logistic(z: Array) -> Array:
    """``1 / (1 + e)`` above zero and ``e / (1 + e)`` below."""
    e = jnp.exp(-_size(z))
    return jnp.where(z < 0, e, 1) / (1 + e)


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
