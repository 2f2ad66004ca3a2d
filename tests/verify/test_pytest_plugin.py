"""``pytest --verify TARGET``: pytest in a process of its own, on claims that are right, wrong and unloadable."""

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

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


def run(folder, *argv):
    """Exit code and output, without what varies."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "COLUMNS": "100"}
    environment.pop("PYTEST_ADDOPTS", None)
    command = [sys.executable, "-m", "pytest", *LOADED, "--color=no", *argv]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
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
    assert "half - wrong: The hand-written derivative is exactly 1/2 of the gradient" in out
    assert "replay: verify run claims.py::half --seed 7 --cases 40 --backend numpy" in out
    assert "mended.already - agrees: expected wrong" in out
    assert "torn.py: syntax error in line 1: '(' was never closed" in out
    assert "nothing.at.all: there is no module of this name; wanted a module" in out
    assert "claims.py::hal: claims.py has no claim 'hal'; did you mean claims.py::half?" in out
    assert "Traceback" not in out and "pytest_plugin.py" not in out and "noise" not in out
    assert re.search(r"^FAILED claims.py::half - half - wrong: The hand-written", out, re.MULTILINE)
    assert "collected 7 items" in out and "test_mine" not in out


def test_selection_and_last_failed(folder):
    """-k, -x, then --lf with a path beside."""
    few = ("--verify", "claims.py", "--verify-cases", "20", "-v")
    code, out = run(folder, *few, "-k", "half or known", "-x")
    assert code == 1 and results(out) == {"claims.py::half": "FAILED"}, out
    code, out = run(folder, *few, "--lf", "test_mine.py", "-n", "0")
    assert results(out) == {"claims.py::half": "FAILED"} and "4 deselected" in out, out


def test_in_several_processes_beside_tests(folder):
    code, out = run(folder, "--verify", "claims.py", "--verify-cases", "20", "-n", "2", "test_mine.py", "-rA")
    assert code == 1 and "2 failed, 3 passed" in out, out
    seeds = set(re.findall(r"seed (\d+)", out))
    assert len(seeds) == 1 and set(re.findall(r"--seed (\d+)", out)) == seeds
    assert "PASSED claims.py::right" in out and "PASSED test_mine.py::test_mine" in out


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
        "import sys\n\ndef test_mine():\n    assert not {'jax', 'verify.judge', 'handgrad'} & set(sys.modules)\n"
    )
    code, out = run(folder, "-p", "no:jaxtyping", "test_mine.py")
    assert code == 0, out
