"""Return annotations are checked where they are present."""

import jax.numpy as jnp
import pytest
from jaxtyping import Array, Float

from tests.verify.judging import judged

N = Float[Array, "n"]
M = Float[Array, "n m"]


def test_a_reference_that_does_not_return_what_it_says():
    def cubes(x: N) -> N:
        return jnp.sum(x**3)

    outcome = judged(lambda x: 3 * x**2, cubes)
    assert outcome.verdict == "error"
    assert outcome.reason == (
        'the reference is annotated to return Float[Array, "n"], and returns shape () at n = 1: '
        "correct the annotation or the function"
    )


def test_a_hand_function_that_does_not_return_what_it_says():
    def cubes(A: M) -> Float[Array, ""]:
        return jnp.sum(A**3)

    def gradient(A: M) -> Float[Array, "m n"]:
        return 3 * A**2

    outcome = judged(gradient, cubes, wrt="A")
    assert outcome.verdict == "error" and "the hand-written function is annotated to return" in outcome.reason


@pytest.mark.parametrize("promise", [M, Float[Array, "..."], Float[Array, "_ m"], Float[Array, "rows m"], jnp.ndarray])
def test_promises_kept(promise):
    def doubled(A: M) -> promise:
        return 2 * A

    assert judged(lambda A: A + A, doubled, None, "equal_to").verdict == "agrees"


def test_a_cast_to_lower_precision_loses_digits_in_float64():
    def cubes(x: N) -> Float[Array, ""]:
        return jnp.sum(x**3)

    outcome = judged(lambda x: 3 * x.astype(jnp.float32).astype(x.dtype) ** 2, cubes)
    assert outcome.verdict == "inaccurate" and outcome.diagnosis.kind == "precision", outcome
    assert outcome.diagnosis.value == "float64"
    example = outcome.counterexample
    assert (example.hand["x"] != example.oracle["x"]).any()
