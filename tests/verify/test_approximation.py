"""Rules of primals that are approximations: right ones are not accused, wrong ones are found all the same."""

from collections.abc import Callable
from typing import Annotated, Any

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


@jax.vmap
def _exponential_series(x: Any) -> Any:
    more = lambda s: (s[1] < 250) & (jnp.abs(s[2]) > jnp.finfo(x.dtype).eps * jnp.abs(s[0]))  # noqa: E731
    add = lambda s: (s[0] + s[2], s[1] + 1, s[2] * x / (s[1] + 1))  # noqa: E731
    return jax.lax.while_loop(more, add, (jnp.ones_like(x), 1, x))[0]


def exponential(x: Small) -> Float[Array, "n"]:
    """Ends before its first term where x is tiny: its program is constant there."""
    return _exponential_series(x)


def log_tail(x: Annotated[Float[Array, "n"], interval(-20, -1)]) -> Float[Array, "n"]:
    """log(ndtr(x)), by three terms of a series that are off by 1e-6 where they begin."""
    near = jnp.maximum(x, -10)
    z = 1 / x**2
    far = -(x**2) / 2 - jnp.log(-x) - LOG_ROOT + jnp.log(1 - z + 3 * z**2 - 15 * z**3)
    return jnp.where(x > -10, jnp.log(jax.scipy.special.erfc(-near / 2**0.5) / 2), far)


LOG_ROOT = 0.9189385332046727
RIGHT: dict[Callable[..., Any], Callable[..., Any]] = {
    exponential: lambda rule, x: jnp.exp(x),
    log_tail: lambda rule, x: jnp.exp(-(x**2) / 2 - LOG_ROOT - rule(x)),  # as far off as the value
}
PLANTED: dict[str, Callable[..., Any]] = {
    "nothing": lambda slope, x: slope,
    "1.01": lambda slope, x: 1.01 * slope,
    "1.01 somewhere": lambda slope, x: jnp.where((x == 0) | (x < -15), 1.01, 1) * slope,
    "sign": lambda slope, x: -slope,
    "term": lambda slope, x: slope - 0.01 * x,
}


QUICK = ((exponential, "nothing"), (exponential, "1.01 somewhere"), (log_tail, "nothing"))


@pytest.mark.parametrize(
    ("primal", "planted"),
    [pytest.param(f, p, marks=() if (f, p) in QUICK else pytest.mark.slow) for f in RIGHT for p in PLANTED],
)
def test_a_rule_is_judged_by_what_the_primal_approximates(primal, planted):
    rule = jax.custom_jvp(primal)

    @rule.defjvp
    def _(primals, tangents):
        (x,) = primals
        return rule(x), PLANTED[planted](RIGHT[primal](rule, x), x) * tangents[0]

    outcome = verify(rule, **{**FEW, "cases": 24})
    assert outcome.verdict == ("agrees" if planted == "nothing" else "wrong"), outcome
