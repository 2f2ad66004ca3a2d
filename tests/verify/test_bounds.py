"""Diagnoses of inequalities: the other way round, or with another power of the bound."""

import jax.numpy as jnp
import pytest
from jaxtyping import Array, Float

from verify import verify

Matrix = Float[Array, "m n"]


def norms(A: Matrix, B: Matrix) -> Float[Array, ""]:
    return jnp.sqrt(jnp.sum(A * A) * jnp.sum(B * B))


def root_of_norms(A: Matrix, B: Matrix) -> Float[Array, ""]:
    return jnp.sqrt(norms(A, B))


def squared_norms(A: Matrix, B: Matrix) -> Float[Array, ""]:
    return jnp.sum(A * A) * jnp.sum(B * B)


def inner(A, B):
    return jnp.abs(jnp.sum(A * B))


def squared_inner(A, B):
    return jnp.sum(A * B) ** 2


def larger(A, B):
    return norms(A, B) + jnp.sum(A * A)


def half_larger(A, B):
    return 2 * norms(A, B) - jnp.sum(A * A)


@pytest.mark.parametrize(
    ("hand", "reference", "kind", "value"),
    [
        (inner, root_of_norms, "factor", "reference ** 2"),
        (squared_inner, norms, "factor", "reference ** 2"),
        (larger, norms, "sign", "reversed"),
    ],
)
def test_the_power_of_a_bound_and_its_direction(hand, reference, kind, value):
    outcome = verify(hand, reference, relation="at_most", dtypes=("float64",), cases=200, backends=("numpy",))
    assert outcome.verdict == "wrong"
    assert (outcome.diagnosis.kind, outcome.diagnosis.value) == (kind, value)


@pytest.mark.parametrize("hand", [half_larger, lambda A, B: 2 * inner(A, B)])
def test_another_mistake_is_not_taken_for_a_power(hand):
    outcome = verify(hand, norms, relation="at_most", dtypes=("float64",), cases=200, backends=("numpy",))
    assert outcome.verdict == "wrong"
    assert outcome.diagnosis.kind != "sign" and "reference **" not in (outcome.diagnosis.value or "")


def test_a_bound_that_holds_is_not_accused():
    outcome = verify(inner, norms, relation="at_most", dtypes=("float64",), cases=200, backends=("numpy",))
    assert outcome.verdict == "agrees"
