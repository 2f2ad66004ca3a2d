"""Invented mistakes, written last, of all classes but M; see ``invented.py``."""

from typing import Annotated

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from handgrad import gradient_of, vjp_of
from handgrad.domains import index, positive, symmetric

Scalar = Float[Array, ""]
Vector = Float[Array, "n"]
Matrix = Float[Array, "m n"]

# --- A: sign / constant slip -----------------------------------------------------------------------


def student_log_likelihood(x: Vector, scale: Annotated[Scalar, positive]) -> Scalar:
    """Of Student's distribution with three degrees of freedom, up to a constant."""
    return -jnp.sum(2 * jnp.log1p((x / scale) ** 2 / 3) + jnp.log(scale))


@gradient_of(student_log_likelihood, wrt="x", name="N36_wrong")
def student_gradient_wrong(x, scale):
    """The degrees of freedom for the degrees and one."""
    return -3 * x / (3 * scale**2 + x**2)


@gradient_of(student_log_likelihood, wrt="x", name="N36_right")
def student_gradient(x, scale):
    u = x / scale
    return -4 * u / (3 + u**2) / scale


# --- B: missing or duplicated Jacobian term --------------------------------------------------------


def recurrent(h: Vector, W: Float[Array, "n n"], X: Float[Array, "L n"]) -> Vector:
    """The last state of h <- tanh(W h + x)."""
    return lax.scan(lambda h, x: (jnp.tanh(W @ h + x), None), h, X)[0]


def states(h, W, X):
    return lax.scan(lambda h, x: (jnp.tanh(W @ h + x),) * 2, h, X)[1]


@vjp_of(recurrent, wrt="X", name="N37_wrong")
def recurrent_pullback_wrong(h, W, X, *, cotangent):
    """Back through the weights alone: the slope of the states before the last is left out."""
    H = states(h, W, X)

    def step(g, state):
        return W.T @ g, g

    last = cotangent * (1 - H[-1] ** 2)
    return lax.scan(step, last, H, reverse=True)[1]


@vjp_of(recurrent, wrt="X", name="N37_right")
def recurrent_pullback(h, W, X, *, cotangent):
    H = states(h, W, X)

    def step(g, state):
        delta = g * (1 - state**2)
        return W.T @ delta, delta

    return lax.scan(step, cotangent, H, reverse=True)[1]


def focal_loss(z: Vector) -> Scalar:
    """-(1 - p)^2 log p, p = sigmoid(z)."""
    return -jnp.sum(jax.nn.sigmoid(-z) ** 2 * jax.nn.log_sigmoid(z))


@gradient_of(focal_loss, wrt="z", name="N38_wrong")
def focal_gradient_wrong(z):
    """The factor in front is treated as a constant weight."""
    return -(jax.nn.sigmoid(-z) ** 3)


@gradient_of(focal_loss, wrt="z", name="N38_right")
def focal_gradient(z):
    q = jax.nn.sigmoid(-z)
    return 2 * q**2 * jax.nn.sigmoid(z) * jax.nn.log_sigmoid(z) - q**3


# --- C: wrong operand or wrong function ------------------------------------------------------------


def weighted_entropy(z: Vector, target: Vector, weight: Scalar) -> Scalar:
    """Binary cross-entropy of logits, the positive class weighted."""
    return -jnp.sum(weight * target * jax.nn.log_sigmoid(z) + (1 - target) * jax.nn.log_sigmoid(-z))


@gradient_of(weighted_entropy, wrt="z", name="N39_wrong")
def weighted_entropy_gradient_wrong(z, target, weight):
    """sigmoid(z) - target, and the weight on all of it."""
    return weight * (jax.nn.sigmoid(z) - target)


@gradient_of(weighted_entropy, wrt="z", name="N39_right")
def weighted_entropy_gradient(z, target, weight):
    return (1 - target) * jax.nn.sigmoid(z) - weight * target * jax.nn.sigmoid(-z)


# --- D: transpose / axis / shape -------------------------------------------------------------------


def strided(x: Float[Array, "2*n+1"], w: Float[Array, "3"]) -> Vector:
    """Cross-correlation with stride 2."""
    return lax.conv_general_dilated(x[None, None], w[None, None], (2,), "VALID")[0, 0]


@vjp_of(strided, wrt="x", name="N40_wrong")
def strided_pullback_wrong(x, w, *, cotangent):
    """The kernel is not flipped on the way back."""
    spread = jnp.zeros(2 * cotangent.shape[0] - 1, x.dtype).at[::2].set(cotangent)
    return jnp.convolve(spread, w[::-1])


@vjp_of(strided, wrt="x", name="N40_right")
def strided_pullback(x, w, *, cotangent):
    spread = jnp.zeros(2 * cotangent.shape[0] - 1, x.dtype).at[::2].set(cotangent)
    return jnp.convolve(spread, w)


def contracted(A: Float[Array, "b n n"], B: Float[Array, "b n n"]) -> Float[Array, "b n n"]:
    return jnp.einsum("bij,bjk->bik", A, B)


@vjp_of(contracted, wrt="B", name="N41_wrong")
def contracted_pullback_wrong(A, B, *, cotangent):
    """Two letters of an einsum swapped."""
    return jnp.einsum("bji,bik->bjk", A, cotangent)


@vjp_of(contracted, wrt="B", name="N41_right")
def contracted_pullback(A, B, *, cotangent):
    return jnp.einsum("bij,bik->bjk", A, cotangent)


# --- E: reduction / accumulation -------------------------------------------------------------------


def batch_standardised(X: Float[Array, "n N"]) -> Float[Array, "n N"]:
    """Each feature to mean zero and variance one over its batch."""
    centred = X - jnp.mean(X, axis=1, keepdims=True)
    return centred * lax.rsqrt(jnp.mean(centred**2, axis=1, keepdims=True) + 1e-3)


