"""Planted mistakes that need more than one look: conditions, masks, inner values, wrong variables, digits."""

from __future__ import annotations

import numpy as np
import pytest

from tests.verify.plants import Plant, sample_of, told
from verify.hypotheses.diagnosis import Context, diagnose
from verify.hypotheses.evidence import Sample

VECTOR = {"x": "n", "cotangent": "n"}
MATRIX = {"A": "n n", "b": "n", "cotangent": "n"}


def scatter(x, index, cotangent, once):
    out = np.zeros(x.shape)
    if once:
        out[index] = cotangent
    else:
        np.add.at(out, index, cotangent)
    return out


def solved(A, b):
    return np.linalg.solve(A + 9 * np.eye(len(A)), b)


def block_sum(x, wrong):
    """Sums over blocks of four, the last one padded with ones."""
    return np.cos(x) + (np.sin(x) if wrong and len(x) % 4 else 0)


def swish_rule(x, cotangent, inner):
    return cotangent * (np.clip(inner + 3, 0, 6) + x * (np.abs(x) < 3)) / 6


def dense_rule(W, x, cotangent, at):
    z = W @ x
    return np.outer(cotangent * (1 - np.tanh(z if at == "z" else np.tanh(z)) ** 2), x)


PLANTS = [
    Plant("accumulated once", "reduction", "n k", {"x": "n", "index": "k:index", "cotangent": "k"},
          lambda **k: scatter(**k, once=False), lambda **k: scatter(**k, once=True), relation="vjp", cases=80),
    Plant("a masked factor", "factor", "d N", {"A": "d N", "B": "d N", "similar": "N:mask"},
          lambda A, B, similar: np.where(similar, 2.0, 1.0) * (A - B),
          lambda A, B, similar: np.where(similar, 2 * (A - B), 1.0), dims=(("d", "N"),), cases=80),
    Plant("a transposition for one option", "transpose", "n", {"A": "n n", "lower": ":mask"},
          lambda A, lower: np.cos(A), lambda A, lower: np.cos(A).T if lower else np.cos(A), cases=80),
    Plant("blocks of four", "dimension", "n", {"x": "n"}, lambda x: block_sum(x, False), lambda x: block_sum(x, True),
          "n % 4 != 0", cases=120),
    Plant("cotangent lost at zero", "cotangent singular", "n", VECTOR, lambda x, cotangent: cotangent * np.cos(x),
          lambda x, cotangent: np.where(x == 0, 1, cotangent * np.cos(x)), relation="vjp", cases=150),
    Plant("a function of the wrong variable", "wrong_argument", "n", VECTOR,
          lambda x, cotangent: swish_rule(x, cotangent, x), lambda x, cotangent: swish_rule(x, cotangent, cotangent),
          relation="vjp", cases=80),
    Plant("slope at the activation", "wrong_argument", "m n", {"W": "m n", "x": "n", "cotangent": "m"},
          lambda W, x, cotangent: dense_rule(W, x, cotangent, "z"),
          lambda W, x, cotangent: dense_rule(W, x, cotangent, "a"),
          relation="vjp", outputs=("W",), dims=(("m", "n"),),
          inner=lambda W, x, cotangent: {"z": W @ x, "tanh(z)": np.tanh(W @ x)}, cases=80),
    Plant("slope inside a product", "factor", "m n", {"W": "m n", "x": "n", "z": "m", "cotangent": "m"},
          lambda W, x, z, cotangent: W.T @ (cotangent * (1 - np.tanh(z) ** 2)),
          lambda W, x, z, cotangent: W.T @ cotangent,
          relation="vjp"),
    Plant("solve not transposed", "transpose", "n", MATRIX, lambda A, b, cotangent: solved(A.T, cotangent),
          lambda A, b, cotangent: solved(A, cotangent), relation="vjp",
          inner=lambda A, b, cotangent: {"A + 9": A + 9 * np.eye(len(A))}, cases=80),
    Plant("a product of three", "transpose", "m n", {"A": "m n", "B": "n n", "b": "n"}, lambda A, B, b: A @ B.T @ b,
          lambda A, B, b: A @ B @ b, cases=80),
    Plant("conjugated inside a sum", "conjugate", "m n", {"A": "m n:complex", "cotangent": "n:complex"},
          lambda A, cotangent: A @ cotangent, lambda A, cotangent: np.conj(A) @ cotangent, relation="vjp"),
    Plant("one sum for all rows", "reduction missing_term extra_term", "N d", {"x": "N d", "cotangent": "N d"},
          lambda x, cotangent: cotangent - cotangent.mean(1, keepdims=True),
          lambda x, cotangent: cotangent - cotangent.mean(),
          relation="vjp", dims=(("N", "d"),)),
    Plant("half of it, and a branch", "factor", "n", VECTOR, lambda x, cotangent: 2 * np.cos(x) * cotangent,
          lambda x, cotangent: np.where(x > 1, 3.0, np.cos(x)) * cotangent,
          relation="vjp", value="1/2", second="region"),
    Plant("the sign of one term", "sign", "m n", {"W": "m n", "G": "m n", "lam": ""},
          lambda W, G, lam: np.cos(G) + lam * W, lambda W, G, lam: np.cos(G) - lam * W,
          inner=lambda W, G, lam: {"cos G": np.cos(G)}),
    Plant("two terms lost", "missing_term", "m n", {"W": "m n", "G": "m n", "lam": ""},
          lambda W, G, lam: np.cos(W) + lam * G + 2 * W * G, lambda W, G, lam: np.cos(W), second="missing_term"),
    Plant("re-evaluated", "wrong_argument", "n", VECTOR, lambda x, cotangent: np.sinh(np.cos(x)) * cotangent,
          lambda x, cotangent: np.sinh(np.cos(cotangent)) * x, relation="vjp",
          candidates={"with x and cotangent exchanged":
                      lambda s: (np.sinh(np.cos(s.inputs["cotangent"])) * s.inputs["x"],)}),
    Plant("ones for the cotangent", "cotangent", "m n", {"W": "m n", "x": "n", "cotangent": "m"},
          lambda W, x, cotangent: W.T @ cotangent, lambda W, x, cotangent: W.sum(0), relation="vjp"),
    Plant("rows of zeros", "singular", "m n", {"X": "m n", "cotangent": "m n"},
          lambda X, cotangent: cotangent * np.nan_to_num(X / np.sqrt((X * X).sum(1, keepdims=True))),
          lambda X, cotangent: cotangent * X / np.sqrt((X * X).sum(1, keepdims=True)), relation="vjp", cases=200),
    Plant("only for squares", "dimension", "m n", {"W": "m n"}, lambda W: np.cos(W),
          lambda W: np.cos(W) + (W.shape[0] == W.shape[1]), "m == n"),
    Plant("a scale of one", "factor", "n", {"x": "n", "w": "n"}, lambda x, w: np.cos(x) * w**3,
          lambda x, w: np.cos(x) * w * w),
    Plant("slope of log|x|", "factor wrong_argument", "n", {"x": "n:positive"}, lambda x: 1 / x, lambda x: x),
    Plant("one index late", "entries", "n", {"x": "n"}, lambda x: np.cos(x), lambda x: np.roll(np.cos(x), 1)),
    Plant("three outputs, one wrong", "factor", "n", {"x": "n"}, lambda x: (np.cos(x), np.sin(x), x),
          lambda x: (np.cos(x), 3 * np.sin(x), x), outputs=("a", "b", "c"), value="3"),
    Plant("hvp halved", "factor", "n", {"A": "n n", "x": "n", "dx": "n"}, lambda A, x, dx: (A + A.T) @ dx,
          lambda A, x, dx: (A + A.T) @ dx / 2, relation="hvp", value="1/2"),
]  # fmt: skip


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_planted_mistake(plant: Plant) -> None:
    told(plant)


