r"""Products, quadratic forms, inverses and determinants: the rules that the other files are built from.

With ``d(AB) = dA B + A dB`` and the cyclic trace alone: for a cotangent ``C`` (the gradient in the output),
``tr(Cᵀ dA B) = tr((C Bᵀ)ᵀ dA)`` and ``tr(Cᵀ A dB) = tr((Aᵀ C)ᵀ dB)``.

Source: Magnus and Neudecker, *Matrix Differential Calculus*, chapters 8 and 9; Giles, *Collected matrix
derivative results for forward and reverse mode algorithmic differentiation* (2008).
"""

from __future__ import annotations

from typing import Annotated

import jax.numpy as jnp
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, Float

from handgrad.claims import at_most, equal_to, gradient_of, hvp_of, jvp_of, value_and_gradient_of, vjp_of
from handgrad.domains import spd

__all__ = [
    "hadamard",
    "log_determinant",
    "log_determinant_gradient",
    "matmul",
    "matmul_differential",
    "matmul_vjp",
    "quadratic_form",
    "quadratic_form_gradient",
    "spd_inverse",
    "spd_solve",
]

# --- Products ----------------------------------------------------------------------------------------------


def matmul(A: Float[Array, "m k"], B: Float[Array, "k n"]) -> Float[Array, "m n"]:
    """``A B``."""
    return A @ B


@jvp_of(matmul, wrt=("A", "B"))
def matmul_differential(
    A: Float[Array, "m k"], B: Float[Array, "k n"], *, dA: Float[Array, "m k"], dB: Float[Array, "k n"]
) -> Float[Array, "m n"]:
    """The product rule, in this order: ``d(AB) = dA B + A dB``."""
    return dA @ B + A @ dB


@vjp_of(matmul, wrt=("A", "B"))
def matmul_vjp(
    A: Float[Array, "m k"], B: Float[Array, "k n"], *, cotangent: Float[Array, "m n"]
) -> tuple[Float[Array, "m k"], Float[Array, "k n"]]:
    """``tr(Cᵀ d(AB)) = tr((C Bᵀ)ᵀ dA) + tr((Aᵀ C)ᵀ dB)``."""
    return cotangent @ B.T, A.T @ cotangent


def norm_bound(A: Float[Array, "m k"], B: Float[Array, "k n"]) -> Float[Array, ""]:
    """``‖A‖ ‖B‖``."""
    return jnp.sqrt(jnp.sum(A * A)) * jnp.sqrt(jnp.sum(B * B))


@at_most(norm_bound)
def norm_of_product(A: Float[Array, "m k"], B: Float[Array, "k n"]) -> Float[Array, ""]:
    """The Frobenius norm is submultiplicative: ``‖AB‖ ≤ ‖A‖ ‖B‖``, Cauchy-Schwarz entry by entry."""
    AB = A @ B
    return jnp.sqrt(jnp.sum(AB * AB))


def hadamard(u: Float[Array, "n"], v: Float[Array, "n"]) -> Float[Array, "n"]:
    """The entry-wise product ``u ⊙ v``."""
    return u * v


@equal_to(hadamard)
def hadamard_as_matrix(u: Float[Array, "n"], v: Float[Array, "n"]) -> Float[Array, "n"]:
    """``u ⊙ v = diag(u) v``: what lets a chain of layers be written with matrix products only."""
    return jnp.diag(u) @ v


@jvp_of(hadamard, wrt=("u", "v"))
def hadamard_differential(
    u: Float[Array, "n"], v: Float[Array, "n"], *, du: Float[Array, "n"], dv: Float[Array, "n"]
) -> Float[Array, "n"]:
    """``d(u ⊙ v) = du ⊙ v + u ⊙ dv``."""
    return du * v + u * dv


@vjp_of(hadamard, wrt=("u", "v"))
def hadamard_vjp(
    u: Float[Array, "n"], v: Float[Array, "n"], *, cotangent: Float[Array, "n"]
) -> tuple[Float[Array, "n"], Float[Array, "n"]]:
    """``diag(u)`` is symmetric, so it is its own transpose: ``c ⊙ v`` and ``c ⊙ u``."""
    return cotangent * v, cotangent * u


# --- Quadratic forms ---------------------------------------------------------------------------------------


def quadratic_form(A: Float[Array, "n n"], x: Float[Array, "n"]) -> Float[Array, ""]:
    """``xᵀ A x``, with ``A`` any square matrix."""
    return x @ (A @ x)


@equal_to(quadratic_form)
def quadratic_form_as_trace(A: Float[Array, "n n"], x: Float[Array, "n"]) -> Float[Array, ""]:
    """A scalar is its own trace: ``xᵀ A x = tr(A x xᵀ)``."""
    return jnp.trace(A @ jnp.outer(x, x))


@jvp_of(quadratic_form, wrt=("A", "x"))
def quadratic_form_differential(
    A: Float[Array, "n n"], x: Float[Array, "n"], *, dA: Float[Array, "n n"], dx: Float[Array, "n"]
) -> Float[Array, ""]:
    """``d(xᵀ A x) = xᵀ dA x + dxᵀ A x + xᵀ A dx``."""
    return x @ (dA @ x) + dx @ (A @ x) + x @ (A @ dx)


@gradient_of(quadratic_form, wrt=("A", "x"))
def quadratic_form_gradient(
    A: Float[Array, "n n"], x: Float[Array, "n"]
) -> tuple[Float[Array, "n n"], Float[Array, "n"]]:
    """``xᵀ dA x = tr((x xᵀ)ᵀ dA)``; the other two terms are ``((A + Aᵀ) x)ᵀ dx``. ``2 A x`` only if ``A = Aᵀ``."""
    return jnp.outer(x, x), A @ x + A.T @ x


