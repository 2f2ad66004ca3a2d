"""Accuracy: formulas that lose digits where their reference does not, and right ones that are not to be accused."""

import re
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from handgrad.domains import interval, lower_triangular, orthogonal, positive, simplex, spd, symmetric
from tests.verify.judging import judged
from verify.api import claim_of
from verify.cells.accuracy import neighbours, suspicions
from verify.cells.comparison import as_wide, differs, errors, precision, relative, worse
from verify.drawing.draws import Draws

N = Float[Array, "n"]
Scalar = Float[Array, ""]
TWO = ("float64", "float32")
ALL = ("float64", "float32", "bfloat16", "float16")


def logistic(x: N) -> Scalar:
    return jnp.sum(1 / (1 + jnp.exp(-x)))


def saturating(x):
    s = 1 / (1 + jnp.exp(-x))
    return s * (1 - s)


def stable(x):
    e = jnp.exp(-jnp.abs(x))
    return e / (1 + e) ** 2


def log_cosh(x: N) -> Scalar:
    return jnp.sum(jnp.logaddexp(x, -x))


def entropy(x: Annotated[N, positive]) -> Scalar:
    return jnp.sum(x * jnp.log(x))


def squares(x: N) -> Scalar:
    return jnp.sum(x**2)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_one_minus_a_saturated_sigmoid(dtype):
    outcome = judged(saturating, logistic, dtypes=("float64", dtype), cases=160)
    assert outcome.verdict == "inaccurate" and outcome.diagnosis.kind == "region", outcome
    assert re.search(r"only where \|?x\|? > \d+.* no digit is left", outcome.diagnosis.text), outcome.diagnosis.text
    assert "the formula is right in exact arithmetic and loses its digits" in outcome.diagnosis.text
    assert not outcome.ok and outcome.counterexample is not None


def test_its_stable_form():
    outcome = judged(stable, logistic, dtypes=TWO, cases=160)
    assert outcome.verdict in ("agrees", "reference_wrong"), outcome


def test_an_overflow():
    """exp(2x) overflows where the derivative is 1."""

    def hand(x):
        return (jnp.exp(2 * x) - 1) / (jnp.exp(2 * x) + 1)

    outcome = judged(hand, log_cosh, dtypes=TWO, cases=160)
    assert outcome.verdict == "inaccurate" and outcome.diagnosis.kind == "overflow", outcome
    assert "overflows" in outcome.diagnosis.text


def test_where_both_lose_alike_the_claim_agrees():
    """jax.grad of the logistic function is itself s(1 - s)."""

    def reference(x: N) -> Scalar:
        return jnp.sum(jax.nn.sigmoid(x))

    outcome = judged(lambda x: jax.nn.sigmoid(x) * (1 - jax.nn.sigmoid(x)), reference, dtypes=TWO, cases=120)
    assert outcome.verdict == "agrees", outcome


def test_a_reference_that_loses_digits():
    def reference(x: N) -> Scalar:
        return jnp.sum(jax.nn.sigmoid(x))

    outcome = judged(stable, reference, dtypes=TWO, cases=160)
    assert outcome.verdict == "reference_wrong" and outcome.ok, outcome
    assert any("jax.grad" in note for note in outcome.notes)


def test_float16_overflows_in_an_intermediate():
    def hand(x):
        return 2000 * x / 1000

    outcome = judged(hand, squares, dtypes=("float64", "float16"), cases=160)
    assert outcome.verdict in ("inaccurate", "agrees"), outcome


@pytest.mark.parametrize(
    ("hand", "reference"),
    [
        (lambda x: 1 + jnp.log(x), entropy),  # cancels at 1/e
        (lambda x: jnp.log(jnp.e * x), entropy),
        (jnp.tanh, log_cosh),
        (lambda x: x + x, squares),
        (lambda x: 3 * x - x, squares),
    ],
)
def test_accidental_cancellation_is_not_accused(hand, reference):
    outcome = judged(hand, reference, dtypes=ALL, cases=400)
    assert outcome.verdict in ("agrees", "reference_wrong"), outcome


def test_sums_in_another_order_are_not_accused():
    def loss(W: Float[Array, "m n"], x: N) -> Scalar:
        return jnp.sum((W @ x) ** 2)

    def hand(W, x):
        return 2 * jnp.einsum("ij,j,k->ik", W, x, x)

    outcome = judged(hand, loss, "W", dtypes=ALL, cases=200)
    assert outcome.verdict == "agrees", outcome


def quadratic(A: Annotated[Float[Array, "n n"], spd], b: N) -> Scalar:
    return b @ jnp.linalg.solve(A, b)


def inverse(A: Annotated[Float[Array, "n n"], spd]) -> Scalar:
    return jnp.trace(jnp.linalg.inv(A))


def test_an_unlucky_rounding_of_a_matrix_is_not_accused():
    """The neighbours of a symmetric positive definite matrix are its witnesses: they must differ from it."""

    def hand(A, b):
        y = jnp.linalg.solve(A, b)
        return -jnp.outer(y, y)

    for seed in range(3):
        assert judged(hand, quadratic, "A", dtypes=TWO, cases=300, seed=seed).verdict == "agrees"


