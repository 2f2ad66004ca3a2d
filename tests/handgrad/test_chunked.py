import jax
import jax.numpy as jnp
import numpy as np
import pytest

from handgrad.chunked import linear_cross_entropy
from handgrad.losses import linear_softmax_cross_entropy

in_chunks = jax.jit(linear_softmax_cross_entropy, static_argnames="chunk")


def problem(k=5, n=3, N=7, dtype=jnp.float64):
    rng = np.random.default_rng(0)
    W, X = (jnp.asarray(rng.normal(size=shape), dtype) for shape in ((k, n), (n, N)))
    return W, X, jnp.asarray(rng.integers(k, size=N), jnp.int32)


@pytest.mark.parametrize("chunk", [3, 100])
def test_the_cut_does_not_matter(chunk):
    W, X, labels = problem()
    value, gradients = in_chunks(W, X, labels, chunk=chunk)
    expected, theirs = jax.jit(jax.value_and_grad(linear_cross_entropy, (0, 1)))(W, X, labels)
    np.testing.assert_allclose(value, expected)
    for ours, wanted in zip(gradients, theirs, strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-10, atol=1e-14)


def test_negative_labels_count_for_nothing():
    W, X, labels = problem()
    kept = labels.at[2].set(-1)
    value, (in_W, in_X) = in_chunks(W, X, kept, chunk=4)
    others = jnp.delete(jnp.arange(7), 2)
    expected, (W_part, _) = in_chunks(W, X[:, others], labels[others])
    np.testing.assert_allclose(value, expected)
    np.testing.assert_allclose(in_W, W_part, rtol=1e-10)
    assert not in_X[:, 2].any()


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_keeps_the_dtype(dtype):
    W, X, labels = problem(dtype=dtype)
    value, (in_W, in_X) = jax.eval_shape(linear_softmax_cross_entropy, W, X, labels)
    assert value.dtype == in_W.dtype == in_X.dtype == dtype


def test_the_logits_are_never_all_held():
    W, X, labels = problem(k=512, n=8, N=1024)
    logits = 512 * 1024 * 8
    whole = jax.jit(jax.value_and_grad(linear_cross_entropy, (0, 1))).lower(W, X, labels).compile()
    parts = in_chunks.lower(W, X, labels, chunk=64).compile()
    assert (
        parts.memory_analysis().temp_size_in_bytes < logits / 4 < whole.memory_analysis().temp_size_in_bytes
    )
