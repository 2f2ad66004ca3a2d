"""Historical mistakes in hand-written derivatives, classes A to H: no claim here holds.

Each docstring names where the mistake was made and what it was. right.py has the same functions put right.
"""

import jax
import jax.numpy as jnp
from jax import lax
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


@vjp_of(angle, wrt=("y", "x"), name="R01_wrong")
def angle_pullback(y, x, *, cotangent):
    """ChainRules.jl 17495668: hypot where its square belongs, and no sign."""
    u = jnp.hypot(x, y)
    return cotangent * x / u, cotangent * y / u


@gradient_of(legendre_series, wrt="x", name="R02_wrong")
def legendre_derivative(c, x):
    """jax 48f47c36c4: a coefficient lacks its 1/(l - 1), so degrees up to 2 are right."""

    def step(before, inputs):
        degree, c_l = inputs
        dp, dp_before = before
        dp_next = (2 * degree - 1) * x * dp - degree * dp_before
        return (dp_next, dp), c_l * dp_next

    degrees = jnp.arange(1, c.shape[0], dtype=c.dtype)
    _, terms = lax.scan(step, (jnp.zeros_like(x), -jnp.ones_like(x)), (degrees, c[1:]))
    return jnp.sum(terms)


@vjp_of(abs2, wrt="z", name="R03_wrong")
def abs2_pullback(z, *, cotangent):
    """ChainRules.jl PR#196: no factor 2, and a conj too many (JAX gives the conjugate by itself)."""
    return cotangent * z


@vjp_of(abs2, wrt="z", name="R03_real_wrong")
def abs2_real_pullback(z: Float[Array, "n"], *, cotangent):
    """The same at a real argument."""
    return cotangent * z


# --- B: missing or duplicated Jacobian term --------------------------------------------------------


@vjp_of(cholesky, wrt="A", name="R12_wrong")
def cholesky_pullback(A, *, cotangent):
    """chainer 29f7dfe260: not a derivative of anything."""
    return A @ A.T @ cotangent


# --- C: wrong operand or wrong function ------------------------------------------------------------


@vjp_of(hard_swish, wrt="x", name="R04_wrong")
def hard_swish_pullback(x, *, cotangent):
    """swift-apis PR#743: relu6 evaluated at the cotangent."""
    return cotangent * (jax.nn.relu6(cotangent + 3) + x * (jnp.abs(x) < 3)) / 6


@vjp_of(grid_sample, wrt="grid", name="R05_wrong")
def grid_pullback(signal, grid, *, cotangent):
    """NNlib.jl 4c6ce73: a pair unpacked in swapped order."""
    last = signal.shape[0] - 1
    multiplier, coordinate = coordinate_and_multiplier(grid, last)
    left, right, _ = cell(coordinate, last)
    return cotangent * (signal[right] - signal[left]) * multiplier


@vjp_of(window_sums, wrt="x", name="R31_wrong")
def window_sums_pullback(x, dilation, *, cotangent):
    """jax dcded6a8f9: the operand is sliced, not the result."""
    operand = cotangent[::dilation]
    return operand + jnp.append(operand[1:], 0)


# --- D: transpose / axis / shape -------------------------------------------------------------------


@vjp_of(batched_product, wrt="A", name="R06_wrong")
def batched_product_pullback(A, B, transposed, *, cotangent):
    """NNlib.jl bbdc647: the transposed wrapper's gradient returned for its parent."""
    return cotangent @ jnp.swapaxes(B, 1, 2)


@vjp_of(reshaped, wrt="X", name="R08_wrong")
def reshape_pullback(X, *, cotangent):
    """ChainRules.jl 0f0d9287: reshapes to the output's dimensions."""
    n, m = X.shape[::-1]
    return cotangent.reshape((n, m))


