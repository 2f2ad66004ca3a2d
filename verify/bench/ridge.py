"""Ridge regression: ``‖Y - W X‖² + λ ‖W‖²`` and its gradient ``2 ((W X - Y) Xᵀ + λ W)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from handgrad.claims import Claim
from handgrad.matrices import matmul
from handgrad.ridge import ridge_gradient, ridge_loss
from verify.bench.function import Arrays, Form, Function


def _claim(gradient: Callable[..., Any]) -> Claim:
    return Claim("ridge", "gradient", gradient, ridge_loss, wrt=("W",), module=__name__)


def planted(mistake: float) -> Claim:
    def gradient(W: Any, X: Any, Y: Any, lam: Any) -> Any:
        return 2 * (matmul(W @ X - Y, X.T) + (1 + mistake) * lam * W)

    return _claim(gradient)


def values(rng: np.random.Generator, m: int, n: int, N: int) -> Arrays:
    """``W: m n``, ``X: n N``, ``Y: m N`` and ``λ``."""
    W, X, Y = (rng.standard_normal(shape) for shape in ((m, n), (n, N), (m, N)))
    return W, X, Y, np.asarray(rng.standard_normal())


# --- NumPy ------------------------------------------------------------------------------------------------


def hand(W: Any, X: Any, Y: Any, lam: Any) -> Arrays:
    return (2 * ((W @ X - Y) @ X.T + lam * W),)


def reference(W: Any, X: Any, Y: Any, lam: Any) -> Arrays:
    """Reverse mode over the loss, a line an operation."""
    R = W @ X - Y
    dR = 2 * R
    return (dR @ X.T + lam * (2 * W),)


def primal(W: Any, X: Any, Y: Any, lam: Any) -> Any:
    R = W @ X - Y
    return (R * R).sum() + lam * (W * W).sum()


def pullback(cotangent: Any, W: Any, X: Any, Y: Any, lam: Any, mistake: float = 0.0) -> tuple[Any, ...]:
    return (cotangent * (2 * ((W @ X - Y) @ X.T + (1 + mistake) * lam * W)),)


# In torch the same lines serve: `@`, `.T` and `.sum()` are its own.
RIDGE = Function(
    name="ridge",
    title="ridge gradient",
    term="the penalty's, λ W",
    dims=("m", "n", "N"),
    wrt=(0,),
    claim=_claim(ridge_gradient),
    planted=planted,
    values=values,
    hand=hand,
    reference=reference,
    numpy=Form(primal, pullback),
    torch=Form(primal, pullback),
    work="products",
    entries=lambda n: 3 * n * n + 1,
)