@hvp_of(quadratic_form, wrt="x")
def quadratic_form_hessian_product(
    A: Float[Array, "n n"], x: Float[Array, "n"], *, dx: Float[Array, "n"]
) -> Float[Array, "n"]:
    """The gradient ``(A + Aᵀ) x`` is linear in ``x``."""
    return A @ dx + A.T @ dx


# --- Inverse, solve, determinant: symmetric positive definite matrices ---------------------------------------


def spd_solve(S: Annotated[Float[Array, "n n"], spd], B: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """``S⁻¹ B`` by the Cholesky factor of the symmetric part of ``S`` (NaN if that is not positive definite).

    float32 and float64 only, as all of JAX's linear algebra.
    """
    return cho_solve((jnp.linalg.cholesky(S), True), B)


def _symmetric_part(S: Float[Array, "n n"]) -> Float[Array, "n n"]:
    return (S + S.T) / 2


@jvp_of(spd_solve, wrt=("S", "B"))
def spd_solve_differential(
    S: Annotated[Float[Array, "n n"], spd],
    B: Float[Array, "n k"],
    *,
    dS: Float[Array, "n n"],
    dB: Float[Array, "n k"],
) -> Float[Array, "n k"]:
    """From ``S Z = B``: ``dS Z + S dZ = dB``, so ``dZ = S⁻¹ (dB - dS Z)``; of ``dS`` the symmetric part counts."""
    Z = spd_solve(S, B)
    return spd_solve(S, dB - _symmetric_part(dS) @ Z)


@vjp_of(spd_solve, wrt=("S", "B"))
def spd_solve_vjp(
    S: Annotated[Float[Array, "n n"], spd], B: Float[Array, "n k"], *, cotangent: Float[Array, "n k"]
) -> tuple[Float[Array, "n n"], Float[Array, "n k"]]:
    """``tr(Cᵀ S⁻¹ (dB - dS Z))``: with ``G = S⁻ᵀ C`` the cotangents are ``-G Zᵀ``, symmetrised, and ``G``."""
    Z, G = spd_solve(S, B), spd_solve(S, cotangent)
    return _symmetric_part(-G @ Z.T), G


def spd_inverse(S: Annotated[Float[Array, "n n"], spd]) -> Float[Array, "n n"]:
    """``S⁻¹``, of the symmetric part of ``S``."""
    return spd_solve(S, jnp.eye(S.shape[0], dtype=S.dtype))


@jvp_of(spd_inverse, wrt="S")
def spd_inverse_differential(
    S: Annotated[Float[Array, "n n"], spd], *, dS: Float[Array, "n n"]
) -> Float[Array, "n n"]:
    """From ``S S⁻¹ = I``: ``d(S⁻¹) = -S⁻¹ dS S⁻¹``."""
    inverse = spd_inverse(S)
    return -inverse @ _symmetric_part(dS) @ inverse


@vjp_of(spd_inverse, wrt="S")
def spd_inverse_vjp(
    S: Annotated[Float[Array, "n n"], spd], *, cotangent: Float[Array, "n n"]
) -> Float[Array, "n n"]:
    """``-tr(Cᵀ S⁻¹ dS S⁻¹) = tr((-S⁻ᵀ C S⁻ᵀ)ᵀ dS)``."""
    inverse = spd_inverse(S)
    return -inverse @ _symmetric_part(cotangent) @ inverse


def log_determinant(S: Annotated[Float[Array, "n n"], spd]) -> Float[Array, ""]:
    """``log det S``, twice the sum of the logarithms of the diagonal of the Cholesky factor."""
    return 2 * jnp.sum(jnp.log(jnp.diagonal(jnp.linalg.cholesky(S))))


@jvp_of(log_determinant, wrt="S")
def log_determinant_differential(
    S: Annotated[Float[Array, "n n"], spd], *, dS: Float[Array, "n n"]
) -> Float[Array, ""]:
    """Jacobi's formula, ``d log det S = tr(S⁻¹ dS)``."""
    return jnp.trace(spd_solve(S, _symmetric_part(dS)))


@gradient_of(log_determinant, wrt="S")
def log_determinant_gradient(S: Annotated[Float[Array, "n n"], spd]) -> Float[Array, "n n"]:
    """Read off ``tr(S⁻¹ dS)``: the gradient is ``S⁻ᵀ = S⁻¹``."""
    return spd_inverse(S)


@hvp_of(log_determinant, wrt="S")
def log_determinant_hessian_product(
    S: Annotated[Float[Array, "n n"], spd], *, dS: Float[Array, "n n"]
) -> Float[Array, "n n"]:
    """The differential of the gradient: ``-S⁻¹ dS S⁻¹``. Negative definite, so ``log det`` is concave."""
    return spd_inverse_differential(S, dS=dS)


@value_and_gradient_of(log_determinant, wrt="S")
def log_determinant_value_and_gradient(
    S: Annotated[Float[Array, "n n"], spd],
) -> tuple[Float[Array, ""], Float[Array, "n n"]]:
    """Both from one Cholesky factor."""
    factor = jnp.linalg.cholesky(S)
    value = 2 * jnp.sum(jnp.log(jnp.diagonal(factor)))
    return value, cho_solve((factor, True), jnp.eye(S.shape[0], dtype=S.dtype))
