"""Prints where a protocol might run."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad import gradient_of


def loss(x: Float[Array, "n"]) -> Float[Array, ""]:
    return jnp.sum(x**2)


import os

print("loading" * 1000)
os.write(1, b"raw bytes\x00\xff\n")


@gradient_of(loss, wrt="x")
def prints(x):
    print("judging", x)
    return 2 * x
