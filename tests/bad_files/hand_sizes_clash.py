"""Sizes that do not fit together."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad import gradient_of


def loss(x: Float[Array, "n"]) -> Float[Array, ""]:
    return jnp.sum(x**2)


def ridge(W: Float[Array, "m n"], X: Float[Array, "n N"]) -> Float[Array, ""]:
    return jnp.sum((W @ X) ** 2)


@gradient_of(ridge, wrt="W")
def bad(W, X):
    return 2 * (W @ X) @ X
