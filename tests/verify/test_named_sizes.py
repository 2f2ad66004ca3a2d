"""Sizes that the code itself names are drawn, and a diagnosis says from which size on a formula is wrong."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jaxtyping import Array, Float

from tests.verify.judging import engine_of, judged
from verify.api import claim_of
from verify.drawing.fingerprint import fingerprint
from verify.drawing.sizes import FIRST_NAMED, LARGEST_CASE, MOST_NAMED, draw_sizes, named_sizes
from verify.hypotheses.dimension_values import dimension_features
from verify.verdict.further_cases import around_thresholds

N = Float[Array, "n"]
Scalar = Float[Array, ""]
BLOCK = 512


def cubes(x: N) -> Scalar:
    return jnp.sum(x**3)


def right(x):
    return 3 * x * x


def long_rows(x):
    return 2 * x * x if x.shape[0] > 300 else 3 * x * x


def far_entries(x):
    return (3 * x * x).at[280:].multiply(2)


def multiples(x):
    return 2 * x * x if x.shape[0] % 320 == 0 else 3 * x * x


def in_blocks(inside, rest):
    def hand(x):
        full = x.shape[0] // BLOCK
        out = jnp.zeros_like(x)

        def block(i, out):
            part = lax.dynamic_slice(x, (i * BLOCK,), (BLOCK,))
            return lax.dynamic_update_slice(out, inside * part * part, (i * BLOCK,))

        if full:
            out = lax.fori_loop(0, full, block, out)
        tail = x[full * BLOCK :]
        return out.at[full * BLOCK :].set(rest * tail * tail)

    return hand


@pytest.mark.parametrize(
    ("hand", "where"),
    [(long_rows, "n > 300"), (far_entries, "n > 280"), (multiples, "n % 320 == 0"), (in_blocks(2, 3), "n > 511")],
)
def test_a_mistake_at_a_size_that_the_code_names(hand, where):
    record = judged(hand, cubes, cases=250)
    assert record.verdict == "wrong" and f"only where {where}" in record.diagnosis.text, record.diagnosis.text


@pytest.mark.parametrize("hand", [in_blocks(3, 3), lambda x: x * x * 3 if x.shape[0] > 300 else right(x)])
def test_code_that_names_a_size_and_is_right(hand):
    assert judged(hand, cubes, cases=250).verdict == "agrees"


def test_the_sizes_that_numbers_name():
    assert named_sizes({3, 512, 32, 5000}) == (513, 1025, 512, 682, 1024, 511)
    assert named_sizes((2000, 40))[:3] == (2001, 41, 4001) and named_sizes((40, 40)) == named_sizes((40,))
    assert {k - 1 for k in named_sizes(range(100, 200))[:MOST_NAMED]} == set(range(100, 100 + MOST_NAMED))
    assert max(named_sizes(range(10**4))) <= LARGEST_CASE and named_sizes({1, 2, -600}) == ()


def test_the_numbers_of_the_hand_written_function_come_first():
    def reference(x: N) -> Scalar:
        return jnp.sum(jnp.minimum(x, 400) ** 3)

    found = fingerprint(claim_of(long_rows, reference, "x")).numbers
    assert {300, 400} <= set(found) and found.index(300) < found.index(400)


def test_code_that_cannot_be_looked_into_names_nothing(monkeypatch):
    def broken(claim):
        raise RuntimeError

    monkeypatch.setattr("verify.drawing.draws.fingerprint", broken)
    assert engine_of(claim_of(long_rows, cubes, "x")).draws.named == ()


@pytest.mark.parametrize("shapes", [[["n"]], [["m", "n"], ["n", "N"]]], ids=str)
def test_named_sizes_follow_the_corners_in_every_dimension(shapes):
    names, named = sorted({axis for shape in shapes for axis in shape}), named_sizes({512})
    rng = np.random.default_rng(0)
    drawn = [draw_sizes(rng, names, shapes, index, named) for index in range(60)]
    plain = [draw_sizes(np.random.default_rng(0), names, shapes, index) for index in range(4)]
    assert drawn[:4] == plain
    at = [(k, size) for sizes in drawn for k, size in sizes.items() if size in named]
    assert len(at) >= min(FIRST_NAMED, len(named) * len(names)) and {k for k, _ in at} == set(names)


def test_every_case_has_the_truth_of_its_own_size():
    engine = engine_of(claim_of(lambda x: 2 * x * x if x.shape[0] > 77 else 3 * x * x, cubes, "x"))
    case = engine.case(20, "float64")
    at = lambda n: engine.completed(engine.draws.resized(case, {"n": n}))  # noqa: E731
    found = list(around_thresholds(engine, [at(600), at(400)], [at(1), at(9)]))
    assert found and all(failed == (seen.case.dims["n"] > 77) for seen, failed in found)
    assert {77, 78} <= {seen.case.dims["n"] for seen, _ in found}
    assert not list(around_thresholds(engine, [at(600), at(5)], [at(9)]))  # mixed: no threshold
    assert not list(around_thresholds(engine, [], [at(9)])) and not list(around_thresholds(engine, [at(9)], []))


def test_the_common_divisor_of_what_fails_is_a_feature():
    sizes, fails = [{"n": n} for n in (7, 35, 70, 14)], np.array([False, True, True, False])
    assert "n % 35 == 0" in {f.no for f in dimension_features(sizes, fails)}
    assert "n % 35 == 0" not in {f.no for f in dimension_features(sizes)}


def test_what_is_computed_stays_small():
    def products(x: N) -> Scalar:
        return jnp.sum(jnp.outer(x, x) ** 2)

    def solved(x: N) -> Scalar:
        return jnp.sum(jnp.linalg.solve(jnp.outer(x, x) + jnp.eye(x.shape[0]), x))

    def largest(reference, number):
        engine = engine_of(claim_of(lambda x: x * 0 + number, reference, "x"))
        return max(engine.case(index, "float64").dims["n"] for index in range(40))

    assert largest(cubes, 1024) == 2049 and largest(products, 256) > 257 and largest(products, 1024) < 512
    assert largest(solved, 256) <= 257 and largest(solved, 40) > 40