@jvp_of(matrix_exponential, wrt="A", name="R09_wrong")
def exponential_differential(A, dA):
    """ChainRules.jl PR#596: where the norm is small, the series of the differential stops a term early."""
    small, scale = scaling(A)
    X, dX = A / scale, dA / scale
    eye = jnp.eye(A.shape[0], dtype=A.dtype)
    X2, dX2 = X @ X, dX @ X + X @ dX
    U, V = X @ (X2 + 60 * eye), 12 * X2 + 120 * eye
    dU, dV = dX @ (X2 + 60 * eye) + jnp.where(small, 0, X @ dX2), 12 * dX2
    R = jnp.linalg.solve(V - U, V + U)
    dR = jnp.linalg.solve(V - U, dV + dU - (dV - dU) @ R)
    S, dS = R, dR
    for _ in range(4):
        S, dS = S @ S, dS @ S + S @ dS
    return jnp.where(small, dR, dS)


@vjp_of(convolution, wrt="kernel", name="R37_wrong")
def kernel_gradient(image, kernel, *, cotangent):
    """NNPACK#15: the length of a column taken for that of a row."""
    (p, q), (h, w) = kernel.shape, cotangent.shape
    a, b = jnp.arange(p)[:, None, None, None], jnp.arange(q)[:, None, None]
    i, j = jnp.arange(h)[:, None], jnp.arange(w)
    row_length = image.shape[0]
    patches = image.ravel()[(i + a) * row_length + (j + b)]
    return jnp.einsum("abij,ij->ab", patches, cotangent)


@vjp_of(kkt_step, wrt="residual", name="R39_wrong")
def kkt_pullback(Q, G, multiplier, slack, residual, *, cotangent):
    """DiffOpt.jl#125: the matrix of the implicit function theorem not transposed."""
    return jnp.linalg.solve(kkt_matrix(Q, G, multiplier, slack), cotangent)


# --- E: reduction / accumulation -------------------------------------------------------------------


@vjp_of(shared_product, wrt="A", name="R07_wrong")
def shared_product_pullback(A, B, *, cotangent):
    """NNlib.jl 461b290: the operand of batch 1 is not summed over the batch."""
    return jnp.einsum("bnk,bmk->bnm", cotangent, B)


@vjp_of(layer_norm, wrt="X", name="R34_wrong")
def layer_norm_pullback(X, *, cotangent):
    """FlagGems PR#59: one sum for the whole block of rows."""
    n = X.shape[1]
    x_hat, rstd = normalised(X)
    c1 = jnp.sum(cotangent) / n
    c2 = jnp.sum(cotangent * x_hat) / n
    return rstd * (cotangent - c1 - x_hat * c2)


@gradient_of(word_loss, wrt="b1", name="R35_wrong")
def bias_gradient(W1, b1, W2, b2, X, target):
    """rust0258/Coursera-NLP#62: a factor x^T of the weight's gradient in that of the bias."""
    V, N = X.shape
    z = W1 @ X + b1
    P = jax.nn.softmax(W2 @ jax.nn.relu(z) + b2, axis=0)
    delta2 = (P - (jnp.arange(V)[:, None] == target)) / N
    delta1 = (W2.T @ delta2) * (z > 0)
    return jnp.sum(delta1 @ X.T, axis=1, keepdims=True)


@gradient_of(accumulated_loss, wrt=("gamma", "beta"), name="R41_wrong")
def batch_norm_gradients(gamma, beta, batches):
    """mxnet#18499: told to add to the buffers, it overwrites them: the last micro-batch is left."""
    x_hat = standardised(batches)
    out = gamma[:, None] * x_hat + beta[:, None]
    return jnp.sum(out * x_hat, axis=2)[-1], jnp.sum(out, axis=2)[-1]


# --- F: upstream cotangent -------------------------------------------------------------------------


@vjp_of(power, wrt="x", name="R13_wrong")
def power_pullback(x, p, *, cotangent):
    """tinygrad 990c240b: the branch for a zero base forgets the cotangent."""
    zero = x == 0
    at_zero = jnp.ones_like(x) if p == 1 else jnp.zeros_like(x)
    return jnp.where(zero, at_zero, cotangent * p * jnp.where(zero, 1, x) ** (p - 1))


