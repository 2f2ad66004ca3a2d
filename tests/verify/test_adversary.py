"""The adversary: the whole range of exponents, a program's own numbers, and the climb into thin regions."""

import dataclasses
import re
from typing import Annotated

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from jaxtyping import Array, Bool, Float, Int

from handgrad.domains import positive
from tests.verify.judging import engine_of, judged
from verify.api import claim_of
from verify.cells.adversary import climbed, discrepancy
from verify.cells.breadth import _judge_block
from verify.cells.budget import Budget
from verify.cells.seen import Breadth
from verify.cli import main
from verify.drawing.cases import DTYPES
from verify.drawing.hard_cases import _whole_among
from verify.drawing.values import AXIS, binades, numpy_dtype
from verify.sessions.collect import collect
from verify.tracing.engine import EVERY, ROWS
from verify.verdict.further_cases import FEW, more_like
from verify.verdict.judge import judge

N = Float[Array, "n"]
Scalar = Float[Array, ""]


def squares(x: N) -> Scalar:
    return jnp.sum(x**2)


def twice(x: N) -> N:
    return 2 * x


def joined(x: N) -> Scalar:
    """A parabola, then its tangent: differentiable everywhere."""
    return jnp.sum(jnp.where(x > 17.25, 34.5 * x - 17.25**2, x**2))


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_binade_of_a_dtype_is_reached(dtype):
    info = ml_dtypes.finfo(numpy_dtype(dtype))
    count = 4 * (info.maxexp - info.minexp)
    x = binades(np.random.default_rng(0), (count,), dtype, zeros=False, signs=True).astype(np.float64)
    exponents = set(np.frexp(x)[1] - 1)
    assert set(range(int(AXIS * info.minexp) + 1, int(AXIS * info.maxexp) - 1)) <= exponents
    assert np.isfinite(x).all() and (x != 0).all() and (x < 0).any() and (x > 0).any()


def test_an_element_wise_claim_walks_them():
    engine = engine_of(claim_of(twice, squares, "x", "gradient"))
    case = engine.case(EVERY - 1, "float64")
    x = np.abs(case.values[0])
    assert x.max() > 1e120 and x[x > 0].min() < 1e-120
    assert np.abs(engine.case(EVERY, "float64").values[0]).max() < 1e12


def test_a_claim_that_mixes_entries_does_not():
    def norm(x: N) -> Scalar:
        return jnp.sum(x) ** 2

    engine = engine_of(claim_of(lambda x: 2 * jnp.sum(x) * jnp.ones_like(x), norm, "x", "gradient"))
    assert np.abs(engine.case(EVERY - 1, "float64").values[0]).max() < 1e200


def test_what_is_wrong_in_one_binade_only():
    def hand(x: N) -> N:
        return jnp.where((jnp.abs(x) > 2.0**400) & (jnp.abs(x) < 2.0**440), 2.01 * x, 2 * x)

    outcome = judged(hand, squares, cases=1000)
    assert outcome.verdict == "wrong", outcome


def test_a_long_case_is_cut_for_exact_arithmetic():
    engine = engine_of(claim_of(lambda x: jnp.where(x > 1e10, 3 * x, 2 * x), squares, "x", "gradient"))
    case = engine.case(EVERY - 1, "float64")
    rows = engine.cut(case, *engine.wide(case))
    assert 2 <= len(rows) <= ROWS and all(row.values[0].size == row.dims["n"] == 1 for row in rows)
    assert all(discrepancy(*engine.wide(row)) > 0.1 for row in rows)
    short = engine.case(3, "float64")
    assert engine.cut(short, *engine.wide(short)) == [short]


def test_a_program_is_asked_at_its_own_numbers():
    def hand(x: N) -> N:
        return jnp.where(x > 17.25, 34.5, jnp.where(x == 17.25, 100.0, 2 * x))

    outcome = judged(hand, joined, cases=400)
    assert outcome.verdict == "wrong", outcome
    assert "17.25" in outcome.diagnoses[0].text or "69/4" in outcome.diagnoses[0].text, outcome

    def right(x: N) -> N:
        return jnp.where(x >= 17.25, 34.5, 2 * x)

    assert judged(right, joined, cases=400).verdict == "agrees"


