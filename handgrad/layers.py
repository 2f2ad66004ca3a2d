r"""Layers in the column convention: ``Z = W A + b 1ᵀ``, one data point a column, then an activation.

Source: the product rule of ``handgrad.matrices``, and ``b 1ᵀ`` transposed: ``tr(Cᵀ db 1ᵀ) = (C 1)ᵀ db``.
Chained, they are the long product of which ``handgrad.backpropagation`` is the cheap evaluation.
"""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad.activations import activation_named
from handgrad.claims import equal_to, gradient_of, jvp_of, vjp_of
from handgrad.matrices import matmul

__all__ = [
    "layer",
    "layer_differential",
    "layer_vjp",
    "linear",
    "linear_batch",
    "linear_batch_differential",
    "linear_batch_vjp",
    "linear_differential",
    "linear_vjp",
]

# --- One column -------------------------------------------------------------------------------------------


def linear(W: Float[Array, "m n"], a: Float[Array, "n"], b: Float[Array, "m"]) -> Float[Array, "m"]:
    """``z = W a + b``."""
    return W @ a + b


@jvp_of(linear, wrt=("W", "a", "b"))
def linear_differential(
    W: Float[Array, "m n"],
    a: Float[Array, "n"],
    b: Float[Array, "m"],
    *,
    dW: Float[Array, "m n"],
    da: Float[Array, "n"],
    db: Float[Array, "m"],
) -> Float[Array, "m"]:
    """``dz = dW a + W da + db``."""
    return dW @ a + W @ da + db


@vjp_of(linear, wrt=("W", "a", "b"))
def linear_vjp(
    W: Float[Array, "m n"], a: Float[Array, "n"], b: Float[Array, "m"], *, cotangent: Float[Array, "m"]
) -> tuple[Float[Array, "m n"], Float[Array, "n"], Float[Array, "m"]]:
    """``cᵀ dW a = tr((c aᵀ)ᵀ dW)`` and ``cᵀ W da = (Wᵀ c)ᵀ da``."""
    return jnp.outer(cotangent, a), W.T @ cotangent, cotangent


# --- A batch ----------------------------------------------------------------------------------------------


def linear_batch(W: Float[Array, "m n"], A: Float[Array, "n N"], b: Float[Array, "m"]) -> Float[Array, "m N"]:
    """``Z = W A + b 1ᵀ``: the bias is added to every column."""
    return W @ A + b[:, None]


@equal_to(linear_batch)
def linear_batch_homogeneous(
    W: Float[Array, "m n"], A: Float[Array, "n N"], b: Float[Array, "m"]
) -> Float[Array, "m N"]:
    """The bias is a weight on a feature that is always one: ``[W b] [A; 1ᵀ]``."""
    ones = jnp.ones_like(A[:1])
    return jnp.concatenate([W, b[:, None]], axis=1) @ jnp.concatenate([A, ones], axis=0)


@jvp_of(linear_batch, wrt=("W", "A", "b"))
def linear_batch_differential(
    W: Float[Array, "m n"],
    A: Float[Array, "n N"],
    b: Float[Array, "m"],
    *,
    dW: Float[Array, "m n"],
    dA: Float[Array, "n N"],
    db: Float[Array, "m"],
) -> Float[Array, "m N"]:
    """``dZ = dW A + W dA + db 1ᵀ``."""
    return dW @ A + W @ dA + db[:, None]


@vjp_of(linear_batch, wrt=("W", "A", "b"))
def linear_batch_vjp(
    W: Float[Array, "m n"], A: Float[Array, "n N"], b: Float[Array, "m"], *, cotangent: Float[Array, "m N"]
) -> tuple[Float[Array, "m n"], Float[Array, "n N"], Float[Array, "m"]]:
    """``C Aᵀ``, ``Wᵀ C`` and ``C 1``: the bias saw every column, so its cotangent sums over them."""
    return matmul(cotangent, A.T), matmul(W.T, cotangent), jnp.sum(cotangent, axis=1)


def weight_gradient(C: Float[Array, "m N"], A: Float[Array, "n N"]) -> Float[Array, "m n"]:
    """``C Aᵀ``: the cotangent of ``W``."""
    return C @ A.T


@equal_to(weight_gradient)
def weight_gradient_by_columns(C: Float[Array, "m N"], A: Float[Array, "n N"]) -> Float[Array, "m n"]:
    """``C Aᵀ`` is the sum of the outer products of the columns: a batch adds up its points' gradients."""
    return jnp.sum(C[:, None, :] * A[None, :, :], axis=2)


# --- With an activation -----------------------------------------------------------------------------------


# Enough to tell a right rule from a wrong one; random networks try every activation.
Smooth = Literal["tanh", "softplus", "gelu"]


def total(z: Float[Array, "m N"], activation: Smooth) -> Float[Array, ""]:
    """``tr(1ᵀ σ(z))``, a scalar to take the gradient of."""
    return jnp.sum(activation_named(activation).apply(z))


