"""An annotation without a shape."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad import gradient_of


def loss(x: Float[Array, "n"]) -> Float[Array, ""]:
    return jnp.sum(x**2)


def listed(x: list) -> float:
    return jnp.sum(x**2)


@gradient_of(listed, wrt="x")
def bad(x):
    return 2 * x
