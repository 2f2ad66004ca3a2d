"""Where ``jax.grad`` is wrong, and a hand function that is right there and everywhere else.

Expected verdict ``reference_wrong``; of ``AD20``, where both sides are valid subgradients, ``convention``.
The entries that are not claimed are listed in ``corpus.AUTODIFF_NOT_CLAIMED``.
"""

from typing import Annotated

import jax
import jax.numpy as jnp
import jax.scipy.special as special
from jaxtyping import Array, Float, Int

from handgrad import gradient_of, hvp_of, vjp_of
from handgrad.domains import integers, interval, nonnegative, symmetric

Scalar = Float[Array, ""]
Vector = Float[Array, "n"]
Matrix = Float[Array, "m n"]

# --- AD01: a norm at zero, and where its square underflows -----------------------------------------


def norm(x: Vector) -> Scalar:
    return jnp.linalg.norm(x)


@gradient_of(norm, wrt="x", name="AD01")
def direction(x):
    """x / |x|, scaled first; 0, a subgradient, at zero."""
    largest = jnp.max(jnp.abs(x))
    x = x / jnp.where(largest == 0, 1, largest)
    return x / jnp.where(largest == 0, 1, jnp.linalg.norm(x))


# --- AD02: the branch not taken --------------------------------------------------------------------


def eventually_sqrt(x: Vector) -> Vector:
    return jnp.where(x < 1, x, jnp.sqrt(x))


@vjp_of(eventually_sqrt, wrt="x", name="AD02_sqrt")
def eventually_sqrt_pullback(x, *, cotangent):
    return cotangent * jnp.where(x < 1, 1, 0.5 / jnp.sqrt(jnp.maximum(x, 1)))


def plain_elu(x: Vector) -> Vector:
    return jnp.where(x > 0, x, jnp.expm1(x))


@vjp_of(plain_elu, wrt="x", name="AD02_expm1")
def plain_elu_pullback(x, *, cotangent):
    return cotangent * jnp.exp(jnp.minimum(x, 0))


# --- AD04: saturation ------------------------------------------------------------------------------


def sigmoid(x: Vector) -> Vector:
    return jax.nn.sigmoid(x)


@vjp_of(sigmoid, wrt="x", name="AD04_sigmoid")
def sigmoid_pullback(x, *, cotangent):
    return cotangent * jax.nn.sigmoid(x) * jax.nn.sigmoid(-x)


def tanh(x: Vector) -> Vector:
    return jnp.tanh(x)


@vjp_of(tanh, wrt="x", name="AD04_tanh")
def tanh_pullback(x, *, cotangent):
    return cotangent * 4 * jax.nn.sigmoid(2 * x) * jax.nn.sigmoid(-2 * x)


def expm1(x: Vector) -> Vector:
    return jnp.expm1(x)


@vjp_of(expm1, wrt="x", name="AD04_expm1")
def expm1_pullback(x, *, cotangent):
    return cotangent * jnp.exp(x)


def elu(x: Vector) -> Vector:
    return jax.nn.elu(x)


@vjp_of(elu, wrt="x", name="AD04_elu")
def elu_pullback(x, *, cotangent):
    return cotangent * jnp.exp(jnp.minimum(x, 0))


def selu(x: Vector) -> Vector:
    return jax.nn.selu(x)


@vjp_of(selu, wrt="x", name="AD04_selu")
def selu_pullback(x, *, cotangent):
    alpha, scale = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
    return cotangent * scale * jnp.where(x > 0, 1, alpha * jnp.exp(jnp.minimum(x, 0)))


# --- AD07: logsumexp in its weights, at a weight of zero -------------------------------------------


def weighted_logsumexp(
    a: Annotated[Vector, interval(-5.0, 5.0)], b: Annotated[Vector, nonnegative]
) -> Scalar:
    return special.logsumexp(a, b=b)


@gradient_of(weighted_logsumexp, wrt="b", name="AD07")
def weighted_logsumexp_gradient(a, b):
    return jnp.exp(a - special.logsumexp(a, b=b))


# --- AD08: logaddexp at a tie of large numbers -----------------------------------------------------


def doubled(x: Vector) -> Vector:
    """x + log 2."""
    return jnp.logaddexp(x, x)


@vjp_of(doubled, wrt="x", name="AD08")
def doubled_pullback(x, *, cotangent):
    return cotangent


# --- AD09: sinc near zero --------------------------------------------------------------------------


def sinc(x: Vector) -> Vector:
    return jnp.sinc(x)


