"""The values inside a reference's program, by names that a reader knows."""

import jax
import jax.numpy as jnp
import numpy as np

from verify.arithmetic import wide
from verify.intermediates import intermediates
from verify.program import translate


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
