"""Ridge regression: the gradient and the minimum through statistics of the data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from handgrad.ridge import RidgeStatistics, ridge_loss, ridge_solution
from verify.bench.derivations.measure import Candidate, compare
from verify.bench.derivations.record import BEST, HAND, PLAIN, Comparison

LAM = 0.5


def statistics(seed: int, quick: bool) -> Iterator[Comparison]:
    """A step from the statistics; what these cost themselves; and data that are in memory a chunk at a time."""
    m, n, N = (4, 8, 1000) if quick else (16, 64, 10**5)
    rng = np.random.default_rng(seed)
    W, X, Y = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((m, n), (n, N), (m, N)))
    lam, stats = jnp.asarray(LAM, jnp.float32), RidgeStatistics.of(X, Y)
    case, seconds = f"m = {m}, n = {n}, N = {N:,}", 0.02 if quick else 2.0
    by_jax = Candidate(PLAIN, "jax.grad(ridge_loss)", jax.grad(ridge_loss), (W, X, Y, lam))
    ways = [
        Candidate(HAND, "RidgeStatistics.gradient", lambda s, W, lam: s.gradient(W, lam), (stats, W, lam)),
        by_jax,
        Candidate(BEST, "jax.grad(RidgeStatistics.loss)", jax.grad(lambda W, s, lam: s.loss(W, lam)), (W, stats, lam)),
    ]
    yield compare("ridge", f"a gradient, {case}", ways, seconds)
    ways = [Candidate(HAND, "RidgeStatistics.of, once", RidgeStatistics.of, (X, Y)), by_jax]
    yield compare("ridge", f"the statistics, {case}", ways, seconds)
    with TemporaryDirectory() as folder:
        chunks = _in_a_file(Path(folder) / "data", X, Y, 2 if quick else 8)
        update, gradient = jax.jit(RidgeStatistics.update), jax.jit(lambda g, *data: g + jax.grad(ridge_loss)(*data))

        def streamed() -> Any:
            found = jax.tree.map(jnp.zeros_like, stats)
            for chunk in chunks:
                found = update(found, *_halves(chunk, n))
            return jax.block_until_ready(found)

        def by_jax_streamed() -> Any:
            found = jnp.zeros_like(W)
            for chunk in chunks:
                found = gradient(found, W, *_halves(chunk, n), lam)
            return jax.block_until_ready(found)

        facts = {"bytes of the data": chunks.nbytes, "bytes at a time": chunks[0].nbytes}
        ways = [
            Candidate(HAND, "RidgeStatistics.update, once", streamed, (), compiled=False),
            Candidate(PLAIN, "one gradient, added up by chunks", by_jax_streamed, (), compiled=False),
        ]
        yield compare("ridge", f"from a file, m = {m}, n = {n}, N = {len(chunks)} x {N:,}", ways, seconds, **facts)


def _in_a_file(path: Path, X: Any, Y: Any, count: int) -> np.memmap:
    """Chunks of data on disk, of which memory holds as many as it pleases."""
    chunks = np.memmap(path, np.float32, "w+", shape=(count, X.shape[0] + Y.shape[0], X.shape[1]))
    for i in range(count):
        chunks[i] = np.concatenate([X, Y]) * np.float32(1 + i)
    chunks.flush()
    return chunks


def _halves(chunk: Any, n: int) -> tuple[Any, Any]:
    return chunk[:n], chunk[n:]


def closed_form(seed: int, quick: bool) -> Iterator[Comparison]:
    """scikit-learn gets its own layout, a row a data point; both get all processors."""
    from sklearn.linear_model import Ridge
    from threadpoolctl import threadpool_info

    n, N = (8, 1000) if quick else (200, 2 * 10**5)
    rng = np.random.default_rng(seed)
    X, Y, seconds = rng.normal(size=(n, N)), rng.normal(size=(1, N)), 0.02 if quick else 3.0
    rows, target = np.ascontiguousarray(X.T), Y[0]

    def theirs(lam: float) -> Any:
        return Ridge(alpha=lam, fit_intercept=False, solver="cholesky").fit(rows, target).coef_

    with jax.enable_x64(True):
        X, Y, lam = jnp.asarray(X), jnp.asarray(Y), jnp.asarray(LAM)
        W, coef = np.asarray(ridge_solution(X, Y, lam))[0], theirs(LAM)
        gap, pools = np.max(np.abs(W - coef)) / np.max(np.abs(coef)), threadpool_info()
        threads = max((p["num_threads"] for p in pools if p["user_api"] == "blas"), default=0)
        facts = {"largest relative difference": float(gap), "threads of BLAS": threads}
        sklearn = Candidate(PLAIN, 'sklearn Ridge(solver="cholesky")', theirs, (LAM,), compiled=False)
        case = f"n = {n}, N = {N:,}, float64"
        ways = [Candidate(HAND, "ridge_solution", ridge_solution, (X, Y, lam)), sklearn]
        yield compare("closed form", case, ways, seconds, **facts)
        stats = jax.jit(RidgeStatistics.of)(X, Y)
        spectrum = jax.jit(RidgeStatistics.spectrum)(stats)
        again = Candidate(HAND, "RidgeSpectrum.solution", lambda s, lam: s.solution(lam), (spectrum, lam))
        yield compare("closed form", f"another lam, {case}", [again, sklearn], seconds)
        ways = [
            Candidate(HAND, "RidgeStatistics.spectrum", RidgeStatistics.spectrum, (stats,)),
            Candidate(BEST, "RidgeStatistics.solution", lambda s, lam: s.solution(lam), (stats, lam)),
            sklearn,
        ]
        yield compare("closed form", f"once for all lam, {case}", ways, seconds)


PARTS = {"ridge": statistics, "closed form": closed_form}
