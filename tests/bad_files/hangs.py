"""Judging never ends."""

import time

import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad import gradient_of


def loss(x: Float[Array, "n"]) -> Float[Array, ""]:
    return jnp.sum(x**2)


@gradient_of(loss, wrt="x")
def bad(x):
    while True:
        time.sleep(0.01)
