"""``verify bench``: its functions are what they say, its arithmetic is right, and it says what is absent. Untimed."""

import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as xml
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import jax
import numpy as np
import pytest

from handgrad.losses import softmax_cross_entropy_gradient
from handgrad.ridge import ridge_gradient
from verify.bench import claims as claims_part
from verify.bench import floor, ours, peers
from verify.bench.function import LARGEST, changed_by
from verify.bench.functions import FUNCTIONS
from verify.bench.plan import FUNCTIONS as NAMES
from verify.bench.plan import QUICK, Plan
from verify.bench.plot import Axis, claims_plot, sizes_plot
from verify.bench.ratios import bend, fixed_cost, geometric_mean, growth, mean_of, rates, ratios, slowest
from verify.bench.record import (
    Accusation,
    Bench,
    ClaimsPoint,
    Sensitivity,
    SizePoint,
    Speed,
    Stage,
    read_bench,
)
from verify.bench.report import headline, report, summary
from verify.bench.sensitivity import change, sensitivity
from verify.bench.sizes import side
from verify.bench.tables import duration, number, sensitivity_rows, share, speed_rows
from verify.cells.comparison import EQUAL
from verify.cli import main
from verify.records.serial import RecordError, dump, plain

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "reports" / "published" / "bench"
EVERY = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
QUIET = lambda text: None  # noqa: E731


def drawn(function, seed, ones=False):
    rng = np.random.default_rng(seed)
    return function.values(rng, *([1] * len(function.dims) if ones else rng.integers(1, 7, len(function.dims))))


def split(function, values):
    return (values[:-1], values[-1]) if function.has_cotangent else (values, np.float64(1))


def hand_of(claim, arguments, cotangent):
    found = claim.hand(*arguments, **({"cotangent": cotangent} if claim.relation == "vjp" else {}))
    return found if claim.wrt_is_tuple else (found,)


def close(found, wanted, rtol=1e-12):
    assert len(found) == len(wanted)
    for f, w in zip(found, wanted, strict=True):
        f, w = np.asarray(f, np.float64), np.asarray(w, np.float64)
        assert f.shape == w.shape
        np.testing.assert_allclose(f, w, rtol=rtol, atol=rtol * np.abs(w).max(initial=1.0))


# The functions ---------------------------------------------------------------------------------------------


def test_the_names_are_those_of_the_functions():
    assert tuple(FUNCTIONS) == NAMES


@EVERY
@pytest.mark.parametrize("ones", [False, True])
def test_every_form_is_the_derivative_that_jax_finds(function, ones):
    values = drawn(function, 1, ones)
    arguments, cotangent = split(function, values)

    def derived(arguments, cotangent):
        output, pull = jax.vjp(function.claim.reference, *arguments)
        return output, [pull(cotangent)[at] for at in function.wrt], hand_of(function.claim, arguments, cotangent)

    with jax.enable_x64(True):
        output, truth, hand = jax.jit(derived)(arguments, np.asarray(cotangent))
    close(hand, truth)
    close(function.hand(*values), truth)
    close(function.reference(*values), truth)
    close(function.numpy.pullback(cotangent, *arguments), truth)
    close([function.numpy.primal(*arguments)], [output])


@EVERY
def test_torch_has_the_same_primal_and_rule(function):
    torch = pytest.importorskip("torch")
    arguments, cotangent = split(function, drawn(function, 2))
    tensors = [torch.from_numpy(np.asarray(v)) for v in arguments]
    close([function.torch.primal(*tensors)], [function.numpy.primal(*arguments)])
    for mistake in (0.0, 0.25):
        found = function.torch.pullback(torch.from_numpy(np.asarray(cotangent)), *tensors, mistake=mistake)
        close(found, function.numpy.pullback(cotangent, *arguments, mistake=mistake))


