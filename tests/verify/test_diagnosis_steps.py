"""Mistakes in one step of a longer derivation: named by an edit of the reference's own program."""

from __future__ import annotations

import jax.numpy as jnp
import jax.scipy as jsp
import numpy as np
import pytest
from jaxtyping import Array, Complex, Float

from tests.verify.judging import at, engine_of, judged
from tests.verify.plants import Plant, told
from verify.api import claim_of
from verify.hypotheses.recognised import variants
from verify.intermediates import local_names, split
from verify.program_edits import changes

Vector = Float[Array, "n"]
Square = Float[Array, "n n"]


def gated(x: Vector, W: Square) -> Float[Array, ""]:
    gate = jnp.tanh(W @ jnp.sin(x))
    return jnp.sum(gate * x**3)


def gated_gradient(x, W, direct=1.0, through=1.0):
    gate = jnp.tanh(W @ jnp.sin(x))
    inner = W.T @ ((1 - gate**2) * x**3) * jnp.cos(x)
    return direct * 3 * x**2 * gate + through * inner


@pytest.mark.parametrize(("wrong", "kind", "says"), [
    (lambda x, W: gated_gradient(x, W, through=0.0), "missing_term", "leaves out"),
    (lambda x, W: gated_gradient(x, W, through=-1.0), "sign", "wrong sign on one term"),
    (lambda x, W: gated_gradient(x, W, direct=x.shape[0]), "factor", "n times one of its terms"),
])  # fmt: skip
def test_a_term_of_many_steps(wrong, kind, says) -> None:
    (found, *_) = judged(wrong, gated).diagnoses
    assert found.kind == kind and says in found.text, found


def whitened(x: Vector, A: Square) -> Vector:
    return jnp.tanh(jnp.linalg.solve(jnp.eye(x.shape[0]) * 4 + jnp.sin(A), jnp.sin(x)))


def whitened_pullback(x, A, cotangent, turned):
    M = jnp.eye(x.shape[0]) * 4 + jnp.sin(A)
    y = jnp.tanh(jnp.linalg.solve(M, jnp.sin(x)))
    inner = cotangent * (1 - y**2)
    return jnp.linalg.solve(M.T if turned else M, inner) * jnp.cos(x)


def test_a_solve_with_the_transposed_matrix() -> None:
    record = judged(lambda x, A, *, cotangent: whitened_pullback(x, A, cotangent, False), whitened, "x", "vjp")
    assert record.diagnosis is not None and record.diagnosis.kind in ("transpose", "dimension"), record.diagnoses
    right = judged(lambda x, A, *, cotangent: whitened_pullback(x, A, cotangent, True), whitened, "x", "vjp")
    assert right.verdict == "agrees"


def projected(B: Complex[Array, "n n"], b: Complex[Array, "n"]) -> Complex[Array, "n"]:
    M = B @ B.conj().T + jnp.eye(b.shape[0])
    return jsp.linalg.cho_solve(jsp.linalg.cho_factor(M, lower=True), b)


def test_a_conj_forgotten_inside() -> None:
    def wrong(B, b, *, db):
        L = jnp.linalg.cholesky(B @ B.conj().T + jnp.eye(b.shape[0]))
        half = jsp.linalg.solve_triangular(L, db, lower=True)
        return jsp.linalg.solve_triangular(L.T, half, lower=False)

    record = judged(wrong, projected, "b", "jvp", dtypes=("float64",))
    assert record.diagnosis is not None and record.diagnosis.kind == "conjugate", record.diagnoses


def test_a_formula_that_is_no_derivative_is_written_out() -> None:
    plant = Plant("square", "wrong_argument", "n", {"A": "n n", "cotangent": "n n"},
                  lambda A, cotangent: np.linalg.solve(np.eye(len(A)) * 30 + np.cos(A), np.tanh(cotangent)),
                  lambda A, cotangent: A @ A @ cotangent, relation="vjp")  # fmt: skip
    (found,) = told(plant)
    assert found.text.startswith("The hand-written derivative is (A @ A) @ cotangent, but the gradient is another")


def test_the_same_product_with_one_matrix_transposed() -> None:
    inner = lambda A, b, cotangent: {"M": np.eye(len(A)) * 9 + np.sin(A)}  # noqa: E731
    plant = Plant("solve", "transpose", "n", {"A": "n n", "b": "n", "cotangent": "n"},
                  lambda A, b, cotangent: np.linalg.solve((np.eye(len(A)) * 9 + np.sin(A)).T, cotangent),
                  lambda A, b, cotangent: np.linalg.solve(np.eye(len(A)) * 9 + np.sin(A), cotangent),
                  relation="vjp", inner=inner)  # fmt: skip
    assert "a transpose is missing" in told(plant)[0].text


def test_every_operand_is_turned_once() -> None:
    product = ("matmul", ("base", "A"), ("T", ("base", "B")))
    found = list(variants(product))
    assert ("matmul", ("T", ("base", "A")), ("T", ("base", "B"))) in found
    assert ("matmul", ("base", "A"), ("base", "B")) in found


def test_inner_values_have_names_that_a_reader_knows() -> None:
    engine = engine_of(claim_of(lambda x, W: gated_gradient(x, W), gated, "x", "gradient"))
    case = at(engine, {"n": 2}, np.ones(2), np.ones((2, 2)))
    traced = engine.formula(case)
    names = local_names(traced.reference, ["x", "W"])
    assert "tanh(W @ sin(x))" in names.values()
    assert not any("of the reference" in name or "v1" in name for name in names.values())
    assert any(name.startswith("an intermediate value (") for name in names.values())
    assert all(len(name) < 70 for name in names.values())
    assert any(change.additive for change in changes(traced.reference, names))


def test_arguments_are_split_outside_brackets() -> None:
    assert split("v1, (n, 1,), f(a, b)") == ["v1", "(n, 1,)", "f(a, b)"]
