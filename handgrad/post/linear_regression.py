r"""Lines 101 to 181: ridge regression, one data point a column, and its differential under the trace.

Every line of the two chains for ``dl`` is held against JAX's differential of the loss.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad.claims import at_most, equal_to, jvp_of
from handgrad.domains import nonnegative, unit_interval
from handgrad.post.notation import Scalar, identity_times, norm, stated, tr
from handgrad.post.places import corrected, not_executable, place, printed
from handgrad.ridge import ridge_loss

Weights: TypeAlias = Float[Array, "m n"]
Inputs: TypeAlias = Float[Array, "n N"]
Outputs: TypeAlias = Float[Array, "m N"]
Regularisation: TypeAlias = Annotated[Float[Array, ""], nonnegative]

# --- The model and its loss -------------------------------------------------------------------------------

SIZES = "it declares data; every line below is run with these sizes"
for at, latex in {
    "L106": r"D \subseteq \mathbb{R}^n \times \mathbb{R}^m",
    "L107a": "(x_i, y_i)",
    "L107b": r"x_i \in \mathbb{R}^n",
    "L107c": r"y_i \in \mathbb{R}^m",
}.items():
    not_executable(at, latex, reason=SIZES)


def f(W: Weights, x: Float[Array, "n 1"]) -> Float[Array, "m 1"]:
    """The linear function, entry by entry: ``f(x)_i = Σ_j W_ij x_j``."""
    return jnp.sum(W * x.T, axis=1, keepdims=True)


def columns_of_f(W: Weights, X: Inputs) -> Outputs:
    """``f(X)``: ``f`` of every column."""
    return jax.vmap(lambda x: f(W, x[:, None])[:, 0], in_axes=1, out_axes=1)(X)


def f_of_sum(W: Weights, x: Float[Array, "n 1"], v: Float[Array, "n 1"], s: Scalar) -> Float[Array, "m 1"]:
    """``f(x + s v)``."""
    return f(W, x + s * v)


place("L108", r"f: \mathbb{R}^n \to \mathbb{R}^m", note="A linear function.")


@printed(equal_to, f_of_sum, "L108")
def sum_of_f(W: Weights, x: Float[Array, "n 1"], v: Float[Array, "n 1"], s: Scalar) -> Float[Array, "m 1"]:
    m = W.shape[0]
    return stated(f(W, x), m, 1) + s * f(W, v)


def transposed_inputs(X: Inputs, Y: Outputs) -> Float[Array, "N n"]:
    """``Xᵀ``, row by row: row ``i`` is the ``i``-th data point."""
    return jax.vmap(lambda x: x, in_axes=1, out_axes=0)(X)


def transposed_outputs(X: Inputs, Y: Outputs) -> Float[Array, "N m"]:
    """``Yᵀ``, row by row."""
    return jax.vmap(lambda y: y, in_axes=1, out_axes=0)(Y)


ROWS = "In the row convention, where these are the matrices that line 203 names X' and Y'."
place("L112", r"X \in \mathbb{R}^{N \times n}", note=ROWS)
place("L113a", r"Y \in \mathbb{R}^{N \times m}", note=ROWS)
not_executable("L113b", "N = |D|", reason="it names the number of data points; lines are run with N = 1 and up")


@printed(equal_to, transposed_inputs, "L112")
def rows_of_inputs(X: Inputs, Y: Outputs) -> Float[Array, "N n"]:
    return stated(X.T, Y.shape[1], X.shape[0])


@printed(equal_to, transposed_outputs, "L113a")
def rows_of_outputs(X: Inputs, Y: Outputs) -> Float[Array, "N m"]:
    return stated(Y.T, X.shape[1], Y.shape[0])


def predictions_by_row(W: Weights, X: Inputs) -> Float[Array, "N m"]:
    """``f`` of every data point, a row each."""
    return columns_of_f(W, X).T


place("L125", "X w", note="In the row convention: X' w, with w = W^T as on line 200.")


@printed(equal_to, predictions_by_row, "L125")
def row_convention(W: Weights, X: Inputs) -> Float[Array, "N m"]:
    return X.T @ W.T


place("L132", r"X \in \mathbb{R}^{n \times N}")
place("L133", r"Y \in \mathbb{R}^{m \times N}")
place("L136", r"W \in \mathbb{R}^{m \times n}")
place("L138", "f(x) = W x")


@printed(equal_to, columns_of_f, "L132")
def sizes_of_inputs(W: Weights, X: Inputs) -> Outputs:
    return W @ stated(X, W.shape[1], X.shape[1])


@printed(equal_to, columns_of_f, "L133")
def sizes_of_outputs(W: Weights, X: Inputs) -> Outputs:
    return stated(W @ X, W.shape[0], X.shape[1])


def columns_for_outputs(W: Weights, X: Inputs, Y: Outputs) -> Outputs:
    """``f(X)``, of as many rows as ``Y``."""
    return columns_of_f(W, X)


@printed(equal_to, columns_for_outputs, "L136")
def sizes_of_weights(W: Weights, X: Inputs, Y: Outputs) -> Outputs:
    return stated(W, Y.shape[0], X.shape[0]) @ X


@printed(equal_to, f, "L138")
def linear_function(W: Weights, x: Float[Array, "n 1"]) -> Float[Array, "m 1"]:
    return W @ x


def mean_of_squares(W: Weights, X: Inputs, Y: Outputs) -> Scalar:
    """The mean over data points of ``‖y_i - f(x_i)‖²``."""
    return jnp.mean(jnp.sum((Y - W @ X) ** 2, axis=0))


def sum_of_squares(W: Weights, X: Inputs, Y: Outputs) -> Scalar:
    """``Σ_i ‖y_i - f(x_i)‖²``, a term for every data point."""
    each = jax.vmap(lambda x, y: jnp.sum((y[:, None] - f(W, x[:, None])) ** 2), in_axes=1)
    return jnp.sum(each(X, Y))


place(
    "L143",
    words="the mean squared error is the sum over the data points",
    instead=r"\frac{1}{N} \sum_{i = 1}^N \|y_i - f(x_i)\|_2^2",
)
place("L144", r"\sum_{i = 1}^N \|y_i - f(x_i)\|_2^2", note="A sum, here held against ‖Y - W X‖².")
place("L146", r"\|Y - f(X)\|_2^2 = \|Y - W X\|_2^2", note="f of a matrix is f of every column.")


@printed(equal_to, mean_of_squares, "L143", expect="wrong")
def mean_as_sum(W: Weights, X: Inputs, Y: Outputs) -> Scalar:
    return sum_of_squares(W, X, Y)


@corrected(equal_to, mean_of_squares, "L143")
def mean_as_sum_over_number(W: Weights, X: Inputs, Y: Outputs) -> Scalar:
    return sum_of_squares(W, X, Y) / X.shape[1]


def residual_norm(W: Weights, X: Inputs, Y: Outputs) -> Scalar:
    """``‖Y - W X‖²``."""
    return norm(Y - W @ X) ** 2


@printed(equal_to, residual_norm, "L144")
def squares_data_point_by_data_point(W: Weights, X: Inputs, Y: Outputs) -> Scalar:
    return sum_of_squares(W, X, Y)


@printed(equal_to, residual_norm, "L146")
def residual_norm_of_f(W: Weights, X: Inputs, Y: Outputs) -> Scalar:
    return norm(Y - columns_of_f(W, X)) ** 2


place("L151", r"l(W) = \|Y - W X\|_2^2 + \lambda \|W\|_2^2")


@printed(equal_to, ridge_loss, "L151")
def loss(W: Weights, X: Inputs, Y: Outputs, lam: Scalar) -> Scalar:
    return norm(Y - W @ X) ** 2 + lam * norm(W) ** 2


not_executable("L152", r"\lambda\geq 0", reason="a condition: lines that need it are run with λ ≥ 0, zero included")
place("L156", words="the objective function is convex")


def chord(W: Weights, V: Weights, X: Inputs, Y: Outputs, lam: Regularisation,
          t: Annotated[Float[Array, ""], unit_interval]) -> Scalar:  # fmt: skip
    """``(1 - t) l(W) + t l(V)``."""
    return (1 - t) * ridge_loss(W, X, Y, lam) + t * ridge_loss(V, X, Y, lam)


@printed(at_most, chord, "L156")
def loss_between(W: Weights, V: Weights, X: Inputs, Y: Outputs, lam: Regularisation,
                 t: Annotated[Float[Array, ""], unit_interval]) -> Scalar:  # fmt: skip
    return ridge_loss((1 - t) * W + t * V, X, Y, lam)


place("L157", "l'(W) = 0", note="Where l'(W) = 0 this says that no V has a smaller loss; also at λ = 0, X Xᵀ singular.")


def loss_elsewhere(W: Weights, V: Weights, X: Inputs, Y: Outputs, lam: Regularisation) -> Scalar:
    """``l(V)``."""
    return ridge_loss(V, X, Y, lam)


@printed(at_most, loss_elsewhere, "L157")
def tangent_plane(W: Weights, V: Weights, X: Inputs, Y: Outputs, lam: Regularisation) -> Scalar:
    value, rate = jax.jvp(lambda W: ridge_loss(W, X, Y, lam), (W,), (V - W,))
    return value + rate


# --- The differential -------------------------------------------------------------------------------------

place("L162", r"dl = d (\|Y - W X\|_2^2 + \lambda \|W\|_2^2)")
place("L163", r"d (\|Y - W X\|_2^2) + \lambda d (\|W\|_2^2)")
place("L164", r"2 \operatorname{tr} ((Y - W X)^T d (Y - W X)) + 2 \lambda \operatorname{tr}(W^T d W)")
place("L166", r"- 2 \operatorname{tr} ((Y - W X)^T d W X) + 2 \lambda \operatorname{tr}(W^T d W)",
      note="d W X is (dW) X.")  # fmt: skip


@printed(jvp_of, ridge_loss, "L162", wrt="W")
def differential_of_loss(W: Weights, X: Inputs, Y: Outputs, lam: Scalar, *, dW: Weights) -> Scalar:
    return jax.jvp(lambda W: jnp.sum((Y - W @ X) ** 2) + lam * jnp.sum(W**2), (W,), (dW,))[1]


@printed(jvp_of, ridge_loss, "L163", wrt="W")
def differential_of_each(W: Weights, X: Inputs, Y: Outputs, lam: Scalar, *, dW: Weights) -> Scalar:
    of_residual = jax.jvp(lambda W: jnp.sum((Y - W @ X) ** 2), (W,), (dW,))[1]
    return of_residual + lam * jax.jvp(lambda W: jnp.sum(W**2), (W,), (dW,))[1]


@printed(jvp_of, ridge_loss, "L164", wrt="W")
def differentials_of_norms(W: Weights, X: Inputs, Y: Outputs, lam: Scalar, *, dW: Weights) -> Scalar:
    R, dR = jax.jvp(lambda W: Y - W @ X, (W,), (dW,))
    return 2 * tr(R.T @ dR) + 2 * lam * tr(W.T @ dW)


@printed(jvp_of, ridge_loss, "L166", wrt="W")
def differential_of_residual(W: Weights, X: Inputs, Y: Outputs, lam: Scalar, *, dW: Weights) -> Scalar:
    return -2 * tr((Y - W @ X).T @ (dW @ X)) + 2 * lam * tr(W.T @ dW)


place("L170", words="the trace is commutative", note="tr(P Q) = tr(Q P), with the two factors that are exchanged here.")


def product_in_order(P: Float[Array, "N m"], V: Weights, X: Inputs) -> Scalar:
    """``tr((P V) X)``."""
    return tr((P @ V) @ X)


@printed(equal_to, product_in_order, "L170")
def product_exchanged(P: Float[Array, "N m"], V: Weights, X: Inputs) -> Scalar:
    return tr(X @ (P @ V))


place("L173", r"dl = 2 \operatorname{tr} (X (W X - Y)^T d W) + 2 \lambda \operatorname{tr}(W^T d W)")
place("L176", r"2 \operatorname{tr} ((X(WX-Y)^T + \lambda W^T) dW)")
place("L177", r"2 \operatorname{tr} ((X(X^T W^T-Y^T) + \lambda W^T) dW)")
place("L178", r"2 \operatorname{tr} ((XX^T W^T- XY^T + \lambda W^T) dW)")
place(
    "L179",
    r"2 \operatorname{tr} ((XX^T+\lambda I) W^T- XY^T) dW)",
    note="A parenthesis is closed that was never opened; executed as 2 tr(((XX^T+λI) W^T - XY^T) dW), the one "
    "reading whose sizes match.",
)


@printed(jvp_of, ridge_loss, "L173", wrt="W")
def cyclic(W: Weights, X: Inputs, Y: Outputs, lam: Scalar, *, dW: Weights) -> Scalar:
    return 2 * tr(X @ (W @ X - Y).T @ dW) + 2 * lam * tr(W.T @ dW)


@printed(jvp_of, ridge_loss, "L176", wrt="W")
def collected(W: Weights, X: Inputs, Y: Outputs, lam: Scalar, *, dW: Weights) -> Scalar:
    return 2 * tr((X @ (W @ X - Y).T + lam * W.T) @ dW)


@printed(jvp_of, ridge_loss, "L177", wrt="W")
def transposed(W: Weights, X: Inputs, Y: Outputs, lam: Scalar, *, dW: Weights) -> Scalar:
    return 2 * tr((X @ (X.T @ W.T - Y.T) + lam * W.T) @ dW)


@printed(jvp_of, ridge_loss, "L178", wrt="W")
def multiplied_out(W: Weights, X: Inputs, Y: Outputs, lam: Scalar, *, dW: Weights) -> Scalar:
    return 2 * tr((X @ X.T @ W.T - X @ Y.T + lam * W.T) @ dW)


@printed(jvp_of, ridge_loss, "L179", wrt="W")
def collected_again(W: Weights, X: Inputs, Y: Outputs, lam: Scalar, *, dW: Weights) -> Scalar:
    XX = X @ X.T
    return 2 * tr(((XX + identity_times(lam, XX)) @ W.T - X @ Y.T) @ dW)
