"""A scalar where a vector is wanted."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad import gradient_of


def loss(x: Float[Array, "n"]) -> Float[Array, ""]:
    return jnp.sum(x**2)


@gradient_of(loss, wrt="x")
def bad(x):
    return 2 * jnp.sum(x)
