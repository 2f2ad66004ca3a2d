r"""Gradients and traces: from a differential to a gradient without touching an index.

The inner product of two matrices is ``<A, B> = tr(Aᵀ B)`` and its norm is Frobenius'. If the differential
of a scalar function ``f`` at ``X`` is ``df = tr(Aᵀ dX)``, then ``A`` is the gradient of ``f`` at ``X``: by
Cauchy-Schwarz no unit direction climbs faster than ``A / ‖A‖``, and it climbs at the rate ``‖A‖``.

Everything here is claimed: products by the product rule, norms by the chain rule, and the inequalities that
make the gradient the direction of steepest ascent.

Source: Magnus and Neudecker, *Matrix Differential Calculus*, chapters 1, 8 and 9.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad.claims import at_most, equal_to, gradient_of, hvp_of, jvp_of, vjp_of
from handgrad.matrices import matmul

__all__ = [
    "frobenius_norm",
    "frobenius_norm_differential",
    "frobenius_norm_gradient",
    "gradient_from_differential",
    "squared_frobenius_norm",
    "squared_frobenius_norm_differential",
    "squared_frobenius_norm_gradient",
    "steepest_ascent_direction",
    "trace_inner",
    "trace_inner_differential",
    "trace_inner_gradient",
]

# --- The inner product ------------------------------------------------------------------------------------


def trace_inner(A: Float[Array, "m n"], B: Float[Array, "m n"]) -> Float[Array, ""]:
    """``<A, B> = tr(Aᵀ B)``, the sum of the entry-wise products: no ``n × n`` product is formed."""
    return jnp.sum(A * B)


@equal_to(trace_inner)
def trace_inner_as_trace(A: Float[Array, "m n"], B: Float[Array, "m n"]) -> Float[Array, ""]:
    """The definition, ``tr(Aᵀ B)``."""
    return jnp.trace(matmul(A.T, B))


@equal_to(trace_inner)
def trace_inner_cyclic(A: Float[Array, "m n"], B: Float[Array, "m n"]) -> Float[Array, ""]:
    """The trace is cyclic: ``tr(Aᵀ B) = tr(B Aᵀ)``."""
    return jnp.trace(matmul(B, A.T))


@jvp_of(trace_inner, wrt=("A", "B"))
def trace_inner_differential(
    A: Float[Array, "m n"], B: Float[Array, "m n"], *, dA: Float[Array, "m n"], dB: Float[Array, "m n"]
) -> Float[Array, ""]:
    """The product rule under the trace: ``d tr(Aᵀ B) = tr(dAᵀ B) + tr(Aᵀ dB)``."""
    return trace_inner(dA, B) + trace_inner(A, dB)


@gradient_of(trace_inner, wrt=("A", "B"))
def trace_inner_gradient(
    A: Float[Array, "m n"], B: Float[Array, "m n"]
) -> tuple[Float[Array, "m n"], Float[Array, "m n"]]:
    """``tr(dAᵀ B) = tr(Bᵀ dA)``, so the gradient in ``A`` is ``B``, and the other way round."""
    return B, A


# --- Norms ------------------------------------------------------------------------------------------------


def squared_frobenius_norm(A: Float[Array, "m n"]) -> Float[Array, ""]:
    """``‖A‖² = tr(Aᵀ A)``."""
    return jnp.sum(A * A)


@jvp_of(squared_frobenius_norm, wrt="A")
def squared_frobenius_norm_differential(
    A: Float[Array, "m n"], *, dA: Float[Array, "m n"]
) -> Float[Array, ""]:
    """``d‖A‖² = tr(dAᵀ A) + tr(Aᵀ dA) = 2 tr(Aᵀ dA)``."""
    return 2 * trace_inner(A, dA)


@gradient_of(squared_frobenius_norm, wrt="A")
def squared_frobenius_norm_gradient(A: Float[Array, "m n"]) -> Float[Array, "m n"]:
    """Read off ``2 tr(Aᵀ dA)``: the gradient is ``2A``."""
    return 2 * A


@hvp_of(squared_frobenius_norm, wrt="A")
def squared_frobenius_norm_hessian_product(
    A: Float[Array, "m n"], *, dA: Float[Array, "m n"]
) -> Float[Array, "m n"]:
    """The gradient is linear: ``d(2A) = 2 dA``."""
    return 2 * dA


def frobenius_norm(A: Float[Array, "m n"]) -> Float[Array, ""]:
    """``‖A‖ = √tr(Aᵀ A)``. Its differential ``tr(Aᵀ dA) / ‖A‖`` does not exist at ``A = 0``."""
    return jnp.sqrt(jnp.sum(A * A))


def _normalised(A: Float[Array, "m n"]) -> Float[Array, "m n"]:
    """``A / ‖A‖``, and 0 at ``A = 0``; scaled first, so that no square over- or underflows."""
    largest = jnp.max(jnp.abs(A))
    scaled = A / jnp.where(largest > 0, largest, 1)
    return scaled / jnp.where(largest > 0, frobenius_norm(scaled), 1)


@gradient_of(frobenius_norm, wrt="A")
def frobenius_norm_gradient(A: Float[Array, "m n"]) -> Float[Array, "m n"]:
    """From ``2 ‖A‖ d‖A‖ = d‖A‖² = 2 tr(Aᵀ dA)``: the gradient is ``A / ‖A‖``.

    At ``A = 0`` every matrix of norm at most one is a subgradient; the smallest, 0, is returned.
    """
    return _normalised(A)


@jvp_of(frobenius_norm, wrt="A")
def frobenius_norm_differential(A: Float[Array, "m n"], *, dA: Float[Array, "m n"]) -> Float[Array, ""]:
    """``d‖A‖ = tr(Aᵀ dA) / ‖A‖``."""
    return trace_inner(_normalised(A), dA)


@hvp_of(frobenius_norm, wrt="A")
def frobenius_norm_hessian_product(A: Float[Array, "m n"], *, dA: Float[Array, "m n"]) -> Float[Array, "m n"]:
    """With ``U = A / ‖A‖``: ``dU = (dA - tr(Uᵀ dA) U) / ‖A‖``, the part of ``dA`` that does not change
    the norm."""
    U = _normalised(A)
    return (dA - trace_inner(U, dA) * U) / frobenius_norm(A)


# --- The inequalities behind "steepest" -------------------------------------------------------------------


def product_of_norms(A: Float[Array, "m n"], B: Float[Array, "m n"]) -> Float[Array, ""]:
    """``‖A‖ ‖B‖``."""
    return frobenius_norm(A) * frobenius_norm(B)


@at_most(product_of_norms)
def cauchy_schwarz(A: Float[Array, "m n"], B: Float[Array, "m n"]) -> Float[Array, ""]:
    """``|tr(Aᵀ B)| ≤ ‖A‖ ‖B‖``."""
    return jnp.abs(trace_inner(A, B))


def sum_of_norms(A: Float[Array, "m n"], B: Float[Array, "m n"]) -> Float[Array, ""]:
    """``‖A‖ + ‖B‖``."""
    return frobenius_norm(A) + frobenius_norm(B)


@at_most(sum_of_norms)
def triangle_inequality(A: Float[Array, "m n"], B: Float[Array, "m n"]) -> Float[Array, ""]:
    """``‖A + B‖ ≤ ‖A‖ + ‖B‖``, by expanding the square and Cauchy-Schwarz."""
    return frobenius_norm(A + B)


def steepest_ascent_direction(A: Float[Array, "m n"]) -> Float[Array, "m n"]:
    """The unit ``U`` that maximises ``tr(Aᵀ U)``: ``A / ‖A‖``.

    At ``A = 0`` no direction climbs and every one is steepest; the one with equal entries is returned.
    """
    at_zero = _normalised(jnp.ones_like(A))
    return jnp.where(jnp.any(A != 0), _normalised(A), at_zero)


def steepest_ascent(A: Float[Array, "m n"], B: Float[Array, "m n"]) -> Float[Array, ""]:
    """The rate of climb ``tr(Aᵀ U)`` along the steepest direction (whatever ``B`` is)."""
    return trace_inner(A, steepest_ascent_direction(A))


@at_most(steepest_ascent)
def ascent_along(A: Float[Array, "m n"], B: Float[Array, "m n"]) -> Float[Array, ""]:
    """Maximality: along any other unit direction ``B / ‖B‖`` the climb is no faster."""
    return trace_inner(A, _normalised(B))


@equal_to(frobenius_norm)
def fastest_climb(A: Float[Array, "m n"]) -> Float[Array, ""]:
    """``tr(Aᵀ U) = ‖A‖``: the rate of climb along the gradient is its norm, and ``L(U) U`` is the gradient
    again.
    """
    return trace_inner(A, steepest_ascent_direction(A))


# --- From a differential to a gradient --------------------------------------------------------------------


def gradient_from_differential(L: Callable[..., Array], like: Float[Array, "..."]) -> Float[Array, "..."]:
    """The array ``A`` with ``L(dX) = tr(Aᵀ dX)`` for every ``dX``.

    ``L`` is a linear scalar function of an array (or pytree) shaped like ``like``, whose values do not
    matter. ``A`` is the transpose of ``L`` applied to 1, found in one pass over ``L``.

    Raises ``ValueError`` if ``L`` is not scalar-valued, or not linear.
    """
    shaped = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf), jnp.result_type(leaf)), like)
    out = jax.eval_shape(L, shaped)
    if getattr(out, "shape", None) != ():
        raise ValueError(
            f"gradient_from_differential: L returns {out}; wanted a scalar: "
            "the differential of a scalar function"
        )
    try:
        (gradient,) = jax.linear_transpose(L, shaped)(jnp.ones((), out.dtype))
    except (NotImplementedError, TypeError, AssertionError) as error:
        raise ValueError(
            "gradient_from_differential: L is not linear in dX; wanted a differential such as "
            "lambda dX: 2 * trace_inner(A, dX)"
        ) from error
    return gradient


@vjp_of(trace_inner, wrt=("A", "B"))
def trace_inner_transposed(
    A: Float[Array, "m n"], B: Float[Array, "m n"], *, cotangent: Float[Array, ""]
) -> tuple[Float[Array, "m n"], Float[Array, "m n"]]:
    """The theorem at work: both gradients out of the two halves of the differential."""
    zero = jnp.zeros_like(A)
    in_A = gradient_from_differential(lambda dA: trace_inner_differential(A, B, dA=dA, dB=zero), A)
    in_B = gradient_from_differential(lambda dB: trace_inner_differential(A, B, dA=zero, dB=dB), B)
    return cotangent * in_A, cotangent * in_B


@gradient_of(squared_frobenius_norm, wrt="A", name="squared_frobenius_norm_from_differential")
def _squared_norm_from_differential(A: Float[Array, "m n"]) -> Float[Array, "m n"]:
    """The same theorem: ``2A`` out of ``2 tr(Aᵀ dA)``."""
    return gradient_from_differential(lambda dA: squared_frobenius_norm_differential(A, dA=dA), A)
