"""The mutation tool: its operators, its draw, its evaluator, and three mutants from end to end."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from tests.mutation.draw import Mutant, draw
from tests.mutation.exact import evaluate
from tests.mutation.judging import Judge
from tests.mutation.operators import OPERATORS, Edit, applied, edits
from tests.mutation.overlay import path_of
from tests.mutation.reach import Reach, sides
from tests.mutation.report import write_report

SAMPLE = '''
"""Text: 1 + 1, λ."""

def gradient(W: Float[Array, "m n"], X: Float[Array, "n N"], y: Float[Array, "N"], count: int = 2):
    """Two: ``2 (W X - y)``, in λ."""
    if X.ndim != 2:
        raise ValueError(f"got {X.ndim + 1}")
    R = W @ X - y[None, :]  # λ stays
    delta = jnp.where(R > 0, sigma.derivative(R), 3 * R)
    rows = X.shape[0] - 1
    return matmul(
        2 * delta, X.T
    ), jnp.sum(delta, axis=1) / count
'''


def made(operator: str) -> list[str]:
    return [e.text for e in edits(SAMPLE) if e.operator == operator]


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_operator_makes_different_modules_that_parse(operator):
    found = [e for e in edits(SAMPLE) if e.operator == operator]
    assert found
    texts = {applied(SAMPLE, e) for e in found}
    assert len(texts) == len(found)
    assert all(ast.dump(ast.parse(t)) != ast.dump(ast.parse(SAMPLE)) for t in texts)


@pytest.mark.parametrize(
    "operator, text",
    [
        ("sign", "(W @ X) + y[None, :]"),
        ("constant", "3"),
        ("swap", "(X @ W)"),
        ("transpose", "X"),
        ("drop", "delta"),
        ("index", "y[:, None]"),
        ("axis", "jnp.sum(delta, axis=0)"),
        ("reduction", "jnp.mean(delta, axis=1)"),
        ("argument", "sigma.derivative(sigma.apply(R))"),
        ("variable", "W"),
        ("comparison", "R >= 0"),
        ("entry", "(lambda v: v.at[(0,) * v.ndim].multiply(1 + 1e-06))(W @ X - y[None, :])"),
    ],
)
def test_an_operator_makes_the_mistake_of_its_name(operator, text):
    assert any(text in t for t in made(operator)), made(operator)


def test_messages_defaults_and_text_stay():
    for edit in edits(SAMPLE):
        mutated = ast.parse(applied(SAMPLE, edit)).body[1]
        before = ast.parse(SAMPLE).body[1]
        assert isinstance(mutated, ast.FunctionDef) and isinstance(before, ast.FunctionDef)
        assert ast.dump(mutated.args) == ast.dump(before.args)
        assert ast.dump(mutated.body[1].body[0]) == ast.dump(before.body[1].body[0])  # type: ignore[attr-defined]


def drawn(seed: int, count: int = 40) -> list[Mutant]:
    sources = {"handgrad.losses": SAMPLE, "handgrad.ridge": "\n" * 100 + SAMPLE + SAMPLE}
    last = 100 + SAMPLE.count("\n")
    return draw(sources, lambda module, first, _: module != "handgrad.ridge" or first > last, count, seed)


def test_the_same_seed_draws_the_same_mutants():
    assert drawn(3) == drawn(3) != drawn(4)


def test_a_draw_is_spread_and_keeps_to_eligible_lines():
    mutants = drawn(0)
    assert len({(m.module, m.edit) for m in mutants}) == len(mutants) == 40
    assert {m.edit.operator for m in mutants} == set(OPERATORS)
    assert {m.module for m in mutants} == {"handgrad.losses", "handgrad.ridge"}
    assert all(m.module == "handgrad.losses" or m.edit.line > 100 + SAMPLE.count("\n") for m in mutants)


def test_the_sides_of_a_claim_execute_their_own_lines():
    from handgrad import registered_claims, ridge, ridge_statistics

    claim = next(c for c in registered_claims(ridge.__name__) if c.name == "ridge_solution_vjp")
    hand, reference = sides(claim)
    last = claim.hand.__code__.co_firstlineno + 6
    assert ("handgrad.ridge", last) in hand and ("handgrad.ridge", last) not in reference
    line = ridge_statistics.right_divide.__code__.co_firstlineno + 2
    assert ("handgrad.ridge_statistics", line) in hand & reference


def test_the_evaluator_keeps_the_digits_that_float64_loses():
    def function(x, A):
        y = jax.nn.softmax(x) @ jnp.linalg.solve(A, x)
        return (y - 1 + 1e-30) + 1, A.at[0, -1].multiply(1 + 1e-6), jnp.argmax(x)

    with jax.enable_x64(True):
        inputs = np.array([1.0, 2.0, 50.0]), np.array([[3.0, 1, 0], [0, 4, 1], [1, 0, 5]])
        jaxpr = jax.make_jaxpr(function)(*inputs)
        wanted = function(*map(jnp.asarray, inputs))
    got = evaluate(jaxpr, inputs)
    assert np.allclose(np.asarray(got[0], float), wanted[0], rtol=1e-14)
    assert np.array_equal(np.asarray(got[1], float), wanted[1])
    assert int(got[2]) == 2
    with mpmath.workdps(60):
        one = evaluate(jax.make_jaxpr(lambda x: jnp.exp(x) - 1)(np.float32(1)), [np.float32(1)])[0]
        assert abs(one[()] - (mpmath.e - 1)) < mpmath.mpf(10) ** -55


def mutant(module: str, old: str, new: str, number: int = 0) -> tuple[Mutant, str]:
    source = path_of(module).read_text("utf-8")
    at = source.encode().index(old.encode())
    line = source.encode()[:at].count(b"\n") + 1
    return Mutant(number, module, Edit("constant", line, line, at, at + len(old.encode()), new)), source


def reach_of(module: str, line: int, claims: list[str]) -> Reach:
    return Reach({c: {(module, line)} for c in claims}, {c: set() for c in claims}, dict.fromkeys(claims, "gradient"))


@pytest.mark.slow
def test_three_mutants_from_end_to_end(tmp_path: Path):
    """One found, one that is none, and one that only an inequality could have told."""
    chosen = [
        ("handgrad.losses", "return 2 * (prediction - y)", "return 3 * (prediction - y)", "squared_error_gradient"),
        (
            "handgrad.losses",
            "return 2 * (prediction - y)",
            "return 2 * 1 * (prediction - y)",
            "squared_error_gradient",
        ),
        ("handgrad.normalisation", "return jnp.max(x)", "return jnp.min(x)", "maximum_below_logsumexp"),
    ]
    outcomes = []
    for number, (module, old, new, claim) in enumerate(chosen):
        one, source = mutant(module, old, new, number)
        known = reach_of(module, one.edit.line, [f"{module}::{claim}"])
        if claim.startswith("maximum"):
            known.relation[f"{module}::{claim}"] = "at_most"
        judge = Judge(tmp_path, known)
        try:
            outcomes.append(judge.mutant(one, source, seed=5))
        finally:
            judge.stop()
    assert [o["status"] for o in outcomes] == ["found", "equivalent", "still_true"], outcomes
    assert outcomes[0]["verdict"] == "wrong" and outcomes[0]["diagnosis"] == "factor"
    log = "".join(json.dumps(o) + "\n" for o in outcomes)
    (tmp_path / "mutants.jsonl").write_text(log, "utf-8")
    baseline = {o["claim"]: {"verdict": "agrees"} for o in outcomes if "claim" in o}
    about = {"key": [0, 3, ""], "started": "", "judge": "", "python": "", "jax": "", "numpy": "", "cpus": 1}
    (tmp_path / "about.json").write_text(json.dumps(about), "utf-8")
    (tmp_path / "baseline.json").write_text(json.dumps(baseline), "utf-8")
    assert write_report(tmp_path)["found"] == 1
    assert "**1 of 1 mistakes found**" in (tmp_path / "report.md").read_text("utf-8")


@pytest.mark.slow
def test_one_entry_off_by_little_is_a_difference():
    """In a process of its own: the catalogue is imported anew there."""
    new = "return (lambda v: v.at[(-1,) * v.ndim].multiply(1 + 1e-6))(2 * (prediction - y))"
    one, source = mutant("handgrad.losses", "return 2 * (prediction - y)", new)
    script = (
        "import sys, json; from tests.mutation.equivalence import compare; "
        "print(json.dumps(compare('handgrad.losses', sys.stdin.read(), ['handgrad.losses::squared_error_gradient'])))"
    )
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, input=one.text(source), cwd=root, text=True, capture_output=True)
    found = json.loads(done.stdout)
    assert found["status"] == "missed" and found["evidence"]["relative"] in ("1.0e-6", "1e-6")
