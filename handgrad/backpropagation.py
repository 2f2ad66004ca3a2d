r"""Backpropagation, without touching an index.

A network takes ``a_0 = x`` through ``z_l = W_l a_{l-1} + b_l`` and ``a_l = σ_l(z_l)`` to a loss
``C(a_L, y)``. With ``A_l = diag(σ_l'(z_l))`` a change in layer ``l`` reaches the output through a product of
matrices,

    da_L = A_L W_L ⋯ A_{l+1} W_{l+1} A_l (dW_l a_{l-1} + db_l)

and the loss by ``dC = g_Lᵀ da_L`` with ``g_L = ∇_{a_L} C``. Gather the product from the left, a layer at a
time, transposed:

    δ_l = σ_l'(z_l) ⊙ g_l,    g_{l-1} = W_lᵀ δ_l

Then ``dC = δ_lᵀ (dW_l a_{l-1} + db_l) = tr((δ_l a_{l-1}ᵀ)ᵀ dW_l) + δ_lᵀ db_l``, so the gradients are

    ∇_{W_l} C = δ_l a_{l-1}ᵀ,    ∇_{b_l} C = δ_l

For a batch every letter is a matrix, one column a data point; the product ``δ_l a_{l-1}ᵀ`` sums over the
columns, and so must the bias: ``δ_l 1``.

Sources: Rumelhart, Hinton and Williams (1986) for the recursion; Pearlmutter (1994) for the Hessian;
Schraudolph (2002) for Gauss-Newton;
Goodfellow (2015) for the norms; Chen, Xu, Zhang and Guestrin (2016) for recomputation.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad.claims import equal_to, gradient_of, hvp_of, value_and_gradient_of
from handgrad.elementwise import Activation
from handgrad.from_value import delta
from handgrad.losses import Loss, loss_named
from handgrad.matrices import matmul
from handgrad.networks import (
    Activations,
    Forward,
    Layer,
    Parameters,
    batches,
    each_layer,
    few_networks,
    forward,
    initialise,
    networks_and_vectors,
    random_networks,
)
from handgrad.recursion import recursion, rounds_of, some_columns_at_a_time

__all__ = [
    "Forward",
    "Layer",
    "backpropagate",
    "forward",
    "gauss_newton_vector_product",
    "hessian_vector_product",
    "initialise",
    "network_loss",
    "per_example_gradient_norms",
]

Reduction: TypeAlias = Literal["sum", "mean"]
NETWORK = ("params", "x", "y", "activations", "loss")

# --- The gradient -----------------------------------------------------------------------------------------


def network_loss(
    params: Parameters,
    x: Float[Array, "n *batch"],
    y: Float[Array, "m *batch"],
    activations: Activations,
    loss: str | Loss,
) -> Float[Array, ""]:
    """``C(a_L, y)``, summed over the batch: what everything below differentiates."""
    return loss_named(loss).value(forward(params, x, activations).a[-1], y)


@value_and_gradient_of(network_loss, wrt="params", given={NETWORK: random_networks})
def backpropagate(
    params: Parameters,
    x: Float[Array, "n *batch"],
    y: Float[Array, "m *batch"],
    activations: Activations,
    loss: str | Loss,
    reduction: Reduction = "sum",
    recompute: bool = False,
) -> tuple[Float[Array, ""], Any]:
    """The loss and its gradient, with the structure of ``params``.

    ``reduction="mean"`` divides by the number of columns. ``recompute`` trades memory for a little time. Value and
    gradient are sums over the columns, so a batch of many is taken some columns at a time, and what the forward pass
    of these leaves behind is dropped before the next. Where columns are few, only the input of every ``√L``-th layer is
    kept, and each segment is run forward again when the recursion reaches it: memory as ``√L`` rather than ``L``.

    Raises ``ValueError`` for an unknown name, a wrong number of activations, or an ``x`` that is neither a
    column nor a batch.
    """
    sigmas, C = each_layer(activations, params), loss_named(loss)
    if x.ndim == 1:
        x, y = x[:, None], y[:, None]
    if reduction not in ("sum", "mean"):
        raise ValueError(f"backpropagate: got reduction={reduction!r}; wanted 'sum' or 'mean'")
    divisor = x.shape[1] if reduction == "mean" else None
    rounds = rounds_of(x) if recompute else 1
    if rounds > 1:
        return some_columns_at_a_time(params, x, y, sigmas, C, divisor, rounds)
    return recursion(params, x, y, sigmas, C, divisor, recompute)


@value_and_gradient_of(network_loss, wrt="params", given={NETWORK: few_networks})
def backpropagate_recomputed(
    params: Parameters,
    x: Float[Array, "n *batch"],
    y: Float[Array, "m *batch"],
    activations: Activations,
    loss: str | Loss,
) -> tuple[Float[Array, ""], Any]:
    """Recomputation changes what is kept, not what is computed."""
    return backpropagate(params, x, y, activations, loss, recompute=True)


def mean_network_loss(
    params: Parameters,
    x: Float[Array, "n N"],
    y: Float[Array, "m N"],
    activations: Activations,
    loss: str | Loss,
) -> Float[Array, ""]:
    """The mean over the batch of each column's own loss."""
    each = jax.vmap(lambda x, y: network_loss(params, x, y, activations, loss), in_axes=1)
    return jnp.mean(each(x, y))