@vjp_of(sinc, wrt="x", name="AD09")
def sinc_pullback(x, *, cotangent):
    """With u = pi x: (cos u - sin u / u) / u; below |u| = 1 its series -u/3 (1 - u^2/10 (1 - u^2/28 ...))."""
    u = jnp.pi * x
    near = jnp.abs(u) < 1
    far = jnp.where(near, 1, u)
    square = jnp.where(near, u, 0) ** 2
    series = jnp.zeros_like(u)
    for k in range(13, 0, -1):
        series = 1 - square / (2 * k * (2 * k + 3)) * series
    slope = jnp.where(near, -u / 3 * series, (jnp.cos(far) - jnp.sin(far) / far) / far)
    return cotangent * jnp.pi * slope


# --- AD10: Bessel functions at zero ----------------------------------------------------------------


def bessel_i0(x: Vector) -> Vector:
    return special.i0(x)


@vjp_of(bessel_i0, wrt="x", name="AD10_first")
def bessel_i0_pullback(x, *, cotangent):
    return cotangent * special.i1(x)


def total_i0(x: Vector) -> Scalar:
    return jnp.sum(jnp.i0(x))


@hvp_of(total_i0, wrt="x", name="AD10_second")
def bessel_i0_second(x, *, dx):
    """I_0'' = I_0 - I_1 / x, 1/2 at zero."""
    safe = jnp.where(x == 0, 1, x)
    return dx * jnp.where(x == 0, 0.5, special.i0(safe) - special.i1(safe) / safe)


# --- AD11: digamma at negative half-integers -------------------------------------------------------


def digamma(x: Annotated[Vector, interval(-20.5, 20.5)]) -> Vector:
    return special.digamma(x)


@vjp_of(digamma, wrt="x", name="AD11")
def digamma_pullback(x, *, cotangent):
    """Trigamma; for x < 1/2 by reflection, (pi / sin pi x)^2 - trigamma(1 - x)."""
    left = x < 0.5
    trigamma = special.polygamma(1, jnp.where(left, 1 - x, x))
    sine = jnp.sin(jnp.pi * (x - jnp.round(x)))
    return cotangent * jnp.where(left, (jnp.pi / sine) ** 2 - trigamma, trigamma)


# --- AD12: repeated eigenvalues and singular values ------------------------------------------------


def symmetric_exponential(A: Annotated[Float[Array, "n n"], symmetric]) -> Float[Array, "n n"]:
    w, V = jnp.linalg.eigh(A)
    return (V * jnp.exp(w)) @ V.T


@vjp_of(symmetric_exponential, wrt="A", name="AD12_eigh")
def symmetric_exponential_pullback(A, *, cotangent):
    """Daleckii and Krein: divided differences (e^a - e^b) / (a - b) of the eigenvalues, e^a on a tie."""
    w, V = jnp.linalg.eigh(A)
    gap = jnp.abs(w[:, None] - w)
    mean_decay = jnp.where(gap == 0, 1, -jnp.expm1(-gap) / jnp.where(gap == 0, 1, gap))
    inner = V.T @ cotangent @ V * jnp.exp(jnp.maximum(w[:, None], w)) * mean_decay
    outer = V @ inner @ V.T
    return (outer + outer.T) / 2


def recomposed(A: Matrix) -> Matrix:
    """U S V^T = A."""
    U, s, Vt = jnp.linalg.svd(A, full_matrices=False)
    return (U * s) @ Vt


@vjp_of(recomposed, wrt="A", name="AD12_svd")
def recomposed_pullback(A, *, cotangent):
    return cotangent


# --- AD13: arccos of a clipped value ---------------------------------------------------------------


def clipped_arccos(x: Vector) -> Vector:
    return jnp.arccos(jnp.clip(x, -1, 1))


@vjp_of(clipped_arccos, wrt="x", name="AD13")
def clipped_arccos_pullback(x, *, cotangent):
    inside = jnp.abs(x) < 1
    x = jnp.where(inside, x, 0)
    return cotangent * jnp.where(inside, -1 / jnp.sqrt((1 - x) * (1 + x)), 0)


# --- AD14: the standard deviation of a constant vector ---------------------------------------------


def standard_deviation(x: Vector) -> Scalar:
    return jnp.std(x)


@gradient_of(standard_deviation, wrt="x", name="AD14")
def standard_deviation_gradient(x):
    """The direction of x - mean, over sqrt(n); 0 where x is constant."""
    return direction(x - jnp.mean(x)) / jnp.sqrt(jnp.asarray(x.shape[0], x.dtype))


