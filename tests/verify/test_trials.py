"""Trials: each is a case of its own, together they give what each gives alone, and they find what few values show."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from handgrad.domains import one_hot, positive, spd
from tests.verify.judging import engine_of, judged
from verify.api import claim_of
from verify.cells.budget import Budget
from verify.cells.compiled import UNSTACKED, CompiledCell, compiled_ahead, depth, planned
from verify.drawing.cases import index_of
from verify.tracing.trials import MOST_ENTRIES, together, trials_of
from verify.verdict.judge import judge

N = Float[Array, "n"]
Scalar = Float[Array, ""]


def softmax(x: N) -> N:
    return jax.nn.softmax(x)


def softmax_vjp(x, *, cotangent):
    p = softmax(x)
    return p * (cotangent - p @ cotangent)


def volume(A: Annotated[Float[Array, "n n"], spd], t: Annotated[Float[Array, "n"], one_hot]) -> Scalar:
    return jnp.trace(jnp.linalg.inv(A)) + jnp.sum(A @ t)


def volume_gradient(A, t):
    inverse = jnp.linalg.inv(A)
    return -(inverse @ inverse) + jnp.ones_like(t)[:, None] * t[None, :]


CLAIMS = [claim_of(softmax_vjp, softmax, "x", "vjp"), claim_of(volume_gradient, volume, "A")]


@pytest.mark.parametrize("claim", CLAIMS, ids=["softmax", "volume"])
def test_together_they_give_what_each_gives_alone(claim):
    engine = engine_of(claim)
    case = engine.case(20, "float64")
    trials = trials_of(engine.draws, engine.formula(case), case, 40)
    assert trials.count == 40 and trials.case(0) is case and engine.can_stack(case)
    with np.errstate(all="ignore"):
        hand, reference = engine.wide_trials(trials)
        for k in range(trials.count):
            for stacked, alone in zip((hand, reference), engine.wide(trials.case(k)), strict=True):
                np.testing.assert_allclose(stacked[0][k], alone[0], rtol=1e-9, atol=1e-12)


def test_each_is_a_case_of_its_own():
    engine = engine_of(CLAIMS[0])
    case = engine.case(20, "float32")
    trials = trials_of(engine.draws, engine.formula(case), case)
    cases = [trials.case(k) for k in range(trials.count)]
    assert len({c.id for c in cases}) == trials.count and {index_of(c.id) for c in cases} == {20}
    assert all(c.dims == case.dims and c.values[0].dtype == np.float32 for c in cases)
    again = trials_of(engine.draws, engine.formula(case), case)
    assert all(np.array_equal(a, b) for a, b in zip(trials.flat, again.flat, strict=True))
    assert sum(v.size for v in trials.flat) <= MOST_ENTRIES
    padded = together(cases[3:5], 8)
    assert padded.count == 8 and np.array_equal(padded.values[0][7], cases[4].values[0])


def test_ids_lead_back_to_their_index():
    for ending in ("", "-trial7", "-climbed", "-trial7-shrunk", "-climbed-shrunk"):
        assert index_of(f"f-1a2b3c-5-float64-17{ending}") == 17
    with pytest.raises(ValueError, match="'f-oops' is not the id of a case; wanted one like"):
        index_of("f-oops")


def test_a_mistake_at_few_values_is_found_by_trials():
    """Wrong where the sum of five positive numbers is between 7 and 7.2, which no constant of the program says."""

    def product(x: Annotated[Float[Array, "5"], positive]) -> Scalar:
        return jnp.sum(jnp.log(x))

    def hand(x):
        thin = (jnp.sum(x) > jnp.sum(jnp.full(5, 1.4))) & (jnp.sum(x) < jnp.sum(jnp.full(5, 1.44)))
        return jnp.where(thin, 1.01, 1.0) / x

    outcome = judged(hand, product, cases=1000)
    assert outcome.verdict == "wrong", outcome
    assert outcome.cases > 2000 and outcome.fresh_shapes <= outcome.cases


def test_batches_of_factorisations_stay_small():
    """XLA's CPU client was seen to wait for ever in two batches of 1,024."""
    few, many = (CompiledCell(engine_of(c), "cpu", "float32", "vmap").trials().count for c in reversed(CLAIMS))
    assert few == UNSTACKED < 100 < many


def test_a_reference_that_cannot_be_run_is_skipped_although_the_hand_can():
    """Under vmap the reference is compiled only where digits are lost; JAX then has no factorisation in bfloat16."""

    def inverse(A: Annotated[Float[Array, "n n"], spd]) -> Float[Array, "n n"]:
        return jnp.linalg.inv(A)

    def rough(A):
        return jnp.zeros_like(A) + 3

    engine = engine_of(claim_of(rough, inverse, (), "equal_to"))
    cell = depth(engine, planned(engine, "cpu", "bfloat16", "vmap")).cell
    assert cell.verdict == "skipped" and "JAX cannot do this in bfloat16 under vmap" in (cell.reason or "")


@pytest.mark.parametrize("mode", ["jit", "vmap"])
def test_a_cell_compiled_ahead_gives_what_it_gives_otherwise(mode):
    used: list[Any] = []

    class Watched(ThreadPoolExecutor):
        def submit(self, fn, /, *args, **kwargs):
            used.append(fn)
            return super().submit(fn, *args, **kwargs)

    engine = engine_of(CLAIMS[0])
    with Watched(1) as threads:
        ahead = depth(engine, compiled_ahead(planned(engine, "cpu", "bfloat16", mode), threads))
    assert len(used) == 1
    assert ahead == depth(engine, planned(engine, "cpu", "bfloat16", mode))


def test_what_cannot_be_traced_ahead_is_told_as_ever():
    def raises_in_bfloat16(x):
        if x.dtype == jnp.bfloat16:
            raise KeyError("x")
        return jax.grad(lambda x: jnp.sum(x**2))(x)

    def squares(x: N) -> Scalar:
        return jnp.sum(x**2)

    claim = claim_of(raises_in_bfloat16, squares, ("x",), "gradient")
    budget = Budget(0, 40, ("numpy", "cpu"))
    ahead, otherwise = (judge(claim, replace(budget, compile_threads=n)).record for n in (1, 0))
    assert ahead.verdict == otherwise.verdict == "error"
    assert ahead.reason == otherwise.reason and "KeyError" in (ahead.reason or "")
