"""Products whose inputs a device rounds: predicted, named as such, and no cloak for a mistake.

The device is a CPU made to round the inputs of float32 products as a GPU (TF32) or a TPU (bfloat16) does.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from handgrad.ridge import ridge_gradient, ridge_loss
from tests.verify.judging import engine_of, judged
from verify.api import claim_of
from verify.cells import compiled, matmul
from verify.cells.products import RoundedProducts, has_products

BITS = {"tf32": 10, "bfloat16": 7}


def quadratic(x: Float[Array, "n"], A: Float[Array, "n n"]) -> Float[Array, ""]:
    return jnp.sum(x[:, None] * A * x) / 2  # no product of matrices: what one loses, the other does not


def quadratic_gradient(x, A):
    return (A + A.T) @ x / 2


def rounded(function, bits):
    """The function, each float32 product in it with rounded inputs unless the precision is the highest."""

    def run(jaxpr, consts, *flat):
        known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *flat], strict=True))
        for eqn in jaxpr.eqns:
            inputs = [v.val if hasattr(v, "val") else known[v] for v in eqn.invars]
            inner = eqn.params.get("jaxpr") or eqn.params.get("call_jaxpr")
            if inner is not None:
                out = run(inner.jaxpr, inner.consts, *inputs)
            else:
                if eqn.primitive.name == "dot_general":
                    inputs = [jax.lax.reduce_precision(x, 8, bits) if x.dtype == jnp.float32 else x for x in inputs]
                out = eqn.primitive.bind(*inputs, **eqn.params)
                out = out if eqn.primitive.multiple_results else [out]
            known.update(zip(eqn.outvars, out, strict=True))
        return [v.val if hasattr(v, "val") else known[v] for v in jaxpr.outvars]

    def on_the_device(*flat):
        if jax.config.jax_default_matmul_precision == "highest":
            return function(*flat)
        closed, shape = jax.make_jaxpr(function, return_shape=True)(*flat)
        return jax.tree.unflatten(jax.tree.structure(shape), run(closed.jaxpr, closed.consts, *flat))

    return on_the_device


@pytest.fixture
def device(request, monkeypatch):
    """A device that rounds so, and a fault in it that a test may set: a factor on the hand-written side."""
    how = getattr(request, "param", "bfloat16")
    fault = {"factor": 1.0, "how": how}
    real = compiled.as_function

    def as_function(engine, case, dtype, which=compiled.BOTH):
        function = rounded(real(engine, case, dtype, which), BITS[how])

        def faulty(*flat):
            sides = function(*flat)
            factors = [fault["factor"] if side == "hand" else 1.0 for side in which]
            return [[x * factor for x in leaves] for factor, leaves in zip(factors, sides, strict=True)]

        return faulty

    monkeypatch.setattr(compiled, "as_function", as_function)
    monkeypatch.setitem(matmul.ROUNDED, "cpu", {"default": how})
    monkeypatch.setitem(matmul.EVERY, "cpu", ("default", "highest"))
    return fault


def on_device(hand=quadratic_gradient, reference=quadratic, **more):
    more = {"wrt": "x", "dtypes": ("float32",), "backends": ("numpy", "cpu"), "cases": 12, **more}
    outcome = judged(hand, reference, **more)
    return outcome, [c for c in outcome.cells if c.backend == "cpu"]


@pytest.mark.parametrize("device", ["tf32", "bfloat16"], indirect=True)
def test_what_rounding_costs_is_named_and_was_predicted(device):
    outcome, cells = on_device()
    assert outcome.verdict == "agrees", outcome
    assert {c.precision for c in cells} == {None, "highest"}
    default = [c for c in cells if c.precision is None]
    assert default and all("matrix products round their float32 inputs" in c.reason for c in default)
    for cell in default:
        assert cell.predicted_error / 4 < cell.worst_error < 4 * cell.predicted_error
        assert 2.0 ** -(BITS[device["how"]] + 4) < cell.predicted_error < 1
        assert cell.smallest_visible_error >= 2.0 ** -BITS[device["how"]]
    assert all(c.predicted_error is None and c.reason is None for c in cells if c.precision == "highest")
    assert any("`--precision highest` does not round" in note for note in outcome.notes)


def cell(hand=quadratic_gradient, reference=quadratic, wrt="x"):
    """One compiled cell on the device."""
    with np.errstate(all="ignore"):
        engine = engine_of(claim_of(hand, reference, wrt, "gradient", None))
        return compiled.depth(engine, compiled.planned(engine, "cpu", "float32", "jit")).cell


def test_where_there_are_no_products_there_is_one_way(device):
    outcome, cells = on_device(cubed, cube)
    assert {c.precision for c in cells} == {None} and outcome.verdict == "agrees"


def cube(x: Float[Array, "n"]) -> Float[Array, ""]:
    return jnp.sum(x**3)


def cubed(x):
    return 3 * x**2


def test_ridge_on_such_a_device(device):
    assert cell(ridge_gradient, ridge_loss, wrt="W").verdict == "agrees"


def test_a_mistake_on_such_a_device_is_wrong_all_the_same(device):
    device["factor"] = 1.5
    outcome, cells = on_device()
    assert outcome.verdict == "wrong", outcome
    assert "another formula runs on cpu" in outcome.diagnosis.text
    assert all(c.verdict == "wrong" for c in cells)


def test_a_small_fault_beyond_what_rounding_explains_is_seen(device):
    device["factor"] = 1 + 2.0 ** (5 - BITS[device["how"]])
    assert cell().verdict in ("inaccurate", "wrong")


def test_a_device_that_rounds_where_none_is_expected_is_accused(device, monkeypatch):
    monkeypatch.setitem(matmul.ROUNDED, "cpu", {})
    assert cell().verdict == "inaccurate"


def test_what_cannot_be_predicted_is_tried_without_rounding(device, monkeypatch):
    monkeypatch.setattr(compiled, "has_products", lambda engine, case: False)
    found = cell()
    assert found.verdict == "agrees" and "not with matmul precision highest" in found.reason


def test_a_wrong_formula_is_wrong_before_any_device(device):
    outcome, cells = on_device(lambda x, A: A @ x)
    assert outcome.verdict == "wrong" and not cells


@pytest.mark.parametrize("how", ["tf32", "bfloat16", "bfloat16_3x"])
def test_the_prediction_is_of_the_size_of_the_rounding(how):
    engine = engine_of(claim_of(quadratic_gradient, quadratic, "x", "gradient", None))
    case = engine.case(5, "float32")
    assert has_products(engine, case)
    rounding, truth = RoundedProducts(engine, how, "float32"), engine.wide(case)
    exact = engine.native(case)
    kept = rounding.explains(case, exact, truth)
    assert all(np.array_equal(k, t) for k, t in zip(kept[0], truth[0], strict=True))
    assert 0 < rounding.predicted < 16 * rounding.unit