@value_and_gradient_of(mean_network_loss, wrt="params", given={NETWORK: batches})
def backpropagate_mean(
    params: Parameters,
    x: Float[Array, "n N"],
    y: Float[Array, "m N"],
    activations: Activations,
    loss: str | Loss,
) -> tuple[Float[Array, ""], Any]:
    """``C / N`` from the start: the recursion is linear in ``g``."""
    return backpropagate(params, x, y, activations, loss, reduction="mean")


@gradient_of(network_loss, wrt="x", given={NETWORK: few_networks})
def input_gradient(
    params: Parameters,
    x: Float[Array, "n *batch"],
    y: Float[Array, "m *batch"],
    activations: Activations,
    loss: str | Loss,
) -> Float[Array, "n *batch"]:
    """The recursion carried one step further: ``g_0 = W_1ᵀ δ_1``."""
    sigmas, C = each_layer(activations, params), loss_named(loss)
    z, a = forward(params, x, sigmas)
    g = C.gradient(a[-1], y)
    for (W, _), sigma, z_l, a_l in reversed([*zip(params, sigmas, z, a[1:], strict=True)]):
        g = matmul(W.T, delta(sigma, z_l, a_l, g))
    return g


# --- More than one gradient -------------------------------------------------------------------------------


def hessian_vector_product(
    params: Parameters,
    vector: Parameters,
    x: Float[Array, "n *batch"],
    y: Float[Array, "m *batch"],
    activations: Activations,
    loss: str | Loss,
) -> Any:
    """The Hessian of the loss in ``params`` applied to ``vector``, with the structure of ``params``.

    The differential of the gradient, ``d(∇C)`` along ``vector``: the δ recursion differentiated once more,
    forward. With ``R`` for that differential, ``R δ_l = σ_l''(z_l) ⊙ R z_l ⊙ g_l + σ_l'(z_l) ⊙ R g_l``:
    about the cost of two gradients.
    """
    gradient = partial(_gradient, x=x, y=y, activations=activations, loss=loss)
    return jax.jvp(gradient, (params,), (vector,))[1]


def _gradient(params: Parameters, **rest: Any) -> Any:
    return backpropagate(params, **rest)[1]


@hvp_of(network_loss, wrt="params", given={NETWORK: few_networks})
def network_hessian_product(
    params: Parameters,
    x: Float[Array, "n *batch"],
    y: Float[Array, "m *batch"],
    activations: Activations,
    loss: str | Loss,
    *,
    dparams: Parameters,
) -> Any:
    """``hessian_vector_product``, in the order of arguments of a claim."""
    return hessian_vector_product(params, dparams, x, y, activations, loss)


def gauss_newton_by_transposition(
    params: Parameters,
    vector: Parameters,
    x: Float[Array, "n *batch"],
    y: Float[Array, "m *batch"],
    activations: Activations,
    loss: str | Loss,
) -> Any:
    """``Jᵀ H J v``, each factor by JAX: ``J`` the derivative of the network's output in ``params``, ``H`` the Hessian
    of the loss in that output."""

    def network(params: Parameters) -> Array:
        return forward(params, x, activations).a[-1]

    output, change = jax.jvp(network, (params,), (vector,))
    in_output = jax.grad(lambda a: loss_named(loss).value(a, y))
    return jax.vjp(network, params)[1](jax.jvp(in_output, (output,), (change,))[1])[0]


