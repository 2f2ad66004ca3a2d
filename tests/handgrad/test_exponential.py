"""The exponential of the activations, against float64's, which NumPy has to half an ulp or so."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handgrad.exponential import RANGE, T, scaled_exp, scaled_exp2, scaled_expm1


def ulps(got, truth):
    return np.max(np.abs(got - truth) / np.spacing(np.abs(truth).astype(np.float32)))


@pytest.mark.parametrize(("function", "exact", "most"), [(scaled_exp, np.exp, 1.0), (scaled_expm1, np.expm1, 1.6)])
def test_float32(function, exact, most):
    few, many = np.logspace(-30, 0, 100_000), np.linspace(0, RANGE[0], 1_000_001)
    x = np.concatenate([few, many[1:]]).astype(np.float32)
    got = np.asarray(jax.jit(function)(x))
    assert got.dtype == np.float32
    assert ulps(got.astype(np.float64), exact(-x.astype(np.float64)) / T) < most


def test_what_was_lost_of_the_argument():
    x, lost = np.linspace(0.5, 20, 10_001).astype(np.float32), 3e-4
    assert ulps(np.asarray(jax.jit(scaled_exp)(x, lost), np.float64), np.exp(-(x.astype(np.float64) + lost)) / T) < 1.7
    wide = x.astype(np.float64)
    np.testing.assert_allclose(scaled_exp(jnp.asarray(wide), 1e-9), np.exp(-(wide + 1e-9)) / T, rtol=1e-15)


@pytest.mark.parametrize(("dtype", "largest"), [(np.float32, 155), (np.float64, 1060)])
def test_two_to_the_power_of_a_sum(dtype, largest):
    """In float64 an argument in units of ``log 2`` is rounded, in float32 it never is."""
    x = np.linspace(0, largest / 1.5, 100_001).astype(dtype)
    rest = (0.5 * x).astype(dtype)
    got = np.asarray(jax.jit(scaled_exp2)(x, rest), np.longdouble)
    total = x.astype(np.longdouble) + rest
    rounded = 0 if dtype == np.float32 else 0.5 * total
    assert np.max(np.abs(got / np.exp2(40 - total) - 1) / (2 + rounded)) < np.finfo(dtype).eps


def test_a_factor_is_rounded_once():
    x, factor = np.linspace(0, 100, 100_001).astype(np.float32), np.float32(0.7)
    truth = np.float64(factor) * np.exp(-x.astype(np.float64)) / T
    once = ulps(np.asarray(jax.jit(scaled_exp)(x, times=factor), np.float64), truth)
    assert once < 1.35 < ulps(np.asarray(jax.jit(lambda x: scaled_exp(x) * factor)(x), np.float64), truth)


def test_float64_where_xla_expm1_is_worse():
    x = np.linspace(0, 3, 100_001)
    got, truth = np.asarray(jax.jit(scaled_expm1)(x)) * T, np.expm1(-x)
    assert np.max(np.abs(got - truth) / np.spacing(np.abs(truth))) < 2


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_the_ends_and_nan(dtype):
    x = jnp.asarray([0.0, np.nan, 715.0 if dtype == jnp.float64 else 110.0], dtype)
    for function in (scaled_exp, scaled_expm1):
        first, nan, _ = jax.jit(function)(x)
        assert first == (1 / T if function is scaled_exp else 0)
        assert jnp.isnan(nan)
    assert scaled_exp(x)[2] > 0  # exp itself has long flushed to zero
