from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handgrad.activations import ACTIVATIONS, activation_named
from tests.share import share

NAMES = """
identity relu relu6 leaky_relu elu celu selu sigmoid log_sigmoid hard_sigmoid silu hard_silu tanh hard_tanh
softplus soft_sign gelu gelu_tanh squareplus mish sparse_plus sparse_sigmoid
""".split()  # noqa: SIM905
KINKS = {
    "relu": [0], "relu6": [0, 6], "leaky_relu": [0], "selu": [0], "hard_sigmoid": [-3, 3],
    "hard_silu": [-3, 3], "hard_tanh": [-1, 1], "sparse_sigmoid": [-1, 1],
}  # fmt: skip
BOUNDED = {
    "relu6", "hard_tanh", "hard_sigmoid", "sparse_sigmoid", "soft_sign", "sigmoid", "tanh", "log_sigmoid",
}  # fmt: skip
SMOOTH = {
    "sigmoid", "log_sigmoid", "silu", "tanh", "softplus", "gelu", "gelu_tanh", "squareplus", "mish",
}  # fmt: skip
each = pytest.mark.parametrize("sigma", ACTIVATIONS.values(), ids=list(ACTIVATIONS))
some = pytest.mark.parametrize("sigma", share(3, ACTIVATIONS.values()), ids=list(ACTIVATIONS))


def map_of(function, arrays):
    """Compiled at once: most of the time goes into that."""
    return [function(z) for z in arrays]


half = pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16], ids=lambda d: d.__name__)


def test_the_names():
    assert sorted(ACTIVATIONS) == sorted(NAMES)
    assert all(sigma.name == name for name, sigma in ACTIVATIONS.items())
    assert len({hash(sigma) for sigma in ACTIVATIONS.values()}) == 22  # fit to be static under jit
    with pytest.raises(TypeError):
        ACTIVATIONS["mine"] = ACTIVATIONS["relu"]  # type: ignore[index]


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"there is no activation 'rleu'; wanted one of .*relu"):
        activation_named("rleu")


