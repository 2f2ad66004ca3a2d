"""The hand functions of wrong.py, put right: every claim here holds."""

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import digamma
from jaxtyping import Array, Float
from references import (
    abs2,
    absolute,
    accumulated_loss,
    angle,
    batched_product,
    cell,
    cholesky,
    contrastive_loss,
    convolution,
    coordinate_and_multiplier,
    grid_sample,
    hard_sigmoid,
    hard_swish,
    kkt_matrix,
    kkt_step,
    layer_norm,
    legendre_series,
    log_sigmoid,
    matrix_exponential,
    neg_binomial,
    normalised,
    p_norms,
    power,
    reshaped,
    scaling,
    shared_product,
    smooth_l1,
    standardised,
    window_sums,
    with_row,
    without_nan,
    word_loss,
)

from handgrad import gradient_of, jvp_of, vjp_of

# --- A: sign / constant slip -----------------------------------------------------------------------


@vjp_of(angle, wrt=("y", "x"), name="R01_right")
def angle_pullback(y, x, *, cotangent):
    u = x**2 + y**2
    return cotangent * x / u, -cotangent * y / u


@gradient_of(legendre_series, wrt="x", name="R02_right")
def legendre_derivative(c, x):
    """(l - 1) P'_l = (2l - 1) x P'_{l-1} - l P'_{l-2}; the start makes P'_1 = 1."""

    def step(before, inputs):
        degree, c_l = inputs
        dp, dp_before = before
        dp_next = ((2 * degree - 1) * x * dp - degree * dp_before) / jnp.maximum(degree - 1, 1)
        return (dp_next, dp), c_l * dp_next

    degrees = jnp.arange(1, c.shape[0], dtype=c.dtype)
    _, terms = lax.scan(step, (jnp.zeros_like(x), -jnp.ones_like(x)), (degrees, c[1:]))
    return jnp.sum(terms)


@vjp_of(abs2, wrt="z", name="R03_right")
def abs2_pullback(z, *, cotangent):
    return 2 * cotangent * jnp.conj(z)


@vjp_of(abs2, wrt="z", name="R03_real_right")
def abs2_real_pullback(z: Float[Array, "n"], *, cotangent):
    return 2 * cotangent * z


# --- B: missing or duplicated Jacobian term --------------------------------------------------------


@vjp_of(cholesky, wrt="A", name="R12_right")
def cholesky_pullback(A, *, cotangent):
    """L^-T Phi(L^T G) L^-1, made symmetric; Phi keeps the lower triangle and halves the diagonal."""
    L = jnp.linalg.cholesky(A)
    inner = jnp.tril(L.T @ jnp.tril(cotangent))
    inner = inner - jnp.diag(jnp.diag(inner)) / 2
    half = solve_triangular(L, inner, lower=True, trans="T")  # L^-T Phi
    full = solve_triangular(L, half.T, lower=True, trans="T").T  # L^-T Phi L^-1
    return (full + full.T) / 2


# --- C: wrong operand or wrong function ------------------------------------------------------------


@vjp_of(hard_swish, wrt="x", name="R04_right")
def hard_swish_pullback(x, *, cotangent):
    return cotangent * (jax.nn.relu6(x + 3) + x * (jnp.abs(x) < 3)) / 6


@vjp_of(grid_sample, wrt="grid", name="R05_right")
def grid_pullback(signal, grid, *, cotangent):
    last = signal.shape[0] - 1
    coordinate, multiplier = coordinate_and_multiplier(grid, last)
    left, right, _ = cell(coordinate, last)
    return cotangent * (signal[right] - signal[left]) * multiplier


@vjp_of(window_sums, wrt="x", name="R31_right")
def window_sums_pullback(x, dilation, *, cotangent):
    sums = cotangent + jnp.append(cotangent[1:], 0)
    return sums[::dilation]


# --- D: transpose / axis / shape -------------------------------------------------------------------


@vjp_of(batched_product, wrt="A", name="R06_right")
def batched_product_pullback(A, B, transposed, *, cotangent):
    gradient = cotangent @ jnp.swapaxes(B, 1, 2)
    return jnp.swapaxes(gradient, 1, 2) if transposed else gradient


@vjp_of(reshaped, wrt="X", name="R08_right")
def reshape_pullback(X, *, cotangent):
    return cotangent.reshape(X.shape)


@jvp_of(matrix_exponential, wrt="A", name="R09_right")
def exponential_differential(A, dA):
    small, scale = scaling(A)
    X, dX = A / scale, dA / scale
    eye = jnp.eye(A.shape[0], dtype=A.dtype)
    X2, dX2 = X @ X, dX @ X + X @ dX
    U, V = X @ (X2 + 60 * eye), 12 * X2 + 120 * eye
    dU, dV = dX @ (X2 + 60 * eye) + X @ dX2, 12 * dX2
    R = jnp.linalg.solve(V - U, V + U)
    dR = jnp.linalg.solve(V - U, dV + dU - (dV - dU) @ R)
    S, dS = R, dR
    for _ in range(4):
        S, dS = S @ S, dS @ S + S @ dS
    return jnp.where(small, dR, dS)


@vjp_of(convolution, wrt="kernel", name="R37_right")
def kernel_gradient(image, kernel, *, cotangent):
    """Entry (a, b): the patch of the image that starts there, weighted by the cotangent."""
    (p, q), (h, w) = kernel.shape, cotangent.shape
    a, b = jnp.arange(p)[:, None, None, None], jnp.arange(q)[:, None, None]
    i, j = jnp.arange(h)[:, None], jnp.arange(w)
    row_length = image.shape[1]
    patches = image.ravel()[(i + a) * row_length + (j + b)]
    return jnp.einsum("abij,ij->ab", patches, cotangent)


