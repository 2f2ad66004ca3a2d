"""No claim is made."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad import gradient_of


def loss(x: Float[Array, "n"]) -> Float[Array, ""]:
    return jnp.sum(x**2)


def helper(x):
    return 2 * x
