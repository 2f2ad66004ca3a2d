"""Traces: with symbolic sizes where JAX allows, size by size where the user's code branches on one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float, Int

from tests.verify.judging import engine_of, judged
from verify.api import claim_of
from verify.tracing.trace import HandRaised, ReferenceRaised

N = Float[Array, "n"]
MN = Float[Array, "m n"]
Scalar = Float[Array, ""]


def loss(X: MN) -> Scalar:
    return jnp.sum(X**2)


def traced(hand, reference=loss, wrt="X", relation="gradient", dtype="float64", index=1):
    engine = engine_of(claim_of(hand, reference, wrt, relation))
    case = engine.case(index, dtype)
    return engine.traced(case.structure, dtype, case.dims), engine, case


def test_symbolic():
    found, engine, case = traced(lambda X: 2 * X)
    assert found.engine == "symbolic" and found.reason is None and found.mismatch is None
    assert found.labels == ("X",) and found.wrt == (0,)
    assert found.hand_shapes == found.reference_shapes == (("m", "n"),)
    assert (found.hand_dtypes, found.primal_dtypes, found.primal_shapes) == (("float64",), ("float64",), ((),))
    hand, reference = engine.wide(case)
    np.testing.assert_array_equal(hand[0], 2 * case.values[0])
    np.testing.assert_array_equal(reference[0], 2 * case.values[0])


def test_one_trace_serves_all_sizes():
    calls = []

    def hand(X):
        calls.append(X.shape)
        return 2 * X

    engine = engine_of(claim_of(hand, loss, "X"))
    for index in range(20):
        engine.wide(engine.case(index, "float64"))
    assert len(calls) == 1


QUESTIONS = {
    "equal": lambda X: 2 * X if X.shape[1] == 1 else 2.0 * X,
    "not equal": lambda X: 2 * X if X.shape[1] != 1 else 2.0 * X,
    "both sizes": lambda X: 2 * X if X.shape[0] == X.shape[1] else 2.0 * X,
    "in": lambda X: 2 * X if X.shape[1] in (1, 2) else 2.0 * X,
    "remainder": lambda X: 2 * X if X.shape[1] % 4 else 2.0 * X,
    "determinant": lambda X: 2 * X + 0 * jnp.linalg.slogdet(X @ X.T + jnp.eye(X.shape[0]))[1],
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_sizes_that_the_code_asks_about_have_traces_of_their_own(name):
    engine = engine_of(claim_of(QUESTIONS[name], loss, "X", "gradient"))
    cases = [engine.case(i, "float64") for i in range(100)]
    apart = {tuple(c.dims.values()) for c in cases if engine.formula(c).engine == "concrete"}
    rest = {tuple(c.dims.values()) for c in cases if engine.formula(c).engine == "symbolic"}
    asked = {"both sizes": lambda m, n: m == n, "in": lambda m, n: n < 3}
    asked |= {"determinant": lambda m, n: m < 3, "remainder": lambda m, n: n % 4 == 0}
    is_asked = asked.get(name, lambda m, n: n == 1)
    assert apart and all(is_asked(*sizes) for sizes in apart) and len(apart) <= 8
    assert len(rest) > 20 and not any(is_asked(*sizes) for sizes in rest)
    outcome = judged(QUESTIONS[name], loss, "X", cases=100)
    assert outcome.verdict == "agrees" and outcome.cells[0].engine == "concrete+symbolic", outcome
    note = {"in": "n is 1 or n is 2", "both sizes": "m is n", "remainder": "mod(n, 4) is 0"}.get(name, "is 1")
    assert any("evaluated shape by shape where" in n and note in n and n.endswith("asks for it") for n in outcome.notes)


def test_what_was_asked_in_code_that_jax_has_traced_before():
    """The second structure and the next claim find a jitted function in JAX's cache: they are asked all the same."""

    @jax.jit
    def asking(X):
        return 3 * X if X.shape[1] == 1 else 2 * X

    for _ in range(2):
        outcome = judged(lambda X: asking(X), loss, "X", cases=60)
        assert outcome.verdict == "wrong", outcome


BRANCHES = {
    "larger": lambda X: 2 * X if X.shape[1] > 3 else 2.0 * X,
    "a set": lambda X: 2 * X if X.shape[1] in {1, 2} else 2.0 * X,
    "a table": lambda X: 2 * X * ({1: 1.0}[X.shape[1]] if X.shape[1] < 2 else 1.0),
    "many": lambda X: 2 * X if X.shape[1] in range(1, 20) else 2.0 * X,
    "a loop": lambda X: jnp.stack([2 * X[i] for i in range(X.shape[0])]),
    "a whole number": lambda X: X * int(X.shape[0]) / X.shape[0] * 2,
    "NumPy": lambda X: 2 * X @ np.eye(X.shape[1]),
}


@pytest.mark.parametrize("name", BRANCHES)
def test_code_that_needs_its_sizes_is_traced_size_by_size(name):
    found, _, case = traced(BRANCHES[name])
    assert found.engine == "concrete" and "no symbolic sizes" in found.reason
    assert found.hand_shapes == (tuple(str(case.dims[k]) for k in "mn"),)
    outcome = judged(BRANCHES[name], loss, "X", cases=30)
    assert outcome.verdict == "agrees" and outcome.cells[0].engine == "concrete", outcome
    assert any("evaluated shape by shape" in note for note in outcome.notes)


