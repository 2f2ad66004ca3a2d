"""Mistakes in one step of a longer derivation: named by an edit of the reference's own program."""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import jax.scipy as jsp
import numpy as np
import pytest
from jaxtyping import Array, Complex, Float

from tests.verify.judging import at, engine_of, judged
from tests.verify.plants import Plant, sample_of, told
from verify.api import claim_of
from verify.hypotheses.diagnosis import Context, diagnose
from verify.hypotheses.intermediates import local_names, split
from verify.hypotheses.program_edits import changes
from verify.hypotheses.quantities import Quantity
from verify.hypotheses.recognised import variants
from verify.hypotheses.scale import Scale, remainder_name, scale_text
from verify.hypotheses.structure import shape_name

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


def softmax(x: Vector) -> Vector:
    e = jnp.exp(x - jnp.max(x))
    return e / jnp.sum(e)


def test_the_diagonal_of_a_jacobian_alone() -> None:
    def wrong(x, *, cotangent):
        p = softmax(x)
        return cotangent * p * (1 - p)

    (found, *_) = judged(wrong, softmax, "x", "vjp").diagnoses
    assert found.kind == "missing_term" and "diagonal of the Jacobian" in found.text, found


def scaled_unit(x: Vector, w: Vector) -> Vector:
    return x / jnp.sqrt(jnp.mean(x**2) + 1) * w


def test_a_factor_missing_in_one_place_of_two() -> None:
    def wrong(x, w, *, cotangent):
        r = 1 / jnp.sqrt(jnp.mean(x**2) + 1)
        return r * (cotangent * w - r**2 * x * jnp.mean(cotangent * x))

    (found, *_) = judged(wrong, scaled_unit, "x", "vjp").diagnoses
    assert found.kind in ("wrong_argument", "factor", "missing_term"), found


def test_one_fixed_entry_is_named() -> None:
    def hand(x):
        row, column = np.indices(x.shape)
        return (np.cos(x) + 2) * (1 + 1e-5 * ((row == 2) & (column == 3)))

    plant = Plant("entry", "entries", "n m", {"x": "n m"}, lambda x: np.cos(x) + 2, hand)
    samples = [sample_of(plant, index) for index in range(200)]
    wide = [s for s in samples if s.truth[0].size > 18]
    (found, *_) = diagnose(wide, Context("gradient", ("x",)))
    assert found.kind == "entries" and "[2, 3]" in found.text, found


def test_finite_mistakes_are_told_before_what_is_not_finite() -> None:
    plant = Plant("index", "factor missing_term", "n", {"x": "n", "y": "n"}, lambda x, y: np.cos(x) + y * 2,
                  lambda x, y: np.where(np.abs(x) > 0.5, np.inf, np.cos(x) + y), cases=120)  # fmt: skip
    found = told(plant)
    assert {d.kind for d in found[1:]} & {"overflow", "region"}


def test_a_conj_is_told_by_real_arguments_that_agree() -> None:
    def hand(z, keep):
        full = np.tanh(z[:, None] * np.arange(1, 3)).sum(1)
        return np.sinh(np.conj(full)) + full * 0

    plant = Plant("inner conj", "conjugate", "n k", {"z": "n:complex", "keep": "k:mask"},
                  lambda z, keep: np.sinh(np.tanh(z[:, None] * np.arange(1, 3)).sum(1)), hand)  # fmt: skip
    samples = []
    for index in range(60):
        sample = sample_of(plant, index)
        if index % 2:
            inputs = {**sample.inputs, "z": sample.inputs["z"].real + 0j}
            truth = np.asarray(plant.truth(**inputs))
            sample = replace(sample, inputs=inputs, failed=False)
            sample = replace(sample, hand=(truth,), truth=(truth,), reference=(truth,))
        samples.append(sample)
    assert diagnose(samples, Context("gradient", ("z",)))[0].kind == "conjugate"


def test_sizes_that_no_name_fits_are_numbers() -> None:
    found = shape_name([(3,), (7,)], [{"n": 2}, {"n": 9}])
    assert found == "(3 to 7,)"
    assert shape_name([(3,), (10,)], [{"n": 2}, {"n": 9}]) == "(n+1,)"


def test_a_factor_next_to_one_is_written_in_digits() -> None:
    text = scale_text(Scale(1 + 1e-8), "factor", "gradient")
    assert "1.00000001 times" in text and "exactly 1 " not in text
    name = remainder_name(Scale(-1.0, ((Quantity("n-1", lambda case: 1, "dims shifted"), 1.0),)))
    assert name == "n"


def test_a_function_of_equal_values_explains_nothing() -> None:
    plant = Plant("beyond", "region", "n", {"x": "n:wide", "cotangent": "n"},
                  lambda x, cotangent: cotangent / (1 + np.exp(-x)),
                  lambda x, cotangent: np.where(np.abs(x) > 88, 0, cotangent / (1 + np.exp(-x))),
                  relation="vjp", inner=lambda x, cotangent: {"x - 0": x - 0}, cases=200)  # fmt: skip
    assert "88" in told(plant)[0].text or "|x|" in told(plant)[0].text or "x >" in told(plant)[0].text
