r"""Lines 82 to 99: why no unit matrix climbs faster, by the inequality of Cauchy and Schwarz."""

from __future__ import annotations

import jax.numpy as jnp

from handgrad.claims import at_most, equal_to
from handgrad.post.notation import Matrix, Scalar, norm, tr, unit
from handgrad.post.places import corrected, not_executable, place, printed


def trace_with_unit(A: Matrix, U: Matrix) -> Scalar:
    """``tr(Aᵀ U)`` with ``U`` normalised."""
    return tr(A.T @ unit(U))


def trace_with_normalised(A: Matrix, U: Matrix) -> Scalar:
    """``tr(Aᵀ Ã)``."""
    return tr(A.T @ unit(A))


place(
    "L84",
    r"\operatorname{tr}(A^T \tilde{A}) \leq \operatorname{tr}(A^T U), \forall U: \|U\| = 1",
    instead=r"\operatorname{tr}(A^T U) \leq \operatorname{tr}(A^T \tilde{A}), \forall U: \|U\| = 1",
)


@printed(at_most, trace_with_unit, "L84", expect="wrong")
def normalised_trace_is_least(A: Matrix, U: Matrix) -> Scalar:
    return trace_with_normalised(A, U)


@corrected(at_most, trace_with_normalised, "L84")
def normalised_trace_is_largest(A: Matrix, U: Matrix) -> Scalar:
    return trace_with_unit(A, U)


def as_long(A: Matrix, U: Matrix) -> Matrix:
    """``U`` scaled to ``‖U‖ = ‖A‖``."""
    return norm(A) * unit(U)


def trace_with_as_long(A: Matrix, U: Matrix) -> Scalar:
    """``tr(Aᵀ U)`` with ``‖U‖ = ‖A‖``."""
    return tr(A.T @ as_long(A, U))


def squared_norm(A: Matrix) -> Scalar:
    """``‖A‖²``."""
    return norm(A) ** 2


def trace_of_square(A: Matrix, U: Matrix) -> Scalar:
    """``tr(Aᵀ A)``."""
    return tr(A.T @ A)


place("L87a", r"\|A\|^2 = \operatorname{tr}(A^T A)")
place(
    "L87b",
    r"\operatorname{tr}(A^T A) \leq \operatorname{tr}(A^T U), \forall U: \|U\| = \|A\|",
    instead=r"\operatorname{tr}(A^T U) \leq \operatorname{tr}(A^T A), \forall U: \|U\| = \|A\|",
)


@printed(equal_to, squared_norm, "L87a")
def norm_by_trace(A: Matrix) -> Scalar:
    return tr(A.T @ A)


@printed(at_most, trace_with_as_long, "L87b", expect="wrong")
def own_trace_is_least(A: Matrix, U: Matrix) -> Scalar:
    return trace_of_square(A, U)


@corrected(at_most, trace_of_square, "L87b")
def own_trace_is_largest(A: Matrix, U: Matrix) -> Scalar:
    return trace_with_as_long(A, U)


not_executable("L90", words="the inequality is equivalent to that of Cauchy and Schwarz",
               reason="an equivalence of statements; both are executed")  # fmt: skip
place(
    "L91",
    r"\langle A, B\rangle = \operatorname{tr}(A^T B)",
    note="The sum of the products of entries; symmetric, linear and positive, as an inner product must be.",
)


def inner(A: Matrix, B: Matrix) -> Scalar:
    """``⟨A, B⟩``, the sum of the products of the entries."""
    return jnp.sum(A * B)


def inner_of_sum(A: Matrix, B: Matrix, C: Matrix, s: Scalar) -> Scalar:
    """``⟨A, B + s C⟩``."""
    return tr(A.T @ (B + s * C))


@printed(equal_to, inner, "L91")
def inner_by_trace(A: Matrix, B: Matrix) -> Scalar:
    return tr(A.T @ B)


@printed(equal_to, inner_by_trace, "L91", "symmetric")
def inner_exchanged(A: Matrix, B: Matrix) -> Scalar:
    return tr(B.T @ A)


@printed(equal_to, inner_of_sum, "L91", "linear")
def sum_of_inner(A: Matrix, B: Matrix, C: Matrix, s: Scalar) -> Scalar:
    return tr(A.T @ B) + s * tr(A.T @ C)


@printed(at_most, trace_of_square, "L91", "positive")
def nothing(A: Matrix, U: Matrix) -> Scalar:
    return jnp.zeros((), A.dtype)


place("L94", r"\langle A, U\rangle^2 \leq \langle A, A\rangle \langle U, U\rangle")


def product_of_squares(A: Matrix, U: Matrix) -> Scalar:
    """``⟨A, A⟩ ⟨U, U⟩``."""
    return inner(A, A) * inner(U, U)


@printed(at_most, product_of_squares, "L94")
def square_of_inner(A: Matrix, U: Matrix) -> Scalar:
    return inner(A, U) ** 2


place(
    "L95a",
    r"|\operatorname{tr}(A^T U)| \leq \sqrt{\|A\|\|U\|}",
    instead=r"|\operatorname{tr}(A^T U)| \leq \sqrt{\|A\|^2\|U\|^2} = \|A\|^2",
    note="With ‖U‖ = ‖A‖, the condition last put on U.",
)
place("L95b", r"\sqrt{\|A\|\|U\|} = \|A\|", note="With ‖U‖ = ‖A‖, the condition last put on U.")


def root_of_norms(A: Matrix, U: Matrix) -> Scalar:
    """``√(‖A‖ ‖U‖)`` with ``‖U‖ = ‖A‖``."""
    return jnp.sqrt(norm(A) * norm(as_long(A, U)))


def root_of_squared_norms(A: Matrix, U: Matrix) -> Scalar:
    """``√(‖A‖² ‖U‖²)`` with ``‖U‖ = ‖A‖``."""
    return jnp.sqrt(norm(A) ** 2 * norm(as_long(A, U)) ** 2)


def norm_of_first(A: Matrix, U: Matrix) -> Scalar:
    """``‖A‖``."""
    return norm(A)


@printed(at_most, root_of_norms, "L95a", expect="wrong")
def absolute_trace(A: Matrix, U: Matrix) -> Scalar:
    return jnp.abs(trace_with_as_long(A, U))


@corrected(at_most, root_of_squared_norms, "L95a")
def absolute_trace_again(A: Matrix, U: Matrix) -> Scalar:
    return jnp.abs(trace_with_as_long(A, U))


@corrected(equal_to, squared_norm, "L95a", "value")
def root_of_own_squares(A: Matrix) -> Scalar:
    return root_of_squared_norms(A, A)


@printed(equal_to, norm_of_first, "L95b")
def root_of_equal_norms(A: Matrix, U: Matrix) -> Scalar:
    return root_of_norms(A, U)
