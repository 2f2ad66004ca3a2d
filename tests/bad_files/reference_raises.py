"""The reference raises."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad import gradient_of


def loss(x: Float[Array, "n"]) -> Float[Array, ""]:
    return jnp.sum(x**2)


def broken(x: Float[Array, "n"]) -> Float[Array, ""]:
    raise ValueError("the learning rate is missing")


@gradient_of(broken, wrt="x")
def bad(x):
    return 2 * x
