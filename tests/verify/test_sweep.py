"""Sweeps: measures worked by hand, inaccurate derivatives that must be found, and going on after a kill."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from verify.cli import main
from verify.sessions.collect import collect
from verify.sweep import engine, measure
from verify.sweep.engine import Plan, sweep
from verify.sweep.exact import Oracle
from verify.sweep.judge import failures
from verify.sweep.measure import FORMATS, distance, errors, fair_unit, flushed, half_ulps, ulp
from verify.sweep.points import CHUNK, binade, exponent_of, parts, patterns_of
from verify.sweep.sides import ElementWise, element_wise
from verify.sweep.state import load_state
from verify.sweep.tally import Tally, tally

F32, BF16, F16, F64 = (FORMATS[d] for d in ("float32", "bfloat16", "float16", "float64"))
each_format = pytest.mark.parametrize("form", FORMATS.values(), ids=list(FORMATS))
CLAIMS = '''
import jax.numpy as jnp
from jaxtyping import Array, Float
from handgrad import at_most, equal_to, gradient_of, jvp_of


def tanh(z: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.tanh(z)


@jvp_of(tanh, wrt="z")
def cancels(z, dz):
    return (1 - jnp.tanh(z) ** 2) * dz


@jvp_of(tanh, wrt="z")
def wrong_from_1_2_to_1_3(z, dz):
    return dz * jnp.where((z > 1.2) & (z < 1.3), 0.3, 4 / (jnp.exp(z) + jnp.exp(-z)) ** 2)


@gradient_of(lambda x: x * x * x, wrt="x")
def of_a_scalar(x: Float[Array, ""]):
    return 3 * x * x


@equal_to(lambda z: 1 / (1 + z * z))
def a_value(z: Float[Array, "n"]):
    return 1 / (1 + jnp.square(z))


@jvp_of(lambda z: jnp.cumsum(z), wrt="z")
def mixes_entries(z: Float[Array, "n"], dz):
    return jnp.cumsum(dz)


@jvp_of(lambda x, y: x * y, wrt="x")
def of_two(x: Float[Array, "n"], y: Float[Array, "n"], dx):
    return y * dx


@at_most(tanh)
def a_bound(z):
    return jnp.tanh(z) - 1
'''


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sweep") / "sweep_claims.py"
    path.write_text(CLAIMS)
    return path


def claim(file: Path, name: str) -> ElementWise:
    (found,), _ = collect(f"{file}::{name}")
    return element_wise(found)


def activation(name: str) -> ElementWise:
    (found,), _ = collect(f"handgrad.activations::{name}_differential")
    return element_wise(found)


# The measures ----------------------------------------------------------------------------------------------


def test_an_ulp():
    assert ulp(np.asarray([1.0, 1.9, 2.0, -3.0, 0.75]), BF16).tolist() == [2**-7, 2**-7, 2**-6, 2**-6, 2**-8]
    assert ulp(np.asarray([0.0, 1e-300]), F32).tolist() == [2.0**-149] * 2
    assert ulp(np.asarray([np.inf, 1e300, np.nan]), F32).tolist() == [2.0**104] * 3


@each_format
def test_an_ulp_is_the_distance_to_the_next_number(form):
    if form is BF16:
        pytest.skip("NumPy has no nextafter for it")
    dtype = np.dtype(form.name)
    z = np.random.default_rng(0).lognormal(0, 3, 500).astype(dtype)
    gap = np.nextafter(z, dtype.type(np.inf)).astype(np.float64) - z.astype(np.float64)
    np.testing.assert_array_equal(ulp(z.astype(np.float64), form), gap)


def test_a_distance():
    truth = np.asarray([1.0, 1.0, 1.0, 1e39, 3.5e38])
    got = np.asarray([1.25, np.nan, np.inf, np.inf, np.inf])
    assert distance(got, truth, truth, F32).tolist() == [0.25, np.inf, np.inf, 0.0, 0.0]
    assert distance(np.asarray([-0.5, 0.5, 1.5]), np.zeros(3), np.ones(3), F32).tolist() == [0.5, 0.0, 0.5]  # a kink


def test_what_float64_has_no_room_for_counts():
    third = 1 / 3  # below the third by a sixth of an ulp, 2^-56 / 3
    one = np.ones(1)
    error, _ = errors(one, one * third, one * third, one * third, F64, rest=2.0**-54 / 3)
    assert error.tolist() == [1 / 3]


def test_an_error_near_a_root_is_fair():
    """z² - 2 in float32 at the number next to √2: half an ulp of the input changes 2√2 times as much as it is."""
    z = np.float64(np.float32(2**0.5))
    truth, unit = np.asarray([z * z - 2]), ulp(np.asarray([z * z - 2]), F32)
    before, after = ((v * v - 2) for v in half_ulps(np.asarray([z]), F32))
    fair = fair_unit(unit, truth, before, after)
    np.testing.assert_allclose(fair, 2 * 2**0.5 * 2.0**-24, rtol=1e-6)
    assert unit < fair / 1e6


def test_half_an_ulp_is_half_way_to_the_neighbours():
    left, right = half_ulps(np.asarray([1.0, -1.0, 1.5, 0.0]), F32)
    assert (left - [1.0, -1.0, 1.5, 0.0]).tolist() == [-(2.0**-25), -(2.0**-24), -(2.0**-24), -(2.0**-150)]
    assert (right - [1.0, -1.0, 1.5, 0.0]).tolist() == [2.0**-24, 2.0**-25, 2.0**-24, 2.0**-150]


def test_flushing_is_allowed_below_the_smallest_normal_number_only():
    truth = np.asarray([1e-39, 2.0**-126, 2.0**-125, 0.0])
    assert flushed(np.zeros(4), truth, ulp(truth, F32), F32).tolist() == [True, True, False, False]
    assert not flushed(np.full(4, 1e-45), truth, ulp(truth, F32), F32).any()


def test_the_counts():
    z = np.asarray([1, 2, 3, 4, 5, np.nan, np.nan, 6], float)
    truth = np.asarray([1, 1, 1, 1, 1e-40, np.nan, np.nan, np.nan])
    got = np.asarray([1 + 2.0**-23, 1 + 2.0**-20, np.nan, -1, 0, np.nan, 7, 8])
    error, counts = errors(z, got, truth, truth, F32)
    assert error.tolist() == [1, 8, np.inf, 2.0**24, 0, 0, 0, 0]
    assert counts.tolist() == [3, 3, 2, 1, 1, 1, 1, 1]  # > 1, > 4, > 100; flushed, not finite, sign, NaN lost, unknown


def test_compiled_measures_are_the_same():
    rng = np.random.default_rng(1)
    z = rng.standard_normal(1000)
    truth = np.concatenate([rng.standard_normal(996) * 10.0 ** rng.integers(-45, 40, 996), [0, np.nan, np.inf, 1]])
    got = truth * (1 + rng.integers(-3, 4, 1000) * 2.0**-23)
    got[::7], got[::11] = 0, np.inf
    with jax.enable_x64(True), np.errstate(all="ignore"):
        compiled = jax.jit(lambda *a: measure.errors(*a, F32, jnp))(z, got, truth, truth)
        plain = measure.errors(z, got, truth, truth, F32)
    for a, b in zip(compiled, plain, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_worst_fair_error_is_found_though_few_are_looked_at():
    """The largest error in ulp is not the largest in fair ulp, and the counts are of all."""
    n = 5000
    z, truth = np.linspace(1, 2, n), np.ones(n)
    error = np.full(n, 2.0)
    error[17], error[4321] = 900.0, 50.0
    looked: list[int] = []

    def near(i: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        looked.extend(i)
        width = np.where(i == 17, 500.0, 1.0) * 2.0**-23
        return truth[i] - width, truth[i] + width

    found = tally(z, truth + error * 2.0**-23, truth, error, np.arange(8), F32, near, Tally())
    assert (found.fair, found.at, found.ulp, found.ulp_at) == (50.0, z[4321], 900.0, z[17])
    assert found.beyond == (0, 1, 2) and found.unknown == 7 and found.count == n
    assert len(looked) < n / 4
    both = Tally(count=3, fair=7.0, at=0.5, ulp=1e4, ulp_at=0.25).plus(found)
    assert (both.count, both.fair, both.at, both.ulp, both.ulp_at) == (n + 3, 50.0, z[4321], 1e4, 0.25)


# The points ------------------------------------------------------------------------------------------------


def test_sixteen_bits_are_taken_whole():
    for form in (BF16, F16):
        (part,) = parts(form, False, 1000, ())
        z = part.inputs(0)
        assert len(np.unique(z.view(np.uint16))) == 2**16


def test_all_of_float32_once():
    every = parts(F32, True, 1000, (1.5,))
    assert [p.start for p in every] == list(range(0, 2**32, CHUNK)) and all(p.stop - p.start == CHUNK for p in every)
    z = every[254].inputs(0)
    assert z[0] == 1.0 and np.all(np.diff(z.view(np.uint32)) == 1)


@pytest.mark.parametrize("form", [F32, F64], ids=lambda f: f.name)
def test_a_sample_has_the_ends_of_every_binade_infinity_nan_and_what_is_near_special_numbers(form):
    plan = parts(form, False, 20 * 2 * form.binades, (3.0,))
    z = np.concatenate([p.inputs(5) for p in plan])
    np.testing.assert_array_equal(z, np.concatenate([p.inputs(5) for p in plan]))
    with np.errstate(invalid="ignore"):
        values = set(z.astype(np.float64).tolist())
    one, dtype = np.ones((), form.name), np.dtype(form.name).type
    for v in (1.0, np.nextafter(one * 2, one), 2.0, form.smallest, form.largest, np.inf, 0.0, 3.0,
              np.nextafter(dtype(3), one)):  # fmt: skip
        assert {float(v), -float(v)} <= values
    assert np.isnan(z).any()
    fields = binade(patterns_of(z, form), form)
    assert len(np.unique(fields)) == 2 * form.binades
    assert exponent_of(int(binade(patterns_of(np.asarray([-1.5], form.name), form), form)[0]), form) == (-1, 0)


# The truth -------------------------------------------------------------------------------------------------


def test_exact_derivatives_where_autodiff_fails():
    z = np.asarray([40.0, -700.0, 1e30, 5e-324, 0.0])
    found = Oracle(activation("sigmoid")).at(z)
    np.testing.assert_allclose(found.low, [np.exp(-40.0), np.exp(-700.0), 0, 0.25, 0.25], rtol=1e-15)
    assert not found.kink.any()


def test_kinks_are_told_from_bends():
    found = Oracle(activation("relu")).at(np.asarray([0.0, 1e-300, -1e-300]))
    assert found.low.tolist() == [0.0, 1.0, 0.0] and found.high.tolist() == [1.0, 1.0, 0.0]
    bend = Oracle(activation("sparse_plus")).at(np.asarray([-1.0, 1.0]))  # continuous slope, a corner in it
    assert not bend.kink.any() and bend.low.tolist() == [0.0, 1.0]
    assert not Oracle(activation("gelu")).at(np.asarray([0.0])).kink.any()


def test_limits():
    oracle = Oracle(activation("gelu"))
    assert (oracle.limit(1), oracle.limit(-1)) == (1.0, 0.0)
    (value,), _ = collect("handgrad.activations::squareplus_value")
    assert Oracle(element_wise(value)).limit(-1) == 0.0  # reached slowly, as 1 / |z|


# Sweeps ----------------------------------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    code = main(["sweep", *map(str, argv), "--color", "never"])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def test_an_inaccurate_derivative_is_found_and_named(file, tmp_path, capsys):
    code, out, _ = run(capsys, f"{file}::cancels", "--dtype", "float32", "--points", 20000, "-o", tmp_path)
    assert code == 1
    assert "✗ sweep_claims.cancels" in out
    (line,) = (part for part in out.splitlines() if part.startswith("    float32: "))
    assert "fair ulp off at" in line and ", wanted " in line
    where = abs(float(line.partition(" off at ")[2].partition(":")[0]))
    assert 5 < where < 44
    report = (tmp_path / "report.md").read_text()
    assert f"- **{line.strip()}**" in report
    ET.parse(tmp_path / "sweep_claims.cancels.svg")


def test_a_thin_region_is_found(file, tmp_path):
    found = sweep(claim(file, "wrong_from_1_2_to_1_3"), Plan(("bfloat16",)), tmp_path / "state.json")
    (sentence,) = failures(found)
    assert sentence.startswith("bfloat16: ")
    assert 1.2 < found.total("bfloat16", 0).at < 1.3


def test_scalars_and_values_are_swept(file, tmp_path, capsys):
    code, out, _ = run(
        capsys, f"{file}::of_a_scalar", f"{file}::a_value", "--dtype", "bfloat16,float16", "-o", tmp_path
    )
    assert "of_a_scalar" in out and "a_value" in out
    assert code == 1  # both square in bfloat16: three roundings
    state = load_state(tmp_path / "state" / "sweep_claims.of_a_scalar.json")
    assert state.complete and state.total("float16", 0).count == 2**16


def test_a_report_keeps_what_is_not_swept_anew_and_has_values_in_a_table_of_their_own(file, tmp_path, capsys):
    dtype = ("--dtype", "float16", "-o", tmp_path)
    run(capsys, f"{file}::of_a_scalar", *dtype)
    before = (tmp_path / "report.md").read_text()
    (tmp_path / "state" / "sweep_claims.of_a_scalar.json").unlink()
    run(capsys, f"{file}::a_value", *dtype)
    slopes, _, values = (tmp_path / "report.md").read_text().partition("Values, by hand / reference:")
    assert before.partition("\n## ")[0].strip() == slopes.strip() and "`sweep_claims.a_value`" in values
    assert before[before.index("## sweep_claims.of_a_scalar") :].strip() in values
    assert "| float16, reference |" in values


@pytest.mark.parametrize("name", ["gelu", "relu6"])
def test_our_activations_are_accurate_on_all_of_bfloat16_and_float16(name, tmp_path):
    found = sweep(activation(name), Plan(("bfloat16", "float16")), tmp_path / "state.json")
    assert failures(found) == []
    for dtype in ("bfloat16", "float16"):
        whole = found.total(dtype, 0)
        assert whole.count == 2**16 and whole.fair <= 0.501 and whole.nan_lost == whole.unknown == 0
    if name == "gelu":
        assert found.total("bfloat16", 1).not_finite == 2  # jax.grad at ±inf


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(__import__("handgrad").ACTIVATIONS))
def test_every_activation_is_accurate(name, tmp_path):
    found = sweep(activation(name), Plan(), tmp_path / "state.json")
    assert failures(found) == []
    assert all(found.total(d, 0).nan_lost == found.total(d, 0).unknown == 0 for d in found.tallies)


def test_kinks_and_subnormal_inputs_and_limits_are_no_errors(tmp_path):
    found = sweep(activation("hard_silu"), Plan(("float32", "float16"), points=20_000), tmp_path / "state.json")
    assert failures(found) == []


class Killed(BaseException):
    pass


@pytest.mark.slow
def test_a_killed_sweep_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "SAVE", 0.0)
    one, plan, path = activation("softplus"), Plan(("float32", "bfloat16"), points=3_000_000), tmp_path / "a.json"
    seen: list[str] = []

    def killed(text: str) -> None:
        seen.append(text)
        if len(seen) == 3:
            raise Killed

    with pytest.raises(Killed):
        sweep(one, plan, path, alive=killed)
    assert not load_state(path).complete
    assert load_state(path).done == {"float32": (seen_part(plan, 0), seen_part(plan, 1))}
    more: list[str] = []
    resumed = sweep(one, plan, path, resume=True, alive=more.append)
    assert more[0] == seen[-1]
    whole = sweep(one, plan, tmp_path / "b.json")
    assert resumed.tallies == whole.tallies and resumed.done == whole.done and resumed.complete
    assert sweep(one, plan, path, resume=True, alive=lambda _: pytest.fail("was finished")).tallies == whole.tallies


def seen_part(plan: Plan, number: int) -> str:
    from verify.sweep.truth import special_numbers

    return plan.parts("float32", special_numbers(activation("softplus")))[number].name


def test_the_state_of_another_plan_or_program_is_not_gone_on_with(tmp_path):
    path = tmp_path / "state.json"
    sweep(activation("relu"), Plan(("float16",)), path)
    begun: list[str] = []
    sweep(activation("relu6"), Plan(("float16",)), path, resume=True, alive=begun.append)
    assert begun and load_state(path).claim == "relu6_differential"
    begun.clear()
    sweep(activation("relu6"), Plan(("bfloat16",)), path, resume=True, alive=begun.append)
    assert begun


def test_a_damaged_state_is_one_message(file, tmp_path, capsys):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "relu_differential.json").write_text("{")
    code, _, err = run(capsys, "relu", "--dtype", "float16", "--resume", "-o", tmp_path)
    assert code == 4 and "cut off" in err


# Bad usage -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gelo"], "there is no activation 'gelo'; wanted one of identity, relu"),
        (["missing.py::f"], "missing.py: there is no such file"),
        (["{file}::no_such"], "has no claim 'no_such'"),
        (["{file}::mixes_entries"], "the hand-written function is not element-wise: entries depend on others"),
        (["{file}::of_two"], "is no function of one number: it takes x, y; wanted one argument"),
        (["{file}::a_bound"], "a sweep cannot judge 'at_most'; it takes jvp, vjp"),
        (["relu", "--dtype", "float8"], "got 'float8', wanted one of float64"),
        (["relu", "--points", "3"], "got '3', wanted a whole number, at least 1000"),
        (["handgrad.ridge"], "has no claim about a function of one number"),
    ],
)
def test_bad_usage_is_one_message(words, message, file, tmp_path, capsys):
    code, _, err = run(capsys, *(w.format(file=file) for w in words), "-o", tmp_path)
    assert code == 4
    assert message in err and err.count("\n") == 1


def test_bfloat16_is_what_ml_dtypes_has():
    assert ml_dtypes.finfo(ml_dtypes.bfloat16).smallest_normal == BF16.smallest
    assert float(ml_dtypes.finfo(ml_dtypes.bfloat16).max) == BF16.largest


def test_the_time_ratio_is_that_of_hand_over_reference(file):
    from verify.sweep.timing import bare, ratio

    slow = claim(file, "cancels")
    assert 0.02 < ratio(slow, size=1000, rounds=5, groups=3) < 50
    assert bare(slow, size=300_000, rounds=5, groups=3) < 0.9  # -z beside tanh


def test_a_time_that_a_bare_negation_takes_is_marked():
    from verify.sweep.report import Line, summary

    lines = [Line("a", (), 1.5, (), {}, bare=b) for b in (1.6, 1.2, None)] + [Line("a", (), 0.9, (), {}, bare=1.6)]
    assert [row.split("|")[-2].strip() for row in summary(lines).splitlines()[2:6]] == ["1.50‡", "1.50", "1.50", "0.90"]
