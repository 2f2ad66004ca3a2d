"""Judging fills the memory, slowly."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad import gradient_of


def loss(x: Float[Array, "n"]) -> Float[Array, ""]:
    return jnp.sum(x**2)


import time

import numpy as np


@gradient_of(loss, wrt="x")
def bad(x):
    eaten = []
    while len(eaten) < 25:
        eaten.append(np.ones(12_500_000))
        time.sleep(0.05)
    return 2 * x
