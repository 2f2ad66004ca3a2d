r"""Feed-forward networks: layers, the forward pass, and random networks to try claims on.

A network of ``L`` layers takes ``a_0 = x`` through ``z_l = W_l a_{l-1} + b_l`` and ``a_l = σ_l(z_l)``. A
data point is a column, so ``x`` is one column ``"n"`` or a batch ``"n N"``, and the bias is added to every
column.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import cycle, islice, pairwise
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from handgrad.activations import ACTIVATIONS, Activation, activation_named
from handgrad.losses import LOSSES
from handgrad.matrices import matmul

__all__ = [
    "Activations",
    "Forward",
    "Layer",
    "Parameters",
    "each_layer",
    "forward",
    "initialise",
    "random_networks",
]


class Layer(NamedTuple):
    """``a ↦ W a + b``. Its activation is named apart, so that a network is a pytree of arrays."""

    W: Float[Array, "out in"]
    b: Float[Array, "out"]


class Forward(NamedTuple):
    """What a forward pass leaves behind: ``z = (z_1, …, z_L)`` and ``a = (a_0, …, a_L)``, where
    ``a_0 = x``."""

    z: tuple[Array, ...]
    a: tuple[Array, ...]


Parameters: TypeAlias = Sequence[Layer]
Activations: TypeAlias = str | Activation | Sequence[str | Activation]


def initialise(key: Key[Array, ""], widths: Sequence[int]) -> tuple[Layer, ...]:
    """Normal weights of variance ``1 / fan in`` and zero biases, for layers of the given widths, input
    first."""
    if len(widths) < 2 or min(widths) < 1:
        raise ValueError(
            f"initialise: got widths {tuple(widths)}; wanted two or more, input first, each at least 1"
        )
    keys = jax.random.split(key, len(widths) - 1)
    return tuple(
        Layer(jax.random.normal(k, (m, n)) / math.sqrt(n), jnp.zeros(m))
        for k, n, m in zip(keys, widths[:-1], widths[1:], strict=True)
    )


def each_layer(activations: Activations, params: Parameters) -> tuple[Activation, ...]:
    """One ``Activation`` a layer, from one for all or one for each."""
    if isinstance(activations, str | Activation):
        return (activation_named(activations),) * len(params)
    if len(activations) != len(params):
        raise ValueError(
            f"handgrad: got {len(activations)} activations for {len(params)} layers; "
            "wanted one for each, or one for all"
        )
    return tuple(activation_named(sigma) for sigma in activations)


def forward(params: Parameters, x: Float[Array, "n *batch"], activations: Activations) -> Forward:
    """Every pre-activation ``z_l`` and activation ``a_l``."""
    if x.ndim not in (1, 2):
        raise ValueError(
            f'handgrad: got x of shape {x.shape}; wanted one column "n" or a batch of columns "n N"'
        )
    z, a = [], [x]
    for (W, b), sigma in zip(params, each_layer(activations, params), strict=True):
        z.append(matmul(W, a[-1]) + (b if x.ndim == 1 else b[:, None]))
        a.append(sigma.apply(z[-1]))
    return Forward(tuple(z), tuple(a))


# --- Random networks, for claims --------------------------------------------------------------------------


class Architecture(NamedTuple):
    """What decides how a network is traced; its widths and values do not."""

    activations: tuple[str, ...]
    loss: str
    batched: bool


def architectures(count: int = 24) -> tuple[Architecture, ...]:
    """Depths 1 to 4, every loss, columns and batches; with 24 of them, every activation at least twice."""
    names, losses = cycle(ACTIVATIONS), tuple(LOSSES)
    return tuple(
        Architecture(tuple(islice(names, 1 + i % 4)), losses[(i + i // 4) % len(losses)], i // 4 % 2 == 0)
        for i in range(count)
    )


def random_networks(sizes: Mapping[str, int], pool: Sequence[Architecture] = ()) -> Any:
    """A Hypothesis strategy for ``(params, x, y, activations, loss)`` with fresh widths from 1 to 8, in
    float64."""
    from hypothesis import strategies as st

    return st.builds(
        _network,
        st.sampled_from(pool or architectures()),
        st.lists(st.integers(1, 8), min_size=6, max_size=6),
        st.integers(0, 2**32 - 1),
    )


def few_networks(sizes: Mapping[str, int]) -> Any:
    """``random_networks`` from five architectures, of every depth, columns and batches."""
    return random_networks(sizes, architectures()[::5])


def batches(sizes: Mapping[str, int]) -> Any:
    """``random_networks`` from three architectures that take a batch."""
    return random_networks(sizes, tuple(k for k in architectures() if k.batched)[1::5])


def networks_and_vectors(sizes: Mapping[str, int]) -> Any:
    """``few_networks`` with a direction after ``params``."""
    return few_networks(sizes).map(lambda network: (network[0], _direction(network[0]), *network[1:]))


def _direction(params: Any) -> Any:
    """Normal numbers that depend on the parameters alone."""
    rng = np.random.default_rng(int.from_bytes(params[0].W.tobytes()[:8], "little"))
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), params)


def _network(architecture: Architecture, widths: list[int], seed: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    scale = rng.choice([0.25, 1.0, 2.0])

    def draw(*shape: int) -> Any:
        return np.where(rng.random(shape) < 0.05, 0.0, rng.normal(size=shape))  # a few exact zeros

    columns = (widths[0],) if architecture.batched else ()
    widths = widths[1 : len(architecture.activations) + 2]
    params = tuple(Layer(scale * draw(m, n) / math.sqrt(n), draw(m)) for n, m in pairwise(widths))
    y = draw(widths[-1], *columns)
    if architecture.loss == "softmax_cross_entropy":
        y = np.exp(y) / np.sum(np.exp(y), axis=0)
    elif architecture.loss == "sigmoid_cross_entropy":
        y = 1 / (1 + np.exp(-y))
    return params, draw(widths[0], *columns), y, architecture.activations, architecture.loss
