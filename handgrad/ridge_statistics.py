r"""What ridge regression sees of its data: ``X Xᵀ``, ``Y Xᵀ`` and ``‖Y‖²``, whose sizes do not grow with ``N``.

Loss, gradient and solution are functions of these products, so that a step costs the same for a hundred data points
and for a billion; in the eigenvectors of ``X Xᵀ`` so is the solution for every ``λ``, at the cost of one product. That
they are the same functions is claimed in ``handgrad.ridge``.

Source: Hoerl and Kennard, *Ridge regression* (1970).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from handgrad.matrices import matmul

__all__ = ["RidgeSpectrum", "RidgeStatistics"]

COLUMNS = 1024
"""So many data points stay in a processor's cache while all products are made of them."""


def _products(X: Float[Array, "n N"], Y: Float[Array, "m N"]) -> tuple[Array, Array, Array]:
    """``X Xᵀ``, ``Y Xᵀ`` and ``‖Y‖²``, all that the loss sees of the data."""
    return matmul(X, X.T), matmul(Y, X.T), jnp.sum(Y * Y)


def products(
    X: Float[Array, "n N"], Y: Float[Array, "m N"]
) -> tuple[Float[Array, "n n"], Float[Array, "m n"], Float[Array, ""]]:
    """The same; many data points are taken some at a time on a CPU, in one pass over memory.

    Data spread over devices by an Auto mesh are gathered for that: there, sum statistics device by device.
    """
    N, columns = X.shape[1], jax.typeof(X).sharding.spec[1]
    if not isinstance(N, int) or N < 4 * COLUMNS or columns is not None:
        return _products(X, Y)
    return jax.lax.platform_dependent(X, Y, cpu=_products_by_columns, default=_products)


def _products_by_columns(X: Array, Y: Array) -> tuple[Array, Array, Array]:
    def some(start: Array | int, count: int) -> tuple[Array, Array, Array]:
        return _products(*(jax.lax.dynamic_slice_in_dim(data, start, count, axis=1) for data in (X, Y)))

    rounds, left = divmod(X.shape[1], COLUMNS)

    def add(sums: Any, start: Array) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, sums, some(start, COLUMNS)), None

    return jax.lax.scan(add, some(rounds * COLUMNS, left), COLUMNS * jnp.arange(rounds))[0]


def regularised(XX: Float[Array, "n n"], lam: Float[Array, ""]) -> Float[Array, "n n"]:
    """``X Xᵀ + λ I``."""
    return XX + lam * jnp.eye(XX.shape[0], dtype=XX.dtype)


def right_divide(B: Float[Array, "m n"], S: Float[Array, "n n"]) -> Float[Array, "m n"]:
    """``B S⁻¹`` for a symmetric ``S``."""
    return jnp.linalg.solve(S, B.T).T


def _wide(data: Array) -> Array:
    return data.astype(jnp.float32) if jnp.finfo(data.dtype).bits < 32 else jnp.asarray(data)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RidgeStatistics:
    """All that ridge regression needs to know of a data set: a pytree whose size does not grow with ``N``.

    ``a + b`` merges two data sets, so the statistics may be gathered in chunks, in any order, or on many
    devices. Products of half-precision data are kept in float32, where their sums do not overflow. The loss
    loses digits to cancellation when the residual is small beside ``Y``: the price of forgetting the data.
    """

    XX: Float[Array, "n n"]
    YX: Float[Array, "m n"]
    YY: Float[Array, ""]
    count: Int[Array, ""]

    @classmethod
    def of(cls, X: Float[Array, "n N"], Y: Float[Array, "m N"]) -> RidgeStatistics:
        """The statistics of a data set. Raises ``ValueError`` unless ``X`` and ``Y`` have as many columns."""
        if X.ndim != 2 or Y.ndim != 2 or X.shape[1] != Y.shape[1]:
            raise ValueError(
                f"RidgeStatistics.of: got X of shape {X.shape} and Y of shape {Y.shape}; "
                'wanted X "n N" and Y "m N": a data point is a column'
            )
        return cls(*products(_wide(X), _wide(Y)), jnp.asarray(X.shape[1], jnp.int32))

    def __add__(self, other: RidgeStatistics) -> RidgeStatistics:
        return jax.tree.map(jnp.add, self, other)

    def update(self, X: Float[Array, "n N"], Y: Float[Array, "m N"]) -> RidgeStatistics:
        """The statistics with more data points."""
        return self + RidgeStatistics.of(X, Y)

    def loss(self, W: Float[Array, "m n"], lam: Float[Array, ""]) -> Float[Array, ""]:
        """``‖Y‖² - 2 tr(Wᵀ Y Xᵀ) + tr(Wᵀ W (X Xᵀ + λ I))``, the square of the norm multiplied out."""
        wide, lam = W.astype(self.XX.dtype), jnp.asarray(lam, self.XX.dtype)
        square = jnp.sum(wide * (wide @ self.XX - 2 * self.YX)) + lam * jnp.sum(wide * wide)
        return (self.YY + square).astype(W.dtype)

    def gradient(self, W: Float[Array, "m n"], lam: Float[Array, ""]) -> Float[Array, "m n"]:
        """``2 (W X Xᵀ - Y Xᵀ + λ W)``."""
        wide, lam = W.astype(self.XX.dtype), jnp.asarray(lam, self.XX.dtype)
        return (2 * (wide @ self.XX - self.YX + lam * wide)).astype(W.dtype)

    def solution(self, lam: Float[Array, ""]) -> Float[Array, "m n"]:
        """``Y Xᵀ (X Xᵀ + λ I)⁻¹``; as ``ridge_solution``. For many ``λ``: ``spectrum().solution(lam)``."""
        return right_divide(self.YX, regularised(self.XX, jnp.asarray(lam, self.XX.dtype)))

    def spectrum(self) -> RidgeSpectrum:
        """``X Xᵀ = Q diag(s) Qᵀ``, once for all ``λ``."""
        s, Q = jnp.linalg.eigh(self.XX)
        return RidgeSpectrum(s, Q, self.YX @ Q)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RidgeSpectrum:
    """The data in the eigenvectors ``Q`` of ``X Xᵀ``, where ``λ`` is added to each eigenvalue ``s`` alone: the path of
    solutions over ``λ`` without a factorisation for each.
    """

    s: Float[Array, "n"]
    Q: Float[Array, "n n"]
    YXQ: Float[Array, "m n"]

    def solution(self, lam: Float[Array, ""]) -> Float[Array, "m n"]:
        """``Y Xᵀ Q diag(s + λ)⁻¹ Qᵀ``; as ``ridge_solution``, at the cost of one product."""
        return (self.YXQ / (self.s + jnp.asarray(lam, self.s.dtype))[None, :]) @ self.Q.T
