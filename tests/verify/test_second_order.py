"""Custom rules differentiated once more: right rules pass, those that are right once only are found and replayed."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest
from jaxtyping import Array, Float

from verify import verify

N = Float[Array, "n"]
FEW = {"cases": 40, "backends": ("numpy",), "dtypes": ("float64",)}


@jax.custom_jvp
def ramp(x: N) -> N:
    return jnp.maximum(x, 0)


ramp.defjvp(lambda primals, tangents: (ramp(*primals), jnp.where(primals[0] > 0, tangents[0], 0)))


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def scaled(x: N, power: int = 3) -> N:
    return x**power


scaled.defvjp(lambda x, power: (x**power, x), lambda power, x, g: (power * x ** (power - 1) * g,))


@jax.custom_vjp
def taken(x: N, y: N) -> tuple[Float[Array, ""], N]:
    return x @ y, jnp.sin(x) * y


taken.defvjp(
    lambda x, y: (taken(x, y), (x, y)),
    lambda r, g: (g[0] * r[1] + jnp.cos(r[0]) * r[1] * g[1], g[0] * r[0] + jnp.sin(r[0]) * g[1]),
)


@jax.custom_jvp
def bent(x: N) -> N:
    return jnp.tanh(x)


@bent.defjvp
def _(primals, tangents):
    (y,) = map(bent, primals)
    return y, (1 - jax.lax.stop_gradient(y) ** 2) * tangents[0]


@pytest.mark.parametrize("rule", [ramp, scaled, taken], ids=lambda r: r.__name__)
def test_right_rules(rule):
    outcome = verify(rule, **FEW)
    assert outcome.verdict in ("agrees", "convention"), outcome
    assert not any("once more" in note for note in outcome.notes), outcome.notes


def test_a_derivative_that_forgets_what_it_depends_on():
    outcome = verify(bent, **FEW)
    assert outcome.verdict == "wrong" and "Differentiated once more" in outcome.diagnosis.text, outcome
    assert outcome.name == "bent" and outcome.relation == "custom_jvp"
    assert any("the rule itself is right" in note for note in outcome.notes)


def test_a_rule_that_cannot_be_differentiated_again_is_noted():
    @jax.custom_vjp
    def once(x: N) -> N:
        return jnp.sin(x)

    def backward(x, g):
        found = jax.lax.while_loop(lambda s: s[0] < 1, lambda s: (s[0] + 1, jnp.cos(s[1])), (0, x))[1]
        return (found * g,)

    once.defvjp(lambda x: (jnp.sin(x), x), backward)
    outcome = verify(once, **FEW)
    assert outcome.ok and any("differentiated once more: error" in note for note in outcome.notes), outcome
