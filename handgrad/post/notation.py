"""The post's notation, literally: a formula whose sizes do not fit raises instead of being broadcast."""

from __future__ import annotations

from typing import Any, TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad.activations import Activation
from handgrad.differentials import frobenius_norm, steepest_ascent_direction

__all__ = ["SIGMA", "Matrix", "Scalar", "diag", "identity_times", "norm", "odot", "stated", "tr", "unit"]

Matrix: TypeAlias = Float[Array, "m n"]
Scalar: TypeAlias = Float[Array, ""]

SIGMA = (
    Activation("arctan", jnp.arctan, lambda z: 1 / (1 + z * z)),
    Activation("sin", jnp.sin, jnp.cos),
    Activation("arsinh", jnp.arcsinh, lambda z: 1 / jnp.sqrt(1 + z * z)),
)
"""``σ_1, σ_2, σ_3``: a different one in every layer, so that a wrong layer shows; their slopes keep their digits at
either end, also those by ``jax.grad``."""

norm = frobenius_norm
"""``‖A‖``, Frobenius' norm, also written ``‖A‖_2``."""


def _same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Whether two shapes are the same; where sizes have names, whether the names are."""
    return [str(size) for size in one] == [str(size) for size in other]


def tr(A: Float[Array, "n n"]) -> Scalar:
    """The trace of a square matrix. Raises ``TypeError`` for any other."""
    if not _same(A.shape[:1], A.shape[1:]):
        raise TypeError(f"the trace of a matrix of shape {A.shape}: wanted a square one")
    return jnp.trace(A)


def odot(A: Matrix, B: Matrix) -> Matrix:
    """``A ⊙ B``. Raises ``TypeError`` unless both have the same shape."""
    if not _same(A.shape, B.shape):
        raise TypeError(f"the product ⊙ of shapes {A.shape} and {B.shape}: wanted the same shape")
    return A * B


def diag(u: Float[Array, "n 1"]) -> Float[Array, "n n"]:
    """The diagonal matrix with the column ``u`` on its diagonal."""
    return u * jnp.eye(u.shape[0], dtype=u.dtype)


def identity_times(lam: Scalar, like: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """``λ I``, also where a square matrix plus ``λ`` is written."""
    return lam * jnp.eye(like.shape[0], dtype=like.dtype)


def unit(A: Matrix) -> Matrix:
    """``A / ‖A‖``; of 0, which has no direction, another matrix of norm 1."""
    return steepest_ascent_direction(A)


def stated(A: Any, *shape: Any) -> Any:
    """``A``, which is stated to have this shape. Raises ``TypeError`` if it has another."""
    if not _same(A.shape, shape):
        raise TypeError(f"stated to have shape {shape}, has shape {A.shape}")
    return A
