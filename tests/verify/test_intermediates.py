"""The values inside a reference's program, by names that a reader knows."""

import jax
import jax.numpy as jnp
import numpy as np

from verify.hypotheses.intermediates import intermediates
from verify.programs.arithmetic import wide
from verify.programs.program import translate


def test_inner_values_are_named_in_terms_of_the_arguments():
    def loss(W, x):
        return jnp.sum(jnp.tanh(W @ x) ** 2)

    with jax.enable_x64(True):
        W, x = np.arange(6.0).reshape(2, 3), np.array([0.5, -1.0, 2.0])
        program = translate(jax.make_jaxpr(jax.grad(loss))(W, x))
    found = intermediates(program, wide(np.float64), ["W", "x"], {}, [W, x])
    assert np.allclose(found["W @ x"], W @ x)
    assert np.allclose(found["tanh(W @ x)"], np.tanh(W @ x))
    assert "W" not in found and all(value.dtype.kind == "f" for value in found.values())


def test_the_identity_matrix_has_its_name():
    def solution(X, lam):
        return jnp.linalg.det(X @ X.T + lam * jnp.eye(2))

    with jax.enable_x64(True):
        X, lam = np.arange(6.0).reshape(2, 3), np.float64(0.5)
        program = translate(jax.make_jaxpr(solution)(X, lam))
    found = intermediates(program, wide(np.float64), ["X", "lam"], {}, [X, lam])
    assert np.allclose(found["lam * I"], 0.5 * np.eye(2))
    assert np.allclose(found["(X @ X.T) + (lam * I)"], X @ X.T + 0.5 * np.eye(2))


def test_another_comparison_of_rows_and_columns_is_not_the_identity():
    def shifted(x):
        return jnp.eye(3, k=1) * x

    with jax.enable_x64(True):
        program = translate(jax.make_jaxpr(shifted)(np.float64(2.0)))
    assert not any("I" in name for name in intermediates(program, wide(np.float64), ["x"], {}, [np.float64(2.0)]))
