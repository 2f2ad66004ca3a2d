"""The δ recursion of ``handgrad.backpropagation``, and two ways to keep less while it runs.

Of every layer it needs ``a_{l-1}`` and ``σ_l'(z_l)``. It keeps ``a_l``, which is the next layer's input, and ``z_l``
only where the slope cannot be had from ``a_l``.

``C`` is a sum over columns, and so are its gradients: some columns at a time will do, nothing is computed twice, and
only sums remain. Where there are too few columns for that, the inputs of every ``√L``-th layer are kept and the layers
between are run forward again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad.elementwise import Activation
from handgrad.from_value import delta
from handgrad.losses import Loss
from handgrad.matrices import matmul
from handgrad.networks import Layer, Parameters, forward

__all__ = ["recursion", "rounds_of", "some_columns_at_a_time"]

MOST_ROUNDS, LEAST_COLUMNS = 4, 256
"""More rounds take less memory; with fewer columns in each, products of matrices become slow."""


def recursion(
    params: Parameters,
    x: Float[Array, "n N"],
    y: Float[Array, "m N"],
    sigmas: Sequence[Activation],
    C: Loss,
    divisor: Any = None,
    in_segments: bool = False,
) -> tuple[Float[Array, ""], Any]:
    """``C`` and its gradient, both over ``divisor``: divided at the start, for the recursion is linear in ``g``."""
    depth = len(params)
    length = math.isqrt(depth - 1) + 1 if in_segments else depth
    segments = [slice(start, start + length) for start in range(0, depth, length)]
    starts = [x]
    for segment in segments:
        z, a = forward(params[segment], starts[-1], sigmas[segment])
        starts.append(a[-1])
    output = starts.pop()
    value, g = C.value(output, y), C.gradient(output, y)
    if divisor is not None:
        value, g = value / jnp.asarray(divisor, value.dtype), g / jnp.asarray(divisor, g.dtype)
    gradients: list[Layer] = []
    while segments:
        segment, start = segments.pop(), starts.pop()
        if gradients:  # the last segment's z and a are still there; the others' are made again
            z, a = forward(params[segment], _not_before(g, start), sigmas[segment])
        layers = [*zip(params[segment], sigmas[segment], z, a[1:], a, strict=False)]
        for (W, _), sigma, z_l, a_l, below in reversed(layers):
            d = delta(sigma, z_l, a_l, g)
            gradients.append(Layer(matmul(d, below.T), jnp.sum(d, axis=1)))
            g = matmul(W.T, d)
    return value, jax.tree.unflatten(jax.tree.structure(params), jax.tree.leaves(gradients[::-1]))


def _not_before(g: Array, start: Array) -> Array:
    """``start``, but as the compiler sees it only known after ``g``: else it would keep what it has already
    computed.

    Nothing is below -inf, so 0 is added; ``jax.lax.optimization_barrier`` would say so too, but the CPU
    compiler drops it.
    """
    return start + (g[:1] < -jnp.inf).astype(start.dtype)  # a whole row: columns may lie on many devices


def rounds_of(x: Float[Array, "n N"]) -> int:
    """In how many rounds to take the columns: a power of two that divides their number, on each device that has some;
    1 if they are few, or their number is not known while a program is traced."""
    N, spec, mesh = x.shape[1], jax.typeof(x).sharding.spec, jax.typeof(x).sharding.mesh
    if not isinstance(N, int):
        return 1
    for axis in (spec[1],) if isinstance(spec[1], str) else spec[1] or ():
        N //= mesh.shape[axis]
    rounds = 1
    while rounds < MOST_ROUNDS and N % (2 * rounds) == 0 and N // (2 * rounds) >= LEAST_COLUMNS:
        rounds *= 2
    return rounds


def some_columns_at_a_time(
    params: Parameters,
    x: Float[Array, "n N"],
    y: Float[Array, "m N"],
    sigmas: Sequence[Activation],
    C: Loss,
    divisor: Any,
    rounds: int,
) -> tuple[Float[Array, ""], Any]:
    """``recursion`` on every ``rounds``-th column, so that columns spread over devices stay where they are."""
    x, y = (a.reshape(a.shape[0], -1, rounds) for a in (x, y))

    def one_round(i: Array, sums: Any) -> Any:
        some_x, some_y = (jax.lax.dynamic_index_in_dim(a, i, axis=2, keepdims=False) for a in (x, y))
        return jax.tree.map(jnp.add, sums, recursion(params, some_x, some_y, sigmas, C, divisor))

    zeros = jnp.zeros((), x.dtype), jax.tree.map(jnp.zeros_like, params)
    return jax.lax.fori_loop(0, rounds, one_round, zeros)
