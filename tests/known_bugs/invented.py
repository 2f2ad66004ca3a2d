"""Mistakes of the kinds that people make, invented for this project, classes A to D: a second set, on which
``verify`` was not developed.

Every reference stands above its wrong and its right derivative. ``invented_more.py`` has classes E to M;
``corpus.py`` says which class each is in.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from handgrad import gradient_of, jvp_of, vjp_of

Scalar = Float[Array, ""]
Vector = Float[Array, "n"]
Matrix = Float[Array, "m n"]
Square = Float[Array, "n n"]

# --- A: sign / constant slip -----------------------------------------------------------------------


def sample_variance(x: Float[Array, "n+1"]) -> Scalar:
    return jnp.var(x, ddof=1)


@gradient_of(sample_variance, wrt="x", name="N01_wrong")
def sample_variance_gradient_wrong(x):
    """Divided by the size, as if ddof were 0."""
    return 2 * (x - jnp.mean(x)) / x.shape[0]


@gradient_of(sample_variance, wrt="x", name="N01_right")
def sample_variance_gradient(x):
    return 2 * (x - jnp.mean(x)) / (x.shape[0] - 1)


def divergence(mean: Vector, log_variance: Vector) -> Scalar:
    """From a standard normal distribution, as in a variational autoencoder."""
    return jnp.sum(jnp.exp(log_variance) + mean**2 - 1 - log_variance) / 2


@gradient_of(divergence, wrt=("mean", "log_variance"), name="N02_wrong")
def divergence_gradients_wrong(mean, log_variance):
    """The second of the two has the sign of the evidence bound, which is maximised."""
    return mean, (1 - jnp.exp(log_variance)) / 2


@gradient_of(divergence, wrt=("mean", "log_variance"), name="N02_right")
def divergence_gradients(mean, log_variance):
    return mean, (jnp.exp(log_variance) - 1) / 2


def attention(Q: Float[Array, "q d"], K: Float[Array, "k d"], V: Float[Array, "k d"]) -> Float[Array, "q d"]:
    return jax.nn.softmax(Q @ K.T / Q.shape[1] ** 0.5, axis=1) @ V


def score_gradient(Q, K, V, cotangent):
    """The gradient of the scaled scores."""
    P = jax.nn.softmax(Q @ K.T / Q.shape[1] ** 0.5, axis=1)
    dP = cotangent @ V.T
    return P * (dP - jnp.sum(dP * P, axis=1, keepdims=True))


@vjp_of(attention, wrt=("Q", "K"), name="N03_wrong")
def attention_pullback_wrong(Q, K, V, *, cotangent):
    """The scale of the scores is forgotten on the way back."""
    dS = score_gradient(Q, K, V, cotangent)
    return dS @ K, dS.T @ Q


@vjp_of(attention, wrt=("Q", "K"), name="N03_right")
def attention_pullback(Q, K, V, *, cotangent):
    dS = score_gradient(Q, K, V, cotangent) / Q.shape[1] ** 0.5
    return dS @ K, dS.T @ Q


# --- B: missing or duplicated Jacobian term --------------------------------------------------------


def layer_norm(X: Matrix) -> Matrix:
    """Each row to mean zero and variance one."""
    centred = X - jnp.mean(X, axis=1, keepdims=True)
    return centred * lax.rsqrt(jnp.mean(centred**2, axis=1, keepdims=True) + 1e-5)


def row_scale(X):
    return lax.rsqrt(jnp.var(X, axis=1, keepdims=True) + 1e-5)


@vjp_of(layer_norm, wrt="X", name="N04_wrong")
def layer_norm_pullback_wrong(X, *, cotangent):
    """The variance is treated as a constant."""
    return row_scale(X) * (cotangent - jnp.mean(cotangent, axis=1, keepdims=True))


@vjp_of(layer_norm, wrt="X", name="N04_right")
def layer_norm_pullback(X, *, cotangent):
    x_hat = layer_norm(X)
    along = jnp.mean(cotangent * x_hat, axis=1, keepdims=True)
    return row_scale(X) * (cotangent - jnp.mean(cotangent, axis=1, keepdims=True) - x_hat * along)


def softmax(x: Vector) -> Vector:
    return jax.nn.softmax(x)


@vjp_of(softmax, wrt="x", name="N05_wrong")
def softmax_pullback_wrong(x, *, cotangent):
    """The diagonal of the Jacobian only, as of a sigmoid."""
    p = jax.nn.softmax(x)
    return cotangent * p * (1 - p)


@vjp_of(softmax, wrt="x", name="N05_right")
def softmax_pullback(x, *, cotangent):
    p = jax.nn.softmax(x)
    return p * (cotangent - p @ cotangent)


def highway(x: Vector, W: Square, h: Vector) -> Vector:
    """A gate between x and h that x itself controls."""
    gate = jax.nn.sigmoid(W @ x)
    return gate * h + (1 - gate) * x


@vjp_of(highway, wrt="x", name="N06_wrong")
def highway_pullback_wrong(x, W, h, *, cotangent):
    """The path through the gate is missing."""
    return (1 - jax.nn.sigmoid(W @ x)) * cotangent


@vjp_of(highway, wrt="x", name="N06_right")
def highway_pullback(x, W, h, *, cotangent):
    gate = jax.nn.sigmoid(W @ x)
    return (1 - gate) * cotangent + W.T @ (cotangent * (h - x) * gate * (1 - gate))


def tied_autoencoder(W: Float[Array, "k n"], X: Float[Array, "n N"]) -> Scalar:
    return jnp.sum((W.T @ jnp.tanh(W @ X) - X) ** 2) / 2


@gradient_of(tied_autoencoder, wrt="W", name="N07_wrong")
def tied_gradient_wrong(W, X):
    """The weight is used twice and counted once, in the decoder."""
    H = jnp.tanh(W @ X)
    return H @ (W.T @ H - X).T


@gradient_of(tied_autoencoder, wrt="W", name="N07_right")
def tied_gradient(W, X):
    H = jnp.tanh(W @ X)
    R = W.T @ H - X
    return H @ R.T + ((1 - H**2) * (W @ R)) @ X.T


def quotient(x: Vector, y: Vector) -> Vector:
    return x / (1 + y**2)


@jvp_of(quotient, wrt=("x", "y"), name="N08_wrong")
def quotient_differential_wrong(x, y, *, dx, dy):
    """The tangent of the second argument is ignored."""
    return dx / (1 + y**2)


@jvp_of(quotient, wrt=("x", "y"), name="N08_right")
def quotient_differential(x, y, *, dx, dy):
    u = 1 + y**2
    return dx / u - x / u * (2 * y / u) * dy


def squared_distances(X: Matrix) -> Float[Array, "m m"]:
    """Between every two rows."""
    return jnp.sum((X[:, None] - X) ** 2, axis=2)


@vjp_of(squared_distances, wrt="X", name="N09_wrong")
def squared_distances_pullback_wrong(X, *, cotangent):
    """Each pair is counted from one side: the cotangent is not made symmetric."""
    return 2 * jnp.sum(cotangent[:, :, None] * (X[:, None] - X), axis=1)


@vjp_of(squared_distances, wrt="X", name="N09_right")
def squared_distances_pullback(X, *, cotangent):
    both = cotangent + cotangent.T
    return 2 * jnp.sum(both[:, :, None] * (X[:, None] - X), axis=1)


# --- C: wrong operand or wrong function ------------------------------------------------------------


def tanh_layer(W: Matrix, x: Vector) -> Float[Array, "m"]:
    return jnp.tanh(W @ x)


@vjp_of(tanh_layer, wrt="W", name="N10_wrong")
def tanh_layer_pullback_wrong(W, x, *, cotangent):
    """1 - z^2 of the pre-activation, where the activation belongs."""
    z = W @ x
    return jnp.outer(cotangent * (1 - z**2), x)


@vjp_of(tanh_layer, wrt="W", name="N10_right")
def tanh_layer_pullback(W, x, *, cotangent):
    a = jnp.tanh(W @ x)
    return jnp.outer(cotangent * (1 - a**2), x)


@jax.custom_vjp
def N11_wrong(x: Vector, y: Vector) -> Vector:
    """x sin y; the rule returns the two gradients in swapped order."""
    return x * jnp.sin(y)


N11_wrong.defvjp(
    lambda x, y: (N11_wrong(x, y), (x, y)),
    lambda saved, g: (g * saved[0] * jnp.cos(saved[1]), g * jnp.sin(saved[1])),
)


@jax.custom_vjp
def N11_right(x: Vector, y: Vector) -> Vector:
    """x sin y."""
    return x * jnp.sin(y)


N11_right.defvjp(
    lambda x, y: (N11_right(x, y), (x, y)),
    lambda saved, g: (g * jnp.sin(saved[1]), g * saved[0] * jnp.cos(saved[1])),
)


# --- D: transpose / axis / shape -------------------------------------------------------------------


def dense(X: Float[Array, "N m"], W: Matrix, b: Vector) -> Float[Array, "N n"]:
    """A data point is a row."""
    return X @ W + b


@vjp_of(dense, wrt=("W", "b"), name="N12_wrong")
def dense_pullback_wrong(X, W, b, *, cotangent):
    """The bias is summed over the features, not over the batch."""
    return X.T @ cotangent, jnp.sum(cotangent, axis=1)


@vjp_of(dense, wrt=("W", "b"), name="N12_right")
def dense_pullback(X, W, b, *, cotangent):
    return X.T @ cotangent, jnp.sum(cotangent, axis=0)


def trace_of_square(A: Square) -> Scalar:
    return jnp.trace(A @ A)


@gradient_of(trace_of_square, wrt="A", name="N13_wrong")
def trace_of_square_gradient_wrong(A):
    """Right for symmetric matrices."""
    return 2 * A


@gradient_of(trace_of_square, wrt="A", name="N13_right")
def trace_of_square_gradient(A):
    return 2 * A.T


def circular_convolution(x: Vector, w: Vector) -> Vector:
    return jnp.fft.ifft(jnp.fft.fft(x) * jnp.fft.fft(w)).real


@vjp_of(circular_convolution, wrt="w", name="N14_wrong")
def circular_convolution_pullback_wrong(x, w, *, cotangent):
    """Convolved with x once more, where the transpose is a correlation."""
    return circular_convolution(x, cotangent)


@vjp_of(circular_convolution, wrt="w", name="N14_right")
def circular_convolution_pullback(x, w, *, cotangent):
    return circular_convolution(jnp.roll(x[::-1], 1), cotangent)


def running_sum(x: Vector) -> Vector:
    return jnp.cumsum(x)


@vjp_of(running_sum, wrt="x", name="N15_wrong")
def running_sum_pullback_wrong(x, *, cotangent):
    """Summed from the front, where the transpose sums from the back."""
    return jnp.cumsum(cotangent)


@vjp_of(running_sum, wrt="x", name="N15_right")
def running_sum_pullback(x, *, cotangent):
    return jnp.cumsum(cotangent[::-1])[::-1]


def ascending(x: Vector) -> Vector:
    return jnp.sort(x)


@vjp_of(ascending, wrt="x", name="N16_wrong")
def ascending_pullback_wrong(x, *, cotangent):
    """Gathered by the permutation, where its inverse belongs."""
    return cotangent[jnp.argsort(x)]


@vjp_of(ascending, wrt="x", name="N16_right")
def ascending_pullback(x, *, cotangent):
    return jnp.zeros_like(x).at[jnp.argsort(x)].set(cotangent)
