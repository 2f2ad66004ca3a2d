"""The judge: one planted claim for every verdict word, and the rules that settle the borders."""

from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Complex, Float, Float32

from handgrad.claims import Claim
from handgrad.domains import interval, positive, simplex
from tests.verify.judging import judged
from verify.api import claim_of
from verify.cells.budget import Budget
from verify.cells.comparison import RESOLUTION, differs, stands_out
from verify.verdict.judge import CASES_SETTLED, judge

N = Float[Array, "n"]


def ridge(W: Float[Array, "m n"], X: Float[Array, "n N"], Y: Float[Array, "m N"]) -> Float[Array, ""]:
    return jnp.sum((Y - W @ X) ** 2)


def squares(x: N) -> Float[Array, ""]:
    return jnp.sum(x**2)


def norm(x: N) -> Float[Array, ""]:
    return jnp.sqrt(jnp.sum(x**2))


def relu(x: N) -> Float[Array, ""]:
    return jnp.sum(jax.nn.relu(x))


def logistic(x: N) -> Float[Array, ""]:
    return jnp.sum(1 / (1 + jnp.exp(-x)))


def nowhere(x: N) -> Float[Array, ""]:
    return jnp.sum(jnp.log(-1 - x**2))


def saturating(x):
    s = 1 / (1 + jnp.exp(-x))
    return s * (1 - s)


def raising(x):
    raise RuntimeError("the GPU is on fire")


def almost_squares(x: Annotated[N, interval(-2.0, 2.0)]) -> Float[Array, ""]:
    return jnp.sum(x**2) + 1e-11 * jnp.sum(x**3)


@pytest.mark.parametrize(
    ("hand", "verdict"),
    [(lambda x: 2 * x + 3e-11 * x**2, "agrees"), (lambda x: 2 * x + 3e-11 * x**2 * (x < 1.98), "wrong")],
)
def test_a_difference_below_the_resolution_that_is_no_rounding(hand, verdict):
    outcome = judged(hand, almost_squares, cases=300)
    assert outcome.verdict == verdict and outcome.cells[0].worst_error < RESOLUTION, outcome


@pytest.mark.parametrize("spoil", [lambda x: np.nan, lambda x: 2e-9 * x[1] + x[1]], ids=["NaN", "a tiny entry"])
def test_what_differs_stands_out(spoil):
    x = np.array([1e300, 1.0, 2.0])
    hand = x.copy()
    hand[1] = spoil(x)
    assert stands_out(hand, x).tolist() == differs(hand, x).tolist() == [False, True, False]


def test_a_counterexample_that_is_not_a_number_is_shrunk():
    outcome = judged(lambda x: jnp.where(x > 1, jnp.nan, 2 * x), squares)
    assert outcome.counterexample.dims == {"n": 1} and outcome.replay.endswith("-shrunk"), outcome


def test_rounding_that_stands_out_is_no_mistake():
    """The sum in another order, of numbers that nearly cancel."""
    total = lambda x: jnp.sum((jnp.sum(x) + x) ** 2)  # noqa: E731
    total.__annotations__ = {"x": N, "return": Float[Array, ""]}
    record = judged(lambda x: 2 * (jnp.sum(x) + x) + 2 * (x.size * jnp.sum(x[::-1]) + jnp.sum(x)), total, cases=300)
    assert record.verdict == "agrees", record


def test_what_is_wrong_in_one_dtype_is_shown_in_the_others_on_a_few_cases():
    outcome = judged(lambda x: x, squares, dtypes=None, cases=2000)
    assert [(c.dtype, c.verdict) for c in outcome.cells] == [
        (d, "wrong") for d in ("float64", "float32", "bfloat16", "float16")
    ]
    first, *others = (c.cases for c in outcome.cells)
    assert first >= 500 and all(cases == CASES_SETTLED for cases in others)


