"""The layers: `handgrad` knows nothing of `verify`; what judges on paper does not need JAX; importing is cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WITHOUT_JAX = [
    "verify.demotions", "verify.team", "verify.libtpu", "verify.matmul", "verify.environment",
    "verify", "verify.comparison", "verify.record", "verify.serial", "verify.explain", "verify.diagnosis",
    "verify.evidence", "verify.runs", "verify.case_file", "verify.options", "verify.cli", "verify.report.html",
    "verify.report.junit", "verify.report.markdown", "verify.report.terminal", "verify.sizes", "verify.budget",
    "verify.report.index", "verify.report.github", "verify.report.plots", "verify.figures", "verify.entries",
    "verify.numerals", "verify.history", "verify.differences", "verify.commands.diff", "verify.commands.run",
    "verify.session", "verify.request", "verify.loading", "verify.scope", "verify.opening", "verify.journal",
    "verify.judging", "verify.processes", "verify.kept", "verify.keyword", "verify.pool", "verify.worker",
    "verify.pytest_plugin", "verify.bench.record",
    "verify.bench.ratios", "verify.bench.tables", "verify.bench.report", "verify.bench.plot", "verify.bench.folder",
    "verify.bench.plan", "verify.commands.bench", "verify.bench.derivations.record", "verify.bench.derivations.report",
    "verify.sweep.measure", "verify.sweep.points", "verify.sweep.tally", "verify.sweep.state", "verify.sweep.judge",
    "verify.sweep.plot", "verify.sweep.report", "verify.commands.sweep", "verify.stub", "verify.commands.new",
    "verify.specification", "verify.annotations", "verify.claim_options", "verify.signature",
    "verify.scan.found", "verify.scan.probe", "verify.report.scan", "verify.commands.scan",
]  # fmt: skip


def python(code):
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def imported(path):
    """The modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("path", sorted((ROOT / "handgrad").rglob("*.py")), ids=lambda p: p.stem)
def test_handgrad_never_imports_verify(path):
    assert not any(name.split(".")[0] == "verify" for name in imported(path))


def test_a_planted_import_is_seen(tmp_path):
    (tmp_path / "planted.py").write_text("def f():\n    if True:\n        from verify.api import verify\n")
    assert list(imported(tmp_path / "planted.py")) == ["verify.api"]


def test_what_judges_on_paper_does_not_import_jax():
    code = f"""
import importlib, sys
for name in {WITHOUT_JAX}:
    importlib.import_module(name)
    if "jax" in sys.modules:
        print(name)
        break
"""
    assert python(code) == []


def test_verify_starts_without_anything_heavy():
    code = "import sys, verify; print(*({'jax', 'numpy', 'scipy', 'hypothesis', 'rich'} & set(sys.modules)))"
    assert python(code) == []


@pytest.mark.parametrize("module", ["handgrad", "handgrad.ridge", "handgrad.activations", "verify.api", "verify.judge"])
def test_importing_initialises_no_backend(module):
    code = f"import {module}; from jax._src import xla_bridge; print(*xla_bridge._backends)"
    assert python(code) == []
