"""Bad input in tables: each ends in one clear message, no traceback, and the exit code that the contract names.

Here everything runs in this process; what hangs, dies or eats memory is in ``test_bad_files.py``.
"""

import errno
import io
import os
import shutil
import subprocess
import sys
import warnings
from contextlib import contextmanager
from typing import ClassVar

import pytest

from verify.cells.budget import Budget
from verify.cli import main
from verify.options import BadUsage, limit
from verify.records.runs import RunFolder
from verify.sessions import session
from verify.sessions.collect import TargetError, collect
from verify.sessions.pool import WorkerLost
from verify.sessions.worker import Worker
from verify.verdict.judge import judge

HEAD = '''
from typing import Annotated, Literal, NamedTuple
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st
from jaxtyping import Array, Float, Int
from handgrad import *
from handgrad.domains import *

def loss(x: Float[Array, "n"]) -> Float[Array, ""]:
    return jnp.sum(x**2)

def free(x: Float[Array, "n"], k) -> Float[Array, ""]:
    return jnp.sum(x**2)

def echo(x: Float[Array, "n"]) -> Float[Array, "n"]:
    return x

class Node(NamedTuple):
    value: Float[Array, "n"]
    next: "Node"
'''
FEW = Budget(0, 8, ("numpy",), ("float64",))


def source(decorator, parameters="x", body="return 2 * x"):
    return f"{HEAD}\n@{decorator}\ndef bad({parameters}):\n    {body}\n"


# Annotations, decorators and what functions return: a claim that ends as an error -----------------------------

LOSS, FREE = 'gradient_of(loss, wrt="x")', 'gradient_of(free, wrt="x")'
JUDGED = {
    "expect": ('gradient_of(loss, wrt="x", expect="rong")', "x", "expect='rong' is no verdict; wanted one of wrong, "),
    "dtypes": ('gradient_of(loss, wrt="x", dtypes="float33")', "x", "dtypes= names 'float33'; wanted some of float64"),
    "no dtypes": ('gradient_of(loss, wrt="x", dtypes=())', "x", "dtypes= is empty; wanted some of float64"),
    "wrt empty": ("gradient_of(loss, wrt=())", "x", "wrt=(); wanted each argument to differentiate, once"),
    "wrt twice": ('gradient_of(loss, wrt=("x", "x"))', "x", "wrt=('x', 'x'); wanted each argument to"),
    "wrt unknown": ('gradient_of(loss, wrt="y")', "x", "wrt names 'y', but the reference loss has the arguments x"),
    "no reference": ('gradient_of(None, wrt="x")', "x", "None has no readable signature; wrap it in a def"),
    "a builtin": ('gradient_of(max, wrt="x")', "x", "max has no readable signature; wrap it in a def"),
    "literal": (FREE, "x, k: Literal[()]", "argument 'k' is annotated Literal[()], which has no value; wanted those"),
    "recursive": (FREE, "x, k: Node", "argument 'k' is annotated Node, which contains itself"),
    "a text's type": (FREE, "x, k: str", "argument 'k' is annotated str, which has no shape; wanted a jaxtyping array"),
    "optional": (FREE, 'x, k: Float[Array, "n"] | None', "which has no shape; wanted a jaxtyping array"),
    "unwritten": (FREE, "x, k: 'Unwritten'", "argument 'k' is annotated Unwritten, which has no shape"),
    "size 0": (LOSS, 'x: Float[Array, "0"]', "the axis 0 of 0 is below 1; wanted sizes of at least 1"),
    "huge": (LOSS, 'x: Float[Array, "1000000 1000000"]', "1000000 1000000 has 1,000,000,000,000 entries at least;"),
    "halves": (LOSS, 'x: Float[Array, "n/2"]', "the size 'n/2' is no arithmetic of dimension names and whole numbers"),
    "a call": (LOSS, 'x: Float[Array, "f(n)"]', "the size 'f(n)' cannot be evaluated: 'int' object is not callable"),
    "a text": (LOSS, "x: Float[Array, \"'n'\"]", "is no arithmetic of dimension names and whole numbers"),
    "oblong": (LOSS, 'x: Annotated[Float[Array, "m n"], spd]', "domain spd wants a square matrix in its last two axes"),
    "integers": (LOSS, 'x: Int[Array, "n"]', "grad requires real-valued outputs"),
    "given raises": (
        'gradient_of(loss, wrt="x", given={"x": st.integers().map(lambda i: i // 0)})', "x",
        "given= for x raised ZeroDivisionError: integer division or modulo by zero while an example was drawn",
    ),
    "given sizes": (
        'gradient_of(loss, wrt="x", given={"x": lambda sizes: sizes["q"]})', "x",
        "given= for x raised KeyError: 'q' while an example was drawn; mend the strategy",
    ),
    "given no strategy": (
        'gradient_of(loss, wrt="x", given={"x": lambda sizes: 3})', "x",
        "given= for x: the function returned int; wanted a Hypothesis strategy",
    ),
    "no cotangent": ('vjp_of(echo, wrt="x")', "x", "bad() got an unexpected keyword argument 'cotangent'"),
    "no tangent": ('jvp_of(echo, wrt="x")', "x", "bad() got an unexpected keyword argument 'dx'"),
}  # fmt: skip
RETURNED = {
    "yield 2 * x": "the hand-written function raised TypeError: Value '<generator",
    "return lambda: x": "the hand-written function raised TypeError: Value '<function",
    "return x > 0": "the hand-written function returns bool where float64 is wanted: return floating-point numbers",
    "raise SystemExit(3)": "could not be judged: SystemExit: 3",
}


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """The outcome of the one claim of a text."""
    monkeypatch.setattr(sys, "path", [*sys.path])

    def outcome(text):
        path = tmp_path / f"bad_{abs(hash(tmp_path))}.py"
        path.write_text(text)
        ((claim,), problems) = collect(str(path))
        assert problems == []
        with warnings.catch_warnings():  # as in a worker
            warnings.simplefilter("ignore")
            return judge(claim, FEW).record

    return outcome