def noise_plant() -> Plant:
    rng = np.random.default_rng(7)
    return Plant("noise", "unknown", "m n", {"W": "m n", "X": "m n"}, lambda W, X: np.cos(W @ X.T),
                 lambda W, X: rng.normal(size=(len(W), len(W))))  # fmt: skip


def test_noise_is_unknown_and_says_how_large() -> None:
    (found,) = told(noise_plant())
    assert "typical error" in found.text and "cases fail" in (found.evidence or "")


def rounded(sample: Sample, dtype: str, bits: int) -> Sample:
    """The sample as a formula that keeps only so many bits would have it in a dtype."""
    with np.errstate(all="ignore"):
        hand = tuple(np.ldexp(np.round(np.ldexp(m, bits)), e - bits) for m, e in map(np.frexp, sample.truth))
    inputs, truth = dict(sample.inputs), sample.truth
    return Sample(sample.case_id, sample.dims, inputs, hand, truth, truth, True, dtype)


RIGHT = Plant("right", "", "n", {"x": "n"}, lambda x: np.cos(x) + 2, lambda x: np.cos(x) + 2)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_digits_lost_in_a_low_dtype(dtype: str) -> None:
    exact = [sample_of(RIGHT, index) for index in range(20)]
    low = [rounded(sample, dtype, 2) for sample in exact]
    found = diagnose([*exact, *low], Context("gradient", ("x",)))
    assert (found[0].kind, found[0].value) == ("precision", dtype)


