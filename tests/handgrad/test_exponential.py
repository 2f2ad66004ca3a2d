"""The exponential of the activations, against float64's, which NumPy has to half an ulp or so."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handgrad.exponential import RANGE, T, scaled_exp, scaled_expm1


def ulps(got, truth):
    return np.max(np.abs(got - truth) / np.spacing(np.abs(truth).astype(np.float32)))


@pytest.mark.parametrize(("function", "exact", "most"), [(scaled_exp, np.exp, 1.0), (scaled_expm1, np.expm1, 1.6)])
def test_float32(function, exact, most):
    few, many = np.logspace(-30, 0, 100_000), np.linspace(0, RANGE[0], 1_000_001)
    x = np.concatenate([few, many[1:]]).astype(np.float32)
    got = np.asarray(jax.jit(function)(x))
    assert got.dtype == np.float32
    assert ulps(got.astype(np.float64), exact(-x.astype(np.float64)) / T) < most


@pytest.mark.parametrize(("function", "exact"), [(scaled_exp, np.exp), (scaled_expm1, np.expm1)])
def test_what_was_lost_of_the_argument(function, exact):
    x, lost = np.linspace(0.5, 20, 10_001).astype(np.float32), 3e-4
    assert ulps(np.asarray(jax.jit(function)(x, lost), np.float64), exact(-(x.astype(np.float64) + lost)) / T) < 1.7
    wide = x.astype(np.float64)
    np.testing.assert_allclose(function(jnp.asarray(wide), 1e-9), exact(-(wide + 1e-9)) / T, rtol=1e-15)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_the_ends_and_nan(dtype):
    x = jnp.asarray([0.0, np.nan, 715.0 if dtype == jnp.float64 else 110.0], dtype)
    for function in (scaled_exp, scaled_expm1):
        first, nan, _ = jax.jit(function)(x)
        assert first == (1 / T if function is scaled_exp else 0)
        assert jnp.isnan(nan)
    assert scaled_exp(x)[2] > 0  # exp itself has long flushed to zero
