r"""Lines 225 to 269: the derivative of an entry-wise activation, from the limit."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from handgrad.claims import at_most, equal_to, jvp_of
from handgrad.domains import index
from handgrad.post.notation import SIGMA, Matrix, Scalar, norm, odot, stated
from handgrad.post.places import corrected, not_executable, place, printed

Name: TypeAlias = Literal["arctan", "sin"]
NAMED = {sigma.name: sigma for sigma in SIGMA}
Row: TypeAlias = Annotated[Int[Array, ""], index("m")]
Col: TypeAlias = Annotated[Int[Array, ""], index("n")]
Small: TypeAlias = Float[Array, "2 3"]
CURVATURE = 0.5
"""``max |σ''| / 2`` of the sine; 0.325 of the arc tangent."""


def sigma(M: Matrix, name: Name) -> Matrix:
    """``σ(M)``."""
    return NAMED[name].apply(M)


def sigma_prime(M: Matrix, name: Name) -> Matrix:
    """``σ'(M)``, entry by entry."""
    return NAMED[name].derivative(M)


def L(M: Matrix, dM: Matrix, name: Name) -> Matrix:
    """The derivative of ``σ`` at ``M`` in the direction ``dM``, by JAX."""
    return jax.jvp(lambda M: sigma(M, name), (M,), (dM,))[1]


def E(M: Matrix, i: Row, j: Col) -> Matrix:
    """``E_ij``: 1 at ``(i, j)``, 0 elsewhere; shaped like ``M``."""
    here = (jnp.arange(M.shape[0])[:, None] == i) & (jnp.arange(M.shape[1])[None, :] == j)
    return here.astype(M.dtype)


def entry(M: Matrix, i: Row, j: Col) -> Scalar:
    """``M_ij``."""
    return jnp.sum(M * E(M, i, j))


place("L226", r"M\in\mathbb{R}^{m \times n}")


@printed(equal_to, sigma, "L226")
def sizes_of_argument(M: Matrix, name: Name) -> Matrix:
    m, n = M.shape
    return stated(sigma(stated(M, m, n), name), m, n)


place("L228", words="the derivative of the activation function is the matrix of the σ(M_ij)",
      instead=r"\sigma'(M) = [\sigma'(M_{ij})]")  # fmt: skip


def slope_of_sine(M: Matrix) -> Matrix:
    """``σ'(M)`` of the sine."""
    return jnp.cos(M)


@printed(equal_to, slope_of_sine, "L228", expect="wrong")
def value_for_derivative(M: Matrix) -> Matrix:
    return sigma(M, "sin")


@corrected(equal_to, slope_of_sine, "L228")
def derivative_by_entry(M: Matrix) -> Matrix:
    return jax.vmap(jax.vmap(jax.grad(lambda t: sigma(t, "sin"))))(M)


place(
    "L230",
    r"""\sigma(M) = \begin{bmatrix}
\sigma(M_{11}) & \sigma(M_{12}) & \ldots & \sigma(M_{1n}) \\
\sigma(M_{21}) & \sigma(M_{22}) & \ldots & \sigma(M_{2n}) \\
\vdots & \vdots & \ddots & \vdots \\
\sigma(M_{m1}) & \sigma(M_{m2}) & \ldots & \sigma(M_{mn})
\end{bmatrix}""",
)


@printed(equal_to, sigma, "L230")
def entry_by_entry(M: Matrix, name: Name) -> Matrix:
    return jax.vmap(jax.vmap(lambda t: sigma(t, name)))(M)


not_executable("L238", words="this has no linear-algebraic interpretation", reason="no formula is stated")
not_executable("L242", r"S = \sigma(M)", reason="it names S; line 247 executes dS")
place("L247", r"d (\sigma (M)) = \sigma'(M) \odot d M")


@printed(jvp_of, sigma, "L247", wrt="M")
def differential(M: Matrix, name: Name, *, dM: Matrix) -> Matrix:
    return odot(sigma_prime(M, name), dM)


# --- From the limit ---------------------------------------------------------------------------------------

