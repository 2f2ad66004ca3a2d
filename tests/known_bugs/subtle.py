"""Mistakes that are easily missed: right but for one entry, one value, one size or one kind of cotangent.

Expected verdict: ``wrong`` of every ``subtle_..._wrong``, ``agrees`` of every ``subtle_..._right``.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from handgrad import gradient_of, vjp_of

Scalar = Float[Array, ""]
Vector = Float[Array, "n"]
Matrix = Float[Array, "m n"]

# --- one entry in 262,144, by one part in 10^5 -----------------------------------------------------


def pseudo_huber(W: Float[Array, "512 512"]) -> Scalar:
    return jnp.sum(jnp.sqrt(1 + W**2))


@gradient_of(pseudo_huber, wrt="W", name="subtle_entry_wrong")
def pseudo_huber_gradient_wrong(W):
    return (W / jnp.sqrt(1 + W**2)).at[317, 41].multiply(1 + 1e-5)


@gradient_of(pseudo_huber, wrt="W", name="subtle_entry_right")
def pseudo_huber_gradient(W):
    return W / jnp.sqrt(1 + W**2)


# --- only at an exact zero -------------------------------------------------------------------------


def silu(x: Vector) -> Vector:
    return jax.nn.silu(x)


@vjp_of(silu, wrt="x", name="subtle_zero_wrong")
def silu_pullback_wrong(x, *, cotangent):
    """sigmoid(x) recovered as silu(x) / x, with the wrong limit at 0: 1, not 1/2."""
    zero = x == 0
    s = jnp.where(zero, 1, jax.nn.silu(x) / jnp.where(zero, 1, x))
    return cotangent * s * (1 + x * jax.nn.sigmoid(-x))


@vjp_of(silu, wrt="x", name="subtle_zero_right")
def silu_pullback(x, *, cotangent):
    return cotangent * jax.nn.sigmoid(x) * (1 + x * jax.nn.sigmoid(-x))


# --- only at a tie ---------------------------------------------------------------------------------


def largest(x: Vector) -> Scalar:
    return jnp.max(x)


@gradient_of(largest, wrt="x", name="subtle_tie_wrong")
def largest_gradient_wrong(x):
    """The whole cotangent to each of the tied entries."""
    return (x == jnp.max(x)).astype(x.dtype)


@gradient_of(largest, wrt="x", name="subtle_tie_right")
def largest_gradient(x):
    tied = (x == jnp.max(x)).astype(x.dtype)
    return tied / jnp.sum(tied)


# --- only for a batch of one -----------------------------------------------------------------------


def ridge_loss(W: Float[Array, "m n"], X: Float[Array, "n N"], Y: Float[Array, "m N"], lam: Scalar) -> Scalar:
    return jnp.sum((Y - W @ X) ** 2) + lam * jnp.sum(W**2)


@gradient_of(ridge_loss, wrt="W", name="subtle_batch_of_one_wrong")
def ridge_gradient_by_outer_product(W, X, Y, lam):
    """The short cut for a single data point forgets the penalty."""
    R = W @ X - Y
    if X.shape[1] == 1:
        return 2 * R[:, 0, None] * X[:, 0]
    return 2 * (R @ X.T + lam * W)


@gradient_of(ridge_loss, wrt="W", name="subtle_batch_of_one_right")
def ridge_gradient(W, X, Y, lam):
    return 2 * ((W @ X - Y) @ X.T + lam * W)


# --- only beyond 88, where exp overflows in float32 ------------------------------------------------


def softplus(x: Vector) -> Vector:
    return jax.nn.softplus(x)


@vjp_of(softplus, wrt="x", name="subtle_beyond_88_wrong")
def softplus_pullback_wrong(x, *, cotangent):
    """e^x / (1 + e^x), guarded against overflow on the wrong side too."""
    safe = jnp.abs(x) <= 88
    return cotangent * jnp.where(safe, jax.nn.sigmoid(x), 0)


@vjp_of(softplus, wrt="x", name="subtle_beyond_88_right")
def softplus_pullback(x, *, cotangent):
    return cotangent * jax.nn.sigmoid(x)


# --- right for a scale of one only -----------------------------------------------------------------


def rms_norm(X: Matrix, w: Vector) -> Matrix:
    """Each row over its root mean square, scaled by w."""
    return X * lax.rsqrt(jnp.mean(X**2, axis=1, keepdims=True) + 1e-5) * w


def rms_norm_row_pullback(X, g):
    r = lax.rsqrt(jnp.mean(X**2, axis=1, keepdims=True) + 1e-5)
    x_hat = X * r
    return r, x_hat, jnp.mean(g * x_hat, axis=1, keepdims=True)


@vjp_of(rms_norm, wrt="X", name="subtle_scale_of_one_wrong")
def rms_norm_pullback_wrong(X, w, *, cotangent):
    """The projection is taken before the scale."""
    r, x_hat, along = rms_norm_row_pullback(X, cotangent)
    return r * (cotangent * w - x_hat * along)


@vjp_of(rms_norm, wrt="X", name="subtle_scale_of_one_right")
def rms_norm_pullback(X, w, *, cotangent):
    r, x_hat, along = rms_norm_row_pullback(X, cotangent * w)
    return r * (cotangent * w - x_hat * along)


# --- right for an all-ones cotangent only ----------------------------------------------------------


def squared_row_norms(X: Matrix) -> Float[Array, "m"]:
    return jnp.sum(X**2, axis=1)


@vjp_of(squared_row_norms, wrt="X", name="subtle_ones_wrong")
def squared_row_norms_pullback_wrong(X, *, cotangent):
    return 2 * X


@vjp_of(squared_row_norms, wrt="X", name="subtle_ones_right")
def squared_row_norms_pullback(X, *, cotangent):
    return 2 * X * cotangent[:, None]


# --- a term that vanishes with the mean ------------------------------------------------------------


def variance(x: Vector) -> Scalar:
    return jnp.mean((x - jnp.mean(x)) ** 2)


@gradient_of(variance, wrt="x", name="subtle_mean_wrong")
def variance_gradient_wrong(x):
    return 2 * x / x.shape[0]


@gradient_of(variance, wrt="x", name="subtle_mean_right")
def variance_gradient(x):
    return 2 * (x - jnp.mean(x)) / x.shape[0]


# --- two mistakes at once --------------------------------------------------------------------------


@gradient_of(ridge_loss, wrt="W", name="subtle_two_errors_wrong")
def ridge_gradient_wrong(W, X, Y, lam):
    """The factor 2 and the penalty's term are missing."""
    return (W @ X - Y) @ X.T


@gradient_of(ridge_loss, wrt="W", name="subtle_two_errors_right")
def ridge_gradient_twice_checked(W, X, Y, lam):
    return 2 * (W @ X - Y) @ X.T + 2 * lam * W
