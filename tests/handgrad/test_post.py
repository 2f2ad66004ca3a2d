"""``handgrad.post``: the entries are those of the text, each claim ends as it says, the facts hold where they bite."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

import handgrad.post
from handgrad.claims import registered_claims
from handgrad.post.places import ENTRIES, line_of
from tests.handgrad.post_index import INDEX, Formula, compact, content, entries, formulas_of, uncovered
from tests.share import share
from verify import verify

TEXT = Path(__file__).parents[2].parent / "shared" / "seed" / "backprop-2.md"
CLAIMS = registered_claims("handgrad.post")
STORED = json.loads(INDEX.read_text("utf-8"))
FORMULAS = [Formula(f["line"], f["display"], f["latex"]) for f in STORED["formulas"]]


def parts_of(formula):
    """What the entries of a formula's line repeat of it."""
    whole = compact(formula.latex)
    there = [e.latex for e in ENTRIES.values() if line_of(e.place) == formula.line and e.latex]
    return [latex for latex in there if compact(latex) in whole]


# The index ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("formula", FORMULAS, ids=lambda f: f"L{f.line}")
def test_every_formula_has_an_entry_or_a_reason(formula):
    stored = next(f for f in STORED["formulas"] if (f["line"], f["latex"]) == (formula.line, formula.latex))
    assert uncovered(formula, parts_of(formula)) is None
    assert bool(parts_of(formula)) != bool(stored.get("reason"))


@pytest.mark.parametrize("entry", [e for e in ENTRIES.values() if e.latex], ids=lambda e: e.place)
def test_every_entry_is_in_the_text(entry):
    there = [f for f in FORMULAS if f.line == line_of(entry.place)]
    assert any(compact(entry.latex) in compact(f.latex) for f in there)


def test_letters_count_the_equations_of_a_line():
    by_line = {}
    for entry in ENTRIES.values():
        by_line.setdefault(line_of(entry.place), []).append(entry.place)
    for line, places in by_line.items():
        letters = [f"L{line}"] if len(places) == 1 else [f"L{line}{letter}" for letter in "abcd"[: len(places)]]
        assert places == letters


def test_the_stored_page_data_are_those_of_the_entries():
    """``python -m tests.handgrad.post_index TEXT`` writes them anew."""
    kept = [{k: v for k, v in e.items() if "mathml" not in k} for e in STORED["entries"]]
    assert kept == entries()
    for entry in STORED["entries"]:
        assert bool(entry["mathml"]) == bool(entry["latex"])
        assert bool(entry["instead_mathml"]) == bool(entry["instead"])


@pytest.mark.skipif(not TEXT.exists(), reason="the text is not part of the project")
def test_the_index_is_that_of_the_text():
    found = content(TEXT.read_text("utf-8"))
    assert found["formulas"] == STORED["formulas"]
    assert found["readings"] == STORED["readings"]


def test_the_text_has_about_a_hundred_equations():
    stated = [e for e in ENTRIES.values() if e.latex]
    assert len(FORMULAS) >= 180 and len(stated) >= 100
    assert len({line_of(e.place) for e in ENTRIES.values() if e.instead}) >= 14


def test_formulas_are_found_where_they_begin():
    rows = "x &= 1 \\\\\n&= y_{\\begin{bmatrix} 1 \\\\ 2 \\end{bmatrix}}"
    text = f"An \\(a\n= b\\) and\n\\[\n\\begin{{align*}}\n{rows}\n\\end{{align*}}\n\\]"
    assert formulas_of(text) == [
        Formula(1, False, "a = b"),
        Formula(5, True, "x &= 1"),
        Formula(6, True, r"&= y_{\begin{bmatrix} 1 \\ 2 \end{bmatrix}}"),
    ]


def test_an_equation_without_an_entry_is_seen():
    chain = Formula(200, True, "w = W^T = X Y,")
    assert uncovered(chain, ["w = W^T", "W^T = X Y"]) is None
    assert uncovered(chain, ["w = W^T"]) is not None
    assert uncovered(chain, []) is not None
    assert uncovered(Formula(1, False, r"x \in V"), []) is not None
    assert uncovered(Formula(1, False, "x"), []) is None


# The claims --------------------------------------------------------------------------------------------------


def test_every_entry_is_claimed_as_printed_and_where_it_fails_as_corrected():
    forms = {}
    for claim in CLAIMS:
        forms.setdefault(claim.equation, []).append((claim.form, claim.expect))
    assert set(forms) == {e.place for e in ENTRIES.values() if not e.reason}
    for place, made in forms.items():
        wrong = [claim for claim in made if claim == ("printed", "wrong")]
        assert bool(wrong) == bool(ENTRIES[place].instead) == (("corrected", None) in made), place
        assert not wrong or ("printed", None) not in made, place


def test_claims_are_in_the_order_of_the_post_and_named_by_place_and_form():
    lines = [line_of(c.equation) for c in CLAIMS]
    assert len({c.name for c in CLAIMS}) == len(CLAIMS)
    assert all(c.name.startswith(f"{c.equation}.{c.form}") for c in CLAIMS)
    for module in {c.module for c in CLAIMS}:
        own = [line for line, c in zip(lines, CLAIMS, strict=True) if c.module == module]
        between = [line for line in lines if min(own) <= line <= max(own)]
        assert sorted(own) == sorted(between), module


@pytest.mark.parametrize("claim", share(3, CLAIMS), ids=lambda c: c.name)
def test_each_claim_ends_as_it_says(claim):
    outcome = verify(claim, cases=24, backends=("numpy",))
    assert outcome.verdict == (claim.expect or "agrees"), outcome


