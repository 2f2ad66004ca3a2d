r"""A linear layer and the softmax cross-entropy in one, without ever holding all the logits.

With a vocabulary of ``k`` classes the logits ``Z = W X`` are ``k × N``, far larger than ``W``, ``X`` and
their gradients. But column by column the loss is ``logsumexp(z) - z_label`` and its gradient
``g = softmax(z) - e_label``, and

    dC = tr(Gᵀ (dW X + W dX)) = tr((G Xᵀ)ᵀ dW) + tr((Wᵀ G)ᵀ dX)

where ``G Xᵀ`` is a sum over columns and ``Wᵀ G`` has a column for each. So a few columns at a time will do:
their logits are made, used for the value and both gradients, and dropped.

Source: the derivation is this file's; the idea is that of fused cross-entropy kernels, such as Wijmans et
al., *Cut your losses in large-vocabulary language models* (2024).
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int

from handgrad.claims import value_and_gradient_of
from handgrad.domains import index

__all__ = ["linear_cross_entropy", "linear_softmax_cross_entropy"]

Labels = Annotated[Int[Array, "N"], index("k")]


def linear_cross_entropy(W: Float[Array, "k n"], X: Float[Array, "n N"], labels: Labels) -> Float[Array, ""]:
    """``Σ logsumexp(z) - z_label`` over the columns ``z`` of ``W X``, which are all held at once."""
    Z = W @ X
    chosen = jnp.take_along_axis(Z, labels[None, :], axis=0)[0]
    return jnp.sum(logsumexp(Z, axis=0) - chosen)


@value_and_gradient_of(linear_cross_entropy, wrt=("W", "X"))
def linear_softmax_cross_entropy(
    W: Float[Array, "k n"], X: Float[Array, "n N"], labels: Labels, chunk: int = 128
) -> tuple[Float[Array, ""], tuple[Float[Array, "k n"], Float[Array, "n N"]]]:
    """The loss and its gradients in ``W`` and ``X``, ``chunk`` columns at a time: ``k × chunk`` logits at
    once.

    Sums are kept in float32 at least. A column with a negative label counts for nothing. On a mesh with Explicit axes
    the gradient in ``X`` lies as ``X`` does.
    """
    columns = jax.typeof(X).sharding.spec
    if columns[1] is None:
        return _by_chunks(W, X, labels, chunk)
    lying = PartitionSpec(), (PartitionSpec(), PartitionSpec(*columns))
    spread: Any = jax.sharding.auto_axes(partial(_by_chunks, chunk=chunk), out_sharding=lying)
    return spread(W, X, labels)


def _by_chunks(
    W: Float[Array, "k n"], X: Float[Array, "n N"], labels: Labels, chunk: int
) -> tuple[Float[Array, ""], tuple[Float[Array, "k n"], Float[Array, "n N"]]]:
    n, N = X.shape
    rounds = -(-N // chunk)
    missing = rounds * chunk - N
    wide = jnp.float32 if jnp.finfo(X.dtype).bits < 32 else X.dtype
    columns = jnp.pad(X, ((0, 0), (0, missing))).T.reshape(rounds, chunk, n)
    targets = jnp.pad(labels, (0, missing), constant_values=-1).reshape(rounds, chunk)

    def one_chunk(
        sums: tuple[Array, Array], inputs: tuple[Array, Array]
    ) -> tuple[tuple[Array, Array], Array]:
        value, in_W = sums
        rows, target = inputs
        Z = jnp.matmul(W, rows.T, preferred_element_type=wide)
        Z = Z - jnp.max(Z, axis=0, keepdims=True)
        is_target = jax.lax.broadcasted_iota(target.dtype, Z.shape, 0) == target[None, :]
        counts = target >= 0
        E = jnp.exp(Z)
        total = jnp.sum(E, axis=0)
        others = jnp.sum(jnp.where(is_target, 0, E), axis=0)
        chosen = jnp.sum(jnp.where(is_target, Z, 0), axis=0)
        # Both forms are log(total) - chosen; the first keeps its digits where the label is the likeliest class, as

        # the gradient there does: softmax - 1 is minus the share of the others.
        losses = jnp.where(chosen == 0, jnp.log1p(others), jnp.log(total) - chosen)
        value += jnp.sum(jnp.where(counts, losses, 0))
        G = jnp.where(is_target, -others[None, :], E) * jnp.where(counts, 1 / total, 0)[None, :]
        G = G.astype(X.dtype)
        in_W += jnp.matmul(G, rows, preferred_element_type=wide)
        return (value, in_W), (W.T @ G).T

    start = jnp.zeros((), wide), jnp.zeros(W.shape, wide)
    (value, in_W), in_X = jax.lax.scan(one_chunk, start, (columns, targets))
    return value.astype(X.dtype), (in_W.astype(W.dtype), in_X.reshape(rounds * chunk, n)[:N].T)


@value_and_gradient_of(linear_cross_entropy, wrt=("W", "X"))
def linear_softmax_cross_entropy_in_pairs(
    W: Float[Array, "k n"], X: Float[Array, "n N"], labels: Labels
) -> tuple[Float[Array, ""], tuple[Float[Array, "k n"], Float[Array, "n N"]]]:
    """Two columns at a time, the last pair perhaps half empty: how the columns are cut does not matter."""
    return linear_softmax_cross_entropy(W, X, labels, chunk=2)
