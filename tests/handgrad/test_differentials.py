import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handgrad.differentials import (
    frobenius_norm_gradient,
    gradient_from_differential,
    steepest_ascent_direction,
    trace_inner,
)


def matrix(seed, m=3, n=2):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(m, n)))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_the_gradient_is_found_in_its_differential(seed):
    A, P, Q = matrix(seed), matrix(seed + 1, 4, 3), matrix(seed + 2, 2, 4)
    np.testing.assert_allclose(gradient_from_differential(lambda dX: trace_inner(A, dX), A), A)
    product = gradient_from_differential(lambda dX: jnp.trace(P @ dX @ Q), A)
    np.testing.assert_allclose(product, P.T @ Q.T, rtol=1e-12)


def test_the_zero_differential_has_the_zero_gradient():
    assert not gradient_from_differential(lambda dX: jnp.zeros(()), matrix(0)).any()


def test_a_pytree_of_arguments_has_a_pytree_of_gradients():
    W, b = matrix(0), jnp.arange(3.0)
    gradient = gradient_from_differential(lambda d: trace_inner(W, d["W"]) + b @ d["b"], {"W": W, "b": b})
    np.testing.assert_allclose(gradient["W"], W)
    np.testing.assert_allclose(gradient["b"], b)


def test_a_differential_must_be_scalar():
    with pytest.raises(ValueError, match="wanted a scalar: the differential of a scalar function"):
        gradient_from_differential(lambda dX: dX, matrix(0))


@pytest.mark.parametrize("L", [lambda dX: jnp.sum(dX * dX), lambda dX: jnp.sum(jnp.exp(dX))])
def test_a_differential_must_be_linear(L):
    with pytest.raises(ValueError, match="L is not linear in dX"):
        gradient_from_differential(L, matrix(0))


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1.0, 1e160, 1e300])
def test_the_steepest_direction_is_a_unit_at_every_scale(scale):
    U = steepest_ascent_direction(scale * matrix(0))
    np.testing.assert_allclose(jnp.sum(U * U), 1, rtol=1e-12)
    np.testing.assert_allclose(U, steepest_ascent_direction(matrix(0)), rtol=1e-12)


def test_at_zero_every_direction_is_steepest_and_the_norm_has_the_subgradient_zero():
    zero = jnp.zeros((3, 2))
    U = steepest_ascent_direction(zero)
    np.testing.assert_allclose(jnp.sum(U * U), 1, rtol=1e-12)
    assert not frobenius_norm_gradient(zero).any()
    assert np.isnan(jax.grad(lambda A: jnp.sqrt(jnp.sum(A * A)))(zero)).all()  # what we do better