def test_a_mask_of_a_huge_number_is_no_input():
    """-1e30 stands for minus infinity in many a program; its square is beyond float32."""

    def masked(x: N, keep: Bool[Array, "n"]) -> Scalar:
        return jnp.sum(jnp.where(keep, x, -1e30) ** 2 * 1e-60)

    engine = engine_of(claim_of(lambda x, keep: 2e-60 * jnp.where(keep, x, 0), masked, "x", "gradient"))
    cases = [engine.case(i, "float32") for i in range(EVERY // 2, 400, EVERY)]
    assert all(np.abs(c.values[0]).max() < 1e18 for c in cases)


def thin(x: N) -> N:
    return 2 * x * (1 + jnp.exp(-3000 * (jnp.sum(x) - 6.1) ** 2))


def test_the_climb_follows_a_trace():
    engine = engine_of(claim_of(thin, squares, "x", "gradient"))
    case = engine.case(EVERY, "float64")
    start = dataclasses.replace(case, dims={"n": 3}, values=(np.array([1.0, 2.0, 3.0]),))
    assert 0 < discrepancy(*engine.wide(start)) < 2.0**-30
    found = climbed(engine, start)
    assert found is not None
    near, hand, reference = found
    assert discrepancy(hand, reference) > 2.0**-30 and near.id.endswith("-climbed")


def test_a_right_claim_offers_no_way_up():
    engine = engine_of(claim_of(lambda x: x + x, squares, "x", "gradient"))
    assert climbed(engine, engine.case(7, "float64")) is None


def test_the_climb_stays_in_the_domain():
    def positive_only(x: N) -> Scalar:
        return jnp.sum(jnp.log(x))

    def hand(x: Annotated[N, positive]) -> N:
        return 1 / x * (1 + jnp.exp(-3000 * (jnp.sum(x) - 6.1) ** 2))

    engine = engine_of(claim_of(hand, positive_only, "x", "gradient"))
    start = dataclasses.replace(engine.case(EVERY, "float64"), dims={"n": 3}, values=(np.array([1.0, 2.0, 3.0]),))
    found = climbed(engine, start)
    assert found is not None and (found[0].values[0] > 0).all()


def test_what_was_found_uphill_is_replayed(tmp_path, monkeypatch):
    """The stored inputs are replayed bit for bit, wherever the case came from."""
    target = tmp_path / "uphill.py"
    target.write_text(
        "import jax.numpy as jnp\nfrom jaxtyping import Array, Float\nfrom handgrad import gradient_of\n"
        "def f(x: Float[Array, 'n']):\n    return jnp.sum(x**2)\n"
        "@gradient_of(f, wrt='x')\ndef g(x: Float[Array, 'n']):\n"
        "    return 2 * x + jnp.exp(-3000 * (jnp.sum(x) - 6.1) ** 2)\n"
    )
    monkeypatch.chdir(tmp_path)
    (claim,), _ = collect(f"{target}::g")
    found = (judge(claim, Budget(s, 40, ("numpy",), ("float64",))).record.replay or "" for s in range(40))
    seed = next(s for s, replay in enumerate(found) if "-climbed" in replay)
    options = ["--cases", "40", "--dtype", "float64", "--backend", "numpy", "-o", "r"]
    assert main(["run", f"{target}::g", "--seed", str(seed), *options]) == 1
    text = next(tmp_path.glob("r/*/report.md")).read_text()
    case = re.findall(r"verify replay (\S+-climbed[\w-]*)", text)[0]
    assert main(["replay", case, "-o", "r"]) == 0


def test_a_row_that_is_right_alone_does_not_hide_a_mistake_at_its_place():
    engine = engine_of(claim_of(lambda x: twice(x).at[40:].multiply(2), squares, "x"))
    case = engine.case(EVERY - 1, "float64")
    assert engine.is_along_exponents(case) and case.dims["n"] > 40
    seen = Breadth("float64")
    _judge_block(engine, seen, [case], [], [], lambda: None)
    assert [s.case for s in seen.differing] == [case]


def ignoring(x: N, t: Int[Array, "n"]) -> Scalar:
    return jnp.sum(jnp.where(t == -100, 0.0, (x - t) ** 2))


def weighed(x: N, k: int) -> Scalar:
    return jnp.sum(x**2) * k


def cooled(x: N, step: int) -> Scalar:
    return jnp.sum(x**2) / jnp.maximum(0.1, 1.0 - 0.001 * step)


def test_whole_numbers_are_of_any_magnitude():
    record = judged(lambda x, step: 2 * x / (1 - 0.001 * step), cooled, cases=2000)
    assert record.verdict == "wrong" and "only where step > 900, and" in record.diagnosis.text, record


@pytest.mark.parametrize(
    ("hand", "reference", "where"),
    [
        (lambda x, t: 2 * (x - t), ignoring, "t == -100"),
        (lambda x, k: jnp.where(k > 10, 1, 2) * x * k, weighed, "k > 10"),
        (lambda x, k: jnp.where(k < 1000, 2, 1) * x * k, weighed, "k (>= 1000|> 999)"),
    ],
    ids=["label", "more than 10", "from 1000 on"],
)
def test_whole_numbers_of_a_program_are_values_of_arguments(hand, reference, where):
    record = judged(hand, reference, cases=500)
    assert record.verdict == "wrong" and re.search(f"only where {where},", record.diagnosis.text), record


def test_an_ignored_label_is_no_mistake():
    assert judged(lambda x, t: jnp.where(t == -100, 0, 2 * (x - t)), ignoring, cases=500).verdict == "agrees"


@pytest.mark.parametrize("dtype", ["int8", "int32", "uint8", "uint32", "int64"])
@pytest.mark.parametrize("domain", ["real", "positive", "nonnegative"])
@pytest.mark.parametrize("shape", [(), (50,)])
def test_whole_numbers_stay_what_they_may_be(dtype, domain, shape):
    rng, ones = np.random.default_rng(0), np.ones(shape, dtype)
    found = [_whole_among(rng, ones, domain, (0.5, 3.0, 7.0, 120.0, 1e9)) for _ in range(400)]
    seen = {int(n) for drawn in found for n in drawn.flat}
    assert all(drawn.dtype == dtype and drawn.shape == shape for drawn in found) and {7, 120} <= seen
    assert (min(seen) < 0) == (domain == "real" and np.dtype(dtype).kind == "i")
    others = {n for n in seen if min(abs(abs(n) - k) for k in (7, 14, 120, 240, np.iinfo(dtype).max)) > 1}
    assert len(others) > 1 and max(n**2 for n in others) <= np.iinfo(dtype).max  # of any magnitude


def test_where_few_cases_fail_more_of_their_kind_are_looked_at():
    engine = engine_of(claim_of(lambda x: jnp.where(x == 5432.0, 7 * x, 2 * x), squares, "x"))
    one = engine.case(EVERY // 2, "float64")
    found = list(more_like(engine, [one]))
    assert {seen.case.index % EVERY for seen, _ in found} == {EVERY // 2}
    assert 3 < sum(failed for _, failed in found) < len(found)
    assert all(failed == bool((seen.case.values[0] == 5432).any()) for seen, failed in found)
    assert not list(more_like(engine, [one] * FEW)) and not list(more_like(engine, []))