@some
def test_agrees_with_jax_grad_and_with_differences(sigma):
    """The slope and its own slope, against autodiff and against no autodiff at all."""

    @jax.jit
    def both(z, h=1e-5):
        first, second = sigma.derivative(z), jax.vmap(jax.grad(sigma.derivative))(z)
        theirs = jax.vmap(jax.grad(sigma.apply))(z)
        difference = (sigma.apply(z + h) - sigma.apply(z - h)) / (2 * h)
        second_difference = (sigma.derivative(z + h) - sigma.derivative(z - h)) / (2 * h)
        return first, second, theirs, difference, second_difference

    first, second, theirs, difference, second_difference = both(jnp.linspace(-9, 9, 2001) + 1.3e-3)
    np.testing.assert_allclose(first, theirs, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(first, difference, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(second, second_difference, rtol=1e-7, atol=1e-8)
    assert np.isfinite(both(jnp.asarray([-1e100, -0.0, 0.0, 1e100]))[1]).all()
    if sigma.name in SMOOTH:
        _, at_zero, _, _, difference = both(jnp.asarray([-0.0, 0.0]))
        np.testing.assert_allclose(at_zero, difference, rtol=1e-7, atol=1e-8)


@some
@half
def test_half_precision_is_rounded_once(sigma, dtype):
    """Every input of moderate size: within two ulp, or twice what half an ulp of the input changes."""
    info = jnp.finfo(dtype)
    tiny, eps = float(info.smallest_normal), float(info.eps)
    z = np.arange(2**16, dtype=np.uint16).view(dtype)
    with np.errstate(invalid="ignore"):  # the NaNs among them
        exactly = z.astype(np.float64)
    z, exactly = (v[(np.abs(exactly) >= tiny) & (np.abs(exactly) < 80)] for v in (z, exactly))
    slope = jax.jit(sigma.derivative)

    def ulp(x):
        return np.exp2(np.floor(np.log2(np.maximum(np.abs(x), tiny)))) * eps

    truth, step = np.asarray(slope(exactly)), ulp(exactly) / 2
    moved = np.maximum(np.abs(slope(exactly + step) - truth), np.abs(slope(exactly - step) - truth))
    error = np.abs(np.asarray(slope(z)).astype(np.float64) - truth)
    # A result that is almost subnormal may lose a factor that was flushed to zero on the way.
    assert np.max(error / np.maximum(np.maximum(ulp(truth), moved), 4 * tiny)) <= 2


@each
def test_limits_and_dtype(sigma):
    left = {"identity": 1, "leaky_relu": 0.01, "log_sigmoid": 1}.get(sigma.name, 0)
    right = 0 if sigma.name in BOUNDED else 1.0507009873554805 if sigma.name == "selu" else 1
    dtypes = (jnp.float64, jnp.float32, jnp.bfloat16, jnp.float16)
    places = [np.asarray([-np.inf, -jnp.finfo(d).max, jnp.finfo(d).max, np.inf, np.nan], d) for d in dtypes]
    for dtype, slope in zip(dtypes, jax.jit(partial(map_of, sigma.derivative))(places), strict=True):
        slope = np.asarray(slope)
        assert slope.dtype == dtype
        assert np.isnan(slope[4])
        wanted, eps = [left, left, right, right], float(jnp.finfo(dtype).eps)
        np.testing.assert_allclose(slope[:4].astype(float), wanted, rtol=eps)


@pytest.mark.parametrize(("name", "at"), [(name, at) for name, places in KINKS.items() for at in places])
def test_at_a_kink_the_slope_is_between_its_sides_and_that_of_jax(name, at):
    sigma, z = ACTIVATIONS[name], jnp.asarray(float(at))
    left, right = sigma.derivative(z - 1e-9), sigma.derivative(z + 1e-9)
    assert min(left, right) <= sigma.derivative(z) <= max(left, right) + 1e-8
    np.testing.assert_allclose(sigma.derivative(z), jax.grad(sigma.apply)(z), rtol=1e-15)


@some
def test_any_shape_and_plain_numbers(sigma):
    z = jax.ShapeDtypeStruct((2, 1, 3), jnp.float32)
    for function in (
        sigma.apply,
        sigma.derivative,
        jax.vmap(sigma.derivative),
        lambda z: sigma.differential(z, z),
    ):
        assert jax.eval_shape(function, z) == z
    assert jax.eval_shape(lambda: (sigma.derivative(0.5), sigma.derivative(2)))[1].shape == ()


def test_tails_that_jax_grad_loses():
    """Where `1 - tanh²` and `1 - σ` have rounded to 0, in float32."""
    z = jnp.asarray(20.0, jnp.float32)
    for name in ("tanh", "sigmoid"):
        sigma = ACTIVATIONS[name]
        assert jax.grad(sigma.apply)(z) == 0
        np.testing.assert_allclose(sigma.derivative(z), sigma.derivative(z.astype(jnp.float64)), rtol=1e-6)


@some
def test_the_drop_in_is_differentiated_by_hand(sigma):
    """Once and twice, in reverse and forwards, under jit and vmap, in bfloat16 as in float64."""

    @jax.jit
    def everything(z):
        _, tangent = jax.jvp(sigma, (z,), (jnp.ones_like(z),))
        once = jax.vmap(jax.grad(sigma))(z), tangent, sigma.derivative(z)
        twice = jax.vmap(jax.grad(jax.grad(sigma)))(z), sigma.second_derivative(z)
        return once, twice, sigma(z), sigma.apply(z)

    for dtype in (jnp.bfloat16, jnp.float64):
        once, twice, value, theirs = everything(jnp.asarray([-30.0, -2.7, -0.7, 0.3, 1.7, 30.0], dtype))
        for *others, by_hand in (once, twice):
            for other in others:
                np.testing.assert_array_equal(other, by_hand)
        assert value.dtype == once[0].dtype == twice[0].dtype == dtype
    np.testing.assert_allclose(value, theirs, rtol=1e-12)


@each
def test_values_at_infinity_and_nan(sigma):
    left = {
        "identity": -np.inf, "leaky_relu": -np.inf, "log_sigmoid": -np.inf, "soft_sign": -1, "tanh": -1,
        "hard_tanh": -1, "elu": -1, "celu": -1, "selu": -1.7580993408473766,
    }.get(sigma.name, 0)  # fmt: skip
    right = {"relu6": 6, "log_sigmoid": 0}.get(sigma.name, 1 if sigma.name in BOUNDED else np.inf)
    dtypes = (jnp.float64, jnp.float32, jnp.bfloat16)
    found = jax.jit(partial(map_of, sigma))([jnp.asarray([-np.inf, np.inf, np.nan], d) for d in dtypes])
    for dtype, value in zip(dtypes, found, strict=True):
        wanted = [left, right, np.nan]
        np.testing.assert_allclose(np.asarray(value).astype(float), wanted, rtol=float(jnp.finfo(dtype).eps))


@pytest.mark.parametrize(("which", "smallest"), [(0, 2.0**-149), (1, 2.0**-1074)], ids=["float32", "float64"])
def test_where_inputs_are_capped_there_is_nothing_left(which, smallest):
    """No subnormal number either, where those are not flushed: as in NumPy. By logarithms of slopes and values."""
    from handgrad.activation_values import GELU_RANGE, GELU_TANH_RANGE, C, K
    from handgrad.exponential import RANGE

    x, y, g = RANGE[which], GELU_TANH_RANGE[which], GELU_RANGE[which]
    u, du = C * (y + K * y**3), C * (1 + 3 * K * y**2)
    for size in (np.log(x) - x, np.log(y * du) - u, np.log(g) - g**2 / 2):
        assert size < np.log(smallest) - np.log(2)


BELOW_ZERO = {"silu": -90.0, "mish": -90.0, "gelu_tanh": -6.0, "gelu": -13.05, "squareplus": -1e5}


@pytest.mark.parametrize(("name", "z"), BELOW_ZERO.items())
def test_values_that_jax_nn_loses(name, z):
    """All digits, in float32."""
    sigma, z = ACTIVATIONS[name], jnp.asarray(z, jnp.float32)
    value, theirs, truth = (float(f(v)) for f, v in ((sigma, z), (sigma.apply, z), (sigma, z.astype(jnp.float64))))
    assert abs(theirs / truth - 1) > 0.5
    np.testing.assert_allclose(value, truth, rtol=3e-6)


def test_names_are_drop_ins():
    from handgrad.activations import gelu

    assert gelu is ACTIVATIONS["gelu"]
    z = jnp.asarray(-3.03, jnp.bfloat16)
    assert abs(float(jax.grad(gelu)(z)) + 0.011) < 1e-4  # the report of jax.grad's -0.026
