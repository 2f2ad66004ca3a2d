"""Networks: the gradient, the gradient in less memory, norms by example, and products with curvature."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp

from handgrad.backpropagation import (
    backpropagate,
    gauss_newton_by_transposition,
    gauss_newton_vector_product,
    hessian_vector_product,
    network_loss,
    norms_by_example,
    per_example_gradient_norms,
)
from handgrad.losses import loss_named
from handgrad.networks import each_layer, initialise
from handgrad.recursion import rounds_of
from verify.bench.derivations.measure import Candidate, compare
from verify.bench.derivations.record import BEST, HAND, PLAIN, Comparison

SIZES = {
    "64-64-32-10, N = 128": ((64, 64, 32, 10), 128),
    "8 layers of 128, N = 256": ((128,) * 9, 256),
    "784-512-512-10, N = 256": ((784, 512, 512, 10), 256),
    "4 layers of 256, N = 2048": ((256,) * 5, 2048),
}
LARGE = {
    "4 layers of 256, N = 2048": ((256,) * 5, 2048),
    "6 layers of 384, N = 2048": ((384,) * 7, 2048),
}
WIDTHS = (64, 128, 256, 512)
ACTIVATIONS, LOSSES = ("relu", "tanh", "gelu"), ("squared_error", "softmax_cross_entropy")


def _problem(size: tuple[tuple[int, ...], int], activation: str, seed: int) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """``(params, x, y)`` in float32, and an activation a layer, the last the identity."""
    widths, N = size
    keys = jax.random.split(jax.random.key(seed), 3)
    x = jax.random.normal(keys[1], (widths[0], N))
    y = jax.nn.softmax(jax.random.normal(keys[2], (widths[-1], N)), axis=0)
    return (initialise(keys[0], widths), x, y), (*[activation] * (len(widths) - 2), "identity")


def _cases(
    sizes: dict[str, Any], quick: bool, losses: tuple[str, ...] = LOSSES
) -> Iterator[tuple[str, Any, str, str]]:
    for (name, size), activation, loss in product(sizes.items(), ACTIVATIONS, losses):
        yield f"{name}, {activation}, {loss}", size, activation, loss
        if quick:
            return


def _gradient(params: Any, x: Any, y: Any, activations: Any, loss: str) -> Any:
    return jax.value_and_grad(network_loss)(params, x, y, activations, loss)


def _with(function: Callable[..., Any], **kept: Any) -> Callable[..., Any]:
    return partial(function, **kept)


def gradients(seed: int, quick: bool) -> Iterator[Comparison]:
    """Nothing better than the plain loss is known to hand to ``jax.grad``: the two do the same."""
    for case, size, activation, loss in _cases(SIZES, quick):
        arguments, sigmas = _problem(size, activation, seed)
        how = {"activations": sigmas, "loss": loss}
        ways = [
            Candidate(HAND, "backpropagate", _with(backpropagate, **how), arguments),
            Candidate(PLAIN, "jax.value_and_grad(network_loss)", _with(_gradient, **how), arguments),
        ]
        yield compare("backpropagate", case, ways, 0.02 if quick else 1.0)


def recomputed(seed: int, quick: bool) -> Iterator[Comparison]:
    """Against a loss that takes as many columns at a time, each time under ``jax.checkpoint``."""
    for case, size, activation, loss in _cases(LARGE if not quick else SIZES, quick, LOSSES[1:]):
        arguments, sigmas = _problem(size, activation, seed)
        how = {"activations": sigmas, "loss": loss}
        rounds = rounds_of(arguments[1])
        ways = [
            Candidate(HAND, "backpropagate(recompute=True)", _with(backpropagate, recompute=True, **how), arguments),
            Candidate(PLAIN, "jax.value_and_grad(network_loss)", _with(_gradient, **how), arguments),
            Candidate(BEST, "the loss a chunk of columns at a time, under jax.checkpoint in jax.lax.scan",
                      jax.value_and_grad(_with(_loss_in_chunks, rounds=rounds, **how)), arguments),
        ]  # fmt: skip
        yield compare("recompute", case, ways, 0.02 if quick else 2.0)


def _loss_in_chunks(params: Any, x: Any, y: Any, activations: Any, loss: str, rounds: int) -> Any:
    @jax.checkpoint
    def one_chunk(params: Any, columns: Any) -> Any:
        return network_loss(params, columns[0], columns[1], activations, loss)

    chunks = [jnp.moveaxis(a.reshape(a.shape[0], -1, rounds), 2, 0) for a in (x, y)]
    step = lambda total, columns: (total + one_chunk(params, columns), None)  # noqa: E731
    return jax.lax.scan(step, jnp.zeros((), x.dtype), tuple(chunks))[0]


def norms(seed: int, quick: bool) -> Iterator[Comparison]:
    """Against the same trick handed to ``jax.grad``: differentiate in a zero added to every ``z``, which gives δ."""
    sizes = [((64, 32, 10), 16)] if quick else [((width, width, width, 10), 1024) for width in WIDTHS]
    for size, activation in product(sizes, ACTIVATIONS[: 1 if quick else None]):
        arguments, sigmas = _problem(size, activation, seed)
        how = {"activations": sigmas, "loss": "softmax_cross_entropy"}
        ways = [
            Candidate(HAND, "per_example_gradient_norms", _with(per_example_gradient_norms, **how), arguments),
            Candidate(PLAIN, "jax.vmap(jax.grad), then norms", _with(norms_by_example, **how), arguments),
            Candidate(BEST, "jax.grad in zeros added to every z", _with(_norms_by_zeros, **how), arguments),
        ]
        yield compare("norms", f"{'-'.join(map(str, size[0]))}, N = {size[1]}, {activation}", ways, _share(quick))


def _norms_by_zeros(params: Any, x: Any, y: Any, activations: Any, loss: str) -> Any:
    sigmas = each_layer(activations, params)

    def shifted(zeros: Any) -> Any:
        a = [x]
        for (W, b), sigma, zero in zip(params, sigmas, zeros, strict=True):
            a.append(sigma.apply(W @ a[-1] + b[:, None] + zero))
        return loss_named(loss).value(a[-1], y), a

    zeros = tuple(jnp.zeros((layer.W.shape[0], x.shape[1]), x.dtype) for layer in params)
    deltas, a = jax.grad(shifted, has_aux=True)(zeros)
    return jnp.sqrt(sum(jnp.sum(d**2, 0) * (jnp.sum(below**2, 0) + 1) for d, below in zip(deltas, a, strict=False)))


def curvature(seed: int, quick: bool) -> Iterator[Comparison]:
    """For insight: what JAX makes of the products is what the R-operator does."""
    size = ((64, 32, 10), 16) if quick else ((256, 256, 256, 10), 512)
    for activation in ("tanh",) if quick else ("tanh", "gelu"):
        (params, x, y), sigmas = _problem(size, activation, seed)
        vector = initialise(jax.random.key(seed + 1), size[0])
        how = {"activations": sigmas, "loss": "softmax_cross_entropy"}
        arguments = (params, vector, x, y)
        case = f"{'-'.join(map(str, size[0]))}, N = {size[1]}, {activation}"
        yield compare("curvature", f"Hessian, {case}", [
            Candidate(HAND, "hessian_vector_product", _with(hessian_vector_product, **how), arguments),
            Candidate(PLAIN, "jax.jvp(jax.grad(network_loss))", _with(_forward_over_reverse, **how), arguments),
        ], _share(quick))  # fmt: skip
        plain = _with(gauss_newton_by_transposition, **how)
        yield compare("curvature", f"Gauss-Newton, {case}", [
            Candidate(HAND, "gauss_newton_vector_product", _with(gauss_newton_vector_product, **how), arguments),
            Candidate(PLAIN, "jax.vjp of jax.jvp of jax.grad of jax.jvp", plain, arguments),
        ], _share(quick))  # fmt: skip


def _forward_over_reverse(params: Any, vector: Any, x: Any, y: Any, activations: Any, loss: str) -> Any:
    gradient = jax.grad(lambda p: network_loss(p, x, y, activations, loss))
    return jax.jvp(gradient, (params,), (vector,))[1]


def _share(quick: bool) -> float:
    return 0.02 if quick else 1.0


PARTS = {"backpropagate": gradients, "recompute": recomputed, "norms": norms, "curvature": curvature}
