"""An axis that is no expression."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad import gradient_of


def loss(x: Float[Array, "n"]) -> Float[Array, ""]:
    return jnp.sum(x**2)


def spaced(x: Float[Array, "n n-"]) -> Float[Array, ""]:
    return jnp.sum(x**2)


@gradient_of(spaced, wrt="x")
def bad(x):
    return 2 * x
