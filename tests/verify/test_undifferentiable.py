"""Primals that JAX cannot differentiate: the derivative by tangents and by quotients, and planted mistakes."""

from typing import Annotated

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from jaxtyping import Array, Float

from handgrad.domains import interval
from verify import verify
from verify.programs.arithmetic import Undecided
from verify.programs.structural import while_loop
from verify.tracing.undifferentiable import is_entry_by_entry, pulled_back, pushed_forward

FEW = {"cases": 24, "backends": ("numpy",), "dtypes": ("float64",)}
Small = Annotated[Float[Array, "n"], interval(0.25, 4.0)]


def root(a: Small) -> Float[Array, "n"]:
    return jax.lax.while_loop(lambda s: s[0] < 8, lambda s: (s[0] + 1, (s[1] + a / s[1]) / 2), (0, 1 + a))[1]


def hosted(x: Small) -> Float[Array, "n"]:
    return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method="expand_dims")


@pytest.mark.parametrize(
    ("function", "slope"), [(root, lambda x: 0.5 / np.sqrt(x)), (hosted, np.cos)], ids=["while loop", "callback"]
)
def test_both_directions(function, slope):
    with jax.enable_x64(True):
        x, g = jnp.array([0.5, 2.0, 3.0]), jnp.array([1.0, -2.0, 0.0])
        value, pulled = pulled_back(function, x, g)
        np.testing.assert_allclose(pulled, g * slope(np.asarray(x)), rtol=1e-12)
        np.testing.assert_allclose(value, function(x))
        np.testing.assert_allclose(pushed_forward(function, x, g)[1], g * slope(np.asarray(x)), rtol=1e-12)


def test_other_errors_are_told_as_they_are():
    def broken(x):
        raise ValueError("no such table")

    with pytest.raises(ValueError, match="no such table"):
        pulled_back(broken, jnp.ones(2), jnp.ones(2))


@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize(
    ("function", "slope"), [(root, lambda x: 0.5 / jnp.sqrt(x)), (hosted, jnp.cos)], ids=["while loop", "callback"]
)
def test_a_planted_factor_is_found(function, slope, factor):
    rule = jax.custom_vjp(function)
    rule.defvjp(lambda x: (function(x), x), lambda x, g: (factor * g * slope(x),))
    outcome = verify(rule, **FEW)
    assert outcome.verdict == ("agrees" if factor == 1 else "wrong"), outcome
    assert factor == 1 or (outcome.diagnosis.kind, outcome.diagnosis.value) == ("factor", "2"), outcome


def test_results_that_are_whole_numbers():
    @jax.custom_jvp
    def parts(x: Float[Array, "n"]) -> tuple[Float[Array, "n"], Array]:
        return 2 * x, jnp.floor(x).astype(int)

    @parts.defjvp
    def _(primals, tangents):
        value = parts(*primals)
        return value, (2 * tangents[0], np.zeros(value[1].shape, jax.dtypes.float0))

    assert verify(parts, **FEW).verdict == "agrees"


@jax.custom_jvp
def each_its_own(x: Float[Array, "n"]) -> Float[Array, "n"]:
    """Halved until small, each entry as often as it needs; from 50 on for ever."""
    one = lambda x: jax.lax.while_loop(lambda y: y > 1, lambda y: jnp.where(x > 50, y, y / 2), x)  # noqa: E731
    return jax.vmap(one)(x)


each_its_own.defjvp(
    lambda p, t: (each_its_own(*p), t[0] * jnp.where(p[0] > 1, 2.0 ** -jnp.ceil(jnp.log2(jnp.abs(p[0]))), 1.0))
)


def test_a_batch_of_loops_that_need_not_end():
    assert verify(each_its_own, **FEW).ok


def test_quotients_of_all_entries_at_once():
    with jax.enable_x64(True):
        x, q, v = jnp.array([1.5, 3.0, 20.0]), jnp.array([1.0, 2.5, 20.0]), jnp.array([1.0, -2.0, 3.0])
        zeta = lambda point: jax.lax.zeta(*point)  # noqa: E731
        assert is_entry_by_entry(jax.make_jaxpr(jax.lax.zeta)(x, q).jaxpr, (3,))
        at = list(zip(x.tolist(), q.tolist(), strict=True))
        with mp.workdps(40):
            in_x = np.array([float(mp.diff(lambda t, b=b: mp.zeta(t, b), a)) for a, b in at])
            in_q = np.array([float(-a * mp.zeta(a + 1, b)) for a, b in at])
        pulled = pulled_back(zeta, (x, q), v)[1]
        np.testing.assert_allclose(pulled[0], v * in_x, rtol=1e-12)
        np.testing.assert_allclose(pulled[1], v * in_q, rtol=1e-12)
        np.testing.assert_allclose(pushed_forward(zeta, (x, q), (v, v))[1], v * (in_x + in_q), rtol=1e-12)


@pytest.mark.parametrize("mixing", [jnp.cumsum, jnp.sort, lambda x: x[::-1], lambda x: x - x.mean(), jnp.sum])
def test_entries_that_mix_are_moved_one_by_one(mixing):
    assert not is_entry_by_entry(jax.make_jaxpr(mixing)(jnp.ones(3)).jaxpr, (3,))


def test_a_loop_is_given_up():
    going, further = (lambda n: (n >= 0,)), (lambda n: (n + 1,))
    with pytest.raises(Undecided, match="a loop has not ended after 50 turns"):
        while_loop(going, further, (), (), (np.float64(1),), most=50)
    assert np.isnan(while_loop(going, further, (), (), (np.float64(1),))[0])
