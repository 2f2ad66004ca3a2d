"""``jax.custom_vjp``: residuals, None and float0, static arguments, symbolic zeros, methods, rematerialisation."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import CustomVJPPrimal
from jaxtyping import Array, Bool, Float, Int

N = Float[Array, "n"]


@jax.custom_vjp
def sin_times(x: N, y: N) -> N:
    return jnp.sin(x) * y


def _sin_times_fwd(x, y):
    return sin_times(x, y), {"cos": jnp.cos(x), "rest": [jnp.sin(x), (y, None)]}


def _sin_times_bwd(residuals, g):
    return residuals["cos"] * g * residuals["rest"][1][0], residuals["rest"][0] * g


sin_times.defvjp(_sin_times_fwd, _sin_times_bwd)


@jax.custom_vjp
def gather(x: N, at: Int[Array, "m"], mask: Bool[Array, "n"]) -> Float[Array, "m"]:
    """None is the cotangent of whole numbers. Indices count from the end as well, and stop at it.

    >>> gather(jnp.arange(3.0), jnp.array([0, 2]), jnp.array([True, True, False]))
    Array([0., 0.], dtype=float32)
    """
    return jnp.where(mask, x, 0.0)[jnp.clip(at, 0, x.shape[0] - 1)]


gather.defvjp(
    lambda x, at, mask: (gather(x, at, mask), (jnp.clip(at, 0, x.shape[0] - 1), mask)),
    lambda r, g: (jnp.where(r[1], jnp.zeros(r[1].shape, g.dtype).at[r[0]].add(g), 0.0), None, None),
)


@jax.custom_vjp
def scaled(x: N, count: Int[Array, ""]) -> N:
    return x * count


scaled.defvjp(
    lambda x, count: (x * count, count),
    lambda count, g: (g * count, np.zeros((), jax.dtypes.float0)),
)


@partial(jax.custom_vjp, nondiff_argnums=(0, 2))
def mapped(f, x, scale=2.0):
    """
    >>> mapped(jnp.tanh, jnp.ones(3))
    Array([1.5231884, 1.5231884, 1.5231884], dtype=float32)
    """
    return scale * f(x)


mapped.defvjp(
    lambda f, x, scale: (scale * f(x), x),
    lambda f, scale, x, g: (scale * jax.vjp(f, x)[1](g)[0],),
)


@partial(jax.custom_vjp, nondiff_argnames=["axis", "keepdims"])
def total(x: Float[Array, "m n"], axis: int = 0, keepdims: bool = True) -> Float[Array, "..."]:
    return jnp.sum(x, axis, keepdims=keepdims)


def _total_bwd(axis, keepdims, x, g):
    return (jnp.broadcast_to(g if keepdims else jnp.expand_dims(g, axis), x.shape),)


total.defvjp(lambda x, axis, keepdims: (jnp.sum(x, axis, keepdims=keepdims), x), _total_bwd)


@jax.custom_vjp
def product(x: N, y: N) -> N:
    return x * y


def _product_fwd(x: CustomVJPPrimal, y: CustomVJPPrimal):
    kept = (y.value if x.perturbed else None, x.value if y.perturbed else None)
    return x.value * y.value, kept


def _product_bwd(kept, g):
    y, x = kept
    return (None if y is None else g * y, None if x is None else g * x)


product.defvjp(_product_fwd, _product_bwd, symbolic_zeros=True)


@jax.custom_vjp
def squared(x: N) -> N:
    return x**2


squared.defvjp(lambda x: (x**2, x), lambda x, g: (2 * x * g,), optimize_remat=True)


class Layer:
    """Rules that are a static method, and a method whose instance is static."""

    def __init__(self, scale: float = 1.5):
        self.scale = scale

    @staticmethod
    @jax.custom_vjp
    def softened(x: N) -> N:
        return jnp.log1p(jnp.exp(x))

    @partial(jax.custom_vjp, nondiff_argnums=(0,))
    def call(self, x: N) -> N:
        return self.scale * jnp.sinh(x)


Layer.softened.defvjp(lambda x: (Layer.softened(x), x), lambda x, g: (g * jax.nn.sigmoid(x),))
Layer.call.defvjp(
    lambda self, x: (self.scale * jnp.sinh(x), x), lambda self, x, g: (g * self.scale * jnp.cosh(x),)
)


@jax.custom_vjp
def clipped(x: N, low: Float[Array, ""], high: Float[Array, ""]) -> N:
    """The identity; its rule clips the gradient: not the derivative, and meant so."""
    return x


clipped.defvjp(lambda x, low, high: (x, (low, high)), lambda r, g: (jnp.clip(g, *r), None, None))
