"""Softmax cross-entropy of logits, down each column: the gradient is ``(1ᵀ y) softmax(p) - y``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.nn import softmax
from jaxtyping import Array, Float

from handgrad.claims import Claim
from handgrad.losses import softmax_cross_entropy, softmax_cross_entropy_gradient
from verify.bench.function import Arrays, Form, Function


def loss(p: Float[Array, "n N"], y: Float[Array, "n N"]) -> Float[Array, ""]:
    """The catalogue's loss at a batch of columns; ``y`` is any array."""
    return softmax_cross_entropy(p, y)


def gradient(p: Float[Array, "n N"], y: Float[Array, "n N"]) -> Float[Array, "n N"]:
    return softmax_cross_entropy_gradient(p, y)


def _claim(gradient: Callable[..., Any]) -> Claim:
    return Claim("softmax", "gradient", gradient, loss, wrt=("p",), module=__name__)


def planted(mistake: float) -> Claim:
    def gradient(p: Any, y: Any) -> Any:
        return jnp.sum(y, axis=0, keepdims=True) * softmax(p, axis=0) - (1 + mistake) * y

    return _claim(gradient)


def values(rng: np.random.Generator, n: int, N: int) -> Arrays:
    """``p: n N`` and ``y: n N``."""
    return rng.standard_normal((n, N)), rng.standard_normal((n, N))


# --- NumPy ------------------------------------------------------------------------------------------------


def hand(p: Any, y: Any) -> Arrays:
    e = np.exp(p - p.max(0))
    return (y.sum(0) * (e / e.sum(0)) - y,)


def reference(p: Any, y: Any) -> Arrays:
    """Reverse mode over ``sum(y * (logsumexp(p) - p))``."""
    top = p.max(0)
    e = np.exp(p - top)
    total = e.sum(0)
    dlogsumexp = y.sum(0)
    return (dlogsumexp / total * e - y,)


def primal(p: Any, y: Any) -> Any:
    top = p.max(0)
    return (y * (np.log(np.exp(p - top).sum(0)) + top - p)).sum()


def pullback(cotangent: Any, p: Any, y: Any, mistake: float = 0.0) -> tuple[Any, ...]:
    e = np.exp(p - p.max(0))
    return (cotangent * (y.sum(0) * (e / e.sum(0)) - (1 + mistake) * y),)


# --- torch ------------------------------------------------------------------------------------------------


def torch_primal(p: Any, y: Any) -> Any:
    return (y * (p.logsumexp(0) - p)).sum()


def torch_pullback(cotangent: Any, p: Any, y: Any, mistake: float = 0.0) -> tuple[Any, ...]:
    return (cotangent * (y.sum(0) * p.softmax(0) - (1 + mistake) * y),)


SOFTMAX = Function(
    name="softmax",
    title="softmax cross-entropy gradient",
    term="y",
    dims=("n", "N"),
    wrt=(0,),
    claim=_claim(gradient),
    planted=planted,
    values=values,
    hand=hand,
    reference=reference,
    numpy=Form(primal, pullback),
    torch=Form(torch_primal, torch_pullback),
    work="entries",
    entries=lambda n: 2 * n * n,
)