@vjp_of(smooth_l1, wrt="x", name="R14_wrong")
def smooth_l1_pullback(x, target, *, cotangent):
    """kulinseth/pytorch PR#290: the cotangent ignored."""
    return jnp.clip(x - target, -1, 1)


@gradient_of(contrastive_loss, wrt="A", name="R32_wrong")
def contrastive_gradient(A, B, similar):
    """BVLC/caffe PR#7100: the factor diff missing for dissimilar pairs."""
    diff = A - B
    close = jnp.sum(diff**2, axis=0) < 1
    return jnp.where(similar, diff, jnp.where(close, -1, 0)) / A.shape[1]


@jax.custom_vjp
def R33_wrong(X: Float[Array, "m n"], w: Float[Array, "n"]) -> Float[Array, "m n"]:
    """unsloth#832: the weight's gradient is None."""
    return X * lax.rsqrt(jnp.mean(X**2, axis=1, keepdims=True) + 1e-6) * w


def rms_norm_forward(X, w):
    return R33_wrong(X, w), (X, w)


def rms_norm_backward(saved, cotangent):
    X, w = saved
    r = lax.rsqrt(jnp.mean(X**2, axis=1, keepdims=True) + 1e-6)
    x_hat, g = X * r, cotangent * w
    dX = r * (g - x_hat * jnp.mean(g * x_hat, axis=1, keepdims=True))
    return dX, None


R33_wrong.defvjp(rms_norm_forward, rms_norm_backward)


# --- G: wrong branch, kink, tie --------------------------------------------------------------------


@vjp_of(hard_sigmoid, wrt="x", name="R15_wrong")
def hard_sigmoid_pullback(x, *, cotangent):
    """NNlib.jl PR#706: slope 1, not 0, in the saturated branch."""
    return cotangent * jnp.where(jnp.abs(x) < 3, 1 / 6, 1)


@vjp_of(with_row, wrt=("X", "row"), name="R16_wrong")
def with_row_pullback(X, i, row, *, cotangent):
    """Theano 3a2138de8: the overwritten entries keep their gradient."""
    return cotangent, cotangent[i]


@vjp_of(without_nan, wrt="x", name="R17_wrong")
def without_nan_pullback(x, *, cotangent):
    """HIPS/autograd afea209: identically zero."""
    return jnp.zeros_like(cotangent)


@vjp_of(log_sigmoid, wrt="x", name="R18_wrong")
def log_sigmoid_pullback(x, *, cotangent):
    """jax#2140: through min(x, 0) - log(1 + exp(-|x|)), which is 0 at x = 0."""
    return cotangent * ((x < 0) + jnp.sign(x) * jax.nn.sigmoid(-jnp.abs(x)))


@gradient_of(neg_binomial, wrt="alpha", name="R40_wrong")
def neg_binomial_score(counts, alpha, beta):
    """stan-dev/math#1578: the Poisson limit of a large alpha, good for the value, used for the derivative."""
    n = counts.astype(alpha.dtype)
    exact = digamma(n + alpha) - digamma(alpha) - jnp.log1p(1 / beta)
    return jnp.sum(jnp.where(alpha > 1e10, n / alpha - 1 / beta, exact))


# --- H: singular point -----------------------------------------------------------------------------


@vjp_of(absolute, wrt="x", name="R19_wrong")
def absolute_pullback(x, *, cotangent):
    """HIPS/autograd#100: 0/0 at zero (in `absolute`; its alias `abs` was right)."""
    return cotangent * x / jnp.abs(x)


@vjp_of(p_norms, wrt="X", name="R20_wrong")
def p_norms_pullback(X, p, *, cotangent):
    """tt-metal#55585: divides by y^p on a slice of zeros."""
    y = p_norms(X, p)[:, None]
    return X * jnp.abs(X) ** (p - 2) * cotangent[:, None] * y / y**p
