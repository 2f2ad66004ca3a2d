"""Invented mistakes, classes E to M; see ``invented.py``."""

from typing import Annotated

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Complex, Float, Int

from handgrad import gradient_of, hvp_of, vjp_of
from handgrad.domains import index, interval, nonnegative

Scalar = Float[Array, ""]
Vector = Float[Array, "n"]
Matrix = Float[Array, "m n"]
Mask = Bool[Array, "n"]

# --- E: reduction / accumulation -------------------------------------------------------------------


def embedded(table: Float[Array, "V d"], ids: Annotated[Int[Array, "N"], index("V")]) -> Float[Array, "N d"]:
    return table[ids]


@vjp_of(embedded, wrt="table", name="N17_wrong")
def embedded_pullback_wrong(table, ids, *, cotangent):
    """Set, not added: of several uses of a row the last one is left."""
    return jnp.zeros_like(table).at[ids].set(cotangent)


@vjp_of(embedded, wrt="table", name="N17_right")
def embedded_pullback(table, ids, *, cotangent):
    return jnp.zeros_like(table).at[ids].add(cotangent)


def rms_norm(X: Matrix, w: Vector) -> Matrix:
    """Each row over its root mean square, scaled by w."""
    return X * lax.rsqrt(jnp.mean(X**2, axis=1, keepdims=True) + 1e-6) * w


@vjp_of(rms_norm, wrt="X", name="N18_wrong")
def rms_norm_pullback_wrong(X, w, *, cotangent):
    """The projection is a sum where the mean belongs."""
    r = lax.rsqrt(jnp.mean(X**2, axis=1, keepdims=True) + 1e-6)
    g = cotangent * w
    return r * (g - X * r * jnp.sum(g * X * r, axis=1, keepdims=True))


@vjp_of(rms_norm, wrt="X", name="N18_right")
def rms_norm_pullback(X, w, *, cotangent):
    r = lax.rsqrt(jnp.mean(X**2, axis=1, keepdims=True) + 1e-6)
    g = cotangent * w
    return r * (g - X * r * jnp.mean(g * X * r, axis=1, keepdims=True))


def prelu(X: Matrix, slope: Scalar) -> Matrix:
    """Leaky ReLU whose slope is learned, one for all."""
    return jnp.where(X > 0, X, slope * X)


@vjp_of(prelu, wrt="slope", name="N19_wrong")
def prelu_pullback_wrong(X, slope, *, cotangent):
    """Averaged, not summed, over the entries that share the slope."""
    return jnp.mean(cotangent * jnp.minimum(X, 0))


@vjp_of(prelu, wrt="slope", name="N19_right")
def prelu_pullback(X, slope, *, cotangent):
    return jnp.sum(cotangent * jnp.minimum(X, 0))


def masked_mean_square(prediction: Vector, target: Vector, mask: Mask) -> Scalar:
    """The mean over the entries that the mask keeps, 0 if there are none."""
    return jnp.sum((prediction - target) ** 2 * mask) / jnp.maximum(jnp.sum(mask), 1)


@gradient_of(masked_mean_square, wrt="prediction", name="N20_wrong")
def masked_mean_square_gradient_wrong(prediction, target, mask):
    """Averaged over all entries."""
    return 2 * (prediction - target) * mask / mask.shape[0]


@gradient_of(masked_mean_square, wrt="prediction", name="N20_right")
def masked_mean_square_gradient(prediction, target, mask):
    return 2 * (prediction - target) * mask / jnp.maximum(jnp.sum(mask), 1)


# --- F: upstream cotangent -------------------------------------------------------------------------


def dropout(x: Vector, keep: Annotated[Scalar, interval(0.25, 1.0)], mask: Mask) -> Vector:
    return jnp.where(mask, x / keep, 0)


@vjp_of(dropout, wrt="x", name="N21_wrong")
def dropout_pullback_wrong(x, keep, mask, *, cotangent):
    """Scaled twice."""
    return jnp.where(mask, cotangent / keep / keep, 0)


@vjp_of(dropout, wrt="x", name="N21_right")
def dropout_pullback(x, keep, mask, *, cotangent):
    return jnp.where(mask, cotangent / keep, 0)


def log_softmax(x: Vector) -> Vector:
    return jax.nn.log_softmax(x)


@vjp_of(log_softmax, wrt="x", name="N22_wrong")
def log_softmax_pullback_wrong(x, *, cotangent):
    """Right for a one-hot cotangent, as in a cross-entropy: its sum is taken to be 1."""
    return cotangent - jax.nn.softmax(x)


@vjp_of(log_softmax, wrt="x", name="N22_right")
def log_softmax_pullback(x, *, cotangent):
    return cotangent - jax.nn.softmax(x) * jnp.sum(cotangent)


