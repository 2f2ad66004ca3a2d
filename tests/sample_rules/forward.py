"""``jax.custom_jvp``: defjvp, defjvps, static arguments, pytrees, symbolic zeros."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float, Int

N = Float[Array, "n"]


class Point(NamedTuple):
    x: N
    y: N


@jax.custom_jvp
def log1pexp(x):
    return jnp.logaddexp(x, 0.0)


@log1pexp.defjvp
def _log1pexp_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    return log1pexp(x), jax.nn.sigmoid(x) * dx


@jax.custom_jvp
def sin_times(x: N, y: N) -> N:
    return jnp.sin(x) * y


sin_times.defjvps(lambda dx, out, x, y: jnp.cos(x) * dx * y, lambda dy, out, x, y: jnp.sin(x) * dy)


@jax.custom_jvp
def plus_count(x: N, count: Int[Array, ""]) -> N:
    """No rule for the second argument: it is a whole number."""
    return x**2 + count


plus_count.defjvps(lambda dx, out, x, count: 2 * x * dx, None)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def apply(f, x):
    """A function is the static argument.

    >>> apply(jnp.sin, 3.0)
    Array(0.14112, dtype=float32)
    """
    return f(x)


@apply.defjvp
def _apply_jvp(f, primals, tangents):
    return jax.jvp(f, primals, tangents)


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def window(x: N, low: float = -1.0, high: float = 1.0) -> N:
    return jnp.clip(x, low, high)


@window.defjvp
def _window_jvp(low, high, primals, tangents):
    (x,), (dx,) = primals, tangents
    return window(x, low, high), jnp.where((x > low) & (x < high), dx, 0.0)


@partial(jax.custom_jvp, nondiff_argnames=("power",))
def powered(x: N, power: int = 3) -> N:
    return x**power


@powered.defjvp
def _powered_jvp(power, primals, tangents):
    (x,), (dx,) = primals, tangents
    return x**power, power * x ** (power - 1) * dx


@jax.custom_jvp
def norm_of(p: Point) -> N:
    return p.x**2 + p.y**2


@norm_of.defjvp
def _norm_of_jvp(primals, tangents):
    (p,), (dp,) = primals, tangents
    return norm_of(p), 2 * (p.x * dp.x + p.y * dp.y)


@jax.custom_jvp
def product(x: N, y: N) -> N:
    return x * y


def _product_jvp(primals, tangents):
    (x, y), (dx, dy) = primals, tangents
    moved = jnp.zeros_like(x)
    if type(dx) is not SymbolicZero:
        moved += dx * y
    if type(dy) is not SymbolicZero:
        moved += x * dy
    return x * y, moved


product.defjvp(_product_jvp, symbolic_zeros=True)


@jax.jit
@jax.custom_jvp
def jitted(x):
    return jnp.tanh(x)


@jitted.__wrapped__.defjvp
def _jitted_jvp(primals, tangents):
    y = jitted(primals[0])
    return y, (1 - y**2) * tangents[0]
