"""``--changed`` and ``verify watch``: what a claim depends on is judged again, and nothing else."""

import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from verify.commands.watch import _stamps, _wait
from verify.drawing.fingerprint import fingerprint
from verify.records.record import read_record
from verify.records.runs import latest
from verify.sessions.collect import collect
from verify.sessions.kept import UNCHANGED

ROOT = Path(__file__).parents[2]
HELPER = """
SCALE = 2.0


def outer_factor(x):
    return SCALE * x


def unused(x):
    return x
"""
CLAIMS = '''
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import {helper} as helper
from handgrad import gradient_of

TABLE = np.array([1.0, 2.0])


def squares(x: Float[Array, "n"]) -> Float[Array, ""]:
    """The sum of squares."""
    return jnp.sum(x**2)


@gradient_of(squares, wrt="x")
def through_helper(x):
    """Twice x."""
    return helper.outer_factor(x)


@gradient_of(squares, wrt="x")
@jax.jit
def through_table(x):
    return TABLE[1] * x


@gradient_of(squares, wrt="x")
def through_partial(x):
    return functools.partial(inner, factor=2)(x)


def inner(x, factor):
    return factor * x


@gradient_of(squares, wrt="x")
def alone(x):
    return x + x
'''
NAMES = ("through_helper", "through_table", "through_partial", "alone")


@pytest.fixture
def module(tmp_path, monkeypatch, request):
    """A file of claims and a module beside it, of names of their own: modules are cached by name."""
    helper = re.sub(r"\W", "_", f"helper_{request.node.name}")
    (tmp_path / f"{helper}.py").write_text(HELPER)
    (tmp_path / "claims.py").write_text(CLAIMS.format(helper=helper))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "claims.py", tmp_path / f"{helper}.py"


def prints_of(path, helper):
    for name in [n for n, m in sys.modules.items() if getattr(m, "__file__", None) in (str(path), str(helper))]:
        del sys.modules[name]
    # a claim of an earlier load is still registered; the later one of a name counts
    return {c.name.partition(".")[0]: fingerprint(c) for c in collect(str(path))[0]}


EDITS = [
    ("helper", "SCALE = 2.0", "SCALE = 3.0", {"through_helper"}),
    ("helper", "return SCALE * x", "return x * SCALE", {"through_helper"}),
    ("helper", "    return x\n", "    return x + 1\n", set()),
    ("claims", "[1.0, 2.0]", "[1.0, 2.5]", {"through_table"}),
    ("claims", "factor=2", "factor=3", {"through_partial"}),
    ("claims", "return factor * x", "return x * factor", {"through_partial"}),
    ("claims", "return x + x", "return 2 * x", {"alone"}),
    ("claims", "jnp.sum(x**2)", "jnp.sum(x * x)", set(NAMES)),
    ("claims", "Twice x.", "Two times x.", set()),
    ("claims", "import functools", "# a comment\n\nimport functools", set()),
    ("claims", "Float[Array, \"n\"]", "Float[Array, \"n m\"]", set(NAMES)),
]


@pytest.mark.parametrize(("where", "old", "new", "changes"), EDITS, ids=range(len(EDITS)))
def test_what_an_edit_changes(module, where, old, new, changes):
    path, helper = module
    before = prints_of(path, helper)
    assert set(before) == set(NAMES) and before == prints_of(path, helper)
    edited = {"claims": path, "helper": helper}[where]
    assert old in edited.read_text()
    edited.write_text(edited.read_text().replace(old, new))
    after = prints_of(path, helper)
    assert {n for n in NAMES if before[n].digest != after[n].digest} == changes


def test_no_bytecode_of_an_older_text_is_left(module, monkeypatch):
    """It would be taken for that of an edit of the same size within the same second."""
    path, helper = module
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    prints_of(path, helper)
    assert not list(path.parent.rglob("*.pyc")) and not sys.dont_write_bytecode


def test_the_files_of_a_claim(module):
    path, helper = module
    prints = prints_of(path, helper)
    assert set(prints["alone"].files) == {str(path)}
    assert set(prints["through_helper"].files) == {str(path), str(helper)}


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "PYTHONUNBUFFERED": "1"}


def judged_again(folder):
    """The claims of the latest run that were judged in it."""
    record = read_record(latest(folder / "reports").path / "run.json")
    return {c.name for c in record.claims if not any(n.startswith(UNCHANGED) for n in c.notes)}, record


@pytest.mark.parametrize("thorough", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["short", "long"])
def test_changed(module, thorough):
    path, helper = module
    few = ("--backend", "numpy", "--dtype", "float64", "--cases", "40", "--changed")

    def run(*more):
        command = [sys.executable, "-m", "verify", "run", path.name, *few, *more]
        return subprocess.run(command, cwd=path.parent, env=environment(), capture_output=True, text=True).returncode

    assert run() == 0 and judged_again(path.parent)[0] == set(NAMES)
    if thorough:
        assert run() == 0
        again, record = judged_again(path.parent)
        assert again == set() and len(record.claims) == 4 and all(c.cases for c in record.claims)
    helper.write_text(helper.read_text().replace("SCALE = 2.0", "SCALE = 3.0"))
    assert run() == 1 and judged_again(path.parent)[0] == {"through_helper"}
    assert run() == 1 and judged_again(path.parent)[0] == set()  # what fails goes on failing
    if thorough:
        assert run("--backend", "numpy,cpu") == 1 and judged_again(path.parent)[0] == set(NAMES)  # a device more
    assert run("--cases", "50") == 1 and judged_again(path.parent)[0] == set(NAMES)  # asked otherwise


def test_watch(module):
    path, helper = module
    command = [sys.executable, "-m", "verify", "watch", path.name, "--backend", "numpy", "--cases", "40", "-v"]
    process = subprocess.Popen(
        command, cwd=path.parent, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    seen = ""

    def wait_for(word):
        nonlocal seen
        end = time.monotonic() + 120
        while word not in seen:
            assert time.monotonic() < end, seen
            if select.select([process.stdout], [], [], 1)[0]:
                seen += (process.stdout.read() or b"").decode()
        before, _, seen = seen.partition(word)
        return before

    try:
        assert "4 claims: 4 agree" in wait_for("watching 2 files")
        helper.write_text(helper.read_text().replace("SCALE = 2.0", "SCALE = 3.0"))
        told = wait_for("watching 2 files")
        assert f"saved: {helper.name}" in told and "4 claims: 3 agree, 1 wrong" in told and "3/2 times" in told
        path.write_text("def (")
        assert "syntax error in line 1" in wait_for("watching 2 files")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 2
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_file_that_is_being_replaced_is_waited_for(tmp_path):
    file = tmp_path / "a.py"
    file.write_text("1")
    before = _stamps({str(file)})
    file.unlink()
    assert _stamps({str(file)}) == {str(file): (0, 0)}
    file.write_text("2, longer")
    assert _wait({str(file)}, before) == [str(file)]
