"""Kinks: what is a generalised derivative where there is no derivative, and what is not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from tests.verify.judging import examined, judged

N = Float[Array, "n"]
Scalar = Float[Array, ""]


def relu(x: N) -> Scalar:
    return jnp.sum(jax.nn.relu(x))


def absolute(x: N) -> Scalar:
    return jnp.sum(jnp.abs(x))


def largest(x: N) -> Scalar:
    return jnp.max(x)


def norm(x: N) -> Scalar:
    return jnp.sqrt(jnp.sum(x**2))


def clipped(x: N) -> Scalar:
    return jnp.sum(jnp.clip(x, -1.0, 1.0))


def slope_at_zero(slope):
    return lambda x: jnp.where(x == 0, slope, (x > 0) * 1.0)


@pytest.mark.parametrize(
    ("slope", "finding"),
    [
        (0.0, "agrees"),
        (0.5, "convention"),
        (1.0, "convention"),
        (1.01, "wrong"),
        (-0.01, "wrong"),
        (jnp.nan, "wrong"),
        (jnp.inf, "wrong"),
    ],
)
def test_relu_at_zero(slope, finding):
    assert examined(slope_at_zero(slope), relu, {"n": 3}, [1.0, 0.0, -2.0]).finding == finding


@pytest.mark.parametrize(
    ("slope", "finding"), [(0.0, "convention"), (1.0, "agrees"), (-1.0, "convention"), (-0.3, "convention"),
                           (2.0, "wrong")]
)  # fmt: skip
def test_abs_at_zero(slope, finding):
    """jax.grad gives 1 there."""
    hand = lambda x: jnp.where(x == 0, slope, jnp.sign(x))  # noqa: E731
    found = examined(hand, absolute, {"n": 2}, [0.0, -2.0])
    assert found.finding == finding, (found.reference, found.finding)


def ties(x):
    return (x == jnp.max(x)) * 1.0


@pytest.mark.parametrize(
    ("hand", "finding"),
    [
        (lambda x: ties(x) / jnp.sum(ties(x)), "agrees"),
        (lambda x: jnp.zeros_like(x).at[jnp.argmax(x)].set(1.0), "convention"),
        (ties, "wrong"),
        (lambda x: ties(x) / jnp.sum(ties(x)) * 0.9, "wrong"),
        (lambda x: jnp.zeros_like(x), "wrong"),
    ],
)
@pytest.mark.parametrize("point", [[1.0, 2.0, 2.0], [0.0, 0.0, -1.0]])
def test_ties_of_max(hand, finding, point):
    assert examined(hand, largest, {"n": 3}, point).finding == finding


@pytest.mark.parametrize("hand", [lambda x: ties(x) / 2, lambda x: jnp.zeros_like(x)])
def test_three_ties_with_weights_that_do_not_sum_to_one(hand):
    assert examined(hand, largest, {"n": 3}, [2.0, 2.0, 2.0]).finding == "wrong"


@pytest.mark.parametrize("slope", [lambda x: 0 * x, jnp.ones_like, lambda x: 0.5 + 0 * x, lambda x: jnp.arange(4) % 2])
@pytest.mark.parametrize("sign", [1, -1, (1, -1, 1, -1)])
def test_many_kinks_at_once_are_each_their_own(slope, sign):
    """No share is divided here: any value from 0 to 1 at each, whatever the others have."""

    def ramps(x: N) -> Float[Array, ""]:
        return jnp.sum(jnp.asarray(sign, x.dtype) * jnp.where(x > 0, x, 0.0))

    found = examined(lambda x: jnp.asarray(sign, x.dtype) * slope(x), ramps, {"n": 4}, [0.0] * 4)
    assert found.finding in ("agrees", "convention")


def test_the_whole_cotangent_to_each_of_two_tied_arguments_is_wrong():
    def maximum(x: N, y: N) -> N:
        return jnp.maximum(x, y)

    def each(x, y, cotangent):
        return jnp.where(x >= y, cotangent, 0.0), jnp.where(y >= x, cotangent, 0.0)

    def half(x, y, cotangent):
        share = jnp.where(x == y, 0.5, (x > y) * 1.0)
        return share * cotangent, (1 - share) * cotangent

    def first(x, y, cotangent):
        return jnp.where(x >= y, cotangent, 0.0), jnp.where(y > x, cotangent, 0.0)

    for hand, finding in ((each, "wrong"), (half, "agrees"), (first, "convention")):
        found = examined(
            hand, maximum, {"n": 2}, [1.0, 0.0], [1.0, 3.0], wrt=("x", "y"), relation="vjp", extra=([2.0, 1.0],)
        )
        assert found.finding == finding, hand


@pytest.mark.parametrize(
    ("hand", "finding"),
    [
        (lambda x: jnp.where(jnp.any(x != 0), x / norm(x), 0.0), "reference_wrong"),
        (lambda x: jnp.where(jnp.any(x != 0), x / norm(x), 0.5), "reference_wrong"),
        (lambda x: jnp.where(jnp.any(x != 0), x / norm(x), 2.0), "wrong"),
        (lambda x: x / norm(x), "uncounted"),
    ],
)
def test_norm_at_zero(hand, finding):
    """jax.grad gives NaN; every vector of the unit ball is a generalised gradient."""
    assert examined(hand, norm, {"n": 2}, [0.0, 0.0]).finding == finding


@pytest.mark.parametrize("at_the_end", [0.0, 0.5, 1.0])
def test_clip(at_the_end):
    hand = lambda x: jnp.where(jnp.abs(x) == 1, at_the_end, (jnp.abs(x) < 1) * 1.0)  # noqa: E731
    assert examined(hand, clipped, {"n": 3}, [1.0, 0.3, -1.0]).finding in ("agrees", "convention")
    wrong = lambda x: (jnp.abs(x) < 2) * 1.0  # noqa: E731
    assert examined(wrong, clipped, {"n": 3}, [1.5, 0.3, -1.0]).finding == "wrong"


def test_a_smooth_point_beside_a_kink_is_no_kink():
    for x in (1e-12, -1e-12, 1e-300):
        assert examined(slope_at_zero(0.5), relu, {"n": 1}, [x]).finding == "agrees"
        assert examined(lambda x: jnp.full_like(x, 0.5), relu, {"n": 1}, [x]).finding == "wrong"


def test_a_smooth_function_has_no_kinks_to_hide_in():
    def softplus(x: N) -> Scalar:
        return jnp.sum(jnp.logaddexp(x, 0.0))

    found = examined(lambda x: jnp.where(x == 0, 0.6, jax.nn.sigmoid(x)), softplus, {"n": 2}, [0.0, 1.0])
    assert found.finding == "wrong" and found.entry == (0,)


@pytest.mark.parametrize(
    ("hand", "reference", "verdict"),
    [
        (lambda x: (x >= 0) * 1.0, relu, "convention"),
        (lambda x: jnp.sign(x), absolute, "convention"),
        (lambda x: 1.01 * jnp.sign(x), absolute, "wrong"),
        (ties, largest, "wrong"),
        (lambda x: ties(x) / jnp.sum(ties(x)), largest, "agrees"),
        (lambda x: jnp.zeros_like(x).at[jnp.argmax(x)].set(1.0), largest, "convention"),
        (lambda x: jnp.where(jnp.abs(x) <= 1, 1.0, 0.0), clipped, "convention"),
    ],
)
def test_kinks_are_drawn_on_purpose(hand, reference, verdict):
    outcome = judged(hand, reference, cases=80)
    assert outcome.verdict == verdict, outcome


def test_relu_in_a_layer():
    """The kinks of a layer lie where its pre-activations vanish."""

    def layer(W: Float[Array, "m n"], x: N) -> Scalar:
        return jnp.sum(jax.nn.relu(W @ x))

    def hand(W, x):
        return jnp.outer((W @ x >= 0) * 1.0, x)

    assert judged(hand, layer, "W", cases=40).verdict in ("convention", "agrees")
    assert judged(lambda W, x: jnp.outer((W @ x > -0.1) * 1.0, x), layer, "W", cases=40).verdict == "wrong"


def test_a_kink_of_two_arguments_of_different_size():
    """hypot at the origin: any slopes in the unit disc, however large the other entries are."""

    def hypot(x: N, y: N) -> N:
        return jnp.hypot(x, y)

    def zero(x, y, cotangent):
        h = jnp.where(hypot(x, y) == 0, 1, hypot(x, y))
        return cotangent * x / h, cotangent * y / h

    point = [0.0, 1.0], [0.0, 1e-6]
    found = examined(zero, hypot, {"n": 2}, *point, wrt=("x", "y"), relation="vjp", extra=([2.0, 1.0],))
    known = all(np.isfinite(r).all() for r in found.reference)  # JAX 0.12 gives NaN there
    assert found.finding == ("convention" if known else "reference_wrong")
