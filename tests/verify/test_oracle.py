"""The oracle: derivatives known in closed form, from difference quotients of the primal alone."""

import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Complex, Float

from tests.verify.judging import at, engine_of
from verify.api import claim_of
from verify.truth.coarse import Coarse
from verify.truth.oracle import BITS, Oracle

N = Float[Array, "n"]
Scalar = Float[Array, ""]


def oracle(reference, *values, wrt="x", relation="gradient", extra=(), bits=BITS, dims=None):
    """An oracle of a reference at one point; the hand-written function plays no part."""

    def hand(*arguments, **tangents):
        return arguments[0] if relation in ("gradient", "vjp", "hvp") else reference(*arguments)

    engine = engine_of(claim_of(hand, reference, wrt, relation))
    case = at(engine, dims or {"n": np.size(values[0])}, *values, extra=extra)
    return Oracle(engine.formula(case), relation, case, bits)


ONE = {
    "square": (lambda x: x**2, 3.0, 6.0),
    "exp": (jnp.exp, 1.5, np.exp(1.5)),
    "exp, far out": (jnp.exp, -700.0, np.exp(-700.0)),
    "log": (jnp.log, 0.1, 10.0),
    "log, near zero": (jnp.log, 1e-300, 1e300),
    "tanh, saturated": (jnp.tanh, 30.0, 4 * np.exp(-60.0)),
    "sqrt": (jnp.sqrt, 4.0, 0.25),
    "sine of a large angle": (jnp.sin, 1e6, np.cos(1e6)),
    "cube at zero": (lambda x: x**3, 0.0, 0.0),
    "cancellation": (lambda x: (x + 1e9) ** 2 - 1e18 - 2e9 * x, 0.5, 1.0),
    "abs": (jnp.abs, -2.0, -1.0),
    "where": (lambda x: jnp.where(x > 1, x**2, 2 * x), 3.0, 6.0),
    "constant": (lambda x: 0 * x, 3.0, 0.0),
    "a tiny argument": (lambda x: x * jnp.abs(x), 1e-200, 2e-200),
}


@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize("bits", [BITS, 4 * BITS])
def test_known_derivatives(name, bits):
    function, x, derivative = ONE[name]

    def reference(x: N) -> Scalar:
        return jnp.sum(function(x))

    found = oracle(reference, [x], bits=bits).entry(0, (0,))
    np.testing.assert_allclose(found.value, derivative, rtol=1e-14, atol=1e-59)
    assert not found.kink and found.error <= 1e-15 * abs(derivative) + 1e-40


@pytest.mark.parametrize("bits", [BITS, 4 * BITS])
def test_coarse_steps_stay_coarse_with_more_bits(bits):
    """They are to see over the tread of a staircase, whatever the precision."""

    def stairs(x: N) -> Scalar:
        return jnp.sum(jnp.round(x * 2**20) / 2**20)

    steps = Coarse(oracle(stairs, [1.5], bits=bits), rung=0, relative=False)
    np.testing.assert_allclose(steps.entry(0, (0,)).value, 1.0, rtol=1e-3)


@pytest.mark.parametrize("name", ["square", "exp", "log", "sqrt", "abs", "where"])
def test_without_exact_arithmetic_there_is_an_error_estimate(name):
    function, x, derivative = ONE[name]

    def reference(x: N) -> Scalar:
        return jnp.sum(function(x))

    found = oracle(reference, [x], bits=None).entry(0, (0,))
    assert abs(found.value - derivative) <= max(found.error, 1e-12 * abs(derivative)) < 1e-6 * abs(derivative)


KINKS = {
    "abs": (jnp.abs, 0.0, -1.0, 1.0),
    "relu": (lambda x: jnp.maximum(x, 0), 0.0, 0.0, 1.0),
    "clip": (lambda x: jnp.clip(x, -1.0, 1.0), 1.0, 1.0, 0.0),
    "leaky": (lambda x: jnp.where(x > 0, x, 0.01 * x), 0.0, 0.01, 1.0),
    "a slight kink": (lambda x: x + 1e-9 * jnp.abs(x), 0.0, 1 - 1e-9, 1 + 1e-9),
}