def test_the_claims_are_the_catalogues_where_it_has_them():
    assert FUNCTIONS["ridge"].claim.hand is ridge_gradient
    values = drawn(FUNCTIONS["softmax"], 3)
    with jax.enable_x64(True):
        close([FUNCTIONS["softmax"].claim.hand(*values)], [softmax_cross_entropy_gradient(*values)])


@EVERY
def test_sizes_are_uniform_from_one_to_the_largest_for_every_tool(function):
    draws = ours.UniformDraws(function.claim, 0)
    cases = [draws.case(index, "float64") for index in range(300)]
    rng = np.random.default_rng(0)
    mine = np.array([list(c.dims.values()) for c in cases])
    theirs = np.array([s for _ in range(300) for s in function.draw(rng)[0].shape])
    for sizes in (mine, theirs):
        assert set(np.unique(sizes)) == set(range(1, LARGEST + 1))
        assert abs(sizes.mean() - (1 + LARGEST) / 2) < 1.5
    assert len({c.id for c in cases}) == 300
    assert [s for v in cases[0].values for s in v.shape] != [s for v in cases[1].values for s in v.shape]


@EVERY
def test_entries_are_counted_right(function):
    n = side(function, 5000)
    values = function.values(np.random.default_rng(0), *[n] * len(function.dims))
    counted = sum(np.size(v) for v in values)
    assert function.entries(n) == counted
    assert abs(counted - 5000) < 250


# The mistakes ----------------------------------------------------------------------------------------------


def term_of(function, values):
    """What a mistake of one adds to the result: the term, written down anew."""
    if function.name == "ridge":
        W, _, _, lam = values
        return (2 * lam * W,)
    if function.name == "softmax":
        return (-values[1],)
    if function.name == "layer_norm":
        x, gain, bias, cotangent = values
        c = x - x.mean(1, keepdims=True)
        v = (c**2).mean(1, keepdims=True) + 1e-5
        term = -(v**-1.5) * (c * cotangent * gain).mean(1, keepdims=True) * c
        return term - term.mean(1, keepdims=True), 0 * gain, 0 * bias
    W1, b1, W2, b2, W3, b3, x, y = values
    a1 = np.tanh(W1 @ x + b1[:, None])
    a2 = np.tanh(W2 @ a1 + b2[:, None])
    a3 = np.tanh(W3 @ a2 + b3[:, None])
    d2 = -(a2**2) * (W3.T @ (2 * (a3 - y) * (1 - a3**2)))
    d1 = (1 - a1**2) * (W2.T @ d2)
    return d1 @ x.T, d1.sum(1), d2 @ a1.T, d2.sum(1), 0 * W3, 0 * b3


@EVERY
def test_a_planted_mistake_scales_one_term(function):
    values = drawn(function, 4)
    arguments, cotangent = split(function, values)
    wanted = [h + 0.5 * t for h, t in zip(function.hand(*values), term_of(function, values), strict=True)]
    close(function.numpy.pullback(cotangent, *arguments, mistake=0.5), wanted)
    claim = function.planted(0.5)
    with jax.enable_x64(True):
        close(jax.jit(lambda *given: hand_of(claim, *given))(arguments, np.asarray(cotangent)), wanted)
    for dtype in (np.float64, np.longdouble):
        with_it, without = changed_by(function, 0.5, values, dtype)
        close(with_it, wanted)
        close(without, function.hand(*values))
        assert all(a.dtype == dtype for a in without)


def test_a_mistake_counts_where_it_changes_more_than_rounding():
    ridge = FUNCTIONS["ridge"]
    W, X, Y, _ = drawn(ridge, 5)
    assert change(ridge, 1e-5, (W, X, Y, np.float64(0))) is None
    assert change(ridge, 1e-5, (W, X, Y, np.float64(1e-10))) is None  # 1e-15 of the result, about nine roundings
    seen = change(ridge, 1e-5, (W, X, Y, np.float64(1)))
    assert seen is not None and 1e-7 < seen < 1e-3
    network, (*weights, x, y) = FUNCTIONS["network"], drawn(FUNCTIONS["network"], 5)
    weights[5] = np.full_like(weights[5], 22.0)
    # A slope of 2e-19 in extended precision is zero in float64, and the whole gradient with it.
    assert change(network, 1e-5, (*weights, x, y)) is None and change(network, 1e-5, drawn(network, 5)) is not None
    one = change(ridge, 1e-6, (W, X, Y, np.float64(1)))
    assert one is not None and np.isclose(one, seen / 10)