def test_digits_lost_in_float64() -> None:
    samples = [rounded(sample_of(RIGHT, index), "float64", 24) for index in range(30)]
    found = diagnose(samples, Context("gradient", ("x",)))
    assert found[0].kind == "precision" and "float64" in found[0].text


def test_a_factor_shows_in_float32_alone() -> None:
    samples = []
    for index in range(30):
        sample = sample_of(RIGHT, index)
        hand = tuple((part / 2).astype(np.float32).astype(float) for part in sample.truth)
        samples.append(
            Sample("s", sample.dims, sample.inputs, hand, sample.truth, sample.truth, True, "float32")
        )
    found = diagnose(samples, Context("gradient", ("x",)))
    assert (found[0].kind, found[0].value) == ("factor", "1/2")


def test_a_truth_that_was_not_computed_is_the_reference() -> None:
    plant = Plant("half", "factor", "n", {"x": "n"}, lambda x: np.cos(x), lambda x: np.cos(x) / 2)
    samples = []
    for index in range(30):
        sample = sample_of(plant, index)
        blank = tuple(np.full(part.shape, np.nan) for part in sample.truth)
        samples.append(
            Sample("s", sample.dims, sample.inputs, sample.hand, sample.reference, blank, sample.failed)
        )
    found = diagnose(samples, Context("gradient", ("x",)))
    assert (found[0].kind, found[0].value) == ("factor", "1/2")


def test_fewer_outputs_than_wanted() -> None:
    sample = Sample("s", {}, {"x": np.ones(2)}, (np.ones(2),), (np.ones(2),) * 2, (np.ones(2),) * 2, True)
    (found,) = diagnose([sample], Context("gradient", ("x", "y")))
    assert found.kind == "shape" and "1 arrays where 2" in found.text


def test_no_failure_and_one_failure() -> None:
    right = sample_of(RIGHT, 0)
    assert diagnose([right], Context("gradient", ("x",)))[0].kind == "unknown"
    wrong = Sample("s", right.dims, right.inputs, (right.truth[0] + 1,), right.truth, right.truth, True)
    assert diagnose([wrong], Context("gradient", ("x",)))


def test_the_sentences_can_be_acted_on() -> None:
    half = Plant("half", "factor", "n", {"x": "n"}, lambda x: np.cos(x), lambda x: np.cos(x) / 2)
    (found,) = told(half)
    assert found.text == "The hand-written derivative is exactly 1/2 of the gradient: a factor 2 is missing."
    assert found.evidence is not None and found.evidence.startswith("on all 60 failing cases")
    branch = Plant("branch", "region", "n", VECTOR, lambda x, cotangent: cotangent * np.where(x < -3, 0, 0.5),
                   lambda x, cotangent: cotangent * np.where(x < -3, 1 / 6, 0.5),
                   relation="vjp", cases=200)  # fmt: skip
    assert told(branch)[0].text.endswith(": there the slope is 1/6, should be 0.")


def test_a_wrong_formula_in_one_output_is_told_before_an_overflow_in_another():
    rng = np.random.default_rng(3)
    samples = []
    for k in range(30):
        x = rng.normal(size=4) * 100
        truth = (x, x**2)
        hand = (np.full(4, np.inf), 3 * x**2)
        samples.append(Sample(f"c{k}", {"n": 4}, {"x": x}, hand, truth, truth, True))
    told = diagnose(samples, Context("gradient", ("x", "y")))
    assert told[0].kind == "factor" and "overflow" in [d.kind for d in told], told
