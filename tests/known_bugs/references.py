"""What the hand functions of wrong.py and right.py differentiate (classes A to H): plain JAX, no claims.

Column convention: a data point is a column. Where a function works on rows (norms over the last axis),
its docstring says so.
"""

from typing import Annotated

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.special import gammaln
from jaxtyping import Array, Bool, Complex, Float, Int

from handgrad.domains import index, integers, interval, positive, spd

Scalar = Float[Array, ""]
Vector = Float[Array, "n"]
Matrix = Float[Array, "m n"]
Square = Float[Array, "n n"]

# --- A: sign / constant slip -----------------------------------------------------------------------


def angle(y: Vector, x: Vector) -> Vector:
    return jnp.arctan2(y, x)


def legendre_series(c: Float[Array, "L"], x: Annotated[Scalar, interval(-1.0, 1.0)]) -> Scalar:
    """sum_l c_l P_l(x), by Bonnet's recursion l P_l = (2l - 1) x P_{l-1} - (l - 1) P_{l-2}."""

    def step(before, inputs):
        degree, c_l = inputs
        p, p_before = before
        p_next = ((2 * degree - 1) * x * p - (degree - 1) * p_before) / degree
        return (p_next, p), c_l * p_next

    degrees = jnp.arange(1, c.shape[0], dtype=c.dtype)
    _, terms = lax.scan(step, (jnp.ones_like(x), jnp.zeros_like(x)), (degrees, c[1:]))
    return c[0] + jnp.sum(terms)


def abs2(z: Complex[Array, "n"]) -> Vector:
    return jnp.real(z) ** 2 + jnp.imag(z) ** 2


# --- B: missing or duplicated Jacobian term --------------------------------------------------------


def cholesky(A: Annotated[Square, spd]) -> Square:
    return jnp.linalg.cholesky(A)


# --- C: wrong operand or wrong function ------------------------------------------------------------


def hard_swish(x: Vector) -> Vector:
    return x * jax.nn.relu6(x + 3) / 6


def grid_sample(signal: Vector, grid: Float[Array, "k"]) -> Float[Array, "k"]:
    """The signal, linearly interpolated at coordinates from -1 (first sample) to 1 (last), clipped there."""
    last = signal.shape[0] - 1
    coordinate = jnp.clip((grid + 1) / 2 * last, 0, last)
    left, right, fraction = cell(coordinate, last)
    return (1 - fraction) * signal[left] + fraction * signal[right]


def cell(coordinate, last):
    """The samples to the left and right of a coordinate, and where it lies between them."""
    left = jnp.floor(coordinate).astype(jnp.int32)
    return left, jnp.minimum(left + 1, last), coordinate - left


def coordinate_and_multiplier(grid, last):
    """The clipped coordinate, and its derivative in the grid."""
    coordinate = (grid + 1) / 2 * last
    inside = (coordinate > 0) & (coordinate < last)
    return jnp.clip(coordinate, 0, last), jnp.where(inside, last / 2, 0)


def window_sums(x: Vector, dilation: Annotated[int, integers(1, 3)]) -> Float[Array, "k"]:
    """Sums of neighbours in x, after dilation - 1 zeros are put between its entries."""
    return lax.reduce_window(x, x.dtype.type(0), lax.add, (2,), (1,), [(1, 0)], base_dilation=(dilation,))


# --- D: transpose / axis / shape -------------------------------------------------------------------


def batched_product(
    A: Float[Array, "b n n"], B: Float[Array, "b n k"], transposed: bool
) -> Float[Array, "b n k"]:
    return (jnp.swapaxes(A, 1, 2) if transposed else A) @ B


def reshaped(X: Matrix) -> Float[Array, "n m"]:
    m, n = X.shape
    return jnp.reshape(X, (n, m))


def matrix_exponential(A: Square) -> Square:
    """Padé [3/3] of A where its norm is small, else of A/16, squared four times."""
    small, scale = scaling(A)
    X = A / scale
    eye = jnp.eye(A.shape[0], dtype=A.dtype)
    U, V = X @ (X @ X + 60 * eye), 12 * X @ X + 120 * eye
    R = jnp.linalg.solve(V - U, V + U)
    return jnp.where(small, R, squared_four_times(R))


def scaling(A):
    small = jnp.max(jnp.sum(jnp.abs(A), axis=0)) < 0.25
    return small, jnp.where(small, 1, 16).astype(A.dtype)


def squared_four_times(R):
    for _ in range(4):
        R = R @ R
    return R


def convolution(image: Float[Array, "h+p-1 w+q-1"], kernel: Float[Array, "p q"]) -> Float[Array, "h w"]:
    """Cross-correlation, as neural networks convolve, with no padding."""
    return lax.conv(image[None, None], kernel[None, None], (1, 1), "VALID")[0, 0]