@EVERY
def test_ours_notices_a_mistake_and_nothing_else(function):
    right, wrong = (ours.prepared(c, 0) for c in (function.claim, function.planted(1e-5)))
    with np.errstate(all="ignore"):
        assert ours.judged(right, 40).accused == 0
        noticed = [ours.differs_at(wrong, index) for index in range(20)]
    changed = [change(function, 1e-5, (*c.values, *c.extra)) for c, _ in noticed]
    for (case, differs), largest in zip(noticed, changed, strict=True):
        assert differs == (largest is not None and largest > EQUAL), case.id
    assert any(differs for _, differs in noticed)


def test_sensitivity_counts_noticed_among_visible(monkeypatch):
    monkeypatch.setattr(peers, "HOMES", {})
    plan = replace(QUICK, cases=12)
    with np.errstate(all="ignore"):
        seen, accused = sensitivity([FUNCTIONS["softmax"]], 0, plan, QUIET)
    assert [(s.tool, s.mistake, s.cases, s.verdict) for s in seen] == [
        ("verify", 1e-5, 12, "wrong"), ("verify", 1e-6, 12, "wrong"),
    ]  # fmt: skip
    assert all(8 <= s.noticed == s.visible <= 12 for s in seen)
    assert [(a.cases, a.accused, a.verdict) for a in accused] == [(12, 0, "agrees")]


def test_the_floor_tells_right_from_wrong():
    ridge = FUNCTIONS["ridge"]
    values = drawn(ridge, 6)
    assert floor.compared(ridge, values)
    other = replace(ridge, hand=lambda *v: tuple(1.001 * h for h in ridge.hand(*v)))
    assert not floor.compared(other, values)


# Peers -----------------------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("tool", [t for t in peers.HOMES if t != "check_grads float32"])
def test_peers_pass_the_rule_and_fail_a_large_mistake(function, tool):
    if peers.version_of(peers.HOMES[tool]) is None:
        pytest.skip(f"{peers.HOMES[tool]} is not installed")
    values = function.values(np.random.default_rng(7), *[2, 3, 2, 3, 2][: len(function.dims)])
    right, wrong = peers.check_of(tool, function), peers.check_of(tool, function, 1.0)
    assert right and wrong
    with peers.one_thread():
        assert right(values)
        assert not wrong(values)


def test_what_is_absent_is_said_to_be(monkeypatch):
    monkeypatch.setattr(peers, "version_of", lambda package: "1.0" if package == "jax" else None)
    for tool in ("gradcheck fast", "gradcheck slow", "autograd"):
        assert peers.check_of(tool, FUNCTIONS["ridge"]) is None
    with peers.one_thread():
        pass
    bench = replace(BENCH, absent={"gradcheck fast": "torch", "gradcheck slow": "torch"})
    assert speed_rows(bench)[-1] == ("torch gradcheck, slow", *("absent",) * 5)
    assert "Absent: torch (`pip install 'handgrad[bench]'`)." in report(bench)


def test_a_package_that_is_not_installed_has_no_version():
    assert peers.version_of("no_such_package") is None and peers.version_of("jax") == jax.__version__


# Arithmetic ------------------------------------------------------------------------------------------------


def point(entries, verify, function="ridge"):
    return SizePoint(function, "products", entries, verify, verify / 2, 3)