@equal_to(gauss_newton_by_transposition, given={("params", "vector", *NETWORK[1:]): networks_and_vectors})
def gauss_newton_vector_product(
    params: Parameters,
    vector: Parameters,
    x: Float[Array, "n *batch"],
    y: Float[Array, "m *batch"],
    activations: Activations,
    loss: str | Loss,
) -> Any:
    """The Gauss-Newton matrix ``Jᵀ H J`` of the loss in ``params`` applied to ``vector``.

    It is the Hessian without the curvature of the network: of ``d(∇C)`` only what comes from ``dg_L`` is kept. Forward
    with ``R a_0 = 0``,

        R z_l = W_l R a_{l-1} + V_l a_{l-1} + v_l,    R a_l = σ_l'(z_l) ⊙ R z_l

    then ``g_L = H R a_L``, the differential of ``∇_{a_L} C``, and the δ recursion from there: one recursion more than
    a gradient has, forward, and no ``σ''``. Where ``C`` is convex in ``a_L``, ``tr(vᵀ Jᵀ H J v) ≥ 0``.
    """
    sigmas, C = each_layer(activations, params), loss_named(loss)
    batch = x.ndim == 2
    z, a = forward(params, x, sigmas)
    Ra = jnp.zeros_like(x)
    for (W, _), (V, v), sigma, z_l, a_l, below in zip(params, vector, sigmas, z, a[1:], a, strict=False):
        Ra = delta(sigma, z_l, a_l, matmul(W, Ra) + matmul(V, below) + (v[:, None] if batch else v))
    g, products = jax.jvp(lambda output: C.gradient(output, y), (a[-1],), (Ra,))[1], []
    for (W, _), sigma, z_l, a_l, below in reversed([*zip(params, sigmas, z, a[1:], a, strict=False)]):
        d = delta(sigma, z_l, a_l, g)
        products.append(Layer(matmul(d, below.T), jnp.sum(d, axis=1)) if batch else Layer(jnp.outer(d, below), d))
        g = matmul(W.T, d)
    return jax.tree.unflatten(jax.tree.structure(params), jax.tree.leaves(products[::-1]))


def norms_by_example(
    params: Parameters,
    x: Float[Array, "n N"],
    y: Float[Array, "m N"],
    activations: Activations,
    loss: str | Loss,
) -> Float[Array, "N"]:
    """The norm of each data point's own gradient, by forming every one of them."""

    def norm(x: Array, y: Array) -> Array:
        gradient = jax.grad(network_loss)(params, x, y, activations, loss)
        return jnp.sqrt(sum(jnp.sum(leaf * leaf) for leaf in jax.tree.leaves(gradient)))

    return jax.vmap(norm, in_axes=1)(x, y)


@equal_to(norms_by_example, given={NETWORK: batches})
def per_example_gradient_norms(
    params: Parameters,
    x: Float[Array, "n N"],
    y: Float[Array, "m N"],
    activations: Activations,
    loss: str | Loss,
) -> Float[Array, "N"]:
    """The norm of each data point's own gradient, over all parameters, without forming any of them.

    One data point's gradient is an outer product, so ``‖δ aᵀ‖² + ‖δ‖² = ‖δ‖² (‖a‖² + 1)``; ``δ`` and ``a``
    are columns of what one pass over the batch computes anyway. Many columns are taken some at a time.
    """
    sigmas, C = each_layer(activations, params), loss_named(loss)
    rounds = rounds_of(x)
    if rounds == 1:
        return _norms(params, x, y, sigmas, C)
    columns = [array.reshape(array.shape[0], -1, rounds) for array in (x, y)]
    some = [jnp.moveaxis(array, 2, 0) for array in columns]
    return jax.lax.map(lambda xy: _norms(params, xy[0], xy[1], sigmas, C), some).T.reshape(-1)


def _norms(params: Parameters, x: Array, y: Array, sigmas: Sequence[Activation], C: Loss) -> Array:
    z, a = forward(params, x, sigmas)
    g, squares = C.gradient(a[-1], y), jnp.zeros_like(x[0])
    for (W, _), sigma, z_l, a_l, below in reversed([*zip(params, sigmas, z, a[1:], a, strict=False)]):
        d = delta(sigma, z_l, a_l, g)
        squares += jnp.sum(d * d, axis=0) * (jnp.sum(below * below, axis=0) + 1)
        g = matmul(W.T, d)
    return jnp.sqrt(squares)
