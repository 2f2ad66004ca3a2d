"""Judging never ends, in a compiled loop of JAX."""

import time

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from handgrad import gradient_of


def loss(x: Float[Array, "n"]) -> Float[Array, ""]:
    return jnp.sum(x**2)


def idle(y):
    time.sleep(0.05)
    return np.asarray(y)


@gradient_of(loss, wrt="x")
def bad(x):
    shape = jax.ShapeDtypeStruct(x.shape, x.dtype)  # a foreign call: judged through JAX itself
    wait = lambda y: jax.pure_callback(idle, shape, y, vmap_method="sequential")
    return jax.lax.while_loop(lambda y: jnp.all(jnp.isfinite(y)), wait, 2 * x)