@pytest.mark.parametrize(
    ("hand", "reference", "dtypes", "verdict"),
    [
        (lambda x: 2 * x, squares, ("float64", "float32", "bfloat16", "float16"), "agrees"),
        (lambda x: x, squares, ("float64",), "wrong"),
        (lambda x: 2 * x + 1e-7 * (x > 1), squares, ("float64",), "wrong"),
        (lambda x: 2 * x * (x < 1e4), squares, ("float64",), "wrong"),
        (saturating, logistic, ("float64", "float32"), "inaccurate"),
        (lambda x: jnp.where(jnp.any(x != 0), x / norm(x), 0.0), norm, ("float64",), "reference_wrong"),
        (lambda x: jnp.where(x >= 0, 1.0, 0.0), relu, ("float64",), "convention"),
        (lambda x: 2 * x + 1, nowhere, ("float64",), "unresolved"),
        (raising, squares, ("float64",), "error"),
    ],
)
def test_every_verdict(hand, reference, dtypes, verdict):
    outcome = judged(hand, reference, dtypes=dtypes, cases=60 * len(dtypes))
    assert outcome.verdict == verdict, outcome
    assert outcome.ok == (verdict not in ("wrong", "inaccurate", "error"))
    assert (outcome.diagnosis is None) == (verdict not in ("wrong", "inaccurate"))
    assert (outcome.counterexample is None) == (outcome.diagnosis is None) == (outcome.replay is None)


def test_the_record_of_a_wrong_claim():
    outcome = judged(lambda W, X, Y: (W @ X - Y) @ X.T, ridge, "W")
    assert (outcome.verdict, outcome.relation) == ("wrong", "gradient")
    assert outcome.diagnosis.kind == "factor" and outcome.diagnosis.value == "1/2"
    example = outcome.counterexample
    assert example.dims == {"m": 1, "n": 1, "N": 1} and example.dtype == "float64"
    assert set(example.inputs) == {"W", "X", "Y"}
    hand, truth = example.hand["W"], example.oracle["W"]
    np.testing.assert_allclose(2 * hand, truth)
    assert outcome.replay == f"verify replay {example.id}"
    assert outcome.entries["max"] >= outcome.entries["median"] > 0 and outcome.seconds > 0
    (cell,) = outcome.cells
    assert (cell.backend, cell.dtype, cell.mode, cell.engine) == ("numpy", "float64", "eager", "symbolic")
    assert 0 < cell.smallest_visible_error < 1e-8 and 0 < cell.fresh_shapes <= cell.cases


def test_the_record_of_a_right_claim():
    outcome = judged(lambda W, X, Y: 2 * (W @ X - Y) @ X.T, ridge, "W", cases=80, dtypes=None)
    assert outcome.verdict == "agrees" and outcome.cases == 80 and outcome.fresh_shapes > 60
    assert [c.dtype for c in outcome.cells] == ["float64", "float32", "bfloat16", "float16"]
    assert outcome.notes == () and outcome.reason is None and outcome.smallest_visible_error < 1e-6


def test_compiled_cells():
    outcome = judged(lambda x: 2 * x, squares, backends=("numpy", "cpu"), dtypes=("float32",), cases=20)
    assert outcome.verdict == "agrees"
    ran = {(c.backend, c.mode) for c in outcome.cells}
    assert ran >= {("numpy", "eager"), ("cpu", "jit"), ("cpu", "vmap")}


def test_the_formula_is_judged_when_only_compiled_cells_are_asked_for():
    outcome = judged(lambda x: 2 * x * 1.00001, squares, backends=("cpu",), cases=20)
    assert outcome.verdict == "wrong" and outcome.diagnosis.kind == "factor", outcome
    outcome = judged(lambda x: 2 * x, squares, backends=("cpu",), cases=20)
    assert outcome.verdict == "agrees" and {c.backend for c in outcome.cells} == {"cpu"}


def test_a_mistake_that_only_compiled_cells_could_show_is_not_needed_to_settle_a_wrong_formula():
    outcome = judged(lambda x: x, squares, backends=("numpy", "cpu"), cases=20)
    assert outcome.verdict == "wrong" and {c.backend for c in outcome.cells} == {"numpy"}


# --- shapes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hand", "kind", "words"),
    [
        (lambda W, X, Y: (2 * (W @ X - Y) @ X.T).T, "transpose", "transpose"),
        (lambda W, X, Y: 2 * (W @ X - Y) @ X, "shape", "do not fit together"),
        (lambda W, X, Y: jnp.sum(2 * (W @ X - Y) @ X.T, 0), "reduction", "is summed over axis 0 (m)"),
        (lambda W, X, Y: (2 * (W @ X - Y) @ X.T, 0.0), "shape", "returns 2 arrays"),
    ],
)
def test_wrong_shapes_are_wrong(hand, kind, words):
    outcome = judged(hand, ridge, "W")
    assert outcome.verdict == "wrong" and outcome.diagnosis.kind in kind.split()
    assert words in str(outcome), outcome


