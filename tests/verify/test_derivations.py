"""Derivations judged: the first step that breaks is named, by its number and its line."""

import pytest

from verify import verify
from verify.records.record import ClaimRecord, Record
from verify.report.terminal import TerminalReporter
from verify.report.view import first_breaks
from verify.sessions.collect import collect

TEXT = '''
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad import derivation
from handgrad.ridge import ridge_loss


@derivation
def chain(W: Float[Array, "m n"], X: Float[Array, "n N"], Y: Float[Array, "m N"], lam: Float[Array, ""],
          dW: Float[Array, "m n"]):
    tr, R = jnp.trace, W @ X - Y
    yield jax.jvp(lambda W: ridge_loss(W, X, Y, lam), (W,), (dW,))[1]
    yield 2 * tr(R.T @ dW @ X) + 2 * lam * tr(W.T @ dW)
    yield 2 * tr(X @ R.T @ dW) + 2 * lam * tr(W.T @ dW)
    yield 2 * tr((R @ X.T + lam * W).T @ dW)
    yield tr(dW.T @ (R @ X.T + lam * W)) * 2
'''


def derived(folder, name, **changes):
    text = TEXT
    for old, new in changes.values():
        assert old in text
        text = text.replace(old, new)
    path = folder / f"{name}.py"
    path.write_text(text)
    claims, problems = collect(str(path))
    assert not problems
    return claims


def outcome_of(claims):
    return verify(claims[0].step_of, cases=60, backends=("numpy",), dtypes=("float64",))


def test_a_derivation_that_holds_ends_with_its_last_step(tmp_path):
    outcome = outcome_of(derived(tmp_path, "holds"))
    assert outcome.ok and outcome.name == "chain.step5"


@pytest.mark.parametrize(
    ("name", "change", "step", "kind"),
    [
        ("factor", ("yield 2 * tr((R @ X.T", "yield tr((R @ X.T"), 4, "factor"),
        ("sign", ("yield 2 * tr(X @ R.T @ dW) + 2", "yield 2 * tr(X @ R.T @ dW) - 2"), 3, None),
        ("sizes", ("yield 2 * tr((R @ X.T", "yield 2 * tr((R @ X"), 4, "shape"),
        ("first", ("yield 2 * tr(R.T @ dW @ X)", "yield tr(R.T @ dW @ X)"), 2, None),
    ],
)
def test_the_first_step_that_breaks_is_named(tmp_path, name, change, step, kind):
    claims = derived(tmp_path, name, change=change)
    outcome = outcome_of(claims)
    assert outcome.verdict == "wrong" and outcome.name == f"chain.step{step}"
    assert outcome.line == claims[0].line + step - 2
    assert outcome.notes[0].startswith(f"step {step} of 5 (line {outcome.line}) against step {step - 1}")
    assert kind is None or outcome.diagnosis.kind == kind


def test_a_run_names_the_first_of_several_steps_that_break():
    def step(name, verdict, line):
        return ClaimRecord(name, "m", "m.py", line, "equal_to", verdict, target=f"m.py::{name}")

    claims = (
        step("chain.step10", "wrong", 20), step("chain.step2", "agrees", 11), step("chain.step4", "wrong", 13),
        step("other.step2", "agrees", 31), step("alone", "wrong", 40),
    )  # fmt: skip
    record = Record(claims, 1, (), 0, {})
    assert [(name, c.line) for name, c in first_breaks(record)] == [("m.py::chain", 13)]


def test_the_summary_says_where_a_derivation_breaks(capsys):
    claim = ClaimRecord("chain.step4", "m", "m.py", 13, "equal_to", "wrong", target="m.py::chain.step4",
                        reason="a sign")  # fmt: skip
    TerminalReporter("never", 0, False).summary(Record((claim,), 1, (), 0, {}))
    assert "BREAKS m.py::chain at step 4, line 13: wrong: a sign" in capsys.readouterr().out