@pytest.mark.parametrize(
    ("place", "kinds"),
    {
        "L43": ["sign"], "L81": ["sign"], "L84": ["sign"], "L87b": ["sign"], "L95a": ["factor"],
        "L143": ["reduction"], "L186": ["transpose", "factor"], "L200b": ["wrong_argument"],
        "L214a": ["shape"], "L219": ["shape"], "L220": ["shape"], "L221": ["shape"], "L228": ["wrong_argument"],
        "L264a": ["shape"], "L300": ["shape"], "L308": ["shape"], "L330c": ["shape"],
    }.items(),
)  # fmt: skip
def test_what_is_wrong_is_named(place, kinds):
    claim = next(c for c in CLAIMS if (c.equation, c.form) == (place, "printed"))
    outcome = verify(claim, cases=400, backends=("numpy",))
    assert [d.kind for d in outcome.diagnoses] == kinds, outcome


def test_the_lost_inverse_is_told_in_the_letters_of_the_post():
    claim = next(c for c in CLAIMS if c.name == "L200b.printed")
    text = verify(claim, cases=400, backends=("numpy",)).diagnosis.text
    assert "is ((X @ X.T) + (lam * I)) @ (Y @ X.T).T, but the value is the result of `solve`." in text


def test_a_formula_that_is_spoilt_is_found():
    """A planted mistake in a line that holds: the claims can fail."""
    from handgrad.post.ridge_minimum import half_gradient_transposed, normal_equations

    def spoilt(W, X, Y, lam):
        return normal_equations(W, X, Y, lam) + 1e-6 * Y.sum()

    outcome = verify(spoilt, half_gradient_transposed, relation="equal_to", cases=40, backends=("numpy",))
    assert outcome.verdict == "wrong"


# The facts, where they bite -------------------------------------------------------------------------------------


def test_the_gradient_is_the_direction_of_steepest_ascent():
    """``L(u)`` maximised over unit ``u`` by a search that knows nothing of gradients."""
    from handgrad.post.gradient_and_traces import L, searched, unit

    rng = np.random.default_rng(0)
    X, B = rng.normal(size=(2, 2, 3)).astype(np.float64)

    def climb(v):
        return -float(L(X, B, v.reshape(2, 3) / np.linalg.norm(v)))

    best = minimize(climb, np.ones(6), method="Nelder-Mead", options={"maxiter": 20_000, "xatol": 1e-9, "fatol": 1e-14})
    u = (best.x / np.linalg.norm(best.x)).reshape(2, 3)
    np.testing.assert_allclose(u, unit(X + B), atol=1e-5)
    np.testing.assert_allclose(u, searched(X, B), atol=1e-5)
    np.testing.assert_allclose(-best.fun * u, X + B, atol=1e-4)


@pytest.mark.parametrize("N", [1, 2])
def test_without_regularisation_and_with_few_points_there_is_no_inverse_but_a_minimum(N):
    """``λ = 0``, ``N < n``: lines 192 and 193 hold at the least-squares solution, line 194 has no inverse."""
    from handgrad.post.ridge_minimum import half_gradient, normal_equations, normal_equations_transposed

    rng = np.random.default_rng(N)
    X, Y = rng.normal(size=(3, N)), rng.normal(size=(2, N))
    assert np.linalg.matrix_rank(X @ X.T) == N < 3
    for W in (Y @ np.linalg.pinv(X), Y @ np.linalg.pinv(X) + np.outer([1.0, -2.0], np.linalg.svd(X)[0][:, -1])):
        for residual in (normal_equations, normal_equations_transposed, half_gradient):
            np.testing.assert_allclose(residual(W, X, Y, np.float64(0)), 0, atol=1e-12)


def test_without_regularisation_the_closed_form_holds_for_data_of_full_rank():
    from handgrad.post.ridge_minimum import closed_form

    rng = np.random.default_rng(3)
    X, Y = rng.normal(size=(3, 7)), rng.normal(size=(2, 7))
    np.testing.assert_allclose(closed_form(X, Y, np.float64(0)), np.linalg.lstsq(X.T, Y.T)[0].T, rtol=1e-9)


def test_the_sweep_reaches_the_sizes_where_the_facts_bite():
    """Non-square ``W``, ``N = 1``, ``N < n``, ``λ = 0``; widths apart and repeated, and one layer."""
    from verify.drawing.draws import Draws

    def drawn(name):
        claim = next(c for c in CLAIMS if c.name == name)
        draws = Draws(claim, 0)
        return [draws.case(i, "float64") for i in range(200)]

    ridge = drawn("L192.printed")
    assert any(c.dims["m"] != c.dims["n"] for c in ridge)
    assert any(c.dims["N"] == 1 < c.dims["n"] for c in ridge) and any(1 < c.dims["N"] < c.dims["n"] for c in ridge)
    assert any(c.values[3] == 0 and c.dims["N"] < c.dims["n"] for c in ridge)
    networks = drawn("L318a.printed")
    assert {c.structure.statics["L"] for c in networks} == {1, 2, 3}
    assert any(len(set(c.dims.values())) == 4 for c in networks)
    assert any(c.dims["n1"] == c.dims["n2"] == c.dims["n3"] for c in networks)


def test_the_readings_are_written_down():
    assert len(STORED["readings"]) >= 15
    assert (handgrad.post.__doc__ or "").count("=====") >= 6
