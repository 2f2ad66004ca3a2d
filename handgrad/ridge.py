r"""Ridge regression: fit ``Y ≈ W X``, one data point a column, with a penalty ``λ ‖W‖²``.

The loss is ``l(W) = ‖Y - W X‖² + λ ‖W‖²`` in the Frobenius norm. With ``R = W X - Y``, differentiate and
collect under the trace:

    dl = 2 tr(Rᵀ dW X) + 2 λ tr(Wᵀ dW) = 2 tr((R Xᵀ + λ W)ᵀ dW)

so the gradient is ``2 (R Xᵀ + λ W)``, and it vanishes where ``W (X Xᵀ + λ I) = Y Xᵀ``.

Loss, gradient and solution see the data only through ``X Xᵀ``, ``Y Xᵀ`` and ``‖Y‖²``, which ``RidgeStatistics``
keeps (``handgrad.ridge_statistics``).

Source: Hoerl and Kennard, *Ridge regression* (1970); the derivation by traces is this file's.
"""

from __future__ import annotations

from typing import Annotated

import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad.claims import at_most, equal_to, gradient_of, hvp_of, jvp_of, value_and_gradient_of, vjp_of
from handgrad.domains import interval, nonnegative
from handgrad.matrices import matmul
from handgrad.ridge_statistics import RidgeSpectrum, RidgeStatistics, products, regularised, right_divide

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


# --- Its minimum ------------------------------------------------------------------------------------------


def ridge_solution(X: Float[Array, "n N"], Y: Float[Array, "m N"], lam: Penalty) -> Float[Array, "m n"]:
    """The minimiser ``W = Y Xᵀ (X Xᵀ + λ I)⁻¹``, by a solve; nothing is inverted.

    Needs ``X Xᵀ + λ I`` invertible: ``λ > 0`` is enough. float32 and float64 only, as JAX's linear algebra.
    """
    XX, YX, _ = products(X, Y)
    return right_divide(YX, regularised(XX, lam))


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
    return X.T @ regularised(matmul(X, X.T), lam)


@equal_to(transposed_then_regularised)
def push_through(X: Features, lam: Float[Array, ""]) -> Float[Array, "N n"]:
    """``(Xᵀ X + λ I) Xᵀ``: hence also ``W* = Y (Xᵀ X + λ I)⁻¹ Xᵀ``, cheaper for fewer points than features."""
    return matmul(regularised(matmul(X.T, X), lam), X.T)


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
    S = regularised(matmul(X, X.T), lam)
    W = right_divide(matmul(Y, X.T), S)
    dS = matmul(dX, X.T) + matmul(X, dX.T) + dlam * jnp.eye(S.shape[0], dtype=S.dtype)
    return right_divide(matmul(dY, X.T) + matmul(Y, dX.T) - W @ dS, S)


@vjp_of(ridge_solution, wrt=("X", "Y", "lam"))
def ridge_solution_vjp(
    X: Features, Y: Float[Array, "m N"], lam: Penalty, *, cotangent: Float[Array, "m n"]
) -> tuple[Float[Array, "n N"], Float[Array, "m N"], Float[Array, ""]]:
    """With ``G = C S⁻¹``: ``tr(Gᵀ (dY Xᵀ + Y dXᵀ - W (dX Xᵀ + X dXᵀ + dλ I)))``, term by term."""
    S = regularised(matmul(X, X.T), lam)
    W, G = right_divide(matmul(Y, X.T), S), right_divide(cotangent, S)
    return G.T @ (Y - W @ X) - W.T @ (G @ X), G @ X, -jnp.sum(G * W)


# --- Sufficient statistics --------------------------------------------------------------------------------


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
    return right_divide(YX, regularised((Q * s[None, :]) @ Q.T, lam))


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