BENCH = Bench(
    argv=("verify", "bench"), seed=0, quick=False, environment={"python": "3", "cpus": 2, "git": "abc"},
    started="2026-01-01T00:00:00+00:00", seconds=12.0, titles={"ridge": "r", "softmax": "s"},
    terms={"ridge": "λ W", "softmax": "y"}, batch=2000,
    speed=(
        Speed("ridge", "floor", (100.0, 400.0, 200.0), 700),
        Speed("softmax", "floor", (50.0, 50.0, 50.0), 150),
        Speed("ridge", "verify", (50.0, 100.0, 100.0), 250),
        Speed("softmax", "verify", (100.0, 100.0, 25.0), 225),
        Speed("ridge", "autograd", (10.0, 10.0, 10.0), 30),
        Speed("softmax", "autograd", (40.0, 40.0, 40.0), 120),
    ),
    stages=(Stage("ridge", 1.0, 2.0, 3.0, 10.0, 0.5),),
    sensitivity=(
        Sensitivity("ridge", "verify", 1e-5, 100, 60, 59, 3.1e-10, "wrong"),
        Sensitivity("softmax", "verify", 1e-5, 100, 70, 70, None, "wrong"),
    ),
    accusations=(Accusation("ridge", "verify", 100, 0, "agrees"),),
    sizes=(point(100, 1e-4), point(1000, 1e-4), point(10000, 4e-4), point(100000, 4e-3)),
    claims=(ClaimsPoint(1, 40, 3.0), ClaimsPoint(10, 40, 9.0)),
)  # fmt: skip


def test_ratios():
    assert rates(BENCH, "floor") == {"ridge": 200.0, "softmax": 50.0}  # medians
    # Within a repetition: 1/2, 1/4 and 1/2; 2, 2 and 1/2. The ratio of the medians would be 1/2 for ridge by chance.
    assert ratios(BENCH, "verify") == {"ridge": 0.5, "softmax": 2.0}
    assert ratios(BENCH, "verify", "autograd") == {"ridge": 10.0, "softmax": 2.5}
    assert mean_of(ratios(BENCH, "verify")) == pytest.approx(1.0)  # geometric: not 1.25
    assert mean_of(ratios(BENCH, "verify", "autograd")) == pytest.approx(5.0)
    assert slowest(BENCH) == ("ridge", 0.5)
    assert ratios(BENCH, "gradcheck fast") == {} and mean_of({}) is None
    # 50 / 200, 100 / 400 and 100 / 100: repetitions are paired
    turned = (replace(s, rates=s.rates[::-1]) if s.tool == "floor" else s for s in BENCH.speed)
    assert ratios(replace(BENCH, speed=tuple(turned)), "verify")["ridge"] == 0.25
    with pytest.raises(ValueError, match="wanted positive numbers"):
        geometric_mean([])


def test_curves():
    assert fixed_cost(BENCH.sizes) == 1e-4
    assert growth(BENCH.sizes) == pytest.approx(np.log10(40) / 2)  # least squares through 1e-4, 4e-4, 4e-3 at decades
    at = bend(BENCH.sizes)
    assert at is not None and at == pytest.approx(1000 * 10**0.5)  # 2e-4 is half way from 1e-4 to 4e-4
    assert bend(BENCH.sizes[:2]) is None


def test_numbers():
    assert [number(x) for x in (22094.3, 1.1278, 0.03123, 100.4, 99.96, None)] == [
        "22,100", "1.13", "0.0312", "100", "100", "-",
    ]  # fmt: skip
    assert [duration(x) for x in (6.12e-5, 3.4e-3, 2.13)] == ["61.2 µs", "3.4 ms", "2.13 s"]
    assert share(53, 55) == "53 of 55 (96.4%)"
    assert share(19999, 20000) == "19,999 of 20,000 (99.9%)"  # not all of them
    assert share(1, 20000) == "1 of 20,000 (0.1%)"
    assert share(0, 0) == "none visible"


