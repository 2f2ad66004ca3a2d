r"""Lines 299 to 339: backpropagation as a product of matrices, with columns ``n × 1`` and rows ``1 × n``.

A product with a differential, such as ``Δ_l (dW_l a_{l-1} + db_l)``, is what one layer contributes; executed are all
layers at once, whose contributions add up to the differential by JAX.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array

from handgrad.claims import equal_to, gradient_of, jvp_of
from handgrad.post.network import (
    A,
    C,
    C_prime,
    Column,
    Deep,
    Deltas,
    Depth,
    Input,
    Network,
    cost,
    cost_by_layer,
    errors_by_layer,
    output,
    slope,
    values,
)
from handgrad.post.notation import Scalar, diag, odot, tr
from handgrad.post.places import corrected, place, printed

# --- The long product -------------------------------------------------------------------------------------

INDICES = "k and l are any two layers; executed with L = 3, l = 1, k = 2."
place(
    "L300",
    r"d a_L = A_L W_L A_{L -1} W_{L - 1} \ldots A_k (dW_l a_{l-1} + db_l)",
    instead=r"d a_L = A_L W_L A_{L -1} W_{L - 1} \ldots A_l (dW_l a_{l-1} + db_l)",
    note=INDICES,
)


def output_of_three(p: Network, x: Input) -> Array:
    """``a_3``, of which only the first layer moves."""
    still = jax.lax.stop_gradient(p)
    return output(Network(p.W1, p.b1, *still[2:]), x, 3)


@printed(jvp_of, output_of_three, "L300", wrt="p", expect="wrong")
def product_to_another_layer(p: Network, x: Input, *, dp: Network) -> Array:
    z, a = values(p, x, 3)
    A_3, W_3, A_k, a_0 = A(z, 3), p.W3, A(z, 2), a[0]
    dW_1, db_1 = dp.W1, dp.b1
    return A_3 @ W_3 @ A_k @ (dW_1 @ a_0 + db_1)


@corrected(jvp_of, output, "L300", wrt="p")
def long_product(p: Network, x: Input, L: Depth, *, dp: Network) -> Array:
    z, a = values(p, x, L)
    product, total = A(z, L), jnp.zeros_like(a[L])
    for k in range(L, 0, -1):
        total += product @ (dp.W(k) @ a[k - 1] + dp.b(k))
        if k > 1:
            product = product @ p.W(k) @ A(z, k - 1)
    return total


place("L304", "d C = C' d a_L")


@printed(jvp_of, C, "L304", wrt="a")
def differential_of_loss(a: Column, *, da: Column) -> Scalar:
    return (C_prime(a) @ da)[0, 0]


place("L306a", r"\Delta_L = C' A_L", note="Δ_l is the derivative of C in z_l, a row.")
place("L306b", r"\Delta_l = \Delta_{l+1} W_{l+1} A_l")


def last_of_cost(p: Network, x: Input, L: Depth) -> Array:
    """``Δ_L``, by JAX."""
    return cost_by_layer(p, x, L)[-1]


def others_of_cost(p: Network, x: Input, L: Deep) -> tuple[Array, ...]:
    """``Δ_1, …, Δ_{L-1}``, by JAX."""
    return cost_by_layer(p, x, L)[:-1]


@printed(equal_to, last_of_cost, "L306a")
def last_Delta(p: Network, x: Input, L: Depth) -> Array:
    z, a = values(p, x, L)
    return C_prime(a[L]) @ A(z, L)


@printed(equal_to, others_of_cost, "L306b")
def recursion_of_Delta(p: Network, x: Input, L: Deep) -> tuple[Array, ...]:
    z, Delta = values(p, x, L).z, cost_by_layer(p, x, L)
    return tuple(Delta[k] @ p.W(k + 1) @ A(z, k) for k in range(1, L))


place(
    "L308",
    r"d C = \Delta_l (d W_l a_{k-1} + d b_l)",
    instead=r"d C = \Delta_l (d W_l a_{l-1} + d b_l)",
    note=INDICES,
)


def cost_of_three(p: Network, x: Input) -> Scalar:
    """``C(a_3)``, of which only the first layer moves."""
    return C(output_of_three(p, x))


@printed(jvp_of, cost_of_three, "L308", wrt="p", expect="wrong")
def another_input(p: Network, x: Input, *, dp: Network) -> Scalar:
    Delta_1, a_k_minus_1 = Deltas(p, x, 3)[0], values(p, x, 3).a[1]
    return (Delta_1 @ (dp.W1 @ a_k_minus_1 + dp.b1))[0, 0]


@corrected(jvp_of, cost, "L308", wrt="p")
def own_input(p: Network, x: Input, L: Depth, *, dp: Network) -> Scalar:
    a, Delta = values(p, x, L).a, Deltas(p, x, L)
    each = [(Delta[k - 1] @ (dp.W(k) @ a[k - 1] + dp.b(k)))[0, 0] for k in range(1, L + 1)]
    return sum(each[1:], each[0])


place("L311a", r"d C = \Delta_l (d W_l a_{l-1} + d b_l)")
place("L311b", r"\Delta_l (d W_l a_{l-1} + d b_l) = \operatorname{tr}(\Delta_l (d W_l a_{l-1} + d b_l))")
place("L314", r"\operatorname{tr}(a_{l-1}\Delta_l d W_l) + \operatorname{tr}(\Delta_l d b_l)")


@printed(jvp_of, cost, "L311a", wrt="p")
def row_times_column(p: Network, x: Input, L: Depth, *, dp: Network) -> Scalar:
    return own_input(p, x, L, dp=dp)


@printed(jvp_of, cost, "L311b", wrt="p")
def trace_of_number(p: Network, x: Input, L: Depth, *, dp: Network) -> Scalar:
    a, Delta = values(p, x, L).a, Deltas(p, x, L)
    each = [tr(Delta[k - 1] @ (dp.W(k) @ a[k - 1] + dp.b(k))) for k in range(1, L + 1)]
    return sum(each[1:], each[0])


@printed(jvp_of, cost, "L314", wrt="p")
def trace_exchanged(p: Network, x: Input, L: Depth, *, dp: Network) -> Scalar:
    a, Delta = values(p, x, L).a, Deltas(p, x, L)
    each = [tr(a[k - 1] @ Delta[k - 1] @ dp.W(k)) + tr(Delta[k - 1] @ dp.b(k)) for k in range(1, L + 1)]
    return sum(each[1:], each[0])


# --- The gradients ----------------------------------------------------------------------------------------


def weights_only(p: Network, x: Input, L: Depth) -> Scalar:
    """``C(a_L)``, of which only the weights move."""
    still = jax.lax.stop_gradient(p)
    return cost(Network(p.W1, still.b1, p.W2, still.b2, p.W3, still.b3), x, L)


def biases_only(p: Network, x: Input, L: Depth) -> Scalar:
    """``C(a_L)``, of which only the biases move."""
    still = jax.lax.stop_gradient(p)
    return cost(Network(still.W1, p.b1, still.W2, p.b2, still.W3, p.b3), x, L)


def _with(p: Network, **fields: Array) -> Network:
    return jax.tree.map(jnp.zeros_like, p)._replace(**fields)


place("L318a", r"\nabla_{W_l} C = \Delta_l^T a_{l-1}^T")
place("L318b", r"\nabla_{b_l} C = \Delta_l^T")


@printed(gradient_of, weights_only, "L318a", wrt="p")
def gradient_in_weights(p: Network, x: Input, L: Depth) -> Network:
    a, Delta = values(p, x, L).a, Deltas(p, x, L)
    return _with(p, **{f"W{k}": Delta[k - 1].T @ a[k - 1].T for k in range(1, L + 1)})


@printed(gradient_of, biases_only, "L318b", wrt="p")
def gradient_in_biases(p: Network, x: Input, L: Depth) -> Network:
    Delta = Deltas(p, x, L)
    return _with(p, **{f"b{k}": Delta[k - 1].T for k in range(1, L + 1)})


place("L322", r"\delta_k = \Delta_k^T", note="δ_l is the derivative of C in z_l, a column.")
place("L325a", r"\delta_L = A_L^T C'^T")
place("L325b", r"A_L^T C'^T = \operatorname{diag}(\sigma'(z_L)) C'^T")
place("L325c", r"\operatorname{diag}(\sigma'(z_L)) C'^T = \sigma'(z_L) \odot \nabla_{a_L} C")
place("L330a", r"\delta_l = A_l^T W_{l + 1}^T \Delta_{l+1}^T")
place(
    "L330b",
    r"A_l^T W_{l + 1}^T \Delta_{l+1}^T = \operatorname{diag}(\sigma'(z_l)) W_{l + 1}^T \delta_{l + 1}",
)
place(
    "L330c",
    r"\operatorname{diag}(\sigma'(z_l)) W_{l + 1}^T \delta_{l + 1} = \sigma'(z_l) \odot W_{l + 1}^T \delta_l",
    instead=r"\operatorname{diag}(\sigma'(z_l)) W_{l + 1}^T \delta_{l + 1} = \sigma'(z_l) \odot W_{l + 1}^T "
    r"\delta_{l + 1}",
    note="⊙ binds less than the matrix product.",
)


def last_error(p: Network, x: Input, L: Depth) -> Array:
    """``δ_L``, by JAX."""
    return errors_by_layer(p, x, L)[-1]


def other_errors(p: Network, x: Input, L: Deep) -> tuple[Array, ...]:
    """``δ_1, …, δ_{L-1}``, by JAX."""
    return errors_by_layer(p, x, L)[:-1]


@printed(equal_to, errors_by_layer, "L322")
def transposed_Delta(p: Network, x: Input, L: Depth) -> tuple[Array, ...]:
    return tuple(Delta.T for Delta in Deltas(p, x, L))


@printed(equal_to, last_error, "L325a")
def last_transposed(p: Network, x: Input, L: Depth) -> Array:
    z, a = values(p, x, L)
    return A(z, L).T @ C_prime(a[L]).T


@printed(equal_to, last_error, "L325b")
def last_by_diagonal(p: Network, x: Input, L: Depth) -> Array:
    z, a = values(p, x, L)
    return diag(slope(z, L)) @ C_prime(a[L]).T


@printed(equal_to, last_error, "L325c")
def last_by_entry(p: Network, x: Input, L: Depth) -> Array:
    z, a = values(p, x, L)
    return odot(slope(z, L), jax.grad(C)(a[L]))


@printed(equal_to, other_errors, "L330a")
def error_transposed(p: Network, x: Input, L: Deep) -> tuple[Array, ...]:
    z, Delta = values(p, x, L).z, Deltas(p, x, L)
    return tuple(A(z, k).T @ p.W(k + 1).T @ Delta[k].T for k in range(1, L))


@printed(equal_to, other_errors, "L330b")
def error_by_diagonal(p: Network, x: Input, L: Deep) -> tuple[Array, ...]:
    z, delta = values(p, x, L).z, errors_by_layer(p, x, L)
    return tuple(diag(slope(z, k)) @ p.W(k + 1).T @ delta[k] for k in range(1, L))


@printed(equal_to, other_errors, "L330c", expect="wrong")
def error_from_itself(p: Network, x: Input, L: Deep) -> tuple[Array, ...]:
    z, delta = values(p, x, L).z, errors_by_layer(p, x, L)
    return tuple(odot(slope(z, k), p.W(k + 1).T @ delta[k - 1]) for k in range(1, L))


@corrected(equal_to, other_errors, "L330c")
def error_from_next(p: Network, x: Input, L: Deep) -> tuple[Array, ...]:
    z, delta = values(p, x, L).z, errors_by_layer(p, x, L)
    return tuple(odot(slope(z, k), p.W(k + 1).T @ delta[k]) for k in range(1, L))


place("L336a", r"\nabla_{W_l} C = \delta_l a_{l-1}^T")
place("L336b", r"\nabla_{b_l} C = \delta_l")
place("L338", words="the result is that of the matrix form of backpropagation on Wikipedia",
      note="There ∇_x C is the product of the transposed weights and slopes, down to the input.")  # fmt: skip


@printed(gradient_of, weights_only, "L336a", wrt="p")
def outer_product(p: Network, x: Input, L: Depth) -> Network:
    a, delta = values(p, x, L).a, errors_by_layer(p, x, L)
    return _with(p, **{f"W{k}": delta[k - 1] @ a[k - 1].T for k in range(1, L + 1)})


@printed(gradient_of, biases_only, "L336b", wrt="p")
def error_itself(p: Network, x: Input, L: Depth) -> Network:
    delta = errors_by_layer(p, x, L)
    return _with(p, **{f"b{k}": delta[k - 1] for k in range(1, L + 1)})


@printed(gradient_of, cost, "L338", wrt="x")
def gradient_in_input(p: Network, x: Input, L: Depth) -> Input:
    z, a = values(p, x, L)
    g = jax.grad(C)(a[L])
    for k in range(L, 0, -1):
        g = p.W(k).T @ odot(slope(z, k), g)
    return g


@printed(gradient_of, weights_only, "L338", "weights", wrt="p")
def wikipedia(p: Network, x: Input, L: Depth) -> Network:
    z, a = values(p, x, L)
    delta = odot(slope(z, L), jax.grad(C)(a[L]))
    gradient = {f"W{L}": delta @ a[L - 1].T}
    for k in range(L, 1, -1):
        delta = odot(slope(z, k - 1), p.W(k).T @ delta)
        gradient[f"W{k - 1}"] = delta @ a[k - 2].T
    return _with(p, **gradient)
