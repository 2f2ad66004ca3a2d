r"""Lines 26 to 81: the gradient as the direction of steepest ascent, read off a differential under the trace.

The lines are executed with ``f(X) = ‖X‖²/2 + tr(Bᵀ X)``, whose derivative at ``X`` is ``L(dX) = tr(Aᵀ dX)`` with
``A = X + B``. ``L`` itself is JAX's directional derivative of ``f``.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad.claims import at_most, equal_to, gradient_of, jvp_of
from handgrad.post.notation import Matrix, Scalar, norm, stated, tr, unit
from handgrad.post.places import corrected, not_executable, place, printed

Small = Float[Array, "2 3"]


def f(X: Matrix, B: Matrix) -> Scalar:
    """``f(X) = ‖X‖²/2 + tr(Bᵀ X)``."""
    return jnp.sum(X * X) / 2 + jnp.sum(B * X)


def L(X: Matrix, B: Matrix, U: Matrix) -> Scalar:
    """``L(U)``: the derivative of ``f`` at ``X`` in the direction of ``U``."""
    return jax.jvp(lambda X: f(X, B), (X,), (U,))[1]


def climb(X: Matrix, B: Matrix, U: Matrix) -> Scalar:
    """``L(u)`` along the direction ``u`` that climbs fastest, whatever ``U`` is."""
    return L(X, B, unit(X + B))


def climb_along(X: Matrix, B: Matrix, U: Matrix) -> Scalar:
    """``L(u')`` along the unit direction ``u' = U / ‖U‖``."""
    return L(X, B, unit(U))


def one(A: Matrix) -> Scalar:
    """1."""
    return jnp.ones((), A.dtype)


def zero(X: Matrix, U: Matrix) -> Scalar:
    """0."""
    return jnp.zeros((), X.dtype)


# --- The definition ---------------------------------------------------------------------------------------

not_executable("L31", words="V is a vector field", reason="a slip of the pen for vector space; nothing is computed")
place("L35", r"f: V \to \mathbb{R}")


@printed(equal_to, f, "L35")
def f_is_scalar_valued(X: Matrix, B: Matrix) -> Scalar:
    return stated(f(X, B))


place("L38", words="the rate of change in the direction of the gradient is the largest among all unit vectors")


def fastest_found(X: Small, B: Small, U: Small) -> Scalar:
    """``L(u)`` along the direction that a search of the unit sphere finds."""
    return L(X, B, searched(X, B))


def searched(X: Small, B: Small) -> Small:
    """A unit ``u`` that maximises ``L(u)``, from values of ``L`` alone.

    On the great circle through ``u`` and a unit matrix ``E`` orthogonal to it, ``L(cos(t) u + sin(t) E)`` is
    largest at ``t = atan2(L(E), L(u))``. One such circle for every entry.
    """
    E = jnp.eye(X.size, dtype=X.dtype).reshape(X.size, *X.shape)
    u = E[0]
    for k in range(1, X.size):
        t = jnp.arctan2(L(X, B, E[k]), L(X, B, u))
        u = jnp.cos(t) * u + jnp.sin(t) * E[k]
    return u


@printed(at_most, fastest_found, "L38")
def no_direction_climbs_faster(X: Small, B: Small, U: Small) -> Scalar:
    return climb_along(X, B, U)


place("L41", r"\|u\| = 1")


@printed(equal_to, one, "L41")
def normalised(A: Matrix) -> Scalar:
    return norm(unit(A))


place(
    "L43",
    r"L(u) \leq L(u'), \forall u' \in V: \|u'\| = 1",
    instead=r"L(u') \leq L(u), \forall u' \in V: \|u'\| = 1",
)


@printed(at_most, climb_along, "L43", expect="wrong")
def gradient_climbs_slowest(X: Matrix, B: Matrix, U: Matrix) -> Scalar:
    return climb(X, B, U)


@corrected(at_most, climb, "L43")
def gradient_climbs_fastest(X: Matrix, B: Matrix, U: Matrix) -> Scalar:
    return climb_along(X, B, U)


not_executable("L47", words="a normalised gradient costs more to compute", reason="a statement on cost, not on values")
place("L52", words="the gradient vector is the product of the normalised one and the rate of change f'(x)(u)")


@printed(gradient_of, f, "L52", wrt="X")
def product_with_the_rate(X: Matrix, B: Matrix) -> Matrix:
    u = unit(X + B)
    return u * L(X, B, u)


place("L57", r"\nabla f(x) = L(u) u")


@printed(gradient_of, f, "L57", wrt="X")
def gradient_as_steepest_ascent(X: Matrix, B: Matrix) -> Matrix:
    u = unit(jax.grad(f)(X, B))
    return L(X, B, u) * u


def length_of_gradient(X: Small, B: Small) -> Scalar:
    """``‖∇f(X)‖``."""
    return norm(jax.grad(f)(X, B))


@printed(equal_to, length_of_gradient, "L57", "searched")
def fastest_climb_found(X: Small, B: Small) -> Scalar:
    return L(X, B, searched(X, B))


# --- The theorem ------------------------------------------------------------------------------------------

place("L66", r"L(dX)=\operatorname{tr}(A^T dX)")


@printed(jvp_of, f, "L66", wrt="X")
def derivative_under_the_trace(X: Matrix, B: Matrix, *, dX: Matrix) -> Scalar:
    return L_by_trace(X, B, dX)


def L_by_trace(X: Matrix, B: Matrix, dX: Matrix) -> Scalar:
    """``tr(Aᵀ dX)``."""
    A = X + B
    return tr(A.T @ dX)


place("L68", r"\nabla f(X) = A")


@printed(gradient_of, f, "L68", wrt="X")
def gradient_read_off(X: Matrix, B: Matrix) -> Matrix:
    return X + B


place("L73", "L = 0", note="At X = -B, where A = X + B is zero.")


@printed(equal_to, zero, "L73")
def derivative_is_zero(X: Matrix, U: Matrix) -> Scalar:
    return L_by_trace(X, -X, U)


place("L74", "L(dX) = 0", note="At X = -B, for every unit dX; the gradient vector is then zero, too.")


@printed(equal_to, zero, "L74")
def no_direction_climbs(X: Matrix, U: Matrix) -> Scalar:
    return L_by_trace(X, -X, unit(U))


def gradient_where_zero(X: Matrix) -> Matrix:
    """``∇f(X)`` at ``X = -B``, by JAX."""
    return jax.grad(f)(X, -X)


@printed(equal_to, gradient_where_zero, "L74", "gradient")
def zero_is_a_gradient(X: Matrix) -> Matrix:
    u = unit(X)
    return u * L_by_trace(X, -X, u)


place("L76", r"\tilde{A} = \frac{A}{\|A\|}")


def itself(A: Matrix) -> Matrix:
    return A


@printed(equal_to, itself, "L76")
def norm_times_normalised(A: Matrix) -> Matrix:
    return norm(A) * unit(A)


place("L78a", r"\tilde{A} L(\tilde{A}) = \tilde{A} \operatorname{tr}(A^T \tilde{A})")
place("L78b", r"\tilde{A} \operatorname{tr}(A^T \tilde{A}) = A")


def normalised_times_rate(X: Matrix, B: Matrix) -> Matrix:
    """``Ã L(Ã)``."""
    A_tilde = unit(X + B)
    return A_tilde * L(X, B, A_tilde)


@printed(equal_to, normalised_times_rate, "L78a")
def normalised_times_trace(X: Matrix, B: Matrix) -> Matrix:
    A = X + B
    A_tilde = unit(A)
    return A_tilde * tr(A.T @ A_tilde)


@printed(equal_to, itself, "L78b")
def gradient_again(A: Matrix) -> Matrix:
    A_tilde = unit(A)
    return A_tilde * tr(A.T @ A_tilde)


place(
    "L81",
    r"L(\tilde{A}) \leq L(U), \forall U: \|U\| = 1",
    instead=r"L(U) \leq L(\tilde{A}), \forall U: \|U\| = 1",
)


@printed(at_most, climb_along, "L81", expect="wrong")
def normalised_climbs_slowest(X: Matrix, B: Matrix, U: Matrix) -> Scalar:
    A_tilde = unit(X + B)
    return L(X, B, A_tilde)


@corrected(at_most, climb, "L81")
def normalised_climbs_fastest(X: Matrix, B: Matrix, U: Matrix) -> Scalar:
    return L(X, B, unit(U))
