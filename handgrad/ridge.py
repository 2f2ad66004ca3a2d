r"""Ridge regression: fit ``Y ≈ W X``, one data point a column, with a penalty ``λ ‖W‖²``.

The loss is ``l(W) = ‖Y - W X‖² + λ ‖W‖²`` in the Frobenius norm. With ``R = W X - Y``, differentiate and
collect under the trace:

    dl = 2 tr(Rᵀ dW X) + 2 λ tr(Wᵀ dW) = 2 tr((R Xᵀ + λ W)ᵀ dW)

so the gradient is ``2 (R Xᵀ + λ W)``, and it vanishes where ``W (X Xᵀ + λ I) = Y Xᵀ``.

Loss, gradient and solution see the data only through ``X Xᵀ``, ``Y Xᵀ`` and ``‖Y‖²``: ``RidgeStatistics``
keeps these, so that a step costs the same for a hundred points and for a billion.

Source: Hoerl and Kennard, *Ridge regression* (1970); the derivation by traces is this file's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from handgrad.claims import at_most, equal_to, gradient_of, hvp_of, jvp_of, value_and_gradient_of, vjp_of
from handgrad.domains import interval, nonnegative
from handgrad.matrices import matmul

__all__ = [
    "RidgeSpectrum",
    "RidgeStatistics",
    "ridge_differential",
    "ridge_gradient",
    "ridge_gradients",
    "ridge_hessian_product",
    "ridge_loss",
    "ridge_solution",
]

# A penalty for which ``X Xᵀ + λ I`` is safely invertible, and data for which it is not badly conditioned.
Penalty = Annotated[Float[Array, ""], interval(0.125, 8.0)]
Features = Annotated[Float[Array, "n N"], interval(-2.0, 2.0)]

# --- The loss and its derivatives -------------------------------------------------------------------------


def ridge_loss(
    W: Float[Array, "m n"], X: Float[Array, "n N"], Y: Float[Array, "m N"], lam: Float[Array, ""]
) -> Float[Array, ""]:
    """``‖Y - W X‖² + λ ‖W‖²``: a sum over the data, not a mean, with no factor one half."""
    R = W @ X - Y
    return jnp.sum(R * R) + lam * jnp.sum(W * W)


@jvp_of(ridge_loss, wrt="W")
def ridge_differential(
    W: Float[Array, "m n"],
    X: Float[Array, "n N"],
    Y: Float[Array, "m N"],
    lam: Float[Array, ""],
    *,
    dW: Float[Array, "m n"],
) -> Float[Array, ""]:
    """``dl = 2 tr(Rᵀ dW X) + 2 λ tr(Wᵀ dW)``, before anything is moved under the trace."""
    R = W @ X - Y
    return 2 * (jnp.sum(R * (dW @ X)) + lam * jnp.sum(W * dW))


@gradient_of(ridge_loss, wrt="W")
def ridge_gradient(
    W: Float[Array, "m n"], X: Float[Array, "n N"], Y: Float[Array, "m N"], lam: Float[Array, ""]
) -> Float[Array, "m n"]:
    """``tr(Rᵀ dW X) = tr((R Xᵀ)ᵀ dW)``: the gradient is ``2 (R Xᵀ + λ W)``."""
    return 2 * (matmul(W @ X - Y, X.T) + lam * W)


@value_and_gradient_of(ridge_loss, wrt="W")
def ridge_value_and_gradient(
    W: Float[Array, "m n"], X: Float[Array, "n N"], Y: Float[Array, "m N"], lam: Float[Array, ""]
) -> tuple[Float[Array, ""], Float[Array, "m n"]]:
    """Both share the residual ``R = W X - Y``."""
    R = W @ X - Y
    return jnp.sum(R * R) + lam * jnp.sum(W * W), 2 * (matmul(R, X.T) + lam * W)


@hvp_of(ridge_loss, wrt="W")
def ridge_hessian_product(
    W: Float[Array, "m n"],
    X: Float[Array, "n N"],
    Y: Float[Array, "m N"],
    lam: Float[Array, ""],
    *,
    dW: Float[Array, "m n"],
) -> Float[Array, "m n"]:
    """The differential of the gradient: ``2 dW (X Xᵀ + λ I)``, the same at every ``W``."""
    return 2 * (matmul(dW @ X, X.T) + lam * dW)


@gradient_of(ridge_loss, wrt=("X", "Y", "lam"), name="ridge_gradients")
def ridge_gradients(
    W: Float[Array, "m n"], X: Float[Array, "n N"], Y: Float[Array, "m N"], lam: Float[Array, ""]
) -> tuple[Float[Array, "n N"], Float[Array, "m N"], Float[Array, ""]]:
    """In the other arguments: ``dl = 2 tr(Rᵀ W dX) - 2 tr(Rᵀ dY) + ‖W‖² dλ``."""
    R = W @ X - Y
    return 2 * (W.T @ R), -2 * R, jnp.sum(W * W)


# --- Products of the data ---------------------------------------------------------------------------------

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


# --- Its minimum ------------------------------------------------------------------------------------------


def _regularised(XX: Float[Array, "n n"], lam: Float[Array, ""]) -> Float[Array, "n n"]:
    return XX + lam * jnp.eye(XX.shape[0], dtype=XX.dtype)


def _right_divide(B: Float[Array, "m n"], S: Float[Array, "n n"]) -> Float[Array, "m n"]:
    """``B S⁻¹`` for a symmetric ``S``."""
    return jnp.linalg.solve(S, B.T).T


def ridge_solution(X: Float[Array, "n N"], Y: Float[Array, "m N"], lam: Penalty) -> Float[Array, "m n"]:
    """The minimiser ``W = Y Xᵀ (X Xᵀ + λ I)⁻¹``, by a solve; nothing is inverted.

    Needs ``X Xᵀ + λ I`` invertible: ``λ > 0`` is enough. float32 and float64 only, as JAX's linear algebra.
    """
    XX, YX, _ = products(X, Y)
    return _right_divide(YX, _regularised(XX, lam))


@equal_to(ridge_loss, dtypes=("float64", "float32"))
def ridge_loss_about_its_minimum(
    W: Float[Array, "m n"], X: Features, Y: Float[Array, "m N"], lam: Penalty
) -> Float[Array, ""]:
    """The square completed: with ``V = W - W*``, ``l(W) = l(W*) + tr(V (X Xᵀ + λ I) Vᵀ)``, without a linear
    term.
    """
    best = ridge_solution(X, Y, lam)
    V = W - best
    VX = V @ X
    return ridge_loss(best, X, Y, lam) + jnp.sum(VX * VX) + lam * jnp.sum(V * V)


def transposed_then_regularised(X: Float[Array, "n N"], lam: Float[Array, ""]) -> Float[Array, "N n"]:
    """``Xᵀ (X Xᵀ + λ I)``."""
    return X.T @ _regularised(matmul(X, X.T), lam)


@equal_to(transposed_then_regularised)
def push_through(X: Features, lam: Float[Array, ""]) -> Float[Array, "N n"]:
    """``(Xᵀ X + λ I) Xᵀ``: hence also ``W* = Y (Xᵀ X + λ I)⁻¹ Xᵀ``, cheaper for fewer points than features."""
    return matmul(_regularised(matmul(X.T, X), lam), X.T)


@at_most(ridge_loss, dtypes=("float64", "float32"))
def ridge_minimum(
    W: Float[Array, "m n"], X: Float[Array, "n N"], Y: Float[Array, "m N"], lam: Penalty
) -> Float[Array, ""]:
    """The loss at the solution is at most the loss at any ``W``: the Hessian is positive definite."""
    return ridge_loss(ridge_solution(X, Y, lam), X, Y, lam)


@jvp_of(ridge_solution, wrt=("X", "Y", "lam"))
def ridge_solution_differential(
    X: Features,
    Y: Float[Array, "m N"],
    lam: Penalty,
    *,
    dX: Float[Array, "n N"],
    dY: Float[Array, "m N"],
    dlam: Float[Array, ""],
) -> Float[Array, "m n"]:
    """Differentiate ``W S = Y Xᵀ`` with ``S = X Xᵀ + λ I``: ``dW = (d(Y Xᵀ) - W dS) S⁻¹``."""
    S = _regularised(matmul(X, X.T), lam)
    W = _right_divide(matmul(Y, X.T), S)
    dS = matmul(dX, X.T) + matmul(X, dX.T) + dlam * jnp.eye(S.shape[0], dtype=S.dtype)
    return _right_divide(matmul(dY, X.T) + matmul(Y, dX.T) - W @ dS, S)


@vjp_of(ridge_solution, wrt=("X", "Y", "lam"))
def ridge_solution_vjp(
    X: Features, Y: Float[Array, "m N"], lam: Penalty, *, cotangent: Float[Array, "m n"]
) -> tuple[Float[Array, "n N"], Float[Array, "m N"], Float[Array, ""]]:
    """With ``G = C S⁻¹``: ``tr(Gᵀ (dY Xᵀ + Y dXᵀ - W (dX Xᵀ + X dXᵀ + dλ I)))``, term by term."""
    S = _regularised(matmul(X, X.T), lam)
    W, G = _right_divide(matmul(Y, X.T), S), _right_divide(cotangent, S)
    return G.T @ (Y - W @ X) - W.T @ (G @ X), G @ X, -jnp.sum(G * W)


# --- Sufficient statistics --------------------------------------------------------------------------------


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
        return _right_divide(self.YX, _regularised(self.XX, jnp.asarray(lam, self.XX.dtype)))

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


@equal_to(ridge_loss)
def statistics_loss(
    W: Float[Array, "m n"], X: Float[Array, "n N"], Y: Float[Array, "m N"], lam: Float[Array, ""]
) -> Float[Array, ""]:
    """The loss from the statistics alone."""
    return RidgeStatistics.of(X, Y).loss(W, lam)


@gradient_of(ridge_loss, wrt="W")
def statistics_gradient(
    W: Float[Array, "m n"], X: Float[Array, "n N"], Y: Float[Array, "m N"], lam: Float[Array, ""]
) -> Float[Array, "m n"]:
    """The gradient from the statistics alone."""
    return RidgeStatistics.of(X, Y).gradient(W, lam)


@equal_to(ridge_solution)
def statistics_solution(X: Float[Array, "n N"], Y: Float[Array, "m N"], lam: Penalty) -> Float[Array, "m n"]:
    """The minimiser from the statistics alone."""
    return RidgeStatistics.of(X, Y).solution(lam).astype(X.dtype)


Eigenvalues = Annotated[Float[Array, "n"], interval(0.0, 8.0)]
Normal = Annotated[Float[Array, "n"], interval(0.5, 2.0)]


def _reflection(v: Float[Array, "n"]) -> Float[Array, "n n"]:
    """``I - 2 v vᵀ / ‖v‖²``, an orthogonal matrix."""
    return jnp.eye(v.size, dtype=v.dtype) - 2 * jnp.outer(v, v) / jnp.sum(v * v)


def solution_from_products(
    s: Eigenvalues, v: Normal, YX: Float[Array, "m n"], lam: Penalty
) -> Float[Array, "m n"]:
    """The minimiser where ``X Xᵀ`` has the eigenvalues ``s``, and a reflection's columns for eigenvectors."""
    Q = _reflection(v)
    return _right_divide(YX, _regularised((Q * s[None, :]) @ Q.T, lam))


