r"""Lines 206 to 223: the feed-forward network, and what lines 271 on differentiate.

Executed with the first ``L`` of three layers, ``L = 1, 2, 3``, whose widths ``n_0, ..., n_3`` are drawn apart: equal
and unequal, ones among them. Layers are numbered 1 to ``L``, as on line 223.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad.claims import equal_to
from handgrad.domains import integers
from handgrad.networks import Layer, forward
from handgrad.post.notation import SIGMA, Scalar, diag, stated
from handgrad.post.places import corrected, place, printed


class Network(NamedTuple):
    """The weights and biases of three layers; biases are columns."""

    W1: Float[Array, "n1 n0"]
    b1: Float[Array, "n1 1"]
    W2: Float[Array, "n2 n1"]
    b2: Float[Array, "n2 1"]
    W3: Float[Array, "n3 n2"]
    b3: Float[Array, "n3 1"]

    def W(self, l: int) -> Array:  # noqa: E741
        """``W_l``."""
        return (self.W1, self.W2, self.W3)[l - 1]

    def b(self, l: int) -> Array:  # noqa: E741
        """``b_l``."""
        return (self.b1, self.b2, self.b3)[l - 1]


Input: TypeAlias = Float[Array, "n0 1"]
Column: TypeAlias = Float[Array, "n 1"]
Depth: TypeAlias = Annotated[int, integers(1, 3)]
Deep: TypeAlias = Annotated[int, integers(2, 3)]


class Values(NamedTuple):
    """``z = (z_1, …, z_L)`` and ``a = (a_0, …, a_L)``, by ``handgrad.networks.forward``."""

    z: tuple[Array, ...]
    a: tuple[Array, ...]


def values(p: Network, x: Input, L: int) -> Values:
    """What a forward pass through the first ``L`` layers leaves behind."""
    layers = [Layer(p.W(k), p.b(k)[:, 0]) for k in range(1, L + 1)]
    return Values(*forward(layers, x, SIGMA[:L]))


def widths(p: Network) -> tuple[int, ...]:
    """``(n_0, n_1, n_2, n_3)``."""
    return (p.W1.shape[1], p.W1.shape[0], p.W2.shape[0], p.W3.shape[0])


def f_l(p: Network, l: int, x: Array) -> Array:  # noqa: E741
    """Line 218: ``f_l(x) = σ_l(W_l x + b_l)``."""
    return SIGMA[l - 1].apply(p.W(l) @ x + p.b(l))


def output(p: Network, x: Input, L: Depth) -> Array:
    """``a_L``."""
    return values(p, x, L).a[L]


def every_layer(p: Network, x: Input) -> tuple[Array, ...]:
    """``a_1, a_2, a_3``."""
    return values(p, x, 3).a[1:]


# --- The definition ---------------------------------------------------------------------------------------

place("L212", r"f: \mathbb{R}^n \to \mathbb{R}^m", note="With n = n_0 and m = n_L.")


@printed(equal_to, output, "L212")
def sizes_of_f(p: Network, x: Input, L: Depth) -> Array:
    n = widths(p)
    y = stated(x, n[0], 1)
    for k in range(1, L + 1):
        y = f_l(p, k, y)
    return stated(y, n[L], 1)


LAYERS = "The layers are 1 to L."
place(
    "L214a",
    r"f_l: \mathbb{R}^{n_l} \to \mathbb{R}^{n_{l+1}}",
    instead=r"f_l: \mathbb{R}^{n_{l-1}} \to \mathbb{R}^{n_l}",
    note=LAYERS,
)
place("L214b", "n_0 = n", note="The input has n entries.")
place("L216", "n_L = m", note="The output has m entries.")
place("L218", r"f_l(x) = \sigma_l(W_l x + b_l)")
place(
    "L219",
    r"W_l \in \mathbb{R}^{n_{l+1} \times n_l}",
    instead=r"W_l \in \mathbb{R}^{n_l \times n_{l-1}}",
    note=LAYERS,
)
place("L220", r"b_l \in \mathbb{R}^{n_{l+1}}", instead=r"b_l \in \mathbb{R}^{n_l}", note=LAYERS)
place(
    "L221",
    r"\sigma_l: \mathbb{R}^{n_{l+1}} \to \mathbb{R}^{n_{l+1}}",
    instead=r"\sigma_l: \mathbb{R}^{n_l} \to \mathbb{R}^{n_l}",
    note=LAYERS,
)
place("L223", r"f(x) = f_L \circ f_{L-1} \circ \ldots \circ f_1 (x)")


def first_layers(p: Network, x: Input) -> tuple[Array, ...]:
    """``a_1, a_2``: what layers 1 and 2 give."""
    return every_layer(p, x)[:2]


@printed(equal_to, first_layers, "L214a", expect="wrong")
def domains_as_printed(p: Network, x: Input) -> tuple[Array, ...]:
    n, a_1 = widths(p), f_l(p, 1, x)
    f_1 = stated(f_l(p, 1, stated(x, n[1], 1)), n[2], 1)
    return f_1, stated(f_l(p, 2, stated(a_1, n[2], 1)), n[3], 1)


@corrected(equal_to, every_layer, "L214a")
def domains_of_layers(p: Network, x: Input) -> tuple[Array, ...]:
    n, a = widths(p), [x]
    for k in (1, 2, 3):
        a.append(stated(f_l(p, k, stated(a[-1], n[k - 1], 1)), n[k], 1))
    return tuple(a[1:])


@printed(equal_to, output, "L214b")
def size_of_input(p: Network, x: Input, L: Depth) -> Array:
    return output(p, stated(x, widths(p)[0], 1), L)


@printed(equal_to, output, "L216")
def size_of_output(p: Network, x: Input, L: Depth) -> Array:
    return stated(output(p, x, L), widths(p)[L], 1)


@printed(equal_to, every_layer, "L218")
def one_layer(p: Network, x: Input) -> tuple[Array, ...]:
    a_0, a_1, a_2, _ = values(p, x, 3).a
    return f_l(p, 1, a_0), f_l(p, 2, a_1), f_l(p, 3, a_2)


@printed(equal_to, first_layers, "L219", expect="wrong")
def weights_as_printed(p: Network, x: Input) -> tuple[Array, ...]:
    n, a = widths(p), [x]
    for k in (1, 2):
        a.append(SIGMA[k - 1].apply(stated(p.W(k), n[k + 1], n[k]) @ a[-1] + p.b(k)))
    return tuple(a[1:])


@corrected(equal_to, every_layer, "L219")
def sizes_of_layer_weights(p: Network, x: Input) -> tuple[Array, ...]:
    n, a = widths(p), [x]
    for k in (1, 2, 3):
        a.append(SIGMA[k - 1].apply(stated(p.W(k), n[k], n[k - 1]) @ a[-1] + p.b(k)))
    return tuple(a[1:])


@printed(equal_to, first_layers, "L220", expect="wrong")
def biases_as_printed(p: Network, x: Input) -> tuple[Array, ...]:
    n, a = widths(p), [x]
    for k in (1, 2):
        a.append(SIGMA[k - 1].apply(p.W(k) @ a[-1] + stated(p.b(k), n[k + 1], 1)))
    return tuple(a[1:])


@corrected(equal_to, every_layer, "L220")
def sizes_of_biases(p: Network, x: Input) -> tuple[Array, ...]:
    n, a = widths(p), [x]
    for k in (1, 2, 3):
        a.append(SIGMA[k - 1].apply(p.W(k) @ a[-1] + stated(p.b(k), n[k], 1)))
    return tuple(a[1:])


@printed(equal_to, first_layers, "L221", expect="wrong")
def activations_as_printed(p: Network, x: Input) -> tuple[Array, ...]:
    n, a = widths(p), [x]
    for k in (1, 2):
        a.append(SIGMA[k - 1].apply(stated(p.W(k) @ a[-1] + p.b(k), n[k + 1], 1)))
    return tuple(a[1:])


@corrected(equal_to, every_layer, "L221")
def sizes_of_activations(p: Network, x: Input) -> tuple[Array, ...]:
    n, a = widths(p), [x]
    for k in (1, 2, 3):
        a.append(stated(SIGMA[k - 1].apply(stated(p.W(k) @ a[-1] + p.b(k), n[k], 1)), n[k], 1))
    return tuple(a[1:])


@printed(equal_to, output, "L223")
def composition(p: Network, x: Input, L: Depth) -> Array:
    y = x
    for k in range(1, L + 1):
        y = f_l(p, k, y)
    return y


# --- What is differentiated -------------------------------------------------------------------------------


def C(a: Column) -> Scalar:
    """A loss of the output: ``Σ_i (a_i² + a_i)``."""
    return jnp.sum(a * a + a)


def C_prime(a: Column) -> Float[Array, "1 n"]:
    """``C'``, a row: ``dC = C' da``."""
    return (2 * a + 1).T


def cost(p: Network, x: Input, L: Depth) -> Scalar:
    """``C(a_L)``, a function of the parameters."""
    return C(output(p, x, L))


def cost_by_layer(p: Network, x: Input, L: Depth) -> tuple[Array, ...]:
    """The derivatives of ``C(a_L)`` in ``z_1, …, z_L``, by JAX: rows ``1 × n_l``."""

    def shifted(shifts: list[Array]) -> Scalar:
        y = x
        for k, shift in enumerate(shifts, start=1):
            y = SIGMA[k - 1].apply(p.W(k) @ y + p.b(k) + shift)
        return C(y)

    return tuple(g.T for g in jax.grad(shifted)([jnp.zeros_like(p.b(k)) for k in range(1, L + 1)]))


def errors_by_layer(p: Network, x: Input, L: Depth) -> tuple[Array, ...]:
    """The same as columns."""
    return tuple(row.T for row in cost_by_layer(p, x, L))


def A(z: tuple[Array, ...], l: int) -> Array:  # noqa: E741
    """Line 293: ``A_l = diag(σ_l'(z_l))``."""
    return diag(slope(z, l))


def slope(z: tuple[Array, ...], l: int) -> Array:  # noqa: E741
    """``σ_l'(z_l)``."""
    return SIGMA[l - 1].derivative(z[l - 1])


def Deltas(p: Network, x: Input, L: int) -> tuple[Array, ...]:
    """Line 306: ``Δ_L = C' A_L`` and ``Δ_l = Δ_{l+1} W_{l+1} A_l``, from ``Δ_1`` on."""
    z, a = values(p, x, L)
    found = [C_prime(a[L]) @ A(z, L)]
    for k in range(L - 1, 0, -1):
        found.insert(0, found[0] @ p.W(k + 1) @ A(z, k))
    return tuple(found)