def test_a_mistake_in_a_branch_on_a_size():
    """JAX answers `n == 1` with False for a symbolic n; the branch must not be lost."""
    outcome = judged(lambda X: 3 * X if X.shape[1] == 1 else 2 * X, loss, "X", cases=60)
    assert outcome.verdict == "wrong", outcome
    outcome = judged(lambda X: 2 * X if X.shape[0] != X.shape[1] else X, loss, "X", cases=60)
    assert outcome.verdict == "wrong", outcome
    outcome = judged(lambda X: 2 * X if X.shape[1] % 4 else 3 * X, loss, "X", cases=60)
    assert outcome.verdict == "wrong", outcome
    outcome = judged(lambda X: 3 * X if X.shape[1] in {2, 5} else 2 * X, loss, "X", cases=60)
    assert outcome.verdict == "wrong", outcome


def test_questions_that_have_one_answer_stay_symbolic():
    found, *_ = traced(lambda X: 2 * X if X.shape[1] != 0 and X.shape == X.shape else X)
    assert found.engine == "symbolic"


def test_what_raises():
    def broken(X: MN) -> Scalar:
        raise ValueError("no data")

    def hand(X):
        raise ValueError("no formula")

    with pytest.raises(ReferenceRaised, match="ValueError: no data"):
        traced(lambda X: X, broken)
    with pytest.raises(HandRaised, match="ValueError: no formula"):
        traced(hand)


def test_a_structure_that_cannot_be_compared():
    found, *_ = traced(lambda X: (X, X))
    assert found.mismatch.startswith("returns 2 arrays (X[0], X[1]) as the derivative of 'X', which has 1 (X)")


def test_cotangents_have_the_structure_of_the_output():
    def pair(x: N) -> tuple[N, dict]:
        return x**2, {"sum": jnp.sum(x), "count": x.shape[0]}

    def hand(x, cotangent):
        return 2 * x * cotangent[0] + cotangent[1]["sum"]

    engine = engine_of(claim_of(hand, pair, "x", "vjp"))
    case = engine.case(1, "float64")
    found = engine.formula(case)
    assert found.extra_labels == ("cotangent[0]", "cotangent[1]['sum']")
    assert [e.shape for e in case.extra] == [case.values[0].shape, ()]
    assert judged(hand, pair, relation="vjp").verdict == "agrees"
    assert judged(lambda x, cotangent: 2 * x * cotangent[0], pair, relation="vjp").verdict == "wrong"


def test_tangents_are_named_after_their_arguments():
    def product(W: MN, x: N) -> Float[Array, "m"]:
        return W @ x

    engine = engine_of(claim_of(lambda W, x, dW, dx: dW @ x + W @ dx, product, ("W", "x"), "jvp"))
    case = engine.case(1, "float64")
    assert engine.formula(case).extra_labels == ("dW", "dx")
    assert [e.shape for e in case.extra] == [v.shape for v in case.values]


def test_integer_arguments_have_no_tangent():
    def chosen(x: N, i: Int[Array, ""]) -> Scalar:
        return x[i % x.shape[0]] ** 2

    found, *_ = traced(lambda x, i: x * 0, chosen, "x")
    assert found.wrt == (0,) and found.labels == ("x",)


def test_64_bit_types_in_float64_cells_only():
    dtypes = []

    def hand(X):
        dtypes.append((str(X.dtype), str(jnp.arange(3).dtype)))
        return 2 * X

    for dtype in ("float64", "float32", "bfloat16"):
        traced(hand, dtype=dtype)
    assert dtypes == [("float64", "int64"), ("float32", "int32"), ("bfloat16", "int32")]
    assert not jax.config.jax_enable_x64


def test_an_operation_without_a_numpy_form_runs_in_jax():
    def reference(x: N) -> Scalar:
        y = jax.pure_callback(lambda v: np.asarray(v), jax.ShapeDtypeStruct(x.shape, x.dtype), jax.lax.stop_gradient(x))
        return jnp.sum(x**2) + 0 * jnp.sum(y)

    outcome = judged(lambda x: 2 * x, reference, cases=8)
    assert outcome.verdict in ("agrees", "unresolved"), outcome
    assert judged(lambda x: x, reference, cases=8).verdict == "wrong"


@pytest.mark.parametrize("strict", [True, False])
def test_the_users_own_configuration(strict):
    """Under strict promotion an int array times a float array raises; otherwise it does not."""

    def hand(X):
        return X * jnp.arange(1, 2) * 2

    with jax.numpy_dtype_promotion("strict" if strict else "standard"):
        outcome = judged(hand, loss, "X", cases=20)
    assert outcome.verdict == ("error" if strict else "agrees"), outcome


def test_a_root_of_a_size_stays_symbolic():
    def scaled(x: Float[Array, "n"]) -> Float[Array, ""]:
        return jnp.sum(x**2) / x.shape[0] ** 0.5

    engine = engine_of(claim_of(lambda x: 2 * x * x.shape[0] ** -0.5, scaled, "x"))
    for dtype in ("float64", "bfloat16"):
        case = engine.case(0, dtype)
        traced = engine.traced(case.structure, dtype, case.dims)
        assert traced.engine == "symbolic" and traced.hand_dtypes == traced.reference_dtypes == (dtype,)