# --- G: wrong branch, kink, tie --------------------------------------------------------------------


def scaled_elu(x: Vector) -> Vector:
    return jax.nn.elu(x, alpha=1.5)


@vjp_of(scaled_elu, wrt="x", name="N23_wrong")
def scaled_elu_pullback_wrong(x, *, cotangent):
    """From the output y, the slope below 0 is y + alpha; the alpha is forgotten."""
    return cotangent * jnp.where(x > 0, 1, 1.5 * jnp.expm1(jnp.minimum(x, 0)))


@vjp_of(scaled_elu, wrt="x", name="N23_right")
def scaled_elu_pullback(x, *, cotangent):
    return cotangent * jnp.where(x > 0, 1, 1.5 * jnp.exp(jnp.minimum(x, 0)))


def clipped(x: Vector) -> Vector:
    return jnp.clip(x, -2, 2)


@vjp_of(clipped, wrt="x", name="N24_wrong")
def clipped_pullback_wrong(x, *, cotangent):
    """Only the upper bound stops the gradient."""
    return jnp.where(x < 2, cotangent, 0)


@vjp_of(clipped, wrt="x", name="N24_right")
def clipped_pullback(x, *, cotangent):
    return jnp.where(jnp.abs(x) < 2, cotangent, 0)


def pooled(X: Float[Array, "n 2"]) -> Vector:
    """The larger of each pair."""
    return jnp.max(X, axis=1)


@vjp_of(pooled, wrt="X", name="N25_wrong")
def pooled_pullback_wrong(X, *, cotangent):
    """Both entries of a tied pair get the whole cotangent."""
    return jnp.where(pooled(X)[:, None] == X, cotangent[:, None], 0)


@vjp_of(pooled, wrt="X", name="N25_right")
def pooled_pullback(X, *, cotangent):
    return jnp.where(jnp.arange(2) == jnp.argmax(X, axis=1)[:, None], cotangent[:, None], 0)


# --- H: singular point -----------------------------------------------------------------------------


def product(x: Float[Array, "4"]) -> Scalar:
    return jnp.prod(x)


@gradient_of(product, wrt="x", name="N26_wrong")
def product_gradient_wrong(x):
    """0/0 where an entry is zero."""
    return jnp.prod(x) / x


@gradient_of(product, wrt="x", name="N26_right")
def product_gradient(x):
    return jnp.stack([jnp.prod(jnp.delete(x, i)) for i in range(4)])


def masked_log_likelihood(p: Annotated[Vector, nonnegative], mask: Mask) -> Scalar:
    """Of the entries that the mask keeps; the others may be zero."""
    return jnp.sum(jnp.log(jnp.where(mask, p, 1)))


@gradient_of(masked_log_likelihood, wrt="p", name="N27_wrong")
def masked_log_gradient_wrong(p, mask):
    """0/0 where a masked entry is zero."""
    return mask / p


@gradient_of(masked_log_likelihood, wrt="p", name="N27_right")
def masked_log_gradient(p, mask):
    return jnp.where(mask, 1 / jnp.where(mask, p, 1), 0)


# --- I: overflow / cancellation / low precision ----------------------------------------------------


def logsumexp(x: Vector) -> Scalar:
    return jax.nn.logsumexp(x)


@gradient_of(logsumexp, wrt="x", name="N28_wrong")
def logsumexp_gradient_wrong(x):
    """The largest entry is not subtracted first."""
    return jnp.exp(x) / jnp.sum(jnp.exp(x))


@gradient_of(logsumexp, wrt="x", name="N28_right")
def logsumexp_gradient(x):
    return jax.nn.softmax(x)


def standardised(X: Matrix) -> Matrix:
    centred = X - jnp.mean(X, axis=1, keepdims=True)
    return centred * lax.rsqrt(jnp.mean(centred**2, axis=1, keepdims=True) + 1e-5)


def standardised_pullback_with(X, variance, cotangent):
    r = lax.rsqrt(variance + 1e-5)
    x_hat = (X - jnp.mean(X, axis=1, keepdims=True)) * r
    along = jnp.mean(cotangent * x_hat, axis=1, keepdims=True)
    return r * (cotangent - jnp.mean(cotangent, axis=1, keepdims=True) - x_hat * along)


@vjp_of(standardised, wrt="X", name="N29_wrong")
def standardised_pullback_wrong(X, *, cotangent):
    """The variance as the mean of the squares less the square of the mean: cancellation."""
    variance = jnp.mean(X**2, axis=1, keepdims=True) - jnp.mean(X, axis=1, keepdims=True) ** 2
    return standardised_pullback_with(X, variance, cotangent)