def test_a_tuple_is_wanted_where_wrt_is_a_tuple():
    outcome = judged(lambda W, X, Y: 2 * (W @ X - Y) @ X.T, ridge, ("W", "X"))
    assert outcome.verdict == "wrong" and outcome.diagnosis.kind == "shape"
    assert "wrt=('W', 'X') wants a tuple of 2, one for each name" in str(outcome)


# --- errors ------------------------------------------------------------------------------------------------


def unannotated(x):
    return jnp.sum(x**2)


def vector_valued(x: N) -> N:
    return x**2


def broken(x: N) -> Float[Array, ""]:
    return jnp.sum(x @ x.missing)


@pytest.mark.parametrize(
    ("hand", "reference", "message"),
    [
        (
            lambda x: 2 * x,
            unannotated,
            "argument 'x' has no annotation and no given=; wanted a shape: write x: Float[Array, \"m n\"] in",
        ),
        (
            lambda x: 2 * x,
            vector_valued,
            "the reference returns shape (1,); gradient_of wants a scalar: use vjp_of",
        ),
        (lambda x: 2 * x, broken, "the reference broken raised AttributeError"),
        (raising, squares, "the hand-written function raised RuntimeError: the GPU is on fire"),
        (lambda y: 2 * y.nothing, squares, "the hand-written function raised AttributeError"),
    ],
)
def test_errors_say_what_to_do(hand, reference, message):
    outcome = judged(hand, reference)
    assert outcome.verdict == "error" and message in outcome.reason, outcome


def test_wrt_that_the_reference_does_not_have():
    outcome = judged(lambda x: 2 * x, squares, "W")
    assert outcome.verdict == "error"
    assert "wrt names 'W', but the reference squares has the arguments x: correct wrt=" in outcome.reason


# --- borders -----------------------------------------------------------------------------------------------


def test_expected_wrong():
    claim = claim_of(lambda x: x, squares, "x")
    expected = Claim(**{**vars(claim), "expect": "wrong"})
    assert judge(expected, Budget(0, 20, ("numpy",), ("float64",))).record.ok
    claim = claim_of(lambda x: 2 * x, squares, "x")
    expected = Claim(**{**vars(claim), "expect": "wrong"})
    assert not judge(expected, Budget(0, 20, ("numpy",), ("float64",))).record.ok


def test_both_wrong_alike_is_wrong_and_the_note_says_so():
    @jax.custom_jvp
    def cube(x):
        return x**3

    cube.defjvp(lambda primals, tangents: (primals[0] ** 3, 2 * primals[0] ** 2 * tangents[0]))

    def reference(x: N) -> Float[Array, ""]:
        return jnp.sum(cube(x))

    outcome = judged(lambda x: 2 * x**2, reference)
    assert outcome.verdict == "wrong", outcome
    assert any("the reference is wrong" in note for note in outcome.notes), outcome.notes


def test_stop_gradient_is_the_authors_intent():
    def reference(x: N) -> Float[Array, ""]:
        return jnp.sum(jax.lax.stop_gradient(x) * x)

    assert judged(lambda x: x, reference).verdict == "agrees"
    assert judged(lambda x: 2 * x, reference).verdict == "wrong"


def test_a_formula_may_rely_on_its_constraint():
    def cross_entropy(z: N, t: Annotated[N, simplex]) -> Float[Array, ""]:
        return -jnp.sum(t * jax.nn.log_softmax(z))

    outcome = judged(lambda z, t: jax.nn.softmax(z) - t, cross_entropy, "z", dtypes=("float64", "float32"))
    assert outcome.verdict == "agrees", outcome


def test_complex_cells_are_float64_and_float32():
    def modulus(z: Complex[Array, "n"]) -> Float[Array, ""]:
        return jnp.sum(jnp.real(z * jnp.conj(z)))

    outcome = judged(lambda z: 2 * jnp.conj(z), modulus, "z", dtypes=None, cases=40)
    assert outcome.verdict == "agrees" and [c.dtype for c in outcome.cells] == ["float64", "float32"]
    conjugated = judged(lambda z: 2 * z, modulus, "z")
    assert conjugated.verdict == "wrong" and conjugated.diagnosis.kind == "conjugate", conjugated