# --- AD15: a power of zero -------------------------------------------------------------------------


def power(x: Vector, p: Annotated[Int[Array, "n"], integers(0, 4)]) -> Vector:
    return x ** p.astype(x.dtype)


@vjp_of(power, wrt="x", name="AD15")
def power_pullback(x, p, *, cotangent):
    p = p.astype(x.dtype)
    return cotangent * p * x ** jnp.maximum(p - 1, 0)


# --- AD16: the tail of tanh-GELU -------------------------------------------------------------------


def tanh_gelu(x: Vector) -> Vector:
    return jax.nn.gelu(x, approximate=True)


@vjp_of(tanh_gelu, wrt="x", name="AD16")
def tanh_gelu_pullback(x, *, cotangent):
    """Of x sigmoid(2 u), u = sqrt(2/pi) (x + 0.044715 x^3); in float32 at least, since e^u magnifies."""
    wide = jnp.promote_types(x.dtype, jnp.float32)
    z = jnp.clip(x.astype(wide), -1e3, 1e3)
    root = (2 / jnp.pi) ** 0.5
    u, du = root * (z + 0.044715 * z**3), root * (1 + 3 * 0.044715 * z**2)
    slope = jax.nn.sigmoid(2 * u) * (1 + 2 * z * du * jax.nn.sigmoid(-2 * u))
    return (cotangent * slope).astype(x.dtype)


# --- AD17: a small component of a softmax ----------------------------------------------------------


def softmax(x: Vector) -> Vector:
    return jax.nn.softmax(x)


@vjp_of(softmax, wrt="x", name="AD17_softmax")
def softmax_pullback(x, *, cotangent):
    """p_i sum_j p_j (g_i - g_j): no 1 - p_i, which cancels."""
    p = jax.nn.softmax(x)
    return p * ((cotangent[:, None] - cotangent) @ p)


def log_softmax(x: Vector) -> Vector:
    return jax.nn.log_softmax(x)


@vjp_of(log_softmax, wrt="x", name="AD17_log_softmax")
def log_softmax_pullback(x, *, cotangent):
    """g_i - p_i sum g, as a sum over j != i of p_j g_i - p_i g_j."""
    p = jax.nn.softmax(x)
    others = 1 - jnp.eye(x.shape[0], dtype=x.dtype)
    return cotangent * (others @ p) - p * (others @ cotangent)


# --- AD20: another convention, no error ------------------------------------------------------------


def relu(x: Vector) -> Vector:
    return jax.nn.relu(x)


@vjp_of(relu, wrt="x", name="AD20_relu")
def relu_pullback(x, *, cotangent):
    """1 at 0, where JAX says 0."""
    return cotangent * (x >= 0)


def max_with_zero(x: Vector) -> Vector:
    return jnp.maximum(x, 0)


@vjp_of(max_with_zero, wrt="x", name="AD20_max_with_zero")
def max_with_zero_pullback(x, *, cotangent):
    """0 at 0, where JAX says 1/2."""
    return cotangent * (x > 0)


def absolute(x: Vector) -> Vector:
    return jnp.abs(x)


@vjp_of(absolute, wrt="x", name="AD20_abs")
def absolute_pullback(x, *, cotangent):
    """0 at 0, where JAX says 1."""
    return cotangent * jnp.sign(x)


def clip(x: Vector) -> Vector:
    return jnp.clip(x, 0, 1)


@vjp_of(clip, wrt="x", name="AD20_clip")
def clip_pullback(x, *, cotangent):
    """1 at the bounds, where JAX says 1/2."""
    return cotangent * ((x >= 0) & (x <= 1))


def hypot(x: Vector, y: Vector) -> Vector:
    return jnp.hypot(x, y)


@vjp_of(hypot, wrt=("x", "y"), name="AD20_hypot", dtypes=("float64", "float32"))
def hypot_pullback(x, y, *, cotangent):
    """(0, 0) at the origin, where JAX says (1/2, 1/2). (In float16 JAX is wrong at (1e-6, 0) too: NaN.)"""
    h = jnp.hypot(x, y)
    h = jnp.where(h == 0, 1, h)
    return cotangent * (x / h), cotangent * (y / h)


def largest(x: Vector) -> Scalar:
    return jnp.max(x)


@gradient_of(largest, wrt="x", name="AD20_max_ties")
def largest_gradient(x):
    """The first of the tied entries, where JAX shares between them."""
    return (jnp.arange(x.shape[0]) == jnp.argmax(x)).astype(x.dtype)
