"""Historical mistakes in hand-written derivatives, classes I to M: no claim here holds.

Each docstring names where the mistake was made and what it was. right_more.py has the functions put right.
"""

from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
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


@vjp_of(gelu, wrt="x", name="R21_wrong")
def gelu_pullback(x, *, cotangent):
    """tt-metal#54867: clamped to 1 where bfloat16 cannot tell (7.5e-3 off there)."""
    Phi = erfc(-x / 2**0.5) / 2
    return cotangent * jnp.where(x >= 3.17, 1, Phi + x * jnp.exp(-(x**2) / 2) / (2 * jnp.pi) ** 0.5)


@vjp_of(with_bias, wrt="b", name="R23_wrong")
def bias_pullback(X, b, *, cotangent):
    """llm.c 6ff4ad6: one column after the other added up in the working precision."""
    total, _ = lax.scan(lambda total, column: (total + column, None), jnp.zeros_like(b), cotangent.T)
    return total


@vjp_of(causal_weights, wrt="D", name="R42_wrong")
def causal_weights_pullback(D, block, *, cotangent):
    """mamba PR#537: a tile wider than two leaves the pointer beyond the diagonal block, so the zeros that
    should fill the rest of the row run on into the next."""
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
            start = row * size + -(-end // block) * block
            out = out.at[start : start + size - end].set(0)
    return out.reshape(size, size)


# --- J: mask / index / option ----------------------------------------------------------------------


@vjp_of(gated_group_norm, wrt="X", name="R24_wrong")
def gated_group_norm_pullback(X, Z, w, *, cotangent):
    """mamba PR#547: the full width instead of that of a group."""
    gate = jax.nn.silu(Z)
    r = inverse_rms(X * gate)
    x_hat, g = X * gate * r, cotangent * w
    width = X.shape[1] * X.shape[2]
    return gate * r * (g - x_hat * jnp.sum(g * x_hat, axis=2, keepdims=True) / width)


@vjp_of(attention, wrt=("Q", "K", "V"), name="R25_wrong")
def padded_attention_pullback(Q, K, V, *, cotangent):
    """flash-attention a4f148b6: the keys that pad the last block (of 4) are not masked."""
    k = K.shape[0]
    padding = ((0, -k % 4), (0, 0))
    K, V = jnp.pad(K, padding), jnp.pad(V, padding)
    P = jax.nn.softmax(Q @ K.T, axis=1)
    dP = cotangent @ V.T
    dS = P * (dP - jnp.sum(dP * P, axis=1, keepdims=True))
    return dS @ K, (dS.T @ Q)[:k], (P.T @ cotangent)[:k]


@vjp_of(causal_attention, wrt=("Q", "K", "V"), name="R25_causal_wrong")
def causal_attention_pullback(Q, K, V, *, cotangent):
    """flash-attention c65b5106: NaN where more queries than keys leave some with none to see."""
    _, seen = causal_probabilities(Q, K)
    P = jax.nn.softmax(jnp.where(seen, Q @ K.T, -jnp.inf), axis=1)
    dP = cotangent @ V.T
    dS = P * (dP - jnp.sum(dP * P, axis=1, keepdims=True))
    return dS @ K, dS.T @ Q, P.T @ cotangent


@vjp_of(blocked_attention, wrt=("Q", "K", "V"), name="R26_wrong")
def blocked_attention_pullback(Q, K, V, *, cotangent):
    """flash-attention b3f1b6a5: log-sum-exp and dPsum of the first block used for every block."""
    S = Q @ K.T
    lse = jax.nn.logsumexp(S, axis=1)
    dP_sum = jnp.sum(cotangent * attention(Q, K, V), axis=1)
    blocks = Q.shape[0] // 4
    lse, dP_sum = jnp.tile(lse[:4], blocks), jnp.tile(dP_sum[:4], blocks)
    P = jnp.exp(S - lse[:, None])
    dS = P * (cotangent @ V.T - dP_sum[:, None])
    return dS @ K, dS.T @ Q, P.T @ cotangent


@vjp_of(slices, wrt="x", name="R36_wrong")
def slices_pullback(x, starts, *, cotangent):
    """jax 0b4a4407b7: a start beyond the end is not clamped, and what falls outside is dropped."""
    return jnp.zeros_like(x).at[starts[:, None] + jnp.arange(2)].add(cotangent)


@jvp_of(triangular_solve, wrt=("L", "b"), name="R38_wrong")
def triangular_solve_differential(L, b, *, dL, db):
    """jax-js#84: dL is not masked to the triangle."""
    y = solve_triangular(L, b, lower=True)
    return solve_triangular(L, db - dL @ y, lower=True)


# --- K: complex conjugation ------------------------------------------------------------------------


@vjp_of(complex_convolution, wrt="x", name="R10_wrong")
def complex_convolution_pullback(x, w, *, cotangent):
    """NNlib.jl 1a0bdd0, mirrored: JAX wants the transpose, and `correlate` conjugates."""
    return jnp.correlate(cotangent, w, mode="valid")


@jvp_of(hermitian_solve, wrt="b", name="R11_wrong")
def hermitian_solve_differential(B, b, *, db):
    """jax 3e0240f0e6: L^T where L^H belongs."""
    L = jnp.linalg.cholesky(hermitian(B))
    return solve_triangular(L, solve_triangular(L, db, lower=True), lower=True, trans="T")


# --- L: higher order only --------------------------------------------------------------------------


@hvp_of(total_log_sigmoid, wrt="x", name="R29_wrong")
def log_sigmoid_second(x, *, dx):
    """pytorch#195530: (z - 1) z is 0 once z rounds to 1."""
    z = jax.nn.sigmoid(x)
    return (z - 1) * z * dx


@jax.custom_jvp
def R30_wrong(A: Annotated[Float[Array, "n n"], spd]) -> Float[Array, ""]:
    """The logarithm of the determinant."""
    return jnp.linalg.slogdet(A)[1]


@R30_wrong.defjvp
def log_determinant_differential(primals, tangents):
    """pytorch#192540: right once, wrong when differentiated again."""
    (A,), (dA,) = primals, tangents
    factors = lax.stop_gradient(A)  # what was saved for the rule carries no derivative
    return R30_wrong(A), jnp.trace(jnp.linalg.solve(factors, dA))


# --- M: race ---------------------------------------------------------------------------------------


_chance = np.random.default_rng()


def racing_product(G, K):
    """G K, two rows of K at a time; now and then the next two have overwritten them before they are used."""
    total = np.zeros((G.shape[0], K.shape[1]))
    for i in range(0, K.shape[0], 2):
        tile = np.array(K[i : i + 2], dtype=np.float64)
        following = K[i + 2 : i + 4]
        if _chance.random() < 0.5:
            tile[: len(following)] = following
        total += np.asarray(G[:, i : i + 2], dtype=np.float64) @ tile
    return total.astype(K.dtype)


@vjp_of(scores, wrt="Q", name="R27_wrong")
def scores_pullback(Q, K, *, cotangent):
    """flash-attention 1c41d2b0: a race in shared memory overwrites K."""
    shape = jax.ShapeDtypeStruct(Q.shape, Q.dtype)
    return jax.pure_callback(racing_product, shape, cotangent, K, vmap_method="sequential")