def test_the_report_says_what_was_measured_and_missed():
    text = report(BENCH)
    assert "| plain NumPy, the floor | 200 | 50 | 100 | 1 | 5 |" in text
    assert "| verify | 100 | 100 | 100 | 1 | 5 |" in text
    assert "- ridge, 1e-5: 1 case of 60 not noticed; no entry changes there by more than 3.1e-10 of itself." in text
    assert "| ridge | 1 | 2 | 3 | 4 | 10 | 0.5 |" in text
    assert ("verify", "1e-5", "59 of 60 (98.3%)", "70 of 70 (100%)") in sensitivity_rows(BENCH)
    assert headline(BENCH)[1].startswith("verify notices 129 of 130 (99.2%) visible mistakes")
    assert "| verify | 100 | 1 | 129 of 130 (99.2%) | 0 of 100 |" in summary(BENCH)
    alone = replace(BENCH, speed=(), sensitivity=(), accusations=(), sizes=())
    assert "## Fresh" not in report(alone) and "## Cost against the number of claims" in report(alone)


# Plots -----------------------------------------------------------------------------------------------------


def test_axes_are_logarithmic():
    axis = Axis.over([150.0, 9e4], 0, 300)
    assert (axis.low, axis.high) == (2, 5)
    assert [axis(x) for x in (1e2, 1e3, 1e5)] == [0, 100, 300]
    assert [t.label for t in axis.ticks()] == ["100", "1,000", "10⁴", "10⁵"]
    assert [t.label for t in Axis.over([2e-5, 2.0], 0, 1).ticks("s")] == [
        "10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s", "10 s",
    ]  # fmt: skip
    assert Axis.over([100.0], 0, 300).high == 3


def test_plots_are_well_formed():
    both = replace(BENCH, sizes=(*BENCH.sizes, *(point(p.entries, p.verify, "softmax") for p in BENCH.sizes)))
    for text, curves in ((sizes_plot(both), 4), (claims_plot(BENCH), 1)):
        root = xml.fromstring(text)
        assert len(root.findall(".//{*}polyline")) == curves
        assert "prefers-color-scheme: dark" in text
    labels = [e for e in xml.fromstring(sizes_plot(both)).findall(".//{*}text") if e.text in ("ridge", "softmax")]
    assert len(labels) == 2
    assert all(abs(float(b.get("y", 0)) - float(a.get("y", 0))) >= 14 for a, b in pairwise(labels))


# The record and the command --------------------------------------------------------------------------------


def test_the_report_is_made_from_its_record(tmp_path):
    dump(plain(BENCH), tmp_path / "bench.json")
    found = read_bench(tmp_path / "bench.json")
    assert found == replace(BENCH, environment=found.environment) and report(found) == report(BENCH)
    assert sizes_plot(found) == sizes_plot(BENCH)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("{}", "the field 'argv' is missing; `verify bench` writes a new one"),
        (json.dumps(plain(BENCH) | {"speed": [1]}), "speed[0]: got 1, wanted an object"),
        (json.dumps(plain(BENCH) | {"schema": 2}), "has schema 2, and this version reads 1"),
    ],
)
def test_a_damaged_record_is_one_message(tmp_path, content, message):
    (tmp_path / "bench.json").write_text(content)
    with pytest.raises(RecordError) as error:
        read_bench(tmp_path / "bench.json")
    assert message in str(error.value) and str(tmp_path) in str(error.value)


def test_what_is_published_is_what_its_record_says():
    bench = read_bench(PUBLISHED / "bench.json")
    assert bench.argv[:4] == ("verify", "bench", "-o", "reports/published/bench") and not bench.quick
    assert (PUBLISHED / "report.md").read_text("utf-8") == report(bench)
    assert (PUBLISHED / "sizes.svg").read_text("utf-8") == sizes_plot(bench)
    assert (PUBLISHED / "claims.svg").read_text("utf-8") == claims_plot(bench)