@pytest.mark.parametrize("case", JUDGED)
def test_what_cannot_be_judged(judged, case):
    decorator, parameters, message = JUDGED[case]
    record = judged(source(decorator, parameters))
    assert record.verdict == "error" and not record.ok and message in record.reason, record


@pytest.mark.parametrize("body", RETURNED)
def test_what_a_hand_function_may_not_do(judged, body):
    record = judged(source(LOSS, body=body))
    assert record.verdict == "error" and record.reason.startswith(RETURNED[body]), record


# Targets that do not load ------------------------------------------------------------------------------------

UNLOADED = {
    source("gradient_of(loss, wrt=0)"): "TypeError: gradient_of: wrt is 0; wanted the name of an argument, or a",
    source("gradient_of(loss)"): "TypeError: gradient_of() missing 1 required keyword-only argument: 'wrt' at line ",
    source("vjp_of"): "TypeError: vjp_of() missing 1 required keyword-only argument: 'wrt'",
    source('equal_to(loss, wrt="x")'): "TypeError: equal_to() got an unexpected keyword argument 'wrt'",
    source('gradient_of(loss, wrt="x", gven={})'): "TypeError: gradient_of() got an unexpected keyword argument 'gven'",
    source('hvp_of(loss, wrt="x", given=["x"])'): "TypeError: hvp_of: given is ['x']; wanted a dict {argument: ",
    source('jvp_of(loss, wrt="x", name=5)'): "TypeError: jvp_of: name is 5; wanted text",
    source(LOSS, "x: Annotated[int, integers(5, 1)]"): "low is 5 and high is 1; wanted low <= high: swap them",
    source(LOSS, "x: Annotated[int, index(0)]"): "index(0) holds no number; wanted a dimension name or at least 1",
    "x = 1\0": "syntax error in somewhere: source code string cannot contain null bytes",
    "raise RecursionError": "cannot be loaded: RecursionError: no message at line 1 of ",
    "import sys; sys.exit()": "cannot be loaded: SystemExit: no message at line 1 of ",
    "def f(:": "syntax error in line 1: invalid syntax",
    "from . import sibling": "cannot be loaded: ImportError: attempted relative import with no known parent package",
}
PLACES = {
    "": "'': names no place; wanted a file (path.py), a module (pkg.mod) or path.py::name",
    "::loss": "'::loss': names no place; wanted a file (path.py)",
    ".": ".: is a folder; wanted a file (path.py), a module (pkg.mod) or path.py::name",
    "folder.py": "folder.py: is a folder; wanted a file",
    "pipe.py": "pipe.py: is no regular file; wanted a file",
    "/dev/zero": "/dev/zero: is no regular file; wanted a file",
    "dangling.py": "dangling.py: there is no such file",
    "no/such/path": "no/such/path: there is no such file",
    "handgrad..ridge": "handgrad..ridge: there is no module of this name; wanted a module (pkg.mod), a file (path.py)",
    "handgrad.ridge.ridge_gradient": "there is no module of this name; did you mean handgrad.ridge::ridge_gradient?",
    "handgrad.ridge::ridge_gradiant": "has no claim 'ridge_gradiant'; did you mean handgrad.ridge::ridge_gradient",
}