@equal_to(solution_from_products)
def spectrum_solution(s: Eigenvalues, v: Normal, YX: Float[Array, "m n"], lam: Penalty) -> Float[Array, "m n"]:
    """The same without a solve: in its eigenvectors ``X Xᵀ + λ I`` is diagonal."""
    Q = _reflection(v)
    return RidgeSpectrum(s, Q, YX @ Q).solution(lam)


def loss_of_both(
    W: Float[Array, "m n"],
    X1: Float[Array, "n N1"],
    Y1: Float[Array, "m N1"],
    X2: Float[Array, "n N2"],
    Y2: Float[Array, "m N2"],
    lam: Annotated[Float[Array, ""], nonnegative],
) -> Float[Array, ""]:
    """The loss of the two data sets side by side."""
    return ridge_loss(W, jnp.concatenate([X1, X2], axis=1), jnp.concatenate([Y1, Y2], axis=1), lam)


@gradient_of(loss_of_both, wrt="W")
def merged_statistics_gradient(
    W: Float[Array, "m n"],
    X1: Float[Array, "n N1"],
    Y1: Float[Array, "m N1"],
    X2: Float[Array, "n N2"],
    Y2: Float[Array, "m N2"],
    lam: Annotated[Float[Array, ""], nonnegative],
) -> Float[Array, "m n"]:
    """Products of data sets add: the gradient of the whole from the sum of the parts' statistics."""
    return (RidgeStatistics.of(X1, Y1) + RidgeStatistics.of(X2, Y2)).gradient(W, lam)


@gradient_of(loss_of_both, wrt="W")
def updated_statistics_gradient(
    W: Float[Array, "m n"],
    X1: Float[Array, "n N1"],
    Y1: Float[Array, "m N1"],
    X2: Float[Array, "n N2"],
    Y2: Float[Array, "m N2"],
    lam: Annotated[Float[Array, ""], nonnegative],
) -> Float[Array, "m n"]:
    """The same, taking the second data set in later."""
    return RidgeStatistics.of(X1, Y1).update(X2, Y2).gradient(W, lam)
