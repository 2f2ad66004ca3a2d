"""Bad files: each ends in one clear message and the right verdict or exit code; the others are judged nevertheless.

All of them are targets of a single run, which the tests look at.
"""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from verify.records.record import read_record

ROOT = Path(__file__).parents[2]
FOLDER = "tests/bad_files"
PROBLEMS = {
    "syntax_error.py": "syntax error in line 15: '(' was never closed",
    "not_utf8.py": "syntax error in",
    "raises_at_import.py": "cannot be loaded: ZeroDivisionError: division by zero at line 13 of raises_at_import.py",
    "missing_import.py": "cannot be loaded: ModuleNotFoundError: No module named 'a_module_that_nobody_has' at line 13",
    "exits_at_import.py": "cannot be loaded: SystemExit: goodbye at line 15 of exits_at_import.py",
    "dies_at_import.py": "loading it ended its process (exit code 3)",
    "hangs_at_import.py": "loading it made no progress for 12 s and was stopped",
    "notes.txt": "is no Python file; wanted path.py, pkg.mod or path.py::name",
    "godo.py": "there is no such file; did you mean tests/bad_files/good.py?",
    "good.py::goood": "has no claim 'goood'; did you mean tests/bad_files/good.py::good?",
    "": "is a folder; wanted a file (path.py), a module (pkg.mod) or path.py::name",
}
CLAIMS = {
    "good.py::good": ("agrees", ""),
    "prints.py::prints": ("agrees", ""),
    "same_name.py::twice.gradient": ("agrees", ""),
    "same_name.py::twice.gradient#2": ("wrong", "is exactly 3/2 times the gradient"),
    "missing_annotation.py::bad": (
        "error",
        "argument 'x' has no annotation and no given=; wanted a shape: write x: Float[Array, \"m n\"] in bad or "
        "untyped, or given={'x': strategy}",
    ),
    "annotated_as_list.py::bad": ("error", "argument 'x' is annotated list, which has no shape; wanted a jaxtyping"),
    "bad_axis.py::bad": ("error", "argument 'x': the axis 'n-' is no dimension name, number or expression; wanted"),
    "wrong_wrt.py::bad": ("error", "wrt names 'W', but the reference loss has the arguments x: correct wrt="),
    "wrong_given.py::bad": ("error", "given= names 'params', which is no argument of loss; it has x: correct given="),
    "given_is_no_strategy.py::bad": ("error", "given={'x': ...} is 42; wanted a Hypothesis strategy"),
    "given_draws_nothing.py::bad": ("error", "the strategy in given= drew no example: loosen its filters"),
    "impossible_sizes.py::bad": ("error", "no sizes of n make every axis of n-n at least 1"),
    "reference_raises.py::bad": ("error", "the reference broken raised ValueError: the learning rate is missing"),
    "reference_is_a_vector.py::bad": ("error", "gradient_of wants a scalar: use vjp_of"),
    "hand_raises.py::bad": ("error", "the hand-written function raised RuntimeError: the GPU is on fire"),
    "hand_recurses.py::bad": ("error", "the hand-written function raised RecursionError: maximum recursion depth"),
    "hand_returns_text.py::bad": ("error", "Value '2 x' with dtype <U3 is not a valid JAX array type"),
    "hand_takes_other_arguments.py::bad": ("error", "bad() missing 1 required positional argument: 'y'"),
    "hand_asks_for_values.py::bad": ("error", "Attempted boolean conversion of traced array"),
    "hand_wrong_shape.py::bad": ("wrong", "is summed over axis 0 (n), an axis that the gradient keeps"),
    "hand_sizes_clash.py::bad": ("wrong", "its sizes do not fit together: in `2 * (W @ X) @ X` the left side is m × N"),
    "hand_returns_none.py::bad": ("wrong", ""),
    "hand_returns_nan.py::bad": ("wrong", "is NaN where the gradient is finite"),
    "hangs.py::bad": ("error", "judging it made no progress for 12 s and was stopped; the other claims were judged"),
    "hangs_compiled.py::bad": ("error", "judging it made no progress for 12 s and was stopped; the other claims were"),
    "dies.py::bad": ("error", "judging it ended its process (exit code 7); the other claims were judged"),
    "crashes.py::bad": ("error", "judging it ended its process by SIGSEGV; the other claims were judged"),
    "eats_memory.py::bad": ("error", "GiB of memory (limit 1.5) and was stopped; the other claims were judged"),
}


