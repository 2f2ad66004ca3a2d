"""Three layers of tanh and a squared error, differentiated in all weights and biases: the recursion of δ.

``a_l = tanh(W_l a_{l-1} + b_l)``, a data point a column; ``δ_3 = 2 (a_3 - y) ⊙ s(a_3)``,
``δ_l = (W_{l+1}ᵀ δ_{l+1}) ⊙ s(a_l)`` with the slope ``s(a) = (1 - a) (1 + a)``; ``δ_l a_{l-1}ᵀ`` goes into ``W_l``, and
the sum of δ over columns into ``b_l``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from handgrad.claims import Claim
from handgrad.matrices import matmul
from verify.bench.function import Arrays, Form, Function


def loss(
    W1: Float[Array, "h n"],
    b1: Float[Array, "h"],
    W2: Float[Array, "k h"],
    b2: Float[Array, "k"],
    W3: Float[Array, "m k"],
    b3: Float[Array, "m"],
    x: Float[Array, "n N"],
    y: Float[Array, "m N"],
) -> Float[Array, ""]:
    a = x
    for W, b in ((W1, b1), (W2, b2), (W3, b3)):
        a = jnp.tanh(matmul(W, a) + b[:, None])
    return jnp.sum((a - y) ** 2)


def _rule(mistake: float) -> Callable[..., Any]:
    slope = lambda a: (1 - a) * (1 + a)  # noqa: E731

    def gradient(W1: Any, b1: Any, W2: Any, b2: Any, W3: Any, b3: Any, x: Any, y: Any) -> Any:
        a1 = jnp.tanh(matmul(W1, x) + b1[:, None])
        a2 = jnp.tanh(matmul(W2, a1) + b2[:, None])
        a3 = jnp.tanh(matmul(W3, a2) + b3[:, None])
        d3 = 2 * (a3 - y) * slope(a3)
        s2 = slope(a2) - mistake * a2 * a2 if mistake else slope(a2)
        d2 = matmul(W3.T, d3) * s2
        d1 = matmul(W2.T, d2) * slope(a1)
        into = lambda d, a: (matmul(d, a.T), jnp.sum(d, axis=1))  # noqa: E731
        return (*into(d1, x), *into(d2, a1), *into(d3, a2))

    return gradient


def planted(mistake: float) -> Claim:
    wrt = ("W1", "b1", "W2", "b2", "W3", "b3")
    return Claim("network", "gradient", _rule(mistake), loss, wrt=wrt, wrt_is_tuple=True, module=__name__)


def values(rng: np.random.Generator, n: int, h: int, k: int, m: int, N: int) -> Arrays:
    """``W_l`` and ``b_l`` of the layers ``n -> h -> k -> m``, then ``x: n N`` and ``y: m N``."""
    shapes = ((h, n), h, (k, h), k, (m, k), m, (n, N), (m, N))
    return tuple([rng.standard_normal(shape) for shape in shapes])


# --- NumPy ------------------------------------------------------------------------------------------------


def hand(W1: Any, b1: Any, W2: Any, b2: Any, W3: Any, b3: Any, x: Any, y: Any) -> Arrays:
    a1 = np.tanh(W1 @ x + b1[:, None])
    a2 = np.tanh(W2 @ a1 + b2[:, None])
    a3 = np.tanh(W3 @ a2 + b3[:, None])
    d3 = 2 * (a3 - y) * ((1 - a3) * (1 + a3))
    d2 = W3.T @ d3 * ((1 - a2) * (1 + a2))
    d1 = W2.T @ d2 * ((1 - a1) * (1 + a1))
    return d1 @ x.T, d1.sum(1), d2 @ a1.T, d2.sum(1), d3 @ a2.T, d3.sum(1)


def reference(W1: Any, b1: Any, W2: Any, b2: Any, W3: Any, b3: Any, x: Any, y: Any) -> Arrays:
    """Reverse mode, a layer at a time, with the derivative of tanh as JAX has it: ``(g + g a) (1 - a)``."""
    a, steps = x, []
    for W, b in ((W1, b1), (W2, b2), (W3, b3)):
        steps.append((W, a))
        a = np.tanh(W @ a + b[:, None])
        steps[-1] += (a,)
    g, found = 2 * (a - y), ()
    for W, before, a in reversed(steps):
        g = (g + g * a) * (1 - a)
        found = (g @ before.T, g.sum(1), *found)
        g = W.T @ g
    return found


def primal(W1: Any, b1: Any, W2: Any, b2: Any, W3: Any, b3: Any, x: Any, y: Any) -> Any:
    r = np.tanh(W3 @ np.tanh(W2 @ np.tanh(W1 @ x + b1[:, None]) + b2[:, None]) + b3[:, None]) - y
    return (r * r).sum()


def pullback(
    cotangent: Any, W1: Any, b1: Any, W2: Any, b2: Any, W3: Any, b3: Any, x: Any, y: Any, mistake: float = 0.0
) -> tuple[Any, ...]:
    a1 = np.tanh(W1 @ x + b1[:, None])
    a2 = np.tanh(W2 @ a1 + b2[:, None])
    a3 = np.tanh(W3 @ a2 + b3[:, None])
    return _backward(cotangent, W2, W3, x, y, a1, a2, a3, mistake)


def _backward(
    cotangent: Any, W2: Any, W3: Any, x: Any, y: Any, a1: Any, a2: Any, a3: Any, mistake: float
) -> tuple[Any, ...]:
    """The recursion, in NumPy and in torch."""
    d3 = cotangent * 2 * (a3 - y) * ((1 - a3) * (1 + a3))
    s2 = (1 - a2) * (1 + a2)
    d2 = W3.T @ d3 * (s2 - mistake * a2 * a2 if mistake else s2)
    d1 = W2.T @ d2 * ((1 - a1) * (1 + a1))
    return d1 @ x.T, d1.sum(1), d2 @ a1.T, d2.sum(1), d3 @ a2.T, d3.sum(1)


# --- torch ------------------------------------------------------------------------------------------------


def torch_primal(W1: Any, b1: Any, W2: Any, b2: Any, W3: Any, b3: Any, x: Any, y: Any) -> Any:
    hidden = (W2 @ (W1 @ x + b1[:, None]).tanh() + b2[:, None]).tanh()
    r = (W3 @ hidden + b3[:, None]).tanh() - y
    return (r * r).sum()


def torch_pullback(
    cotangent: Any, W1: Any, b1: Any, W2: Any, b2: Any, W3: Any, b3: Any, x: Any, y: Any, mistake: float = 0.0
) -> tuple[Any, ...]:
    a1 = (W1 @ x + b1[:, None]).tanh()
    a2 = (W2 @ a1 + b2[:, None]).tanh()
    a3 = (W3 @ a2 + b3[:, None]).tanh()
    return _backward(cotangent, W2, W3, x, y, a1, a2, a3, mistake)


NETWORK = Function(
    name="network",
    title="three-layer tanh network gradient",
    term="a² in the second layer's slope, 1 - a²",
    dims=("n", "h", "k", "m", "N"),
    wrt=(0, 1, 2, 3, 4, 5),
    claim=planted(0.0),
    planted=planted,
    values=values,
    hand=hand,
    reference=reference,
    numpy=Form(primal, pullback),
    torch=Form(torch_primal, torch_pullback),
    work="products",
    entries=lambda n: 5 * n * n + 3 * n,
)
