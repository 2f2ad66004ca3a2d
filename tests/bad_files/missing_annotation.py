"""Nothing says what x is."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad import gradient_of


def loss(x: Float[Array, "n"]) -> Float[Array, ""]:
    return jnp.sum(x**2)


def untyped(x):
    return jnp.sum(x**2)


@gradient_of(untyped, wrt="x")
def bad(x):
    return 2 * x