def test_an_inverse_of_a_square_is_less_accurate_than_a_square_of_an_inverse():
    once = judged(lambda A: -jnp.linalg.inv(A) @ jnp.linalg.inv(A), inverse, "A", dtypes=TWO, cases=120)
    assert once.verdict == "agrees", once
    squared = judged(lambda A: -jnp.linalg.inv(A @ A), inverse, "A", dtypes=TWO, cases=120)
    assert squared.verdict == "inaccurate" and squared.diagnosis.kind == "precision", squared


SOME = [spd, symmetric, orthogonal, lower_triangular, simplex, positive, interval(0.0, 1.0)]


@pytest.mark.parametrize("domain", SOME)
def test_neighbours_stay_in_their_domain_and_differ(domain):
    def loss(A: Annotated[Float[Array, "n n"], domain]) -> Scalar:
        return jnp.sum(A)

    draws = Draws(claim_of(lambda A: A, loss, "A"), 0)
    case = next(c for i in range(3, 60) if (c := draws.case(i, "float64")).plain and min(c.dims.values()) > 2)
    (A,) = case.values
    for near in neighbours(case, 1.0):
        (B,) = near.values
        assert B.dtype == A.dtype and B.shape == A.shape and not np.array_equal(A, B)
        assert np.abs(A - B).max() < 1e-2 * np.abs(A).max()
        if domain in (spd, symmetric):
            np.testing.assert_array_equal(B, B.T)
        if domain is spd:
            assert np.linalg.eigvalsh(B).min() > 0
        if domain is orthogonal:
            np.testing.assert_allclose(B @ B.T, np.eye(len(B)), atol=1e-14)
        if domain is simplex:
            np.testing.assert_allclose(B.sum(-1), 1, atol=1e-14)
        if domain is lower_triangular:
            np.testing.assert_array_equal(B, np.tril(B))


# --- the parts -----------------------------------------------------------------------------------------------


def test_precision():
    single = precision("float32")
    assert single.roundoff == 2.0**-24 and single.tiny == 2.0**-126
    assert precision("complex64").roundoff == single.roundoff and precision("bfloat16").roundoff == 2.0**-8
    assert single.roundoff < single.loss < 1


def test_differs_and_relative():
    one = np.array([1.0, 1.0, np.nan, np.inf, np.inf, 0.0, 0.0])
    two = np.array([1.0, 1 + 1e-8, 1.0, np.inf, -np.inf, 0.0, 1e-300])
    assert differs(one, two).tolist() == [False, True, True, False, True, False, True]
    infinite = np.array([np.inf, -np.inf])
    assert differs(np.zeros(2), infinite).all() and differs(infinite, np.zeros(2)).all()
    assert relative(np.array([1.0, 2.0]), np.array([1.0, 0.0])).tolist() == [0.0, np.inf]
    assert differs(np.array([np.nan]), np.array([np.nan])).all()


def test_errors_and_worse():
    truth = np.array([1.0, 1.0, np.nan, 1.0])
    assert errors(np.array([1.5, np.nan, 1.0, np.inf]), truth)[[0, 1, 3]].tolist() == [0.5, np.inf, np.inf]
    assert np.isnan(errors(np.array([1.0]), np.array([np.nan])))[0]
    p = precision("float32")
    lost, fine = np.array([1e-3]), np.array([1e-8])
    one = np.array([1.0])
    assert worse(lost, fine, one, p)[0] and not worse(fine, fine, one, p)[0]
    assert not worse(lost, lost / 2, one, p)[0]  # both lose
    assert not worse(lost, fine, np.array([p.largest]), p)[0]  # at the edge of the range anything may overflow


def test_suspicions_name_the_side_and_the_entry():
    p = precision("float32")
    truth = (np.array([1.0, 2.0, 3.0]),)
    off = (np.array([1.0, 2.01, 3.0]),)
    found, largest = suspicions(off, truth, truth, p)
    assert [s[:3] for s in found] == [("hand", 0, (1,))] and np.isclose(largest, 0.005)
    found, _ = suspicions(truth, off, truth, p)
    assert [s[:3] for s in found] == [("reference", 0, (1,))]
    assert suspicions(off, off, truth, p)[0] == []


def test_as_wide():
    assert as_wide(np.float16(0.1)).dtype == np.float64 and as_wide(np.complex64(1j)).dtype == np.complex128


def test_an_underflow_of_an_intermediate_is_excused_where_the_result_is_faint():
    """cotangent * s is 0 at -85 where z * s is not; a zero for e-10 is a loss as before."""
    p = precision("float32")
    truth = np.array([3.7e-37, 3.7e-10])
    assert worse(truth, np.zeros(2), truth, p).tolist() == [False, True]
    assert worse(truth / 2, np.zeros(2), truth, p).tolist() == [True, True]