def test_a_dtype_that_the_claim_does_not_have():
    def single(x: Float32[Array, "n"]) -> Float32[Array, ""]:
        return jnp.sum(x**2)

    outcome = judged(lambda x: 2 * x, single, dtypes=("bfloat16",))
    assert outcome.verdict == "unresolved" and [c.verdict for c in outcome.cells] == ["skipped"]
    assert "limited to float32" in outcome.reason


def test_claims_of_low_precision_are_judged_as_finely_as_it_can_show():
    claim = Claim(**{**vars(claim_of(lambda x: 2 * x, squares, "x")), "dtypes": ("bfloat16",)})
    outcome = judge(claim, Budget(0, 40, ("numpy",))).record
    assert outcome.verdict == "agrees" and [c.dtype for c in outcome.cells] == ["bfloat16"]
    half = Claim(**{**vars(claim_of(lambda x: x, squares, "x")), "dtypes": ("bfloat16",)})
    assert judge(half, Budget(0, 40, ("numpy",))).record.verdict == "wrong"


def test_a_branch_on_the_dtype():
    def hand(x):
        return 2 * x if x.dtype == jnp.float64 else 2 * x + 0.5 * x**2

    outcome = judged(hand, squares, dtypes=("float64", "float32"), cases=120)
    assert outcome.verdict == "wrong" and "float32" in str(outcome), outcome


def test_nondeterministic():
    calls = iter(range(10**6))
    outcome = judged(lambda x: 2 * x + next(calls), squares)
    assert outcome.verdict == "wrong" and outcome.diagnosis.kind == "nondeterministic"


@pytest.mark.parametrize(
    ("relation", "hand", "verdict"),
    [
        ("equal_to", lambda x: x @ x, "agrees"),
        ("equal_to", lambda x: x @ x + 1e-8, "wrong"),
        ("at_most", lambda x: x @ x, "agrees"),
        ("at_most", lambda x: x @ x - 1, "agrees"),
        ("at_most", lambda x: 1.01 * (x @ x), "wrong"),
    ],
)
def test_values_and_bounds(relation, hand, verdict):
    outcome = judged(hand, squares, None, relation)
    assert outcome.verdict == verdict, outcome


@pytest.mark.parametrize("size", [3, 7, 17])
def test_a_mistake_at_one_size_only(size):
    """Wrong in one entry for one size: only a breadth of shapes sees it."""

    def hand(x):
        return 2 * x * jnp.where(x.shape[0] >= size, 1.001, 1.0)

    outcome = judged(hand, squares, cases=150)
    assert outcome.verdict == "wrong", outcome


def test_domains_are_kept():
    def logarithm(x: Annotated[N, positive]) -> Float[Array, ""]:
        return jnp.sum(jnp.log(x))

    assert judged(lambda x: 1 / x, logarithm, dtypes=None, cases=120).verdict == "agrees"


def test_the_same_seed_gives_the_same_outcome_and_another_seed_other_cases():
    first, second, third = (judged(lambda x: x, norm, seed=s) for s in (1, 1, 2))
    assert first.counterexample.id == second.counterexample.id != third.counterexample.id
    strip = {"seconds": 0.0, "cells": ()}
    assert str({**vars(first), **strip}) == str({**vars(second), **strip})


LARGE = Float[Array, "250 251"]
"""More entries than exact arithmetic is used for."""


def half_square(W: LARGE) -> Float[Array, ""]:
    return jnp.sum(W**2) / 2


def test_one_nan_in_a_large_gradient_is_wrong():
    outcome = judged(lambda W: W.at[3, 4].set(jnp.nan), half_square, "W", cases=4, dtypes=("float64",))
    assert outcome.verdict == "wrong", outcome


def test_where_only_the_range_of_float64_ends_a_large_gradient_is_not_called_wrong():
    outcome = judged(
        lambda W: W * (jnp.exp(0 * W + 800) * jnp.exp(0 * W - 800)), half_square, "W", cases=4, dtypes=("float64",)
    )
    assert outcome.verdict != "wrong", outcome
