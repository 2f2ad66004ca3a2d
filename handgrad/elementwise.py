"""Element-wise functions with derivatives of their own: what an activation is to JAX.

``sigma(z)`` is a drop-in for the ``jax.nn`` function it is named after: its ``jax.grad`` is ``sigma.derivative``,
written by hand, and the ``jax.grad`` of that is ``sigma.second_derivative``, under ``jit``, ``vmap`` and sharding,
forwards and in reverse. bfloat16 and float16 are computed in float32 and rounded once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Array as AnyArray
from jaxtyping import Float

__all__ = ["Activation"]

Z = Float[AnyArray, "..."]
Function = Callable[[Array], Array]


@dataclass(frozen=True)
class Activation:
    """An element-wise ``σ``: its value as ``jax.nn`` has it, and by hand its ``slope``, the slope's own slope,
    ``curvature`` (``None`` where it vanishes), and where ``jax.nn`` loses digits an ``accurate`` value; these are for
    float32 and float64."""

    name: str
    value: Function
    slope: Function
    curvature: Function | None = None
    accurate: Function | None = None

    def __call__(self, z: Z) -> Z:
        """``σ(z)``, accurate and differentiated by hand."""
        return _value(self, _floating(z))

    def apply(self, z: Z) -> Z:
        """``σ(z)`` as ``jax.nn`` computes it and JAX differentiates it: what the claims are held against."""
        return self.value(z)

    def derivative(self, z: Z) -> Z:
        """``σ'(z)``."""
        return _derivative(self, _floating(z))

    def second_derivative(self, z: Z) -> Z:
        """``σ''(z)``; at a kink 0 or a one-sided value."""
        z = _floating(z)
        return jnp.zeros_like(z) if self.curvature is None else _rounded_once(self.curvature, z)

    def differential(self, z: Z, dz: Z) -> Z:
        """``σ'(z) ⊙ dz``."""
        return self.derivative(z) * dz


def _floating(z: Z) -> Array:
    z = jnp.asarray(z)
    return z if jnp.issubdtype(z.dtype, jnp.floating) else z.astype(jnp.result_type(float))


def _rounded_once(function: Function, z: Array) -> Array:
    wide = z if jnp.finfo(z.dtype).bits >= 32 else z.astype(jnp.float32)
    return function(wide).astype(z.dtype)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _value(sigma, z):
    return _rounded_once(sigma.accurate or sigma.value, z)


@_value.defjvp
def _value_jvp(sigma, primals, tangents):
    (z,), (dz,) = primals, tangents
    return _value(sigma, z), sigma.differential(z, dz)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _derivative(sigma, z):
    return _rounded_once(sigma.slope, z)


@_derivative.defjvp
def _derivative_jvp(sigma, primals, tangents):
    (z,), (dz,) = primals, tangents
    return _derivative(sigma, z), sigma.second_derivative(z) * dz
