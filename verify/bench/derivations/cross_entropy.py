"""A linear layer and the softmax cross-entropy, over a large vocabulary."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from handgrad.chunked import linear_cross_entropy, linear_softmax_cross_entropy
from verify.bench.derivations.measure import Candidate, compare
from verify.bench.derivations.record import BEST, HAND, PLAIN, Comparison

CHUNK = 128


def cross_entropy(seed: int, quick: bool) -> Iterator[Comparison]:
    """Against a loss that takes as many columns at a time, each time under ``jax.checkpoint``."""
    k, n, N = (64, 8, 512) if quick else (16384, 64, 2048)
    rng = np.random.default_rng(seed)
    W, X = (jnp.asarray(rng.normal(size=s) / np.sqrt(n), jnp.float32) for s in ((k, n), (n, N)))
    arguments = (W, X, jnp.asarray(rng.integers(k, size=N), jnp.int32))
    ways = [
        Candidate(HAND, f"linear_softmax_cross_entropy(chunk={CHUNK})", linear_softmax_cross_entropy, arguments),
        Candidate(PLAIN, "jax.value_and_grad(linear_cross_entropy)",
                  jax.value_and_grad(linear_cross_entropy, (0, 1)), arguments),
        Candidate(BEST, "the loss a chunk of columns at a time, under jax.checkpoint in jax.lax.scan",
                  jax.value_and_grad(_in_chunks, (0, 1)), arguments),
    ]  # fmt: skip
    yield compare("cross-entropy", f"vocabulary {k:,}, n = {n}, N = {N:,}", ways, 0.02 if quick else 5.0)


def _in_chunks(W: Any, X: Any, labels: Any) -> Any:
    @jax.checkpoint
    def one_chunk(W: Any, columns: Any) -> Any:
        rows, targets = columns
        return linear_cross_entropy(W, rows.T, targets)

    chunks = X.T.reshape(-1, CHUNK, X.shape[0]), labels.reshape(-1, CHUNK)
    step = lambda total, columns: (total + one_chunk(W, columns), None)  # noqa: E731
    return jax.lax.scan(step, jnp.zeros((), X.dtype), chunks)[0]


PARTS = {"cross-entropy": cross_entropy}