@vjp_of(standardised, wrt="X", name="N29_right")
def standardised_pullback(X, *, cotangent):
    return standardised_pullback_with(X, jnp.var(X, axis=1, keepdims=True), cotangent)


def linear(W: Matrix, X: Float[Array, "n N"]) -> Float[Array, "m N"]:
    return W @ X


@vjp_of(linear, wrt="W", name="N30_wrong", dtypes=("float32",))
def linear_pullback_wrong(W, X, *, cotangent):
    """The cotangent is rounded to bfloat16 first, a left-over of mixed precision."""
    return cotangent.astype(jnp.bfloat16).astype(X.dtype) @ X.T


@vjp_of(linear, wrt="W", name="N30_right", dtypes=("float32",))
def linear_pullback(W, X, *, cotangent):
    return cotangent @ X.T


# --- J: mask / index / option ----------------------------------------------------------------------


def mean_pooled(X: Float[Array, "n d"], mask: Mask) -> Float[Array, "d"]:
    """The mean of the rows that the mask keeps, 0 if there are none."""
    return jnp.sum(jnp.where(mask[:, None], X, 0), axis=0) / jnp.maximum(jnp.sum(mask), 1)


@vjp_of(mean_pooled, wrt="X", name="N31_wrong")
def mean_pooled_pullback_wrong(X, mask, *, cotangent):
    """Padding gets a gradient too."""
    return jnp.broadcast_to(cotangent / jnp.maximum(jnp.sum(mask), 1), X.shape)


@vjp_of(mean_pooled, wrt="X", name="N31_right")
def mean_pooled_pullback(X, mask, *, cotangent):
    return jnp.where(mask[:, None], cotangent / jnp.maximum(jnp.sum(mask), 1), 0)


def increments(x: Vector) -> Vector:
    """x_t less x_{t-1}; x_0 is preceded by 0."""
    return jnp.diff(x, prepend=0)


@vjp_of(increments, wrt="x", name="N32_wrong")
def increments_pullback_wrong(x, *, cotangent):
    """Rolled, so that the first entry of the cotangent comes round to the last."""
    return cotangent - jnp.roll(cotangent, -1)


@vjp_of(increments, wrt="x", name="N32_right")
def increments_pullback(x, *, cotangent):
    return cotangent - jnp.append(cotangent[1:], 0)


# --- K: complex conjugation ------------------------------------------------------------------------


def power_along(a: Complex[Array, "n"], z: Complex[Array, "n"]) -> Scalar:
    """The squared modulus of <a, z>."""
    return jnp.abs(jnp.vdot(a, z)) ** 2


@vjp_of(power_along, wrt="z", name="N33_wrong")
def power_along_pullback_wrong(a, z, *, cotangent):
    """The steepest ascent, as the textbook has it; JAX's cotangent is the conjugate."""
    return 2 * cotangent * jnp.vdot(a, z) * a


@vjp_of(power_along, wrt="z", name="N33_right")
def power_along_pullback(a, z, *, cotangent):
    return 2 * cotangent * jnp.conj(jnp.vdot(a, z) * a)


# --- L: higher order only --------------------------------------------------------------------------


def nonlinear_least_squares(w: Vector, X: Float[Array, "N n"], y: Float[Array, "N"]) -> Scalar:
    return jnp.sum((jnp.tanh(X @ w) - y) ** 2) / 2


@hvp_of(nonlinear_least_squares, wrt="w", name="N34_wrong")
def gauss_newton_product(w, X, y, *, dw):
    """Gauss and Newton's matrix: the curvature of the model times the residual is missing."""
    slope = 1 - jnp.tanh(X @ w) ** 2
    return X.T @ (slope**2 * (X @ dw))


@hvp_of(nonlinear_least_squares, wrt="w", name="N34_right")
def hessian_product(w, X, y, *, dw):
    a = jnp.tanh(X @ w)
    slope = 1 - a**2
    return X.T @ ((slope**2 - 2 * a * slope * (a - y)) * (X @ dw))


# --- M: overwritten memory -------------------------------------------------------------------------


def backwards(x: Vector) -> Vector:
    return x[::-1]


@vjp_of(backwards, wrt="x", name="N35_wrong")
def backwards_pullback_wrong(x, *, cotangent):
    """Reversed in place, without a temporary: the second half reads what the first has overwritten."""
    n = cotangent.shape[0]
    return lax.fori_loop(0, n, lambda i, buffer: buffer.at[i].set(buffer[n - 1 - i]), cotangent)


@vjp_of(backwards, wrt="x", name="N35_right")
def backwards_pullback(x, *, cotangent):
    return cotangent[::-1]
