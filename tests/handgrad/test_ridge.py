from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handgrad.ridge import RidgeStatistics, ridge_gradient, ridge_loss, ridge_solution
from handgrad.ridge_statistics import COLUMNS, products


def problem(m=2, n=3, N=7, seed=0):
    rng = np.random.default_rng(seed)
    W, X, Y = (jnp.asarray(rng.normal(size=shape)) for shape in ((m, n), (n, N), (m, N)))
    return W, X, Y, jnp.asarray(0.3)


def test_the_gradient_vanishes_at_the_solution():
    _, X, Y, lam = problem()
    np.testing.assert_allclose(ridge_gradient(ridge_solution(X, Y, lam), X, Y, lam), 0, atol=1e-12)


@settings(max_examples=5, deadline=None)
@given(st.lists(st.integers(1, 6), max_size=2, unique=True))
def test_statistics_do_not_care_how_the_data_is_cut(cuts):
    W, X, Y, lam = problem()
    edges = [0, *sorted(cuts), 7]
    parts = [RidgeStatistics.of(X[:, i:j], Y[:, i:j]) for i, j in pairwise(edges)]
    whole = parts[0]
    for part in parts[1:]:
        whole = part + whole
    assert whole.count == 7
    np.testing.assert_allclose(whole.loss(W, lam), ridge_loss(W, X, Y, lam))
    np.testing.assert_allclose(whole.gradient(W, lam), ridge_gradient(W, X, Y, lam), rtol=1e-10)
    np.testing.assert_allclose(whole.solution(lam), ridge_solution(X, Y, lam), rtol=1e-10)


def test_statistics_are_a_pytree_that_does_not_grow():
    W, X, Y, lam = problem()
    stats = RidgeStatistics.of(X, Y)
    more = jax.jit(RidgeStatistics.update)(stats, X, Y)
    assert jax.tree.map(jnp.shape, more) == jax.tree.map(jnp.shape, stats)
    assert isinstance(more, RidgeStatistics)
    np.testing.assert_allclose(jax.jit(RidgeStatistics.gradient)(more, W, lam), more.gradient(W, lam))
    gathered = jax.vmap(RidgeStatistics.of)(
        X.reshape(3, 7, 1).transpose(1, 0, 2), Y.reshape(2, 7, 1).transpose(1, 0, 2)
    )
    summed = jax.tree.map(lambda leaf: leaf.sum(0).astype(leaf.dtype), gathered)
    np.testing.assert_allclose(summed.XX, stats.XX)


def test_statistics_of_numpy_arrays():
    W, X, Y, lam = problem()
    stats = RidgeStatistics.of(np.asarray(X), np.asarray(Y))
    np.testing.assert_allclose(stats.loss(W, lam), ridge_loss(W, X, Y, lam))


def test_a_data_point_is_a_column():
    _, X, Y, _ = problem()
    with pytest.raises(
        ValueError, match=r'got X of shape \(7, 3\) and Y of shape \(2, 7\); wanted X "n N" and Y "m N"'
    ):
        RidgeStatistics.of(X.T, Y)


def test_half_precision_data_is_summed_in_float32():
    W, X, Y, lam = (200 * leaf.astype(jnp.float16) for leaf in problem(N=50))
    stats = RidgeStatistics.of(X, Y)
    assert stats.XX.dtype == jnp.float32
    assert stats.gradient(W / 1000, lam).dtype == jnp.float16
    assert np.isfinite(stats.XX).all()


@pytest.mark.parametrize("N", [1, 4 * COLUMNS - 1, 4 * COLUMNS, 5 * COLUMNS + 7])
def test_many_columns_are_taken_some_at_a_time_and_none_is_lost(N):
    X, Y = np.random.default_rng(N).integers(-4, 5, (4, N)).reshape(2, 2, N).astype(float)
    wanted = X @ X.T, Y @ X.T, np.sum(Y * Y)
    for found in (products(X, Y), jax.jit(products)(X, Y), jax.vmap(products)(X[None], Y[None])):
        for f, w in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(np.squeeze(f), w)
    by_columns = "while" in jax.jit(products).lower(X, Y).as_text()
    assert by_columns == (N >= 4 * COLUMNS)


def test_many_columns_have_the_same_gradient():
    W, X, Y, lam = problem(N=5 * COLUMNS + 7)
    found = jax.grad(lambda X: RidgeStatistics.of(X, Y).loss(W, lam))(X)
    np.testing.assert_allclose(found, jax.grad(ridge_loss, 1)(W, X, Y, lam), rtol=1e-9)


@pytest.mark.parametrize(("n", "N"), [(3, 7), (5, 2)])
def test_the_spectrum_has_the_solution_for_every_penalty(n, N):
    _, X, Y, _ = problem(n=n, N=N)
    spectrum = jax.jit(RidgeStatistics.spectrum)(RidgeStatistics.of(X, Y))
    for lam in map(jnp.asarray, (0.01, 1.0, 100.0)):
        np.testing.assert_allclose(spectrum.solution(lam), ridge_solution(X, Y, lam), rtol=1e-9)
