r"""Softmax and the normalisations: maps that look at a whole vector at once.

As the field writes them, these work along the *last* axis: a feature vector is a row here, and every
leading axis is a batch. (The losses, in ``handgrad.losses``, keep the column convention.)

A softmax ``s = softmax(x)`` has ``ds = s ⊙ (dx - ⟨s, dx⟩)``, where ``⟨·,·⟩`` is the inner product along the
axis: the matrix ``diag(s) - s sᵀ``, symmetric, so that the VJP is the same map. A normalisation
``x̂ = x / scale`` removes from ``dx`` what its constraints hold fixed, and again the map is symmetric.

Sources: Ba, Kiros and Hinton, *Layer normalization* (2016); Zhang and Sennrich, *Root mean square layer
normalization* (2019).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad.claims import at_most, equal_to, gradient_of, hvp_of, jvp_of, vjp_of

__all__ = [
    "deviation",
    "layer_norm",
    "layer_norm_vjp",
    "log_softmax",
    "log_softmax_vjp",
    "logsumexp",
    "logsumexp_gradient",
    "rms_norm",
    "rms_norm_vjp",
    "softmax",
    "softmax_differential",
    "softmax_vjp",
]

Rows = Float[Array, "*batch n"]


def _mean(u: Rows) -> Float[Array, "*batch 1"]:
    return jnp.mean(u, axis=-1, keepdims=True)


def deviation(s: Float[Array, "*shape"], u: Float[Array, "*shape"], axis: int = -1) -> Float[Array, "*shape"]:
    """``u - ⟨s, u⟩`` for probabilities ``s``: how far each entry is above the mean under ``s``.

    A shift of ``u`` changes nothing. Where ``s`` is almost one-hot, ``u`` is measured from its value at the
    entry that has more than half, so that the difference keeps its digits.
    """
    u = u - jnp.sum(jnp.where(s > 0.5, u, 0), axis, keepdims=True)
    return u - jnp.sum(s * u, axis, keepdims=True)


# --- Softmax ----------------------------------------------------------------------------------------------


def softmax(x: Rows) -> Rows:
    """``s = exp(x) / Σ exp(x)`` along the last axis."""
    return jax.nn.softmax(x, axis=-1)


@jvp_of(softmax, wrt="x")
def softmax_differential(x: Rows, *, dx: Rows) -> Rows:
    """From ``log s = x - logsumexp(x)``: ``ds = s ⊙ (dx - ⟨s, dx⟩)``, the deviation of ``dx`` from its
    mean under ``s``."""
    s = softmax(x)
    return s * deviation(s, dx)


@vjp_of(softmax, wrt="x")
def softmax_vjp(x: Rows, *, cotangent: Rows) -> Rows:
    """``diag(s) - s sᵀ`` is symmetric: the same map."""
    s = softmax(x)
    return s * deviation(s, cotangent)


def log_softmax(x: Rows) -> Rows:
    """``x - logsumexp(x)``."""
    return jax.nn.log_softmax(x, axis=-1)


@jvp_of(log_softmax, wrt="x")
def log_softmax_differential(x: Rows, *, dx: Rows) -> Rows:
    """``d log s = dx - ⟨s, dx⟩``."""
    return dx - jnp.sum(softmax(x) * dx, axis=-1, keepdims=True)


@vjp_of(log_softmax, wrt="x")
def log_softmax_vjp(x: Rows, *, cotangent: Rows) -> Rows:
    """``⟨c, dx - ⟨s, dx⟩⟩ = ⟨c - ⟨1, c⟩ s, dx⟩``: this map is not symmetric."""
    return cotangent - jnp.sum(cotangent, axis=-1, keepdims=True) * softmax(x)


# --- Logsumexp --------------------------------------------------------------------------------------------


def logsumexp(x: Float[Array, "n"]) -> Float[Array, ""]:
    """``log Σ exp(x)``: a smooth maximum."""
    return jax.scipy.special.logsumexp(x)


@gradient_of(logsumexp, wrt="x")
def logsumexp_gradient(x: Float[Array, "n"]) -> Float[Array, "n"]:
    """``d log Σ exp(x) = Σ exp(x) dx / Σ exp(x)``: the gradient is the softmax."""
    return softmax(x)


@hvp_of(logsumexp, wrt="x")
def logsumexp_hessian_product(x: Float[Array, "n"], *, dx: Float[Array, "n"]) -> Float[Array, "n"]:
    """The differential of the gradient is that of the softmax."""
    return softmax_differential(x, dx=dx)


@at_most(logsumexp)
def maximum_below_logsumexp(x: Float[Array, "n"]) -> Float[Array, ""]:
    """``max x ≤ log Σ exp(x)``: the other exponentials are positive."""
    return jnp.max(x)


# --- Layer norm -------------------------------------------------------------------------------------------


def standardise(x: Rows) -> Rows:
    """``x̂ = (x - mean x) / √(var x + ε)`` along the last axis, with ``ε = 1e-5`` and the variance over
    ``n``."""
    centred = x - _mean(x)
    return centred * jax.lax.rsqrt(_mean(centred * centred) + 1e-5)


def _unit_differential(c: Rows, dc: Rows, epsilon: float) -> Rows:
    """``d(r c)`` for ``r = 1 / √(mean c² + ε)``: ``r dc + dr c`` with
    ``dr = -r mean(c ⊙ dc) / (mean c² + ε)``.

    The map from ``dc`` is ``r I`` plus a multiple of ``c cᵀ``: symmetric, and so its own transpose.
    """
    square = _mean(c * c) + epsilon
    r = jax.lax.rsqrt(square)
    return r * dc - r / square * _mean(c * dc) * c


@jvp_of(standardise, wrt="x")
def standardise_differential(x: Rows, *, dx: Rows) -> Rows:
    """Centre, then scale: with ``P u = u - mean u``, ``c = P x`` and ``dc = P dx``, the differential of
    ``r c``."""
    return _unit_differential(x - _mean(x), dx - _mean(dx), 1e-5)


@vjp_of(standardise, wrt="x")
def standardise_vjp(x: Rows, *, cotangent: Rows) -> Rows:
    """The transpose takes the two steps in the other order, each symmetric: scale, then centre."""
    scaled = _unit_differential(x - _mean(x), cotangent, 1e-5)
    return scaled - _mean(scaled)


def layer_norm(x: Rows, gain: Float[Array, "n"], bias: Float[Array, "n"]) -> Rows:
    """``gain ⊙ x̂ + bias``, for each row."""
    shape = (1,) * (x.ndim - 1) + (-1,)
    return standardise(x) * gain.reshape(shape) + bias.reshape(shape)


@vjp_of(layer_norm, wrt=("x", "gain", "bias"))
def layer_norm_vjp(
    x: Rows, gain: Float[Array, "n"], bias: Float[Array, "n"], *, cotangent: Rows
) -> tuple[Rows, Float[Array, "n"], Float[Array, "n"]]:
    """Into ``x`` through ``gain ⊙ C``; ``gain`` and ``bias`` saw every row, so theirs are sums over rows."""
    rows = tuple(range(x.ndim - 1))
    scaled = cotangent * gain.reshape((1,) * len(rows) + (-1,))
    in_gain = jnp.sum(cotangent * standardise(x), axis=rows)
    return standardise_vjp(x, cotangent=scaled), in_gain, jnp.sum(cotangent, axis=rows)


# --- Root mean square norm --------------------------------------------------------------------------------


def rms_norm(x: Rows, gain: Float[Array, "n"]) -> Rows:
    """``gain ⊙ x / √(mean x² + ε)`` along the last axis, with ``ε = 1e-6``."""
    return x * jax.lax.rsqrt(_mean(x * x) + 1e-6) * gain.reshape((1,) * (x.ndim - 1) + (-1,))


@vjp_of(rms_norm, wrt=("x", "gain"))
def rms_norm_vjp(x: Rows, gain: Float[Array, "n"], *, cotangent: Rows) -> tuple[Rows, Float[Array, "n"]]:
    """As layer norm without the centring, applied to ``gain ⊙ C``."""
    rows = tuple(range(x.ndim - 1))
    unit = x * jax.lax.rsqrt(_mean(x * x) + 1e-6)
    scaled = cotangent * gain.reshape((1,) * len(rows) + (-1,))
    return _unit_differential(x, scaled, 1e-6), jnp.sum(cotangent * unit, axis=rows)


@equal_to(standardise)
def standardise_as_rms(x: Rows) -> Rows:
    """Layer norm is the root mean square norm of the centred row."""
    centred = x - _mean(x)
    return centred / jnp.sqrt(_mean(centred * centred) + 1e-5)