def test_a_quick_run(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(peers, "HOMES", {"gradcheck fast": "no_such_package"})
    assert main(["bench", "--quick", "--only", "ridge,speed,sizes", "--color", "never", "--json", "record.json"]) == 0
    out, err = capfd.readouterr()
    bench = read_bench("record.json")
    assert list(bench.titles) == ["ridge"] and bench.quick and not bench.claims and not bench.sensitivity
    assert [s.tool for s in bench.speed] == ["floor", "verify", "verify, two processes"]
    assert all(len(s.rates) == QUICK.repetitions and min(s.rates) > 0 for s in bench.speed)
    assert [p.entries for p in bench.sizes] == [109, 973, 10093]
    assert "absent: no_such_package (pip install 'handgrad[bench]')" in out and "\x1b" not in out and err == ""
    assert out.endswith("report: reports/bench/report.md\n")
    folder = Path("reports/bench")
    assert sorted(p.name for p in folder.iterdir()) == ["bench.json", "report.md", "sizes.svg"]
    assert (folder / "report.md").read_text() == report(read_bench(folder / "bench.json"))


def test_no_process_outlives_a_killed_benchmark(tmp_path):
    """A worker of an executor waits for ever for a parent that was killed: it holds both ends of its own pipe."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, time\n"
        "from verify.bench.speed import _processes\n"
        "if __name__ == '__main__':\n"
        "    with _processes([], 0) as pools:\n"
        "        print(*[pool.submit(os.getpid).result() for pool in pools], flush=True)\n"
        "        time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, cwd=ROOT,
                              env=os.environ | {"PYTHONPATH": str(ROOT)})  # fmt: skip
    assert parent.stdout
    with parent.stdout:
        workers = [int(word) for word in parent.stdout.readline().split()]
    parent.kill()
    parent.wait()
    assert len(workers) == 2
    deadline = time.monotonic() + 20
    while any(is_running(pid) for pid in workers):
        assert time.monotonic() < deadline, "the workers go on"
        time.sleep(0.1)


def is_running(pid):
    """Whether a process is there and no zombie that nobody has buried."""
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.slow
def test_claims_are_runs_of_the_command():
    (found,) = claims_part.claims(0, replace(Plan(), claims=(1,), run_cases=4), QUIET)
    assert (found.claims, found.cases) == (1, 4) and found.seconds > 0


def test_a_run_that_fails_is_one_message(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(claims_part, "claims", None)

    def timed(*_):
        raise claims_part.RunFailed("verify run ended with exit code 4: no such module")

    monkeypatch.setattr("verify.bench.measure.claims", timed)
    assert main(["bench", "--quick", "--only", "claims", "-o", str(tmp_path)]) == 3
    assert capsys.readouterr().err == "verify: verify run ended with exit code 4: no such module\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--only rigde", "--only: got 'rigde', wanted one of speed, sensitivity, sizes, claims, ridge, softmax, "
         "layer_norm, network, backpropagate, recompute, norms, curvature, closed form, cross-entropy; "
         "did you mean ridge?"),
        ("--seed -1", "--seed: got '-1', wanted a whole number, at least 0"),
        ("--qiuck", "there is no option '--qiuck'; did you mean --quick?"),
        ("ridge", "one argument too many: 'ridge'"),
        ("--json .", "'.' is a folder; wanted the name of a file"),
        ("-o file/x", "file/x: cannot be written: Not a directory; choose another folder with -o DIR"),
        ("-o file", "file: cannot be written: File exists; choose another folder with -o DIR"),
    ],
)  # fmt: skip
def test_bad_usage_is_one_message(tmp_path, monkeypatch, capsys, line, message):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    assert main(["bench", "--quick", *line.split()]) == 4
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and message in err


def test_an_interrupted_benchmark_ends_with_two(tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("verify.bench.measure.measured", interrupted)
    assert main(["bench", "-o", str(tmp_path / "b")]) == 2
    assert capsys.readouterr().err == "verify: interrupted\n"
