r"""Products, quadratic forms, inverses and determinants: the rules that the other files are built from.

With ``d(AB) = dA B + A dB`` and the cyclic trace alone: for a cotangent ``C`` (the gradient in the output),
``tr(Cᵀ dA B) = tr((C Bᵀ)ᵀ dA)`` and ``tr(Cᵀ A dB) = tr((Aᵀ C)ᵀ dB)``.

Source: Magnus and Neudecker, *Matrix Differential Calculus*, chapters 8 and 9; Giles, *Collected matrix
derivative results for forward and reverse mode algorithmic differentiation* (2008).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

from handgrad.claims import at_most, equal_to, gradient_of, hvp_of, jvp_of, vjp_of
from handgrad.domains import spd

__all__ = [
    "hadamard",
    "inverse",
    "inverse_differential",
    "inverse_vjp",
    "log_determinant",
    "log_determinant_gradient",
    "matmul",
    "matmul_differential",
    "matmul_vjp",
    "quadratic_form",
    "quadratic_form_gradient",
    "solve",
    "solve_differential",
    "solve_vjp",
]

# --- Products ---------------------------------------------------------------------------------------------


def matmul(A: Float[Array, "m k"], B: Float[Array, "k n"]) -> Float[Array, "m n"]:
    """``A B``; also of a matrix and a column.

    On a mesh with Explicit axes, where JAX wants to be told the sharding of a product over an axis that is
    spread over devices (the columns of a data set), the rows of the result lie as those of ``A``, its
    columns as those of ``B``; where both would lie on the same devices, all of it is on each.
    """
    left, right = (jax.typeof(factor).sharding.spec for factor in (A, B))
    lying = (left[0], *right[1:])
    clash = left[0] is not None and left[0] in right[1:]
    if left[1] is None and right[0] is None and not clash:
        return A @ B
    return jnp.matmul(A, B, out_sharding=PartitionSpec(*(None if clash else axis for axis in lying)))


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
    return matmul(cotangent, B.T), matmul(A.T, cotangent)


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


# --- Quadratic forms --------------------------------------------------------------------------------------


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
    """``xᵀ dA x = tr((x xᵀ)ᵀ dA)``; the other two terms are ``((A + Aᵀ) x)ᵀ dx``. ``2 A x`` only for a
    symmetric ``A``."""
    return jnp.outer(x, x), A @ x + A.T @ x


@hvp_of(quadratic_form, wrt="x")
def quadratic_form_hessian_product(
    A: Float[Array, "n n"], x: Float[Array, "n"], *, dx: Float[Array, "n"]
) -> Float[Array, "n"]:
    """The gradient ``(A + Aᵀ) x`` is linear in ``x``."""
    return A @ dx + A.T @ dx


# --- Solve, inverse, determinant (float32 and float64 only, as JAX's linear algebra) ----------------------


SOLVABLE = ("float64", "float32")


def invertible(sizes: Mapping[str, int]) -> Any:
    """A Hypothesis strategy for ``n × n`` matrices far from singular and far from symmetric, for the
    claims."""
    from hypothesis import strategies as st

    def matrix(seed: int) -> np.ndarray:
        rng, n = np.random.default_rng(seed), sizes["n"]
        dominant = rng.choice([-1.0, 1.0], size=n) * rng.uniform(1, 3, size=n)
        return np.diag(dominant) + rng.uniform(-1, 1, size=(n, n)) * (0.8 / n)

    return st.integers(0, 2**32 - 1).map(matrix)


def solve(A: Float[Array, "n n"], B: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """``Z = A⁻¹ B``."""
    return jnp.linalg.solve(A, B)


@jvp_of(solve, wrt=("A", "B"), given={"A": invertible}, dtypes=SOLVABLE)
def solve_differential(
    A: Float[Array, "n n"], B: Float[Array, "n k"], *, dA: Float[Array, "n n"], dB: Float[Array, "n k"]
) -> Float[Array, "n k"]:
    """From ``A Z = B``: ``dA Z + A dZ = dB``, so ``dZ = A⁻¹ (dB - dA Z)``."""
    Z = solve(A, B)
    return solve(A, dB - dA @ Z)


@vjp_of(solve, wrt=("A", "B"), given={"A": invertible}, dtypes=SOLVABLE)
def solve_vjp(
    A: Float[Array, "n n"], B: Float[Array, "n k"], *, cotangent: Float[Array, "n k"]
) -> tuple[Float[Array, "n n"], Float[Array, "n k"]]:
    """``tr(Cᵀ A⁻¹ (dB - dA Z))``: with ``G = A⁻ᵀ C`` the cotangents are ``-G Zᵀ`` and ``G``."""
    Z, G = solve(A, B), solve(A.T, cotangent)
    return matmul(-G, Z.T), G


def inverse(A: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """``A⁻¹``."""
    return jnp.linalg.solve(A, jnp.eye(A.shape[0], dtype=A.dtype))


@jvp_of(inverse, wrt="A", given={"A": invertible}, dtypes=SOLVABLE)
def inverse_differential(A: Float[Array, "n n"], *, dA: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """From ``A A⁻¹ = I``: ``d(A⁻¹) = -A⁻¹ dA A⁻¹``."""
    Z = inverse(A)
    return -Z @ dA @ Z


@vjp_of(inverse, wrt="A", given={"A": invertible}, dtypes=SOLVABLE)
def inverse_vjp(A: Float[Array, "n n"], *, cotangent: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """``-tr(Cᵀ Z dA Z) = tr((-Zᵀ C Zᵀ)ᵀ dA)`` with ``Z = A⁻¹``."""
    Z = inverse(A)
    return -Z.T @ cotangent @ Z.T


def log_determinant(A: Float[Array, "n n"]) -> Float[Array, ""]:
    """``log |det A|``."""
    return jnp.linalg.slogdet(A)[1]


@jvp_of(log_determinant, wrt="A", given={"A": invertible}, dtypes=SOLVABLE)
def log_determinant_differential(A: Float[Array, "n n"], *, dA: Float[Array, "n n"]) -> Float[Array, ""]:
    """Jacobi's formula, ``d log |det A| = tr(A⁻¹ dA)``."""
    return jnp.trace(solve(A, dA))


@gradient_of(log_determinant, wrt="A", given={"A": invertible}, dtypes=SOLVABLE)
def log_determinant_gradient(A: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Read off ``tr(A⁻¹ dA)``: the gradient is ``A⁻ᵀ``."""
    return inverse(A).T


@hvp_of(log_determinant, wrt="A", given={"A": invertible}, dtypes=SOLVABLE)
def log_determinant_hessian_product(
    A: Float[Array, "n n"], *, dA: Float[Array, "n n"]
) -> Float[Array, "n n"]:
    """The differential of the gradient: ``-(A⁻¹ dA A⁻¹)ᵀ``."""
    return inverse_differential(A, dA=dA).T


def log_diagonal(A: Annotated[Float[Array, "n n"], spd]) -> Float[Array, ""]:
    """``tr log diag(A)``."""
    return jnp.sum(jnp.log(jnp.diagonal(A)))


@at_most(log_diagonal, dtypes=SOLVABLE)
def hadamard_inequality(A: Annotated[Float[Array, "n n"], spd]) -> Float[Array, ""]:
    """``log det A ≤ tr log diag(A)`` for a positive definite ``A``: of given sides, a box has the largest
    volume.
    """
    return log_determinant(A)
