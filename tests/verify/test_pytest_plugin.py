"""``pytest --verify TARGET``: pytest in a process of its own, on claims that are right, wrong and unloadable."""

import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from hypothesis import settings

from verify.pytest_plugin import pytest_configure

ROOT = Path(__file__).parents[2]
INSTALLED = any(e.value == "verify.pytest_plugin" for e in entry_points(group="pytest11"))
LOADED = [] if INSTALLED else ["-p", "verify.pytest_plugin"]
CLAIMS = '''
import warnings
import jax.numpy as jnp
from jaxtyping import Array, Float
from handgrad import gradient_of

print("noise while loading")

def loss(x: Float[Array, "n"]) -> Float[Array, ""]:
    return jnp.sum(x**2)

@gradient_of(loss, wrt="x")
def right(x):
    warnings.warn("a warning of the user's code")
    print("noise")
    return 2 * x

@gradient_of(loss, wrt="x")
def half(x):
    return x

@gradient_of(loss, wrt="x", expect="wrong")
def known(x):
    return 3 * x

@gradient_of(loss, wrt="x", expect="wrong", name="mended.already")
def mended(x):
    return 2 * x
'''


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "claims.py").write_text(CLAIMS)
    (tmp_path / "torn.py").write_text("x = (")
    (tmp_path / "test_mine.py").write_text("def test_mine():\n    pass\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    return tmp_path


def process(folder, *argv):
    """A Python module as a command, in the folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "COLUMNS": "100"}
    for name in ("PYTEST_ADDOPTS", "CI"):  # Hypothesis has another profile under CI
        environment.pop(name, None)
    command = [sys.executable, "-m", *argv]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def run(folder, *argv):
    """Exit code and output of pytest."""
    done = process(folder, "pytest", *LOADED, "--color=no", *argv)
    return done.returncode, done.stdout + done.stderr


def results(out):
    return dict(re.findall(r"^(\S+[a-z]) (PASSED|FAILED|ERROR)", out, re.MULTILINE))


def test_claims_are_items(folder):
    targets = ("claims.py", "torn.py", "nothing.at.all", "claims.py::hal")
    options = ("--verify-cases", "40", "--verify-seed", "7", "-v")
    code, out = run(folder, *(word for target in targets for word in ("--verify", target)), *options)
    assert code == 1 and results(out) == {
        "claims.py::right": "PASSED",
        "claims.py::half": "FAILED",
        "claims.py::known": "PASSED",
        "claims.py::mended.already": "FAILED",
        "torn.py::loading": "ERROR",
        "nothing.at.all::loading": "ERROR",
        "claims.py::hal": "ERROR",
    }, out
    assert "verify: claims.py, torn.py, nothing.at.all, claims.py::hal; 40 cases a claim, seed 7" in out
    assert "\nwrong: The hand-written derivative is exactly 1/2 of the gradient" in out
    assert "replay: verify run claims.py::half --seed 7 --cases 40 --backend numpy" in out
    assert "\nagrees: expected wrong" in out
    assert "torn.py: syntax error in line 1: '(' was never closed" in out
    assert "nothing.at.all: there is no module of this name; wanted a module" in out
    assert "claims.py::hal: claims.py has no claim 'hal'; did you mean claims.py::half?" in out
    assert "Traceback" not in out and "pytest_plugin.py" not in out and "noise" not in out
    assert re.search(r"^FAILED claims.py::half - wrong: The hand-written", out, re.MULTILINE)
    assert "collected 7 items" in out and "test_mine" not in out


ONE_OF_FIVE = '''
import jax.numpy as jnp
from jaxtyping import Array, Float
from handgrad import equal_to, gradient_of, jvp_of, vjp_of

def loss(W: Float[Array, "k n"], X: Float[Array, "n N"], Y: Float[Array, "k N"]) -> Float[Array, ""]:
    return jnp.sum((W @ X - Y) ** 2)

def scale(s: Float[Array, ""], x: Float[Array, "n"]) -> Float[Array, "n"]:
    return s * x

@gradient_of(loss, wrt="W")
def gradient(W, X, Y):
    return 2 * (W @ X - Y) @ X.T

@gradient_of(loss, wrt="X")
def transposed_and_doubled(W, X, Y):
    return 4 * W.T @ (W @ X - Y) + 0 * X

@vjp_of(scale, wrt=("s", "x"))
def pulled_back(s, x, *, cotangent):
    return x @ cotangent, s * cotangent

@jvp_of(scale, wrt="x")
def pushed_forward(s, x, *, dx):
    return s * dx

@equal_to(loss)
def closed_form(W, X, Y):
    return jnp.sum(jnp.square(Y - W @ X))
'''


def test_one_wrong_claim_among_five(folder):
    """In two processes, beside a test: one failure and no other, to be read without scrolling, and in JUnit's XML."""
    (folder / "five.py").write_text(ONE_OF_FIVE)
    options = ("--verify-cases", "40", "-n", "2", "-rA", "--junitxml", "j.xml")
    code, out = run(folder, "--verify", "five.py", "test_mine.py", *options)
    assert code == 1 and "1 failed, 5 passed" in out, out
    assert "PASSED five.py::closed_form" in out and "PASSED test_mine.py::test_mine" in out
    (text,) = re.findall(r"^_+ transposed_and_doubled of five.py _+\n(?:\[gw.*\n)?((?:.+\n)+?)(?:[=-]{9}|_)", out, re.M)
    lines = text.splitlines()
    assert lines[0].startswith("wrong: The hand-written derivative is exactly 2 times the gradient"), text
    assert len(lines) < 20 and all(len(line) <= 80 for line in lines[:-1]), text
    (seed,) = re.findall(r"a claim, seed (\d+) ", out)  # of both workers
    replay = f"verify run five.py::transposed_and_doubled --seed {seed} --cases 40 --backend numpy"
    assert lines[-1] == f"  replay: {replay}"

    cases = {case.get("name"): case for case in ElementTree.parse(folder / "j.xml").iter("testcase")}
    said = {p.get("name"): p.get("value") for p in cases["transposed_and_doubled"].iter("property")}
    assert {key: said[key] for key in ("verdict", "diagnosis", "diagnosis_value", "relation", "seed", "replay")} == {
        "verdict": "wrong", "diagnosis": "factor", "diagnosis_value": "2", "relation": "gradient", "seed": seed,
        "replay": replay,
    }  # fmt: skip
    said = {p.get("name"): p.get("value") for p in cases["closed_form"].iter("property")}
    assert said["verdict"] == "agrees" and said["cases"] == "40" and "diagnosis" not in said
    assert [name for name, case in cases.items() if case.find("failure") is not None] == ["transposed_and_doubled"]


@pytest.mark.slow
def test_what_a_failure_says_repeats_it(folder):
    """Its last line, run as it stands, ends with the same counterexample."""
    (folder / "five.py").write_text(ONE_OF_FIVE)
    code, out = run(folder, "--verify", "five.py::transposed_and_doubled", "--verify-cases", "40")
    (line,) = re.findall(r"replay: (verify .*)", out)
    done = process(folder, *shlex.split(line), "--color", "never")
    shown = [row.strip() for row in done.stdout.splitlines() if re.match(r"    (W|X|Y|hand|oracle) ", row)]
    assert code == done.returncode == 1 and len(shown) == 5 and all(row in out for row in shown), done.stdout + out


def header(profile=None, **options):
    """What the plugin says above the tests, under a Hypothesis profile and options."""
    asked = {"verify": ["a.py"], "verify_cases": None, "verify_seconds": None, "verify_seed": None} | options
    config = SimpleNamespace(
        option=SimpleNamespace(**asked), args_source=pytest.Config.ArgsSource.ARGS, pluginmanager=SimpleNamespace(),
        getoption=lambda name, default: asked.get(name, default),
    )  # fmt: skip
    registered = []
    config.pluginmanager.register = lambda plugin, name: registered.append(plugin)
    before = settings.get_current_profile_name()
    settings.register_profile("of this test", settings(), **(profile or {}))
    settings.load_profile("of this test")
    try:
        pytest_configure(config)
    finally:
        settings.load_profile(before)
    return registered[0].pytest_report_header()


def test_hypothesis_profiles():
    """``max_examples`` scales the cases, ``derandomize`` fixes the seed; options and --hypothesis-seed go first."""
    few, fresh = {"max_examples": 5, "derandomize": True}, {"max_examples": 300, "derandomize": False}
    assert header(few) == "verify: a.py; 20 cases a claim, seed 0 (--verify-seed 0 repeats them)"
    assert header(fresh).startswith("verify: a.py; 1,200 cases a claim, seed ") and header(fresh) != header(fresh)
    assert "; 1,200 cases a claim, seed 7 (" in header(fresh, **{"--hypothesis-seed": "7"})
    assert header(fresh, **{"--hypothesis-seed": "random"}) != header(fresh, **{"--hypothesis-seed": "random"})
    assert "; 3 cases a claim, seed 9 (" in header(few, verify_cases=3, verify_seed=9, **{"--hypothesis-seed": "7"})
    assert header(few, verify_seconds=2.5) == "verify: a.py; 2.5 s a claim, seed 0"
    assert header(few, verify_seconds=2.0, verify_cases=8) == "verify: a.py; 8 cases or 2 s a claim, seed 0"


def test_seconds_and_a_profile_of_a_conftest(folder):
    (folder / "conftest.py").write_text(
        "from hypothesis import settings\n"
        "settings.register_profile('few', max_examples=5, derandomize=True)\n"
    )
    code, out = run(folder, "--verify", "claims.py::half", "--verify-seconds", "0.2", "--hypothesis-profile", "few")
    assert code == 1 and "1 failed" in out and "claims.py::half; 0.2 s a claim, seed 0\n" in out, out
    assert "replay: verify run claims.py::half --seed 0 --backend numpy" in out


@pytest.mark.slow
def test_selection_and_last_failed(folder):
    """-k, -x, then --lf with a path beside."""
    few = ("--verify", "claims.py", "--verify-cases", "20", "-v")
    code, out = run(folder, *few, "-k", "half or known", "-x")
    assert code == 1 and results(out) == {"claims.py::half": "FAILED"}, out
    code, out = run(folder, *few, "--lf", "test_mine.py", "-n", "0")
    assert results(out) == {"claims.py::half": "FAILED"} and "4 deselected" in out, out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--verify", "x.py", "--verify-cases", "none"], "got 'none', wanted a whole number, at least 1"),
        (["--verify", "x.py", "--verify-seconds", "-1"], "got '-1', wanted a positive number of seconds"),
        (["--verify", "x.py", "--verify-seed", "-1"], "got '-1', wanted a whole number, at least 0"),
    ],
)
def test_bad_options(folder, argv, message):
    code, out = run(folder, *argv)
    assert code == 4 and message in out


def test_nothing_heavy_without_the_option(folder):
    (folder / "test_mine.py").write_text(
        "import sys\n\ndef test_mine():\n"
        "    assert not {'jax', 'verify.verdict.judge', 'handgrad'} & set(sys.modules)\n"
    )
    code, out = run(folder, "-p", "no:jaxtyping", "test_mine.py")
    assert code == 0, out
