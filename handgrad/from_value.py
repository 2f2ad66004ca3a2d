r"""Slopes that can be had from the value: ``σ'(z)`` as a function of ``a = σ(z)``.

Where there is such a function, backpropagation need not keep ``z``: ``a`` is kept anyway, as the input of the next
layer. It costs digits where ``a`` has rounded to an end of its range (``tanh' = (1 - a)(1 + a)`` is then 0), which
``jax.grad`` loses, too, since its rules are these; ``activation.derivative`` keeps them. In bfloat16 and float16, where
that is no corner case, backpropagation keeps ``z`` all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import jax.numpy as jnp
from jax import Array

from handgrad.activations import activation_named
from handgrad.claims import jvp_of
from handgrad.elementwise import Activation, Z

__all__ = ["FROM_VALUE", "delta"]

_TABLE: dict[Activation, Callable[[Array], Array]] = {}


def slope_of(name: str) -> Callable[[Callable[[Array], Array]], Callable[[Array], Array]]:
    """Enter a slope in the table, and claim it to be that of the activation ``name``."""
    sigma = activation_named(name)

    def enter(slope: Callable[[Array], Array]) -> Callable[[Array], Array]:
        def reference(z: Z) -> Z:
            return sigma.apply(z)

        def differential(z: Z, dz: Z) -> Z:
            return slope(sigma.apply(z)) * dz

        _TABLE[sigma] = slope
        reference.__name__ = name
        jvp_of(reference, wrt="z", name=f"{name}_differential_from_value")(differential)
        return slope

    return enter


@slope_of("identity")
def identity(a: Array) -> Array:
    """1."""
    return jnp.ones_like(a)


@slope_of("relu")
def relu(a: Array) -> Array:
    """1 where ``a > 0``, which is where ``z > 0``."""
    return jnp.where(a > 0, jnp.ones_like(a), 0)


@slope_of("sigmoid")
def sigmoid(a: Array) -> Array:
    """``σ' = σ (1 - σ)``."""
    return a * (1 - a)


@slope_of("tanh")
def tanh(a: Array) -> Array:
    """``tanh' = 1 - tanh²``, in factors: the difference of squares would round once more."""
    return (1 - a) * (1 + a)


FROM_VALUE: Mapping[Activation, Callable[[Array], Array]] = MappingProxyType(_TABLE)
"""By activation."""


def delta(sigma: Activation, z: Array, a: Array, g: Array) -> Array:
    """``σ'(z) ⊙ g``, from ``a = σ(z)`` where that will do: the compiler then has no use for ``z``."""
    slope = FROM_VALUE.get(sigma) if jnp.finfo(a.dtype).bits >= 32 else None
    return (sigma.derivative(z) if slope is None else slope(a)) * g