@pytest.mark.parametrize("text", UNLOADED, ids=range(len(UNLOADED)))
def test_files_that_do_not_load(tmp_path, monkeypatch, text):
    monkeypatch.setattr(sys, "path", [*sys.path])
    path = tmp_path / f"bad_{abs(hash(tmp_path))}.py"
    path.write_text(text)
    with pytest.raises(TargetError) as raised:
        collect(str(path))
    message = str(raised.value)
    assert message.startswith(f"{path}: ") and UNLOADED[text] in message and "\n" not in message


@pytest.mark.parametrize("target", PLACES)
def test_places_that_are_none(tmp_path, monkeypatch, target):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "dangling.py").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.py")
    with pytest.raises(TargetError) as raised:
        collect(target)
    assert PLACES[target] in str(raised.value) and "\n" not in str(raised.value)


# Whole commands, with the worker in this process -----------------------------------------------------------------


class Here:
    """A pool without processes. ``breaks`` names requests that fail, and how."""

    breaks: ClassVar[dict[str, Exception]] = {}

    def __init__(self, targets=()):
        self.targets, self.workers, self.worker = list(targets), [self], Worker(io.BytesIO())

    def grow(self, count):
        self.workers[:] = [self]

    def stop(self):
        pass

    def call(self, method, *arguments, silence=None):
        if method in self.breaks:
            raise self.breaks[method]
        if method == "self_test":
            return []
        try:
            return getattr(self.worker, method)(*arguments)
        except Exception as error:
            raise RuntimeError(f"{type(error).__name__}: {error}") from None

    def judge(self, tasks, progress, enough):
        for key, arguments in tasks:
            yield key, self.call("judge", *arguments()), None