def kkt_step(
    Q: Annotated[Square, spd],
    G: Float[Array, "p n"],
    multiplier: Annotated[Float[Array, "p"], positive],
    slack: Annotated[Float[Array, "p"], positive],
    residual: Float[Array, "n+p"],
) -> Float[Array, "n+p"]:
    """The primal-dual step of a quadratic program: the solution of its (unsymmetric) KKT system."""
    return jnp.linalg.solve(kkt_matrix(Q, G, multiplier, slack), residual)


def kkt_matrix(Q, G, multiplier, slack):
    return jnp.block([[Q, G.T], [multiplier[:, None] * G, -jnp.diag(slack)]])


# --- E: reduction / accumulation -------------------------------------------------------------------


def shared_product(A: Float[Array, "1 n m"], B: Float[Array, "b m k"]) -> Float[Array, "b n k"]:
    """One matrix applied to each of a batch."""
    return A @ B


def layer_norm(X: Matrix) -> Matrix:
    """Each row minus its mean, over its standard deviation."""
    return normalised(X)[0]


def normalised(X):
    centred = X - jnp.mean(X, axis=1, keepdims=True)
    rstd = lax.rsqrt(jnp.mean(centred**2, axis=1, keepdims=True) + 1e-5)
    return centred * rstd, rstd


def word_loss(
    W1: Float[Array, "h V"],
    b1: Float[Array, "h 1"],
    W2: Float[Array, "V h"],
    b2: Float[Array, "V 1"],
    X: Float[Array, "V N"],
    target: Annotated[Int[Array, "N"], index("V")],
) -> Scalar:
    """The continuous bag-of-words model: cross-entropy of a two-layer network, averaged over N contexts."""
    logits = W2 @ jax.nn.relu(W1 @ X + b1) + b2
    return jnp.mean(jax.nn.logsumexp(logits, axis=0) - logits[target, jnp.arange(X.shape[1])])


def accumulated_loss(gamma: Vector, beta: Vector, batches: Float[Array, "k n N"]) -> Scalar:
    """Half the squared norm of batch normalisation's output, summed over k micro-batches."""
    return sum_of_squares(gamma[:, None] * standardised(batches) + beta[:, None]) / 2


def standardised(X):
    """Each feature (the last axis runs over the batch) to mean zero and variance one."""
    centred = X - jnp.mean(X, axis=-1, keepdims=True)
    return centred * lax.rsqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + 1e-5)


def sum_of_squares(x):
    return jnp.sum(x**2)


# --- F: upstream cotangent -------------------------------------------------------------------------


def power(x: Vector, p: Annotated[int, integers(0, 3)]) -> Vector:
    return x**p


def smooth_l1(x: Vector, target: Vector) -> Vector:
    gap = jnp.abs(x - target)
    return jnp.where(gap < 1, gap**2 / 2, gap - 1 / 2)


def contrastive_loss(A: Float[Array, "d N"], B: Float[Array, "d N"], similar: Bool[Array, "N"]) -> Scalar:
    """The legacy form: similar pairs are drawn together, others pushed to a squared distance of 1."""
    distance = jnp.sum((A - B) ** 2, axis=0)
    return jnp.sum(jnp.where(similar, distance, jnp.maximum(1 - distance, 0))) / (2 * A.shape[1])


# --- G: wrong branch, kink, tie --------------------------------------------------------------------


def hard_sigmoid(x: Vector) -> Vector:
    return jax.nn.relu6(x + 3) / 6


def with_row(X: Matrix, i: Annotated[Int[Array, ""], index("m")], row: Vector) -> Matrix:
    return X.at[i].set(row)


def without_nan(x: Vector) -> Vector:
    return jnp.nan_to_num(x)


def log_sigmoid(x: Vector) -> Vector:
    return jax.nn.log_sigmoid(x)


def neg_binomial(
    counts: Annotated[Int[Array, "N"], integers(0, 20)],
    alpha: Annotated[Scalar, positive],
    beta: Annotated[Scalar, positive],
) -> Scalar:
    """Log-likelihood of the counts: shape alpha, inverse scale beta."""
    n = counts.astype(alpha.dtype)
    constant = gammaln(n + alpha) - gammaln(n + 1) - gammaln(alpha)
    return jnp.sum(constant - alpha * jnp.log1p(1 / beta) - n * jnp.log1p(beta))


# --- H: singular point -----------------------------------------------------------------------------


def absolute(x: Vector) -> Vector:
    return jnp.abs(x)


def p_norms(X: Matrix, p: Annotated[int, integers(2, 3)]) -> Float[Array, "m"]:
    """The p-norm of each row."""
    total = jnp.sum(jnp.abs(X) ** p, axis=1)
    zero = total == 0
    return jnp.where(zero, 0, jnp.where(zero, 1, total) ** (1 / p))