def verify(*argv, **environment):
    """The command in a process of its own, started in the root of the checkout."""
    everything = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", **environment}
    command = [sys.executable, "-m", "verify", *map(str, argv)]
    done = subprocess.run(command, cwd=ROOT, env=everything, capture_output=True, timeout=300)
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


@pytest.fixture(scope="module")
def everything(tmp_path_factory, worker_id):
    """One run of all bad files: exit code, outputs, the record, and the folder of runs."""
    shared = tmp_path_factory.getbasetemp()
    shared = shared if worker_id == "master" else shared.parent  # of all workers of xdist
    with open(shared / "bad.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "bad" / "said.json").exists():
            said = run_everything(shared / "bad")
            (shared / "bad" / "said.json").write_text(json.dumps(said))
    code, out, err = json.loads((shared / "bad" / "said.json").read_text())
    return code, out, err, read_record(shared / "bad" / "bad.json"), shared / "bad"


def run_everything(folder):
    files = sorted(path.relative_to(ROOT) for path in (ROOT / FOLDER).glob("*.py"))
    missing = [FOLDER, f"{FOLDER}/notes.txt", f"{FOLDER}/godo.py", f"{FOLDER}/good.py::goood", "no.such.module"]
    options = ["--backend", "numpy", "--cases", 40, "--seed", 0, "-o", folder, "--json", folder / "bad.json"]
    limits = {"VERIFY_SILENCE_SECONDS": "12", "VERIFY_MEMORY_GIB": "1.5"}
    return verify("run", *files, *missing, *options, "--color", "never", "-v", **limits)


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_cannot_be_loaded(everything, name):
    code, _, err, record, _ = everything
    target = f"{FOLDER}/{name}".rstrip("/")
    said = [line for line in err.splitlines() if line.startswith(f"verify: {target}: ")]
    assert len(said) == 1 and PROBLEMS[name] in said[0], said
    assert code == record.exit_code == 4
    assert said[0].removeprefix("verify: ") in record.problems


def test_a_module_that_is_not_there(everything):
    assert (
        "verify: no.such.module: there is no module of this name; wanted a module (pkg.mod), a file (path.py) "
        "or one claim (path.py::name)\n" in everything[2]
    )


@pytest.mark.parametrize("name", CLAIMS)
def test_what_is_judged(everything, name):
    record = everything[3]
    (claim,) = (c for c in record.claims if c.target == f"{FOLDER}/{name}")
    verdict, message = CLAIMS[name]
    assert claim.verdict == verdict and message in str(claim), claim
    assert verdict != "wrong" or claim.diagnosis.text


def test_whole_numbers_where_floats_are_wanted(everything):
    (claim,) = (c for c in everything[3].claims if "hand_returns_whole_numbers" in c.target)
    assert claim.verdict == "error" and "float64 is wanted" in claim.reason


def test_every_file_is_in_a_table(everything):
    tables = {name.partition("::")[0] for name in (*PROBLEMS, *CLAIMS)}
    others = {"empty.py", "no_claim.py", "odd_names.py", "hand_returns_whole_numbers.py"}
    assert {p.name for p in (ROOT / FOLDER).iterdir() if p.is_file()} <= tables | others


def test_no_traceback_and_no_escape(everything):
    _, out, err, _, _ = everything
    assert "Traceback" not in out + err and "\x1b" not in out + err
    assert "\\x1b[31mred - wrong" in out


def test_everything_was_kept(everything):
    record, folder = everything[3], everything[4]
    (run,) = (p for p in folder.iterdir() if p.is_dir())
    assert read_record(run / "run.json").summary == record.summary
    assert "shown here and not kept" not in "\n".join(record.problems)
    assert (run / "report.html").read_text().count("<b>") == 0 or "&lt;b&gt;" in (run / "report.html").read_text()


@pytest.mark.parametrize("file", ["empty.py", "no_claim.py"])
def test_a_file_without_claims(file, tmp_path):
    code, _, err = verify("run", f"{FOLDER}/{file}", "--backend", "numpy", "-o", tmp_path)
    assert code == 5 and err == (
        f"verify: {FOLDER}/{file}: no claim found; a claim is a function under gradient_of(...), vjp_of(...), ...\n"
    )
