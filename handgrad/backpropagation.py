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
Goodfellow (2015) for the norms; Chen, Xu, Zhang and Guestrin (2016) for recomputation.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad.claims import equal_to, gradient_of, hvp_of, value_and_gradient_of
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
    random_networks,
)

__all__ = [
    "Forward",
    "Layer",
    "backpropagate",
    "forward",
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

    ``reduction="mean"`` divides by the number of columns. ``recompute`` keeps only the input of every
    ``√L``-th layer, and runs each segment forward again when the recursion reaches it: memory as ``√L``
    rather than ``L``, for one more forward pass.

    Raises ``ValueError`` for an unknown name, a wrong number of activations, or an ``x`` that is neither a
    column nor a batch.
    """
    sigmas, C = each_layer(activations, params), loss_named(loss)
    if x.ndim == 1:
        x, y = x[:, None], y[:, None]
    starts, segments = [x], _segments(len(params), recompute)
    for segment in segments:
        z, a = forward(params[segment], starts[-1], sigmas[segment])
        starts.append(a[-1])
    output = starts.pop()
    value, g = _reduce(C.value(output, y), x, reduction), _reduce(C.gradient(output, y), x, reduction)
    gradients: list[Layer] = []
    while segments:
        segment, start = segments.pop(), starts.pop()
        if gradients:  # the last segment's z and a are still there; the others' are made again
            start = _not_before(g, start)
            z, a = forward(params[segment], start, sigmas[segment])
        for (W, _), sigma, z_l, below in reversed(
            [*zip(params[segment], sigmas[segment], z, a, strict=False)]
        ):
            delta = sigma.derivative(z_l) * g
            gradients.append(Layer(matmul(delta, below.T), jnp.sum(delta, axis=1)))
            g = matmul(W.T, delta)
    return value, jax.tree.unflatten(jax.tree.structure(params), jax.tree.leaves(gradients[::-1]))


def _segments(depth: int, recompute: bool) -> list[slice]:
    length = math.isqrt(depth - 1) + 1 if recompute else depth
    return [slice(start, start + length) for start in range(0, depth, length)]


def _not_before(g: Array, start: Array) -> Array:
    """``start``, but as the compiler sees it only known after ``g``: else it would keep what it has already
    computed.

    Nothing is below -inf, so 0 is added; ``jax.lax.optimization_barrier`` would say so too, but the CPU
    compiler drops it.
    """
    return start + (g[:1, :1] < -jnp.inf).astype(start.dtype)


def _reduce(total: Array, x: Array, reduction: Reduction) -> Array:
    if reduction == "sum":
        return total
    if reduction == "mean":
        return total / jnp.asarray(x.shape[1], total.dtype)
    raise ValueError(f"backpropagate: got reduction={reduction!r}; wanted 'sum' or 'mean'")


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
    for (W, _), sigma, z_l in reversed([*zip(params, sigmas, z, strict=True)]):
        g = matmul(W.T, sigma.derivative(z_l) * g)
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
    are columns of what one pass over the batch computes anyway.
    """
    sigmas, C = each_layer(activations, params), loss_named(loss)
    z, a = forward(params, x, sigmas)
    g, squares = C.gradient(a[-1], y), jnp.zeros_like(x[0])
    for (W, _), sigma, z_l, below in reversed([*zip(params, sigmas, z, a, strict=False)]):
        delta = sigma.derivative(z_l) * g
        squares += jnp.sum(delta * delta, axis=0) * (jnp.sum(below * below, axis=0) + 1)
        g = matmul(W.T, delta)
    return jnp.sqrt(squares)
