"""The layers: `handgrad` knows nothing of `verify`; what judges on paper does not need JAX; importing is cheap."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WITHOUT_JAX = [
    "verify", "verify.bench.derivations.record", "verify.bench.derivations.report", "verify.bench.folder",
    "verify.bench.plan", "verify.bench.plot", "verify.bench.ratios", "verify.bench.record", "verify.bench.report",
    "verify.bench.tables", "verify.cells.budget", "verify.cells.comparison", "verify.cells.demotions",
    "verify.cells.libtpu", "verify.cells.matmul", "verify.cli", "verify.commands.bench", "verify.commands.diff",
    "verify.commands.new", "verify.commands.run", "verify.commands.scan", "verify.commands.sweep",
    "verify.drafting.stub", "verify.drawing.annotations", "verify.drawing.claim_options", "verify.drawing.signature",
    "verify.drawing.sizes", "verify.drawing.specification", "verify.figure_data.figures",
    "verify.hypotheses.diagnosis", "verify.hypotheses.evidence", "verify.options", "verify.pytest_plugin",
    "verify.records.case_file", "verify.records.differences", "verify.records.history", "verify.records.record",
    "verify.records.runs", "verify.records.serial", "verify.report.entries", "verify.report.explain",
    "verify.report.github", "verify.report.html", "verify.report.index", "verify.report.junit",
    "verify.report.markdown", "verify.report.numerals", "verify.report.plots", "verify.report.scan",
    "verify.report.terminal", "verify.scan.found", "verify.scan.probe", "verify.sessions.environment",
    "verify.sessions.journal", "verify.sessions.judging", "verify.sessions.kept", "verify.sessions.keyword",
    "verify.sessions.loading", "verify.sessions.opening", "verify.sessions.pool", "verify.sessions.processes",
    "verify.sessions.request", "verify.sessions.scope", "verify.sessions.session", "verify.sessions.team",
    "verify.sessions.worker", "verify.sweep.judge", "verify.sweep.measure", "verify.sweep.plot",
    "verify.sweep.points", "verify.sweep.report", "verify.sweep.state", "verify.sweep.tally", "verify.verdict.judged",
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


def test_a_whole_run_does_not_import_jax_but_in_its_workers(tmp_path):
    options = ["handgrad.ridge::ridge_gradient", "--cases", "40", "--backend", "numpy", "-o", str(tmp_path)]
    code = f"""
import contextlib, os, sys
from verify.cli import main
with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
    code = main(["run", *{options!r}])
print(code, *({{"jax", "scipy", "hypothesis"}} & set(sys.modules)))
"""
    assert python(code) == ["0"]


def test_verify_starts_without_anything_heavy():
    code = "import sys, verify; print(*({'jax', 'numpy', 'scipy', 'hypothesis', 'rich'} & set(sys.modules)))"
    assert python(code) == []


@pytest.mark.parametrize(
    "module", ["handgrad", "handgrad.ridge", "handgrad.activations", "verify.api", "verify.verdict.judge"]
)
def test_importing_initialises_no_backend(module):
    code = f"import {module}; from jax._src import xla_bridge; print(*xla_bridge._backends)"
    assert python(code) == []
