"""The reference of a gradient is no scalar."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad import gradient_of


def loss(x: Float[Array, "n"]) -> Float[Array, ""]:
    return jnp.sum(x**2)


def vector(x: Float[Array, "n"]) -> Float[Array, "n"]:
    return x**2


@gradient_of(vector, wrt="x")
def bad(x):
    return 2 * x
