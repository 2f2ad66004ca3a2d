"""Primals that JAX cannot differentiate, or whose derivative says nothing: loops, callbacks, an argmax."""

from functools import partial
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from handgrad.domains import interval, positive

N = Float[Array, "n"]


@jax.custom_vjp
def root(a: Annotated[N, interval(0.25, 4.0)]) -> N:
    """The square root by Newton's method."""
    return jax.lax.while_loop(lambda s: s[0] < 8, lambda s: (s[0] + 1, (s[1] + a / s[1]) / 2), (0, 1 + a))[1]


root.defvjp(lambda a: (root(a),) * 2, lambda y, g: (g / (2 * y),))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def fixed_point(f, a, guess):
    """The solution x of x = f(a, x), from JAX's own tutorial.

    >>> fixed_point(lambda a, x: (x + a / x) / 2, 2.0, 1.0)
    Array(1.4142135, dtype=float32, weak_type=True)
    """
    def moving(state):
        return (jnp.abs(state[0] - state[1]) > 1e-14 * jnp.abs(state[1])) & (state[2] < 60)

    return jax.lax.while_loop(moving, lambda s: (s[1], f(a, s[1]), s[2] + 1), (guess, f(a, guess), 0))[1]


def _fixed_point_fwd(f, a, guess):
    x = fixed_point(f, a, guess)
    return x, (a, x, guess)


def _fixed_point_bwd(f, residuals, g):
    a, x, guess = residuals
    _, pull = jax.vjp(lambda x: f(a, x), x)
    w = jax.lax.fori_loop(0, 60, lambda _, w: g + pull(w)[0], g)
    return jax.vjp(lambda a: f(a, x), a)[1](w)[0], jnp.zeros_like(guess)


fixed_point.defvjp(_fixed_point_fwd, _fixed_point_bwd)


@jax.custom_vjp
def hosted(x: Annotated[N, interval(-4.0, 4.0)]) -> N:
    """A function of the host, foreign to JAX."""
    return jax.pure_callback(lambda x: np.sin(x) * x, jax.ShapeDtypeStruct(x.shape, x.dtype), x)


hosted.defvjp(lambda x: (hosted(x), x), lambda x, g: (g * (jnp.cos(x) * x + jnp.sin(x)),))


@jax.custom_jvp
def hosted_forward(x: Annotated[N, positive]) -> N:
    return jax.pure_callback(np.log, jax.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method="expand_dims")


hosted_forward.defjvp(lambda p, t: (hosted_forward(*p), t[0] / p[0]))


@jax.custom_vjp
def largest(x: Float[Array, "m n"]) -> Float[Array, "m"]:
    return jnp.take_along_axis(x, jnp.argmax(x, 1, keepdims=True), 1)[:, 0]


def _largest_bwd(residuals, g):
    at, x = residuals
    return (jax.nn.one_hot(at, x.shape[1], dtype=g.dtype) * g[:, None],)


largest.defvjp(lambda x: (largest(x), (jnp.argmax(x, 1), x)), _largest_bwd)
