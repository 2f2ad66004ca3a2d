r"""Linear layers in the column convention: ``Z = W A + b 1ᵀ``, one data point a column.

Source: the product rule of ``handgrad.matrices``, and ``b 1ᵀ`` transposed: ``tr(Cᵀ db 1ᵀ) = (C 1)ᵀ db``.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad.claims import equal_to, jvp_of, vjp_of

__all__ = ["linear", "linear_batch", "linear_batch_differential", "linear_batch_vjp", "linear_vjp"]

# --- One column ----------------------------------------------------------------------------------------------


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


# --- A batch -------------------------------------------------------------------------------------------------


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
    return cotangent @ A.T, W.T @ cotangent, jnp.sum(cotangent, axis=1)


def weight_gradient(C: Float[Array, "m N"], A: Float[Array, "n N"]) -> Float[Array, "m n"]:
    """``C Aᵀ``: the cotangent of ``W``."""
    return C @ A.T


@equal_to(weight_gradient)
def weight_gradient_by_columns(C: Float[Array, "m N"], A: Float[Array, "n N"]) -> Float[Array, "m n"]:
    """``C Aᵀ`` is the sum of the outer products of the columns: a batch adds up its points' gradients."""
    return jnp.sum(C[:, None, :] * A[None, :, :], axis=2)