@vjp_of(kkt_step, wrt="residual", name="R39_right")
def kkt_pullback(Q, G, multiplier, slack, residual, *, cotangent):
    return jnp.linalg.solve(kkt_matrix(Q, G, multiplier, slack).T, cotangent)


# --- E: reduction / accumulation -------------------------------------------------------------------


@vjp_of(shared_product, wrt="A", name="R07_right")
def shared_product_pullback(A, B, *, cotangent):
    return jnp.einsum("bnk,bmk->nm", cotangent, B)[None]


@vjp_of(layer_norm, wrt="X", name="R34_right")
def layer_norm_pullback(X, *, cotangent):
    n = X.shape[1]
    x_hat, rstd = normalised(X)
    c1 = jnp.sum(cotangent, axis=1, keepdims=True) / n
    c2 = jnp.sum(cotangent * x_hat, axis=1, keepdims=True) / n
    return rstd * (cotangent - c1 - x_hat * c2)


@gradient_of(word_loss, wrt="b1", name="R35_right")
def bias_gradient(W1, b1, W2, b2, X, target):
    V, N = X.shape
    z = W1 @ X + b1
    P = jax.nn.softmax(W2 @ jax.nn.relu(z) + b2, axis=0)
    delta2 = (P - (jnp.arange(V)[:, None] == target)) / N
    delta1 = (W2.T @ delta2) * (z > 0)
    return jnp.sum(delta1, axis=1, keepdims=True)


@gradient_of(accumulated_loss, wrt=("gamma", "beta"), name="R41_right")
def batch_norm_gradients(gamma, beta, batches):
    x_hat = standardised(batches)
    out = gamma[:, None] * x_hat + beta[:, None]
    return jnp.sum(out * x_hat, axis=(0, 2)), jnp.sum(out, axis=(0, 2))


# --- F: upstream cotangent -------------------------------------------------------------------------


@vjp_of(power, wrt="x", name="R13_right")
def power_pullback(x, p, *, cotangent):
    zero = x == 0
    at_zero = cotangent if p == 1 else jnp.zeros_like(x)
    return jnp.where(zero, at_zero, cotangent * p * jnp.where(zero, 1, x) ** (p - 1))


@vjp_of(smooth_l1, wrt="x", name="R14_right")
def smooth_l1_pullback(x, target, *, cotangent):
    return cotangent * jnp.clip(x - target, -1, 1)


@gradient_of(contrastive_loss, wrt="A", name="R32_right")
def contrastive_gradient(A, B, similar):
    diff = A - B
    close = jnp.sum(diff**2, axis=0) < 1
    sign = jnp.where(similar, 1, jnp.where(close, -1, 0))
    return sign * diff / A.shape[1]


@jax.custom_vjp
def R33_right(X: Float[Array, "m n"], w: Float[Array, "n"]) -> Float[Array, "m n"]:
    """RMS norm of each row, scaled by w."""
    return X * lax.rsqrt(jnp.mean(X**2, axis=1, keepdims=True) + 1e-6) * w


def rms_norm_forward(X, w):
    return R33_right(X, w), (X, w)


def rms_norm_backward(saved, cotangent):
    X, w = saved
    r = lax.rsqrt(jnp.mean(X**2, axis=1, keepdims=True) + 1e-6)
    x_hat, g = X * r, cotangent * w
    dX = r * (g - x_hat * jnp.mean(g * x_hat, axis=1, keepdims=True))
    return dX, jnp.sum(cotangent * x_hat, axis=0)


R33_right.defvjp(rms_norm_forward, rms_norm_backward)


# --- G: wrong branch, kink, tie --------------------------------------------------------------------


@vjp_of(hard_sigmoid, wrt="x", name="R15_right")
def hard_sigmoid_pullback(x, *, cotangent):
    return jnp.where(jnp.abs(x) < 3, cotangent / 6, 0)


@vjp_of(with_row, wrt=("X", "row"), name="R16_right")
def with_row_pullback(X, i, row, *, cotangent):
    return cotangent.at[i].set(0), cotangent[i]


@vjp_of(without_nan, wrt="x", name="R17_right")
def without_nan_pullback(x, *, cotangent):
    return jnp.where(jnp.isfinite(x), cotangent, 0)


@vjp_of(log_sigmoid, wrt="x", name="R18_right")
def log_sigmoid_pullback(x, *, cotangent):
    return cotangent * jax.nn.sigmoid(-x)


@gradient_of(neg_binomial, wrt="alpha", name="R40_right")
def neg_binomial_score(counts, alpha, beta):
    n = counts.astype(alpha.dtype)
    return jnp.sum(digamma(n + alpha) - digamma(alpha) - jnp.log1p(1 / beta))


# --- H: singular point -----------------------------------------------------------------------------


@vjp_of(absolute, wrt="x", name="R19_right")
def absolute_pullback(x, *, cotangent):
    return cotangent * jnp.sign(x)


@vjp_of(p_norms, wrt="X", name="R20_right")
def p_norms_pullback(X, p, *, cotangent):
    y = p_norms(X, p)
    y = jnp.where(y == 0, 1, y)[:, None]
    return jnp.sign(X) * (jnp.abs(X) / y) ** (p - 1) * cotangent[:, None]
