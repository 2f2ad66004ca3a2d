"""Rules of primals that are approximations: right ones are not accused, wrong ones are found all the same."""

from typing import Annotated

import jax
import jax.numpy as jnp
import pytest
from jaxtyping import Array, Float

from handgrad.domains import interval
from verify import verify

FEW = {"cases": 60, "backends": ("numpy",), "dtypes": ("float64",)}
Small = Annotated[Float[Array, "n"], interval(-1, 1)]


def approximation(x: Small) -> Float[Array, "n"]:
    """A sine by a table, right to about 1e-11."""
    table = jnp.array([-1 / 5040 + 1e-12, 1 / 120 + 1e-11, -1 / 6 + 3e-11, 1.0], x.dtype)
    more = jnp.array([1 / 362880 + 1e-13, -1 / 39916800, 1 / 6227020800.0], x.dtype)
    return x * jnp.polyval(table, x**2) + x**9 * jnp.polyval(more[::-1], x**2)


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "agrees"), (1.0 + 1e-6, "wrong"), (2.0, "wrong")])
def test_the_derivative_of_what_is_meant(factor, verdict):
    rule = jax.custom_jvp(approximation)
    rule.defjvp(lambda p, t: (rule(*p), factor * jnp.cos(p[0]) * t[0]))
    assert verify(rule, **FEW).verdict == verdict


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "agrees"), (1.0 + 1e-6, "wrong")])
def test_a_solution_by_iteration(factor, verdict):
    def solution(a: Annotated[Float[Array, "n"], interval(0.5, 4)], guess: Annotated[Float[Array, ""], interval(1, 2)]):
        def moving(state):
            return jnp.max(jnp.abs(state[0] - state[1])) > 1e-13

        step = lambda s: (s[1], (s[1] + a / s[1]) / 2)  # noqa: E731
        return jax.lax.while_loop(moving, step, (0 * a, guess + 0 * a))[1]

    rule = jax.custom_vjp(solution)
    rule.defvjp(lambda a, guess: (solution(a, guess),) * 2, lambda y, g: (factor * g / (2 * y), jnp.zeros(())))
    outcome = verify(rule, **FEW)
    assert outcome.verdict == verdict, outcome
