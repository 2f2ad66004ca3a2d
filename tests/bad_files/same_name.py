"""Two claims of one name, one of them wrong."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad import gradient_of


def loss(x: Float[Array, "n"]) -> Float[Array, ""]:
    return jnp.sum(x**2)


@gradient_of(loss, wrt="x", name="twice")
def first(x):
    return 2 * x


@gradient_of(loss, wrt="x", name="twice")
def second(x):
    return 3 * x
