"""The hand functions of wrong_more.py, put right: every claim here holds."""

from typing import Annotated

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import erfc
from jaxtyping import Array, Float
from references_more import (
    attention,
    blocked_attention,
    causal_attention,
    causal_probabilities,
    causal_weights,
    complex_convolution,
    gated_group_norm,
    gelu,
    hermitian,
    hermitian_solve,
    inverse_rms,
    scores,
    slices,
    total_log_sigmoid,
    triangular_solve,
    with_bias,
)

from handgrad import hvp_of, jvp_of, vjp_of
from handgrad.domains import spd

# --- I: overflow / cancellation / low precision ----------------------------------------------------


@vjp_of(gelu, wrt="x", name="R21_right")
def gelu_pullback(x, *, cotangent):
    Phi = erfc(-x / 2**0.5) / 2
    return cotangent * (Phi + x * jnp.exp(-(x**2) / 2) / (2 * jnp.pi) ** 0.5)


@vjp_of(with_bias, wrt="b", name="R23_right")
def bias_pullback(X, b, *, cotangent):
    return jnp.sum(cotangent, axis=1)


@vjp_of(causal_weights, wrt="D", name="R42_right")
def causal_weights_pullback(D, block, *, cotangent):
    """Two rows at a time: tiles up to the diagonal, then zeros from there."""
    size = D.shape[0]
    out = jnp.zeros(size * size, D.dtype)  # rows one after the other, as in memory
    for top in range(0, size, 2):
        rows, end = jnp.arange(top, top + 2), top + 2
        for left in range(0, end, block):
            tile = (slice(top, top + 2), slice(left, left + block))
            kept = jnp.arange(left, left + block) <= rows[:, None]
            at = rows[:, None] * size + jnp.arange(left, left + block)
            out = out.at[at].set(jnp.where(kept, cotangent[tile] * jnp.exp(D[tile]), 0))
        for row in (top, top + 1):
            start = row * size + end
            out = out.at[start : start + size - end].set(0)
    return out.reshape(size, size)


# --- J: mask / index / option ----------------------------------------------------------------------


@vjp_of(gated_group_norm, wrt="X", name="R24_right")
def gated_group_norm_pullback(X, Z, w, *, cotangent):
    gate = jax.nn.silu(Z)
    r = inverse_rms(X * gate)
    x_hat, g = X * gate * r, cotangent * w
    width = X.shape[2]
    return gate * r * (g - x_hat * jnp.sum(g * x_hat, axis=2, keepdims=True) / width)


@vjp_of(attention, wrt=("Q", "K", "V"), name="R25_right")
def padded_attention_pullback(Q, K, V, *, cotangent):
    """The keys padded to a multiple of the block length, 4."""
    k = K.shape[0]
    padding = ((0, -k % 4), (0, 0))
    K, V = jnp.pad(K, padding), jnp.pad(V, padding)
    S = jnp.where(jnp.arange(K.shape[0]) < k, Q @ K.T, -jnp.inf)
    P = jax.nn.softmax(S, axis=1)
    dP = cotangent @ V.T
    dS = P * (dP - jnp.sum(dP * P, axis=1, keepdims=True))
    return dS @ K, (dS.T @ Q)[:k], (P.T @ cotangent)[:k]


@vjp_of(causal_attention, wrt=("Q", "K", "V"), name="R25_causal_right")
def causal_attention_pullback(Q, K, V, *, cotangent):
    P, _ = causal_probabilities(Q, K)
    dP = cotangent @ V.T
    dS = P * (dP - jnp.sum(dP * P, axis=1, keepdims=True))
    return dS @ K, dS.T @ Q, P.T @ cotangent


@vjp_of(blocked_attention, wrt=("Q", "K", "V"), name="R26_right")
def blocked_attention_pullback(Q, K, V, *, cotangent):
    """P from the saved log-sum-exp; dPsum, the sum of dP * P, from the saved output."""
    S = Q @ K.T
    lse = jax.nn.logsumexp(S, axis=1)
    dP_sum = jnp.sum(cotangent * attention(Q, K, V), axis=1)
    P = jnp.exp(S - lse[:, None])
    dS = P * (cotangent @ V.T - dP_sum[:, None])
    return dS @ K, dS.T @ Q, P.T @ cotangent


@vjp_of(slices, wrt="x", name="R36_right")
def slices_pullback(x, starts, *, cotangent):
    first = jnp.clip(starts, 0, x.shape[0] - 2)
    return jnp.zeros_like(x).at[first[:, None] + jnp.arange(2)].add(cotangent)


@jvp_of(triangular_solve, wrt=("L", "b"), name="R38_right")
def triangular_solve_differential(L, b, *, dL, db):
    y = solve_triangular(L, b, lower=True)
    return solve_triangular(L, db - jnp.tril(dL) @ y, lower=True)


# --- K: complex conjugation ------------------------------------------------------------------------


@vjp_of(complex_convolution, wrt="x", name="R10_right")
def complex_convolution_pullback(x, w, *, cotangent):
    return jnp.convolve(cotangent, w[::-1], mode="valid")


@jvp_of(hermitian_solve, wrt="b", name="R11_right")
def hermitian_solve_differential(B, b, *, db):
    L = jnp.linalg.cholesky(hermitian(B))
    return solve_triangular(L, solve_triangular(L, db, lower=True), lower=True, trans="C")


# --- L: higher order only --------------------------------------------------------------------------


@hvp_of(total_log_sigmoid, wrt="x", name="R29_right")
def log_sigmoid_second(x, *, dx):
    return -jax.nn.sigmoid(x) * jax.nn.sigmoid(-x) * dx


@jax.custom_jvp
def R30_right(A: Annotated[Float[Array, "n n"], spd]) -> Float[Array, ""]:
    """The logarithm of the determinant."""
    return jnp.linalg.slogdet(A)[1]


@R30_right.defjvp
def log_determinant_differential(primals, tangents):
    (A,), (dA,) = primals, tangents
    return R30_right(A), jnp.trace(jnp.linalg.solve(A, dA))


# --- M: race ---------------------------------------------------------------------------------------


@vjp_of(scores, wrt="Q", name="R27_right")
def scores_pullback(Q, K, *, cotangent):
    return cotangent @ K
