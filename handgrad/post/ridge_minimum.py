r"""Lines 183 to 204: the gradient of the ridge loss, where it vanishes, and the same in the row convention.

An equation that is to be solved holds at a minimiser. Here it is executed at every ``W``, as a statement on the
gradient: the difference of its sides is half of ``∇l(W)``, so that both vanish at the same ``W``, also at ``λ = 0``
with ``X Xᵀ`` singular.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad.claims import at_most, equal_to, gradient_of
from handgrad.post.linear_regression import (
    Inputs,
    Outputs,
    Regularisation,
    Weights,
    predictions_by_row,
    transposed_inputs,
    transposed_outputs,
)
from handgrad.post.notation import Scalar, identity_times
from handgrad.post.places import corrected, not_executable, place, printed
from handgrad.ridge import Features, Penalty, ridge_loss, ridge_solution

# --- The gradient and the minimum -------------------------------------------------------------------------

place(
    "L186",
    r"\nabla l(W) = (XX^T+\lambda I) W^T- XY^T",
    instead=r"\nabla l(W) = 2 (W (XX^T+\lambda I) - YX^T)",
)


@printed(gradient_of, ridge_loss, "L186", wrt="W", expect="wrong")
def gradient_as_printed(W: Weights, X: Inputs, Y: Outputs, lam: Scalar):
    XX = X @ X.T
    return (XX + identity_times(lam, XX)) @ W.T - X @ Y.T


@corrected(gradient_of, ridge_loss, "L186", wrt="W")
def gradient(W: Weights, X: Inputs, Y: Outputs, lam: Scalar) -> Weights:
    XX = X @ X.T
    return 2 * (W @ (XX + identity_times(lam, XX)) - Y @ X.T)


def half_gradient(W: Weights, X: Inputs, Y: Outputs, lam: Scalar) -> Weights:
    """``∇l(W) / 2``, by JAX."""
    return jax.grad(ridge_loss)(W, X, Y, lam) / 2


def half_gradient_transposed(W: Weights, X: Inputs, Y: Outputs, lam: Scalar) -> Float[Array, "n m"]:
    """``∇l(W)ᵀ / 2``, by JAX."""
    return half_gradient(W, X, Y, lam).T


BOTH = "At every W the sides differ by ∇l(W)/2{}: they are equal where the gradient vanishes, also at λ = 0."
not_executable("L189", r"\nabla l(W) = 0", reason="an equation to be solved; lines 157, 192 and 193 execute it")
place("L192", r"(XX^T + \lambda I) W^T = XY^T", note=BOTH.format(", transposed"))
place("L193", r"W (X X^T + \lambda) = YX^T", note=BOTH.format("") + " X Xᵀ + λ is X Xᵀ + λI.")
place(
    "L194",
    r"W = Y X^T (X X^T + \lambda)^{-1}",
    note="Where X Xᵀ + λI has an inverse: λ > 0, or X of rank n. At λ = 0 with N < n there is none, and line 193 has "
    "many solutions.",
)


@printed(equal_to, half_gradient_transposed, "L192")
def normal_equations(W: Weights, X: Inputs, Y: Outputs, lam: Regularisation) -> Float[Array, "n m"]:
    XX = X @ X.T
    return (XX + identity_times(lam, XX)) @ W.T - X @ Y.T


@printed(equal_to, half_gradient, "L193")
def normal_equations_transposed(W: Weights, X: Inputs, Y: Outputs, lam: Regularisation) -> Weights:
    XX = X @ X.T
    return W @ (XX + identity_times(lam, XX)) - Y @ X.T


@printed(equal_to, ridge_solution, "L194")
def closed_form(X: Features, Y: Outputs, lam: Penalty) -> Weights:
    XX = X @ X.T
    return Y @ X.T @ jnp.linalg.inv(XX + identity_times(lam, XX))


@printed(at_most, ridge_loss, "L194", "minimal")
def loss_at_closed_form(W: Weights, X: Features, Y: Outputs, lam: Penalty) -> Scalar:
    return ridge_loss(closed_form(X, Y, lam), X, Y, lam)


# --- The row convention -----------------------------------------------------------------------------------


def weights_by_row(X: Inputs, Y: Outputs, lam: Scalar) -> Float[Array, "n m"]:
    """``w = Wᵀ`` at the minimum."""
    return ridge_solution(X, Y, lam).T


place("L200a", "w = W^T", note="It names w: X' w are the predictions, a row each.")
place(
    "L200b",
    r"W^T = (X X^T + \lambda) X Y^T",
    instead=r"W^T = (X X^T + \lambda I)^{-1} X Y^T",
    note="X Xᵀ + λ is X Xᵀ + λI.",
)
place(
    "L200c",
    r"= (X'^T X' + \lambda)^{-1} X'^T Y'",
    note="Held against w, not against the expression before it; X' and Y' as on line 203.",
)
place("L203a", "X' = X^T", note="Row i is the i-th data point.")
place("L203b", "Y' = Y^T", note="Row i is the i-th data point.")


@printed(equal_to, predictions_by_row, "L200a")
def transposed_weights(W: Weights, X: Inputs) -> Float[Array, "N m"]:
    w = W.T
    return X.T @ w


@printed(equal_to, weights_by_row, "L200b", expect="wrong")
def not_inverted(X: Features, Y: Outputs, lam: Penalty) -> Float[Array, "n m"]:
    XX = X @ X.T
    return (XX + identity_times(lam, XX)) @ X @ Y.T


@corrected(equal_to, weights_by_row, "L200b")
def inverted(X: Features, Y: Outputs, lam: Penalty) -> Float[Array, "n m"]:
    XX = X @ X.T
    return jnp.linalg.inv(XX + identity_times(lam, XX)) @ X @ Y.T


@printed(equal_to, weights_by_row, "L200c")
def closed_form_by_row(X: Features, Y: Outputs, lam: Penalty) -> Float[Array, "n m"]:
    rows, outputs = X.T, Y.T
    squares = rows.T @ rows
    return jnp.linalg.inv(squares + identity_times(lam, squares)) @ rows.T @ outputs


@printed(equal_to, transposed_inputs, "L203a")
def inputs_by_row(X: Inputs, Y: Outputs) -> Float[Array, "N n"]:
    return X.T


@printed(equal_to, transposed_outputs, "L203b")
def outputs_by_row(X: Inputs, Y: Outputs) -> Float[Array, "N m"]:
    return Y.T