RIGHT = f'{HEAD}\n@{LOSS}\ndef right(x):\n    return 2 * x\n\n@{LOSS}\ndef half(x):\n    return x\n'


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Runs a command line in a folder with ``FILE``, one claim that is right and one that is wrong."""
    monkeypatch.setattr(session, "Pool", Here)
    monkeypatch.setattr(Here, "breaks", {})
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    file = f"bad_{abs(hash(tmp_path))}.py"
    (tmp_path / file).write_text(RIGHT)
    (tmp_path / "taken").write_text("")

    def typed(*line):
        few = ["--backend", "numpy", "--dtype", "float64", "--cases", "8", "--color", "never"]
        code = main([*(word.replace("FILE", file) for word in line), *(few if line[0] == "run" else [])])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out.replace(file, "FILE"), err.replace(file, "FILE")

    return typed


COMMANDS = {
    "run FILE --seed 1e30": (4, "--seed: got '1e30', wanted a whole number, at least 0 and below 9.22e+18"),
    "run FILE --json taken/r.json": (4, "taken/r.json: cannot be written: "),
    "run FILE --junit .": (4, "'.' is a folder; wanted the name of a file"),
    "run FILE -k right(": (4, "-k 'right(' is no expression; wanted e.g. 'ridge and not solution'"),
    "run FILE --data nosuch": (4, "--data nosuch: "),
    "run FILE::righ": (4, "FILE::righ: FILE has no claim 'righ'; did you mean FILE::right?"),
    "run FILE no.such.module": (4, "no.such.module: there is no module of this name"),
    "list nofile.py": (4, "nofile.py: there is no such file"),
    "show taken": (4, "taken: is empty"),
    "replay ../../etc/passwd": (4, "'../../etc/passwd' is not a case id; ids have letters, digits and . _ + = @ -"),
    "diff taken taken": (4, "taken: is empty"),
    "sweep FILE::nothing": (4, "FILE::nothing: FILE has no claim 'nothing'"),
}  # fmt: skip


@pytest.mark.parametrize("line", COMMANDS)
def test_commands(command, line):
    code, message = COMMANDS[line]
    found, _, err = command(*line.split())
    assert (found, err.count("\n")) == (code, 1) and err.startswith("verify: ") and message in err, err


def test_the_rest_is_judged(command):
    """Beside a target that does not load, one that takes the worker with it, and one that changes the folder."""
    with open("moves.py", "w") as file:
        file.write("import os\nos.chdir('/')\n" + RIGHT)
    code, out, err = command("run", "no.such.module", "moves.py", "FILE")
    assert code == 4 and "4 claims: 2 agree, 2 wrong" in out and err.count("\n") == 1, out + err


def test_a_self_test_that_is_lost(command, monkeypatch):
    """The claims are judged all the same; the run is not to be trusted."""
    monkeypatch.setattr(Here, "breaks", {"self_test": WorkerLost("ended its process by SIGSEGV")})
    code, out, err = command("run", "FILE")
    assert code == 3 and "2 claims: 1 agrees, 1 wrong" in out, out
    assert err == "verify: the self-test ended its process by SIGSEGV\n"


@pytest.mark.parametrize(
    ("request_", "error", "code", "message"),
    [
        ("load", WorkerLost("ended its process by SIGABRT"), 4, "FILE: loading it ended its process by SIG"),
        ("load", RuntimeError("KeyboardInterrupt"), 4, "FILE: loading it raised KeyboardInterrupt"),
        ("header", WorkerLost("ended its process by SIGABRT"), 5, "looking for devices ended its process by"),
        ("header", RuntimeError("RuntimeError: Unknown backend"), 5, "looking for devices raised RuntimeError: Unknown "
         "backend; JAX_PLATFORMS and XLA_FLAGS, if set, must suit this machine"),
    ],
)  # fmt: skip
def test_workers_that_cannot_begin(command, monkeypatch, request_, error, code, message):
    monkeypatch.setattr(Here, "breaks", {request_: error})
    found, _, err = command("run", "FILE")
    assert (found, err.count("\n")) == (code, 1) and message in err, err


@pytest.mark.parametrize("text", ["abc", "-1", "0", "nan"])
def test_limits_that_are_no_numbers(monkeypatch, text):
    monkeypatch.setenv("VERIFY_SILENCE_SECONDS", text)
    with pytest.raises(BadUsage) as raised:
        limit("VERIFY_SILENCE_SECONDS", 90)
    assert str(raised.value) == f"VERIFY_SILENCE_SECONDS: got {text!r}, wanted a positive number (default: 90)"


# Records ----------------------------------------------------------------------------------------------------------

RECORDS = {
    "": "is empty",
    "[]": "not a record of this version: it has no field 'schema'",
    "null": "not a record of this version: it has no field 'schema'",
    "{": "is cut off at line 1",
    '{"schema": 99}': "schema: got 99, wanted at most 1; update this package to read it",
    '{"schema": 1}': "summary: wanted an object with claims, verdict counts, cases and seconds",
    '{"schema": 1, "summary": 3}': "summary: wanted an object",
    '{"schema": 1, "summary": {"seconds": 1}}': "not a record of this version",
    '{"schema": 1, "summary": {"seconds": 1}, "claims": 5}': "not a record of this version",
    "[" * 100_000: "r.json: ",
    "NaN": "r.json: ",
    "\0\1\2": "r.json: ",
    "\udcff": "r.json: ",
}


@pytest.mark.parametrize("text", RECORDS, ids=range(len(RECORDS)))
def test_damaged_records(command, text):
    with open("r.json", "wb") as file:
        file.write(text.encode(errors="surrogateescape"))
    code, out, err = command("show", "r.json")
    assert (code, out, err.count("\n")) == (4, "", 1) and RECORDS[text] in err and len(err) < 500, err


# Folders and disks --------------------------------------------------------------------------------------------------


@contextmanager
def small_disk(folder, size):
    """A file system of its own, if this machine lets us mount one."""
    folder.mkdir()
    made = shutil.which("mount") and os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True
    ).returncode == 0  # fmt: skip
    if not made:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def all_was_shown(code, out, err, message):
    """Judged and shown as ever; one message says why nothing is kept."""
    assert code == 1 and "FAILED FILE::half - wrong" in out
    assert "2 claims: 1 agrees, 1 wrong" in out and err.count("\n") == 1, out + err
    assert message in err and "the results are shown here and not kept" in err, err


def test_a_full_disk(command, tmp_path):
    """Full before the run begins: everything is shown. What was written before is still there."""
    with small_disk(tmp_path / "disk", "64k") as disk:
        kept = RunFolder.create(str(disk / "reports"), 7)
        (disk / "ballast").write_bytes(b"x" * 30_000)
        with open(disk / "more", "wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
            while True:
                file.write(b"x" * 512)
        code, out, err = command("run", "FILE", "-o", str(disk / "reports"))
        all_was_shown(code, out, err, "No space left on device")
        assert kept.path.exists() and kept.read().seed == 7


def test_a_read_only_disk(command, tmp_path):
    with small_disk(tmp_path / "disk", "64k") as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        all_was_shown(*command("run", "FILE", "-o", str(disk / "reports")), "Read-only file system")
        code, _, err = command("new", "FILE::loss", "-o", str(disk / "x.py"))
        assert code == 4 and err.endswith("x.py: cannot be written: Read-only file system\n")


@pytest.mark.parametrize("output", ["taken", "taken/deeper", "/proc/nowhere"])
def test_folders_that_cannot_be_written(command, output):
    all_was_shown(*command("run", "FILE", "-o", output), output.partition("/")[0] or "/proc")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_fills_as_we_write(command, monkeypatch, code):
    """After the run's folder was made: the claim that no longer fits, and all after it, are shown."""
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(code, os.strerror(code))))
    all_was_shown(*command("run", "FILE"), os.strerror(code))


@pytest.mark.parametrize("option", ["--json", "--junit"])
def test_a_report_on_a_full_device(command, option):
    if not os.path.exists("/dev/full"):
        pytest.skip("this machine has no /dev/full")
    code, out, err = command("run", "FILE", option, "/dev/full")
    assert code == 1 and "2 claims: 1 agrees, 1 wrong" in out
    assert err == "verify: /dev/full: cannot be written: No space left on device\n"


def test_standard_output_that_is_full():
    if not os.path.exists("/dev/full"):
        pytest.skip("this machine has no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "verify", "--help"], stdout=full, stderr=-1, text=True)
    assert done.returncode == 3
    assert done.stderr == "verify: the output: cannot be written: No space left on device\n"


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-"])
def test_standard_streams_that_are_closed(closed):
    code = "import sys; from verify.cli import main; main(['--help']); print(sys.stderr.isatty())"
    done = subprocess.run(["sh", "-c", f'{sys.executable} -c "{code}" {closed}'], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_folder_that_is_gone(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main(["run"]) == 4
    assert capsys.readouterr().err == "verify: the current folder is gone; change to one that exists\n"
