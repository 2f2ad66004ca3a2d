"""The three noise floors: each is what it says."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from tests.noise_floor import FLOORS, floors, measure, report
from tests.verify.judging import at, engine_of
from verify.api import claim_of

N = Float[Array, "n"]


def squares(x: N) -> Float[Array, ""]:
    return jnp.sum(x**2)


def test_a_right_derivative_lies_within_every_floor_and_a_wrong_one_beyond():
    rng = np.random.default_rng(0)
    for factor, beyond in ((1.0, False), (1 + 1e-9, True)):
        engine = engine_of(claim_of(lambda x, factor=factor: 2 * factor * x, squares, "x"))
        gap, size, found = floors(engine, at(engine, {"n": 2}, [1.5, -0.3]), rng)
        assert set(found) == set(FLOORS) and (size > 0).all()
        for name in ("perturbed roundings", "running error bound"):
            assert ((gap > found[name]) == beyond).all(), name
        assert ((found["exact arithmetic"] == 0) == beyond).all()


def test_the_table():
    row = measure(claim_of(lambda x: 2 * x, squares, "x"), 4, 0)
    assert row is not None and not any(row["alarms"].values())
    assert "| exact arithmetic | 0 (0.0e+00) | 0 |" in report([row], {"seed": 0, "cases": 4})
