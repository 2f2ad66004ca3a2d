"""Derivations: what is registered, and what a derivation must be."""

import jax.numpy as jnp
import pytest
from jaxtyping import Array, Float

from handgrad import derivation, registered_claims


@derivation
def square(x: Float[Array, "n"]):
    y = x + 1
    yield jnp.sum(y**2)

    yield jnp.sum(x**2 + 2 * x + 1)
    yield jnp.sum(x * (x + 2)) + x.shape[0]


def test_every_step_but_the_first_is_claimed_to_equal_the_one_before():
    steps = [c for c in registered_claims(__name__) if c.step_of is square]
    assert [c.name for c in steps] == ["square.step2", "square.step3"]
    first = square.__code__.co_firstlineno
    assert [c.line for c in steps] == [first + 5, first + 6]
    assert steps[0].note == f"step 2 of 3 (line {first + 5}) against step 1 (line {first + 3})"
    x = jnp.asarray([1.0, -2.0])
    assert [float(c.reference(x)) for c in steps] == [5.0, 5.0]
    assert [float(c.hand(x)) for c in steps] == [5.0, 5.0]
    assert steps[0].hand(x=x) == steps[1].reference(x)


def test_the_function_is_returned_unchanged():
    assert len(list(square(jnp.ones(3)))) == 3


def one_step(x):
    yield x


def no_step(x):
    return x


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (no_step, "derivation: no_step is no generator function; wanted a def with a `yield` for every step"),
        (one_step, "derivation: one_step yields 1 step; wanted two or more, to compare"),
    ],
)
def test_what_is_no_derivation_is_told(steps, message):
    with pytest.raises(TypeError) as error:
        derivation(steps)
    assert str(error.value) == message


@derivation
def looped(x: Float[Array, "n"]):
    yield x
    for k in (1, 2):
        yield k * x / k


@derivation
def branching(x: Float[Array, "n"]):
    yield x
    if x.shape[0] < 0:
        yield x


@pytest.mark.parametrize(("steps", "made"), [(looped, 3), (branching, 1)])
def test_steps_in_loops_and_branches_are_told(steps, made):
    last = [c for c in registered_claims(__name__) if c.step_of is steps][-1]
    with pytest.raises(ValueError, match=rf"{made} steps were made and 2 are written; write every step as a `yield`"):
        last.hand(jnp.ones(2))
