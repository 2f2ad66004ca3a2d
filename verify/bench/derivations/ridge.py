"""Ridge regression: the gradient and the minimum through statistics of the data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from handgrad.ridge import RidgeStatistics, ridge_loss, ridge_solution
from verify.bench.derivations.measure import Candidate, compare
from verify.bench.derivations.record import BEST, HAND, PLAIN, Comparison

LAM = 0.5


def statistics(seed: int, quick: bool) -> Iterator[Comparison]:
    """A step from the statistics; what these cost themselves; and data that never exist as a whole."""
    m, n, N = (4, 8, 1000) if quick else (16, 64, 10**5)
    rng = np.random.default_rng(seed)
    W, X, Y = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((m, n), (n, N), (m, N)))
    lam, stats = jnp.asarray(LAM, jnp.float32), RidgeStatistics.of(X, Y)
    case, seconds = f"m = {m}, n = {n}, N = {N:,}", 0.02 if quick else 4.0
    by_jax = Candidate(PLAIN, "jax.grad(ridge_loss)", jax.grad(ridge_loss), (W, X, Y, lam))
    ways = [
        Candidate(HAND, "RidgeStatistics.gradient", lambda s, W, lam: s.gradient(W, lam), (stats, W, lam)),
        by_jax,
        Candidate(BEST, "jax.grad(RidgeStatistics.loss)", jax.grad(lambda W, s, lam: s.loss(W, lam)), (W, stats, lam)),
    ]
    yield compare("ridge", f"a gradient, {case}", ways, seconds)
    ways = [Candidate(HAND, "RidgeStatistics.of, once", RidgeStatistics.of, (X, Y)), by_jax]
    yield compare("ridge", f"the statistics, {case}", ways, seconds)
    rounds = 2 if quick else 20
    key = jax.random.key(seed)
    ways = [
        Candidate(HAND, "RidgeStatistics.update, a chunk at a time", _streamed(RidgeStatistics, m, n, N, rounds), (key,)),
        Candidate(PLAIN, "the same data made, and not looked at", _only_made(m, n, N, rounds), (key,)),
    ]
    size = 4 * (m + n) * N * rounds
    yield compare("ridge", f"streamed, {case} x {rounds}", ways, seconds, **{"bytes of the data": size})


def _draw(key: Any, i: Any, m: int, n: int, N: int) -> tuple[Any, Any]:
    """A chunk of data, made where it is needed as a file would be read."""
    both = jax.random.uniform(jax.random.fold_in(key, i), (n + m, N)) - 0.5
    return both[:n], both[n:]


def _streamed(cls: type[RidgeStatistics], m: int, n: int, N: int, rounds: int) -> Any:
    def statistics(key: Any) -> RidgeStatistics:
        zero = jax.tree.map(jnp.zeros_like, jax.eval_shape(lambda: cls.of(*_draw(key, 0, m, n, N))))
        return jax.lax.fori_loop(0, rounds, lambda i, s: s.update(*_draw(key, i, m, n, N)), zero)

    return statistics


def _only_made(m: int, n: int, N: int, rounds: int) -> Any:
    def made(key: Any) -> Any:
        return jax.lax.fori_loop(0, rounds, lambda i, s: s + sum(map(jnp.sum, _draw(key, i, m, n, N))), 0.0)

    return made


def closed_form(seed: int, quick: bool) -> Iterator[Comparison]:
    """scikit-learn gets its own layout, a row a data point; both get all processors."""
    from sklearn.linear_model import Ridge
    from threadpoolctl import threadpool_info

    n, N = (8, 1000) if quick else (200, 2 * 10**5)
    rng = np.random.default_rng(seed)
    X, Y, seconds = rng.normal(size=(n, N)), rng.normal(size=(1, N)), 0.02 if quick else 6.0
    rows, target = np.ascontiguousarray(X.T), Y[0]

    def theirs(lam: float) -> Any:
        return Ridge(alpha=lam, fit_intercept=False, solver="cholesky").fit(rows, target).coef_

    with jax.enable_x64(True):
        X, Y, lam = jnp.asarray(X), jnp.asarray(Y), jnp.asarray(LAM)
        W, coef = np.asarray(ridge_solution(X, Y, lam))[0], theirs(LAM)
        facts: dict[str, Any] = {"largest relative difference": float(np.max(np.abs(W - coef)) / np.max(np.abs(coef)))}
        facts["threads of BLAS"] = max((p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"), default=0)
        sklearn = Candidate(PLAIN, 'sklearn Ridge(solver="cholesky")', theirs, (LAM,), compiled=False)
        case = f"n = {n}, N = {N:,}, float64"
        ways = [Candidate(HAND, "ridge_solution", ridge_solution, (X, Y, lam)), sklearn]
        yield compare("closed form", case, ways, seconds, **facts)
        stats = jax.jit(RidgeStatistics.of)(X, Y)
        again = Candidate(HAND, "RidgeStatistics.solution", lambda s, lam: s.solution(lam), (stats, lam))
        yield compare("closed form", f"another lam, {case}", [again, sklearn], seconds)


PARTS = {"ridge": statistics, "closed form": closed_form}
