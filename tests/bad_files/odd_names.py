"""A name with everything in it."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad import gradient_of


def loss(x: Float[Array, "n"]) -> Float[Array, ""]:
    return jnp.sum(x**2)


@gradient_of(loss, wrt="x", name="∂f/∂x = 2x: <b>\"bold\"</b> & ../../etc\n\x1b[31mred")
def odd(x):
    return x
