"""No n makes n - n positive."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad import gradient_of


def loss(x: Float[Array, "n"]) -> Float[Array, ""]:
    return jnp.sum(x**2)


def impossible(x: Float[Array, "n-n"]) -> Float[Array, ""]:
    return jnp.sum(x**2)


@gradient_of(impossible, wrt="x")
def bad(x):
    return 2 * x
