r"""Lines 271 to 298: the values of a network and the differential of one layer, ``⊙`` turned into a product."""

from __future__ import annotations

import jax
from jaxtyping import Array, Float

from handgrad.claims import equal_to, jvp_of
from handgrad.post.network import Column, Depth, Input, Network, values
from handgrad.post.notation import SIGMA, diag, odot
from handgrad.post.places import not_executable, place, printed

# --- One layer --------------------------------------------------------------------------------------------

place("L272a", "a_0 = x")
place("L272b", "z_l = W_l a_{l - 1} + b_l")
place("L272c", r"a_l = \sigma(z_l)", note="σ at z_l is σ_l of line 218.")


def input_of(p: Network, x: Input, L: Depth) -> Input:
    """``a_0`` of the forward pass."""
    return values(p, x, L).a[0]


def pre_activations(p: Network, x: Input, L: Depth) -> tuple[Array, ...]:
    """``z_1, …, z_L``."""
    return values(p, x, L).z


def outputs_of(p: Network, x: Input, L: Depth) -> tuple[Array, ...]:
    """``a_1, …, a_L``."""
    return values(p, x, L).a[1:]


@printed(equal_to, input_of, "L272a")
def input_itself(p: Network, x: Input, L: Depth) -> Input:
    return x


@printed(equal_to, pre_activations, "L272b")
def affine(p: Network, x: Input, L: Depth) -> tuple[Array, ...]:
    a = values(p, x, L).a
    return tuple(p.W(k) @ a[k - 1] + p.b(k) for k in range(1, L + 1))


@printed(equal_to, outputs_of, "L272c")
def activated(p: Network, x: Input, L: Depth) -> tuple[Array, ...]:
    z = values(p, x, L).z
    return tuple(SIGMA[k - 1].apply(z[k - 1]) for k in range(1, L + 1))


Weight = Float[Array, "m n"]
Bias = Float[Array, "m 1"]
sigma = SIGMA[1]


def activation_of(z: Column) -> Column:
    """``a_l = σ(z_l)``."""
    return sigma.apply(z)


def affine_layer(W: Weight, a: Column, b: Bias) -> Bias:
    """``z_l = W_l a_{l-1} + b_l``."""
    return W @ a + b


def layer(W: Weight, a: Column, b: Bias) -> Bias:
    """``a_l = σ(W_l a_{l-1} + b_l)``."""
    return sigma.apply(W @ a + b)


place("L278a", r"d a_l = d (\sigma (z_l))")
place("L278b", r"d (\sigma (z_l)) = \sigma'(z_l) \odot d z_l")
place("L279a", r"d z_l = d (W_l a_{l - 1} + b_l)")
place("L279b", r"d (W_l a_{l - 1} + b_l) = d W_l a_{l - 1} + W_l d a_{l - 1} + d b_l")


@printed(jvp_of, activation_of, "L278a", wrt="z")
def differential_of_activation(z: Column, *, dz: Column) -> Column:
    return jax.jvp(lambda z: sigma.value(z), (z,), (dz,))[1]


@printed(jvp_of, activation_of, "L278b", wrt="z")
def slope_times_differential(z: Column, *, dz: Column) -> Column:
    return odot(sigma.derivative(z), dz)


@printed(jvp_of, affine_layer, "L279a", wrt=("W", "a", "b"))
def differential_of_affine(W: Weight, a: Column, b: Bias, *, dW: Weight, da: Column, db: Bias) -> Bias:
    return jax.jvp(lambda W, a, b: W @ a + b, (W, a, b), (dW, da, db))[1]


@printed(jvp_of, affine_layer, "L279b", wrt=("W", "a", "b"))
def product_rule(W: Weight, a: Column, b: Bias, *, dW: Weight, da: Column, db: Bias) -> Bias:
    return dW @ a + W @ da + db


SET = "a substitution, made in the formula that follows it"
not_executable("L284a", "d b_l = 0", reason=SET)
not_executable("L284b", "d a_{l - 1} = 0", reason=SET)
place("L284c", r"d a_l = \sigma'(z_l) \odot dW_l a_{l-1}", note="⊙ binds less than the matrix product.")
not_executable("L286a", "d W_l = 0", reason=SET)
not_executable("L286b", "d a_{l - 1} = 0", reason=SET)
place("L286c", r"d a_l = \sigma'(z_l) \odot d b_l")
place("L291", r"u \odot v = \operatorname{diag}(u) v")
place("L293", r"A_l = \operatorname{diag}(\sigma'(z_l))", note="Executed as da_l = A_l dz_l.")
place("L296", "d a_l = A_l d W_l a_{l - 1}")
place("L298", "d a_l = A_l d b_l")


@printed(jvp_of, layer, "L284c", wrt="W")
def in_weights(W: Weight, a: Column, b: Bias, *, dW: Weight) -> Bias:
    return odot(sigma.derivative(W @ a + b), dW @ a)


@printed(jvp_of, layer, "L286c", wrt="b")
def in_bias(W: Weight, a: Column, b: Bias, *, db: Bias) -> Bias:
    return odot(sigma.derivative(W @ a + b), db)


def product_of_entries(u: Column, v: Column) -> Column:
    """``u ⊙ v``."""
    return odot(u, v)


@printed(equal_to, product_of_entries, "L291")
def diagonal_trick(u: Column, v: Column) -> Column:
    return diag(u) @ v


@printed(jvp_of, activation_of, "L293", wrt="z")
def diagonal_of_slopes(z: Column, *, dz: Column) -> Column:
    A_l = diag(sigma.derivative(z))
    return A_l @ dz


@printed(jvp_of, layer, "L296", wrt="W")
def diagonal_in_weights(W: Weight, a: Column, b: Bias, *, dW: Weight) -> Bias:
    A_l = diag(sigma.derivative(W @ a + b))
    return A_l @ dW @ a


@printed(jvp_of, layer, "L298", wrt="b")
def diagonal_in_bias(W: Weight, a: Column, b: Bias, *, db: Bias) -> Bias:
    A_l = diag(sigma.derivative(W @ a + b))
    return A_l @ db