place(
    "L254",
    r"\lim_{d M \to 0} \frac{\|\sigma(M + d M) - \sigma(M) - L(d M)\|}{\|d M\|} = 0",
    note="With its rate: the quotient is at most ‖dM‖/2, because |σ''| ≤ 1.",
)
place(
    "L257",
    r"\lim_{t \to 0} \frac{\|\sigma(M_{i j} + t) - \sigma(M_{ij}) - L(t E_{ij})_{ij}\|}{\|t\|} = 0",
    note="With its rate: the quotient is at most |t|/2.",
)
place(
    "L259",
    r"\lim_{t \to 0} \frac{\|\sigma(M_{i' j'}) - \sigma(M_{i'j'}) - L(t E_{ij})_{i'j'}\|}{\|t\|} = 0",
    note="The numerator is 0 at every t, in every entry but (i, j).",
)
not_executable("L261", r"(i, j) \neq (i', j')", reason="a condition, met in lines 259 and 263")
place("L263", r"L(E_{ij})_{i'j'} = 0", note="In every entry but (i, j).")
place(
    "L264a",
    r"L(E_{ij}) = \sigma'(M_{ij})",
    instead=r"L(E_{ij})_{ij} = \sigma'(M_{ij})",
    note="L(E_ij) is a matrix, as in L(E_ij)_i'j' on line 263.",
)
place("L264b", r"L(E_{ij}) = \sigma'(M_{ij}) E_{ij}")


def square_over_two(M: Matrix, dM: Matrix, name: Name) -> Scalar:
    """``‖dM‖² / 2``."""
    return CURVATURE * jnp.sum(dM * dM)


@printed(at_most, square_over_two, "L254")
def remainder(M: Matrix, dM: Matrix, name: Name) -> Scalar:
    return norm(sigma(M + dM, name) - sigma(M, name) - odot(sigma_prime(M, name), dM))


def step_over_two(M: Matrix, t: Scalar, i: Row, j: Col, name: Name) -> Scalar:
    """``t² / 2``."""
    return CURVATURE * t * t


@printed(at_most, step_over_two, "L257")
def remainder_of_entry(M: Matrix, t: Scalar, i: Row, j: Col, name: Name) -> Scalar:
    M_ij = entry(M, i, j)
    return jnp.abs(sigma(M_ij + t, name) - sigma(M_ij, name) - entry(L(M, t * E(M, i, j), name), i, j))


def nothing(M: Matrix, t: Scalar, i: Row, j: Col, name: Name) -> Matrix:
    """0 in every entry."""
    return jnp.zeros_like(M)


@printed(equal_to, nothing, "L259")
def remainder_elsewhere(M: Matrix, t: Scalar, i: Row, j: Col, name: Name) -> Matrix:
    elsewhere = 1 - E(M, i, j)
    return elsewhere * (sigma(M, name) - sigma(M, name) - L(M, t * E(M, i, j), name))


def none(M: Matrix, i: Row, j: Col, name: Name) -> Matrix:
    """0 in every entry."""
    return jnp.zeros_like(M)


@printed(equal_to, none, "L263")
def derivative_elsewhere(M: Matrix, i: Row, j: Col, name: Name) -> Matrix:
    return (1 - E(M, i, j)) * L(M, E(M, i, j), name)


def slope_of_entry(M: Matrix, i: Row, j: Col, name: Name) -> Scalar:
    """``σ'(M_ij)``."""
    return sigma_prime(entry(M, i, j), name)


def derivative_along_entry(M: Matrix, i: Row, j: Col, name: Name) -> Matrix:
    """``L(E_ij)``, by JAX."""
    return L(M, E(M, i, j), name)


@printed(equal_to, slope_of_entry, "L264a", expect="wrong")
def matrix_for_number(M: Matrix, i: Row, j: Col, name: Name) -> Scalar:
    return stated(derivative_along_entry(M, i, j, name), *slope_of_entry(M, i, j, name).shape)


@corrected(equal_to, slope_of_entry, "L264a")
def derivative_of_entry(M: Matrix, i: Row, j: Col, name: Name) -> Scalar:
    return entry(derivative_along_entry(M, i, j, name), i, j)


@printed(equal_to, derivative_along_entry, "L264b")
def slope_at_entry(M: Matrix, i: Row, j: Col, name: Name) -> Matrix:
    return slope_of_entry(M, i, j, name) * E(M, i, j)


place("L265", words="every dM is a linear combination of the E_ij, and L of it the same of the L(E_ij)")


def derivative_of_small(M: Small, dM: Small) -> Small:
    """``L(dM)``, by JAX."""
    return L(M, dM, "sin")


@printed(equal_to, derivative_of_small, "L265")
def combination(M: Small, dM: Small) -> Small:
    basis = jnp.eye(M.size, dtype=M.dtype).reshape(M.shape[0], M.shape[1], *M.shape)
    terms = [dM[i, j] * L(M, basis[i, j], "sin") for i in range(M.shape[0]) for j in range(M.shape[1])]
    return sum(terms[1:], terms[0])


not_executable("L268", words="the derivative found is the derivative", reason="line 254 executes it, with its rate")