@pytest.mark.parametrize("name", KINKS)
def test_kinks_have_two_sides(name):
    function, x, left, right = KINKS[name]

    def reference(x: N) -> Scalar:
        return jnp.sum(function(x))

    found = oracle(reference, [x]).entry(0, (0,))
    assert found.kink
    np.testing.assert_allclose([found.left, found.right], [left, right], rtol=1e-14)
    beside = oracle(reference, [x + 1e-10]).entry(0, (0,))
    assert not beside.kink
    np.testing.assert_allclose(beside.value, right, rtol=1e-14)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: jnp.where(x >= 0, 1.0, 0.0),  # a jump
        lambda x: jnp.where(x > 0, 1.0 + x, x),
        lambda x: jnp.sqrt(jnp.abs(x)),  # a cusp
        lambda x: jnp.cbrt(x),  # infinite slope
        lambda x: jnp.where(x > 0, x * jnp.log(jnp.where(x > 0, x, 1.0)), 0.0),  # infinite as a logarithm, on one side
    ],
)
def test_no_finite_derivative(function):
    def reference(x: N) -> Scalar:
        return jnp.sum(function(x))

    found = oracle(reference, [0.0]).entry(0, (0,))
    assert not np.isfinite(found.value) and not found.kink


def test_smooth_where_pieces_meet_smoothly():
    def reference(x: N) -> Scalar:
        return jnp.sum(jnp.where(x > 0, x**2, x**3))

    found = oracle(reference, [0.0]).entry(0, (0,))
    assert not found.kink and abs(found.value) < 1e-15


def test_entries_of_a_matrix():
    def reference(W: Float[Array, "m n"], x: N) -> Scalar:
        return jnp.sum((W @ x) ** 2)

    W, x = np.arange(6.0).reshape(2, 3), np.array([1.0, -2.0, 0.5])
    found = oracle(reference, W, x, wrt=("W", "x"), dims={"m": 2, "n": 3})
    np.testing.assert_allclose(found.entry(0, (1, 2)).value, (2 * np.outer(W @ x, x))[1, 2], rtol=1e-14)
    np.testing.assert_allclose(found.entry(1, (1,)).value, (2 * W.T @ W @ x)[1], rtol=1e-14)
    assert [float(v) for v in found.value()] == [float(np.sum((W @ x) ** 2))]


def cubes(x: N) -> N:
    return x**3


def sum_of_cubes(x: N) -> Scalar:
    return jnp.sum(x**3) + x[0] * x[-1]


POINT, TANGENT = np.array([1.0, -2.0, 0.5]), np.array([0.5, 1.0, -3.0])


def test_jvp():
    (found,) = oracle(cubes, POINT, relation="jvp", extra=(TANGENT,)).tangent([0])
    np.testing.assert_allclose(found.value, 3 * POINT**2 * TANGENT, rtol=1e-14)
    assert found.value.shape == (3,) and not found.kink.any()


def test_vjp():
    along = oracle(cubes, POINT, relation="vjp", extra=(TANGENT,))
    found = [float(along.entry(0, (i,)).value) for i in range(3)]
    np.testing.assert_allclose(found, 3 * POINT**2 * TANGENT, rtol=1e-14)


def test_hvp():
    along = oracle(sum_of_cubes, POINT, relation="hvp", extra=(TANGENT,))
    found = [float(along.second([0], 0, (i,)).value) for i in range(3)]
    cross = np.array([TANGENT[2], 0.0, TANGENT[0]])
    np.testing.assert_allclose(found, 6 * POINT * TANGENT + cross, rtol=1e-12)


def test_a_tangent_through_a_kink():
    def absolute(x: N) -> N:
        return jnp.abs(x)

    (found,) = oracle(absolute, [0.0, 3.0], relation="jvp", extra=([2.0, -1.0],)).tangent([0])
    assert found.kink.tolist() == [True, False]
    assert (found.left[0], found.right[0], found.value[1]) == (-2.0, 2.0, -1.0)


def test_complex_gradients_are_conjugated_as_jax_does():
    """jax.grad of |z|² is 2 conj(z): real and imaginary directions show it."""

    def modulus(z: Complex[Array, "n"]) -> Scalar:
        return jnp.sum(jnp.real(z) ** 2 + jnp.imag(z) ** 2)

    engine = engine_of(claim_of(lambda z: z, modulus, "z"))
    z = np.array([1.0 + 2.0j, -0.5j])
    case = at(engine, {"n": 2}, z)
    found = Oracle(engine.formula(case), "gradient", case)
    real, imaginary = found.entry(0, (0,)), found.entry(0, (0,), imaginary=True)
    np.testing.assert_allclose([real.value, imaginary.value], [2.0, 4.0], rtol=1e-14)
