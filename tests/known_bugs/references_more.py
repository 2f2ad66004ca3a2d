"""What the hand functions of wrong_more.py and right_more.py differentiate (classes I to M): no claims.

Attention has a query, key or value in each row, as is the custom of the field.
"""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Array, Complex, Float, Int

from handgrad.domains import integers, lower_triangular

Scalar = Float[Array, ""]
Vector = Float[Array, "n"]
Queries = Float[Array, "q d"]
Keys = Float[Array, "k d"]

# --- I: overflow / cancellation / low precision ----------------------------------------------------


def gelu(x: Vector) -> Vector:
    return jax.nn.gelu(x, approximate=False)


def with_bias(X: Float[Array, "3 2048"], b: Float[Array, "3"]) -> Float[Array, "3 2048"]:
    return X + b[:, None]


def causal_weights(D: Float[Array, "8 8"], block: Literal[1, 2, 4]) -> Float[Array, "8 8"]:
    """exp(D) at and below the diagonal; ``block`` only says how wide a tile the kernel works on."""
    return jnp.tril(jnp.exp(D))


# --- J: mask / index / option ----------------------------------------------------------------------


def gated_group_norm(
    X: Float[Array, "N g k"], Z: Float[Array, "N g k"], w: Float[Array, "g k"]
) -> Float[Array, "N g k"]:
    """X, gated by silu(Z), over its RMS in each of g groups (the last axis), scaled by w."""
    gated = X * jax.nn.silu(Z)
    return gated * inverse_rms(gated) * w


def inverse_rms(x):
    return lax.rsqrt(jnp.mean(x**2, axis=-1, keepdims=True) + 1e-5)


def attention(Q: Queries, K: Keys, V: Keys) -> Queries:
    return jax.nn.softmax(Q @ K.T, axis=1) @ V


def blocked_attention(Q: Float[Array, "4*q d"], K: Keys, V: Keys) -> Float[Array, "4*q d"]:
    """Attention, for queries that come in q blocks of four."""
    return attention(Q, K, V)


def causal_attention(Q: Queries, K: Keys, V: Keys) -> Queries:
    """The last query sees all keys, each one before it a key fewer; one that sees none gives 0."""
    P, _ = causal_probabilities(Q, K)
    return P @ V


def causal_probabilities(Q, K):
    """The probabilities, and which query sees which key."""
    q, k = Q.shape[0], K.shape[0]
    seen = jnp.arange(k) <= jnp.arange(q)[:, None] + (k - q)
    S = jnp.where(seen, Q @ K.T, -jnp.inf)
    largest = jnp.max(S, axis=1, keepdims=True)
    E = jnp.where(seen, jnp.exp(S - lax.stop_gradient(jnp.where(largest == -jnp.inf, 0, largest))), 0)
    total = jnp.sum(E, axis=1, keepdims=True)
    return E / jnp.where(total == 0, 1, total), seen


def slices(
    x: Float[Array, "n+1"], starts: Annotated[Int[Array, "b"], integers(0, 12)]
) -> Float[Array, "b 2"]:
    """Two neighbours from each start; a start beyond the end is clamped, as ``dynamic_slice`` does."""
    return jax.vmap(lambda start: lax.dynamic_slice(x, (start,), (2,)))(starts)


def triangular_solve(L: Annotated[Float[Array, "n n"], lower_triangular], b: Vector) -> Vector:
    return solve_triangular(L, b, lower=True)


# --- K: complex conjugation ------------------------------------------------------------------------


def complex_convolution(x: Complex[Array, "n+2"], w: Complex[Array, "3"]) -> Complex[Array, "n+4"]:
    return jnp.convolve(x, w)


def hermitian_solve(B: Complex[Array, "n n"], b: Complex[Array, "n"]) -> Complex[Array, "n"]:
    """(I + B B^H)^-1 b, by Cholesky's factors."""
    return cho_solve((jnp.linalg.cholesky(hermitian(B)), True), b)


def hermitian(B):
    return jnp.eye(B.shape[0], dtype=B.dtype) + B @ jnp.conj(B.T)


# --- L: higher order only --------------------------------------------------------------------------


def total_log_sigmoid(x: Vector) -> Scalar:
    return jnp.sum(jax.nn.log_sigmoid(x))


# --- M: race ---------------------------------------------------------------------------------------


def scores(Q: Queries, K: Keys) -> Float[Array, "q k"]:
    return Q @ K.T