@gradient_of(total, wrt="z")
def total_gradient(z: Float[Array, "m N"], activation: Smooth) -> Float[Array, "m N"]:
    """``tr(1ᵀ (σ'(z) ⊙ dz)) = tr(σ'(z)ᵀ dz)``."""
    return activation_named(activation).derivative(z)


def layer_activation(z: Float[Array, "m N"], activation: Smooth) -> Float[Array, "m N"]:
    """``a = σ(z)``."""
    return activation_named(activation).apply(z)


@vjp_of(layer_activation, wrt="z")
def layer_activation_vjp(
    z: Float[Array, "m N"], activation: Smooth, *, cotangent: Float[Array, "m N"]
) -> Float[Array, "m N"]:
    """``tr(Cᵀ (σ'(z) ⊙ dz)) = tr((C ⊙ σ'(z))ᵀ dz)``: a diagonal map is its own transpose."""
    return activation_named(activation).derivative(z) * cotangent


def layer(
    W: Float[Array, "m n"], a: Float[Array, "n N"], b: Float[Array, "m"], activation: Smooth
) -> Float[Array, "m N"]:
    """``σ(W a + b)``."""
    return activation_named(activation).apply(W @ a + b[:, None])


@jvp_of(layer, wrt=("W", "a", "b"))
def layer_differential(
    W: Float[Array, "m n"],
    a: Float[Array, "n N"],
    b: Float[Array, "m"],
    activation: Smooth,
    *,
    dW: Float[Array, "m n"],
    da: Float[Array, "n N"],
    db: Float[Array, "m"],
) -> Float[Array, "m N"]:
    """``da_l = σ'(z) ⊙ (dW a + W da + db)``."""
    z = W @ a + b[:, None]
    return activation_named(activation).derivative(z) * (dW @ a + W @ da + db[:, None])


@vjp_of(layer, wrt=("W", "a", "b"))
def layer_vjp(
    W: Float[Array, "m n"],
    a: Float[Array, "n N"],
    b: Float[Array, "m"],
    activation: Smooth,
    *,
    cotangent: Float[Array, "m N"],
) -> tuple[Float[Array, "m n"], Float[Array, "n N"], Float[Array, "m"]]:
    """One step of the recursion: ``δ = σ'(z) ⊙ g``, then ``δ aᵀ``, ``Wᵀ δ`` and ``δ 1``."""
    delta = activation_named(activation).derivative(W @ a + b[:, None]) * cotangent
    return matmul(delta, a.T), matmul(W.T, delta), jnp.sum(delta, axis=1)


# --- The long product -------------------------------------------------------------------------------------


def two_layers(
    W1: Float[Array, "k n"],
    b1: Float[Array, "k"],
    W2: Float[Array, "m k"],
    b2: Float[Array, "m"],
    x: Float[Array, "n"],
) -> Float[Array, "m"]:
    """``tanh(W2 tanh(W1 x + b1) + b2)``."""
    return jnp.tanh(W2 @ jnp.tanh(W1 @ x + b1) + b2)


@jvp_of(two_layers, wrt=("W1", "b1"))
def long_product(
    W1: Float[Array, "k n"],
    b1: Float[Array, "k"],
    W2: Float[Array, "m k"],
    b2: Float[Array, "m"],
    x: Float[Array, "n"],
    *,
    dW1: Float[Array, "k n"],
    db1: Float[Array, "k"],
) -> Float[Array, "m"]:
    """``da_2 = A_2 W_2 A_1 (dW_1 x + db_1)``, with the diagonal matrices written out."""
    slope = activation_named("tanh").derivative
    z1 = W1 @ x + b1
    A1, A2 = jnp.diag(slope(z1)), jnp.diag(slope(W2 @ jnp.tanh(z1) + b2))
    return A2 @ (W2 @ (A1 @ (dW1 @ x + db1)))


@vjp_of(two_layers, wrt=("W1", "b1", "W2", "b2"))
def two_layers_vjp(
    W1: Float[Array, "k n"],
    b1: Float[Array, "k"],
    W2: Float[Array, "m k"],
    b2: Float[Array, "m"],
    x: Float[Array, "n"],
    *,
    cotangent: Float[Array, "m"],
) -> tuple[Float[Array, "k n"], Float[Array, "k"], Float[Array, "m k"], Float[Array, "m"]]:
    """``δ_2 = σ'(z_2) ⊙ g`` and ``δ_1 = σ'(z_1) ⊙ W_2ᵀ δ_2``: the recursion, unrolled."""
    slope = activation_named("tanh").derivative
    z1 = W1 @ x + b1
    a1 = jnp.tanh(z1)
    delta2 = slope(W2 @ a1 + b2) * cotangent
    delta1 = slope(z1) * matmul(W2.T, delta2)
    return jnp.outer(delta1, x), delta1, jnp.outer(delta2, a1), delta2
