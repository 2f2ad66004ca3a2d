"""The formula at one point, in exact arithmetic: who is wrong, by how little, and what does not count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from tests.verify.judging import examined

N = Float[Array, "n"]
Scalar = Float[Array, ""]


def squares(x: N) -> Scalar:
    return jnp.sum(x**2)


def product(x: N, w: N) -> N:
    return w * x


def cubes(x: N) -> Scalar:
    return jnp.sum(x**3)


@jax.custom_jvp
def wrong_square(x):
    return x**2


wrong_square.defjvp(lambda primals, tangents: (primals[0] ** 2, 3 * primals[0] * tangents[0]))


def wrongly_differentiated(x: N) -> Scalar:
    return jnp.sum(wrong_square(x))


POINT = np.array([1.0, -2.0, 0.5])


@pytest.mark.parametrize("relative", [1e-6, 1e-8, 2e-9])
def test_a_small_mistake_in_one_entry(relative):
    found = examined(lambda x: (2 * x).at[1].multiply(1 + relative), squares, {"n": 3}, POINT)
    assert (found.finding, found.leaf, found.entry) == ("wrong", 0, (1,))
    np.testing.assert_allclose(found.truth[0][1], -4.0)


def test_rounding_is_no_mistake():
    found = examined(lambda x: 2 * x * (0.1 + 0.2) / 0.3, squares, {"n": 3}, POINT)
    assert found.finding == "agrees"


def test_a_literal_written_with_sixteen_digits_is_no_mistake():
    def reference(x: N) -> Scalar:
        return jnp.sum(jnp.sqrt(2 / jnp.pi) * x**2)

    assert examined(lambda x: 2 * 0.7978845608028654 * x, reference, {"n": 3}, POINT).finding == "agrees"
    assert examined(lambda x: 2 * 0.79788456 * x, reference, {"n": 3}, POINT).finding == "wrong"


def test_the_reference_is_wrong():
    found = examined(lambda x: 2 * x, wrongly_differentiated, {"n": 3}, POINT)
    assert found.finding == "reference_wrong"
    np.testing.assert_allclose(found.truth[0], 2 * POINT)
    np.testing.assert_allclose(found.reference[0], 3 * POINT)


def test_both_are_wrong_and_the_hand_is_told():
    assert examined(lambda x: 3 * x, wrongly_differentiated, {"n": 3}, POINT).finding == "wrong"


def test_nan_is_wrong_where_the_derivative_exists():
    found = examined(lambda x: 2 * x * jnp.where(x > 0, 1.0, jnp.nan), squares, {"n": 3}, POINT)
    assert found.finding == "wrong" and found.entry == (1,)


def test_a_primal_that_is_not_finite_does_not_count():
    def logarithm(x: N) -> Scalar:
        return jnp.sum(jnp.log(x))

    assert examined(lambda x: 7 / x, logarithm, {"n": 2}, [0.0, 1.0]).finding == "uncounted"
    assert examined(lambda x: 7 / x, logarithm, {"n": 2}, [2.0, 1.0]).finding == "wrong"


def test_an_infinite_slope_does_not_count():
    def root(x: N) -> Scalar:
        return jnp.sum(jnp.sqrt(x))

    assert examined(lambda x: jnp.zeros_like(x), root, {"n": 1}, [0.0]).finding == "uncounted"


def test_a_mistake_beyond_sixteen_digits_of_cancellation():
    """(x + 1e9)² - 1e18 - 2e9 x = x²: float64 has no digit of it, exact arithmetic has all."""

    def cancelling(x: N) -> Scalar:
        return jnp.sum((x + 1e9) ** 2 - 1e18 - 2e9 * x)

    assert examined(lambda x: 2 * x, cancelling, {"n": 3}, POINT).finding != "wrong"
    assert examined(lambda x: 2.001 * x, cancelling, {"n": 3}, POINT).finding == "wrong"


@pytest.mark.parametrize(
    ("relation", "hand", "extra", "finding"),
    [
        ("jvp", lambda x, w, dx: w * dx, [1.0, 2.0, -1.0], "agrees"),
        ("jvp", lambda x, w, dx: x * dx, [1.0, 2.0, -1.0], "wrong"),
        ("vjp", lambda x, w, cotangent: w * cotangent, [1.0, 2.0, -1.0], "agrees"),
        ("vjp", lambda x, w, cotangent: w, [1.0, 2.0, -1.0], "wrong"),
        ("vjp", lambda x, w, cotangent: w, [1.0, 1.0, 1.0], "agrees"),
    ],
)
def test_tangents_and_cotangents(relation, hand, extra, finding):
    weights = [3.0, 0.5, -2.0]
    found = examined(hand, product, {"n": 3}, POINT, weights, relation=relation, extra=(extra,))
    assert found.finding == finding


@pytest.mark.parametrize(("factor", "finding"), [(6, "agrees"), (3, "wrong")])
def test_hessian_vector_products(factor, finding):
    hand = lambda x, dx: factor * x * dx  # noqa: E731
    found = examined(hand, cubes, {"n": 3}, POINT, relation="hvp", extra=([1.0, -1.0, 2.0],))
    assert found.finding == finding


@pytest.mark.parametrize(
    ("hand", "finding"),
    [
        (lambda x: (jnp.sum(x**2), 2 * x), "agrees"),
        (lambda x: (jnp.sum(x**2) + 1e-6, 2 * x), "wrong"),
        (lambda x: (jnp.sum(x**2), 2 * x + 1e-6), "wrong"),
    ],
)
def test_value_and_gradient(hand, finding):
    assert examined(hand, squares, {"n": 3}, POINT, relation="value_and_gradient").finding == finding


@pytest.mark.parametrize(
    ("hand", "finding"),
    [
        (lambda x: jnp.sum(x**2), "agrees"),
        (lambda x: jnp.sum(x**2) - 5, "agrees"),
        (lambda x: jnp.sum(x**2) * (1 + 1e-8), "wrong"),
    ],
)
def test_at_most(hand, finding):
    assert examined(hand, squares, {"n": 3}, POINT, relation="at_most", wrt=None).finding == finding


def test_nan_is_at_most_nothing():
    found = examined(lambda x: jnp.sqrt(-jnp.sum(x * x)), squares, {"n": 2}, [1.0, 2.0], relation="at_most")
    assert found.finding == "wrong"


def test_a_buffer_overwritten_in_place():
    def backwards(x: N) -> N:
        return x[::-1]

    def overwritten(x, cotangent):
        n = cotangent.shape[0]
        return jax.lax.fori_loop(0, n, lambda i, buffer: buffer.at[i].set(buffer[n - 1 - i]), cotangent)

    found = examined(overwritten, backwards, {"n": 3}, [1.0, 2.0, 3.0], relation="vjp", extra=([1.0, 2.0, 3.0],))
    assert found.finding == "wrong"


def test_a_primal_without_a_ball_form_is_judged_in_float64():
    """U S Vᵀ = A: jax.grad has no derivative where singular values repeat, the product has."""

    def recomposed(A: Float[Array, "n n"]) -> Float[Array, "n n"]:
        U, s, Vt = jnp.linalg.svd(A, full_matrices=False)
        return (U * s) @ Vt

    for factor, finding in ((1.0, "reference_wrong"), (1.001, "wrong")):
        found = examined(
            lambda A, cotangent, factor=factor: factor * cotangent, recomposed, {"n": 2}, np.eye(2), wrt="A",
            relation="vjp", extra=(np.array([[1.0, 2.0], [3.0, 4.0]]),),
        )  # fmt: skip
        assert found.finding == finding and not found.exact


def test_a_stopped_value_that_makes_no_difference():
    """logsumexp stops its largest entry, which cancels: its derivative in the weights is not hidden."""

    def weighted(b: N) -> Float[Array, ""]:
        return jax.scipy.special.logsumexp(jnp.zeros_like(b), b=b)

    found = examined(lambda b: 1 / jnp.sum(b) + 0 * b, weighted, {"n": 2}, [0.0, 2.0], wrt="b")
    assert found.finding == "reference_wrong" and found.reference[0][0] == 0


def test_a_sine_far_out():
    """A step in proportion to 1e120 would pass over some 1e90 periods."""

    def waves(x: N) -> Scalar:
        return jnp.sum(jnp.sin(x))

    for x in (1e3, 1e30, -1.573429686281681e120, 3e200):
        assert examined(jnp.cos, waves, {"n": 1}, [x]).finding == "agrees"
        assert examined(lambda x: jnp.cos(x) + 1e-3, waves, {"n": 1}, [x]).finding == "wrong"


def test_a_derivative_that_vanishes_at_a_symmetric_point():
    """The entropy is stationary at equal logits, its third derivative is not: the quotient is all but zero there."""

    def entropy(z: N) -> Scalar:
        return -jnp.sum(jax.nn.softmax(z) * jax.nn.log_softmax(z))

    def hand(z, extra=0.0):
        p, log_p = jax.nn.softmax(z), jax.nn.log_softmax(z)
        return -p * (log_p - jnp.sum(p * log_p)) + extra

    same = np.full(3, 0.7)
    assert examined(hand, entropy, {"n": 3}, same, wrt="z").finding == "agrees"
    assert examined(lambda z: hand(z, 1e-20), entropy, {"n": 3}, same, wrt="z").finding == "wrong"


def test_a_large_decomposition_is_looked_at_where_it_differs_exactly():
    """Hand and reference lose different digits of an ill-conditioned matrix: one formula, and no entry is dear."""

    def log_determinant(A: Float[Array, "n n"]) -> Scalar:
        return jnp.linalg.slogdet(A)[1]

    rng = np.random.default_rng(0)
    q = np.linalg.qr(rng.standard_normal((48, 48)))[0]
    A = (q * np.logspace(0, -10, 48)) @ q.T

    def inverse(A, factor=1.0):
        return factor * jnp.linalg.solve(A[::-1], jnp.eye(A.shape[0])[::-1]).T  # the rows in another order

    same = examined(inverse, log_determinant, {"n": 48}, A, wrt="A")
    assert same.finding == "agrees" and np.isnan(same.truth[0]).all()
    other = examined(lambda A: inverse(A, 1 + 1e-6), log_determinant, {"n": 48}, A, wrt="A")
    assert other.finding == "wrong" and np.isfinite(other.truth[0]).sum() == 1


@pytest.mark.parametrize("x", [5e68, 3e120])
def test_a_period_far_below_the_first_steps(x):
    """Where two sides agree and the quotients do not, these are taken once more with far smaller steps."""

    def chirp(x: N) -> Scalar:
        return jnp.sum(jnp.sin(x * x) / x)

    def by_hand(x, wrong=1):
        return 2 * wrong * jnp.cos(x * x) - jnp.sin(x * x) / x**2

    assert examined(by_hand, chirp, {"n": 1}, np.array([x])).finding == "agrees"
    assert examined(lambda x: by_hand(x, 1.01), chirp, {"n": 1}, np.array([x])).finding == "wrong"


@pytest.mark.parametrize(("mistake", "finding"), [(0.0, "undecided"), (100.0, "wrong")])
def test_without_exact_arithmetic_a_rounding_of_the_largest_number_says_nothing(mistake, finding):
    def one() -> Scalar:
        return jnp.linalg.eigh(jnp.eye(2))[0][0]  # has no exact form

    def cancels(x: N) -> N:
        return one() * jnp.stack([x[0], (x[0] + x[1]) - x[0]])

    def by_hand(x):
        return one() * jnp.stack([x[0], x[1] + mistake])

    found = examined(by_hand, cancels, {"n": 2}, np.array([1e16, 1.5]), relation="equal_to", wrt=None)
    assert (found.finding, found.exact) == (finding, False)