def batch_pullback(X, cotangent, count):
    centred = X - jnp.mean(X, axis=1, keepdims=True)
    r = lax.rsqrt(jnp.mean(centred**2, axis=1, keepdims=True) + 1e-3)
    along = jnp.sum(cotangent * centred * r, axis=1, keepdims=True) / count
    return r * (cotangent - jnp.mean(cotangent, axis=1, keepdims=True) - centred * r * along)


@vjp_of(batch_standardised, wrt="X", name="N42_wrong")
def batch_pullback_wrong(X, *, cotangent):
    """One sum over the batch is divided by one less than the batch."""
    return batch_pullback(X, cotangent, X.shape[1] - 1)


@vjp_of(batch_standardised, wrt="X", name="N42_right")
def batch_pullback_right(X, *, cotangent):
    return batch_pullback(X, cotangent, X.shape[1])


# --- F: upstream cotangent -------------------------------------------------------------------------


def straight_through(x: Vector) -> Vector:
    """x rounded, with the derivative of x."""
    return x + lax.stop_gradient(jnp.round(x) - x)


@vjp_of(straight_through, wrt="x", name="N43_wrong")
def straight_through_pullback_wrong(x, *, cotangent):
    """Zero, as of the rounding itself."""
    return jnp.zeros_like(x)


@vjp_of(straight_through, wrt="x", name="N43_right")
def straight_through_pullback(x, *, cotangent):
    return cotangent


# --- G: wrong branch, kink, tie --------------------------------------------------------------------


def hinge(Z: Float[Array, "n N"], label: Annotated[Int[Array, "N"], index("n")]) -> Scalar:
    """The multi-class hinge loss of scores, a data point in each column."""
    margin = Z - Z[label, jnp.arange(Z.shape[1])] + 1
    other = jnp.arange(Z.shape[0])[:, None] != label
    return jnp.sum(jnp.where(other, jnp.maximum(margin, 0), 0))


def violated(Z, label):
    other = jnp.arange(Z.shape[0])[:, None] != label
    return jnp.where(other & (Z - Z[label, jnp.arange(Z.shape[1])] + 1 > 0), 1, 0).astype(Z.dtype), other


@gradient_of(hinge, wrt="Z", name="N44_wrong")
def hinge_gradient_wrong(Z, label):
    """The true class is charged with all the others, not with those that violate the margin."""
    over, other = violated(Z, label)
    return jnp.where(other, over, -(Z.shape[0] - 1))


@gradient_of(hinge, wrt="Z", name="N44_right")
def hinge_gradient(Z, label):
    over, other = violated(Z, label)
    return jnp.where(other, over, -jnp.sum(over, axis=0))


# --- H: singular point -----------------------------------------------------------------------------


def cubes(x: Vector) -> Vector:
    return x**3


@vjp_of(cubes, wrt="x", name="N45_wrong")
def cubes_pullback_wrong(x, *, cotangent):
    """From the output, y' = 3 y / x."""
    return cotangent * 3 * x**3 / x


@vjp_of(cubes, wrt="x", name="N45_right")
def cubes_pullback(x, *, cotangent):
    return cotangent * 3 * x**2


# --- I: overflow / cancellation / low precision ----------------------------------------------------


def softplus(x: Vector) -> Vector:
    return jax.nn.softplus(x)


@vjp_of(softplus, wrt="x", name="N46_wrong")
def softplus_pullback_wrong(x, *, cotangent):
    """Infinity over infinity for large x."""
    return cotangent * jnp.exp(x) / (1 + jnp.exp(x))


@vjp_of(softplus, wrt="x", name="N46_right")
def softplus_pullback(x, *, cotangent):
    return cotangent * jax.nn.sigmoid(x)


# --- J: mask / index / option ----------------------------------------------------------------------


def padded_softmax(x: Vector, mask: Bool[Array, "n"]) -> Vector:
    """Over the entries that the mask keeps; zero elsewhere."""
    kept = jnp.where(mask, x, -jnp.inf)
    largest = lax.stop_gradient(jnp.max(kept))
    weights = jnp.exp(kept - jnp.where(largest == -jnp.inf, 0, largest))
    total = jnp.sum(weights)
    return weights / jnp.where(total == 0, 1, total)


@vjp_of(padded_softmax, wrt="x", name="N47_wrong")
def padded_softmax_pullback_wrong(x, mask, *, cotangent):
    """The probabilities are recomputed without the mask."""
    p = jax.nn.softmax(x)
    return p * (cotangent - p @ cotangent)


@vjp_of(padded_softmax, wrt="x", name="N47_right")
def padded_softmax_pullback(x, mask, *, cotangent):
    p = padded_softmax(x, mask)
    return p * (cotangent - p @ cotangent)


# --- D again: a matrix function --------------------------------------------------------------------


def log_cosh_of_eigenvalues(A: Annotated[Float[Array, "n n"], symmetric]) -> Scalar:
    return jnp.sum(jnp.log(jnp.cosh(jnp.linalg.eigvalsh(A) / 64)))


@gradient_of(log_cosh_of_eigenvalues, wrt="A", name="N48_wrong")
def matrix_function_gradient_wrong(A):
    """The eigenvectors are the rows of the matrix, not its columns."""
    w, V = jnp.linalg.eigh(A)
    return V.T @ (jnp.tanh(w / 64)[:, None] / 64 * V)


@gradient_of(log_cosh_of_eigenvalues, wrt="A", name="N48_right")
def matrix_function_gradient(A):
    w, V = jnp.linalg.eigh(A)
    return (V * jnp.tanh(w / 64) / 64) @ V.T
