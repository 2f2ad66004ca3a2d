"""The command line, before a harness that says what the test wants: what is typed, printed and returned."""

import io
import os
import re
import subprocess
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

import verify
from tests.verify.records import AGREES, EXAMPLE, HALF, WRONG, claim, record
from verify.cli import COMMANDS, main
from verify.records.record import Cell, exit_code_of, read_record
from verify.records.runs import RunFolder
from verify.report.terminal import TerminalReporter
from verify.report.view import cell_note
from verify.sessions.replaying import Replay
from verify.sessions.request import NothingToRun, Options, UsageError

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class ListedClaim:
    name: str
    target: str
    relation: str
    expect: str | None = None
    arguments: Mapping[str, str] = field(default_factory=dict)


class Harness(types.ModuleType):
    """A ``verify.sessions.session`` that reports the claims it was given, then what ``ends_with`` says."""

    def __init__(self):
        super().__init__("verify.sessions.session")
        self.claims = (AGREES, WRONG)
        self.problems: tuple[str, ...] = ()
        self.ends_with: BaseException | None = None
        self.options = Options()

    def run(self, options, listener, pool=None):
        self.options = options
        listener.started(len(self.claims), {"jax": "0.10.2", "seed": options.seed, "folder": "reports/x"})
        for message in self.problems:
            listener.problem(message)
        for judged in self.claims:
            listener.progress(judged.target or judged.name, 1, 2)
            listener.finished(judged)
        if self.ends_with:
            raise self.ends_with
        code = exit_code_of(self.claims, strict=options.strict, unloaded=bool(self.problems))
        return record(*self.claims, exit_code=code, seed=options.seed or 0, problems=self.problems)

    def list_claims(self, options):
        self.options = options
        listed = ListedClaim(
            "f", "a.py::f", "gradient", "wrong", {"W": "Float[m n], real", "lam": "positive"}
        )
        return [listed] * bool(self.claims), list(self.problems)


@pytest.fixture
def harness(monkeypatch, tmp_path):
    fake = Harness()
    monkeypatch.setitem(sys.modules, "verify.sessions.session", fake)
    monkeypatch.setattr(verify, "session", fake, raising=False)
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR", "VERIFY_TRACEBACK", "COLUMNS", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    return fake


def typed(line: str) -> int:
    return main(line.split())


# verify run


def test_a_run(harness, capsys):
    assert typed("run path.py losses.py --seed 7") == 1
    out, err = capsys.readouterr()
    assert (
        out
        == f"""\
jax: 0.10.2
seed: 7 (--seed 7 repeats this run)
2 claims

✗ wrong           ridge_gradient                {HALF.text}

{" failures ".center(80, "=")}
{WRONG}

{" short summary ".center(80, "=")}
FAILED path.py::ridge_gradient - wrong: {HALF.text}
report: reports/x/report.html
2 claims: 1 agrees, 1 wrong in 3.1 s (80,000 cases)
"""
    )
    assert err == ""


def test_quiet_and_verbose(harness, capsys):
    typed("run -q")
    assert capsys.readouterr().out.splitlines()[1:] == [
        "FAILED path.py::ridge_gradient - wrong: is exactly 1/2 of the gradient, on all 4,000 cases: "
        "a factor 2 is missing",
        "2 claims: 1 agrees, 1 wrong in 3.1 s (80,000 cases)",
    ]
    harness.claims = (AGREES, claim("convention", "relu_gradient", notes=("0 at 0",)))
    typed("run -v")
    lines = capsys.readouterr().out.splitlines()
    assert "✓ agrees          softmax_gradient              40,000 cases, sees 1e-9" in lines
    assert "NOTED m.py::relu_gradient - convention: 0 at 0" in lines


def test_the_options_reach_the_harness(harness):
    typed(
        "run a.py -k loss --backend numpy,gpu --dtype float32,bfloat16 b.py::f --precision highest "
        "--cases 1e3 --seconds 2.5 --seed 3 -x --lf --resume --changed --full --strict --data digits --data diabetes "
        "-o out c.d"
    )
    assert harness.options == Options(
        targets=("a.py", "b.py::f", "c.d"), keyword="loss", backends=("numpy", "gpu"),
        dtypes=("float32", "bfloat16"), precision="highest", cases=1000, seconds=2.5, seed=3, exit_first=True,
        last_failed=True, resume=True, changed=True, full=True, strict=True, data=("digits", "diabetes"), output="out",
        argv=("verify", *harness.options.argv[1:]),
    )  # fmt: skip
    assert harness.options.argv[:4] == ("verify", "run", "a.py", "-k")


def test_defaults(harness):
    typed("run")
    first = harness.options
    assert first.targets == ("handgrad",) and first.output == "reports" and first.backends is None
    typed("run")
    assert isinstance(first.seed, int) and first.seed != harness.options.seed  # fresh each time
    typed("run --resume")
    assert harness.options.seed is None  # that of the run resumed


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("run --dtype float33", "--dtype: got 'float33', wanted one of float64, float32, bfloat16, float16; "
         "did you mean float32?"),
        ("run --dtype float32,", "--dtype: got '', wanted one of float64"),
        ("run --backend cuda", "--backend: got 'cuda', wanted one of numpy, cpu, gpu, tpu"),
        ("run --precision hihg", "--precision: got 'hihg', wanted one of default, high"),
        ("run --cases -5", "--cases: got '-5', wanted a whole number, at least 1"),
        ("run --cases 0", "--cases: got '0', wanted a whole number, at least 1"),
        ("run --cases 1.5", "--cases: got '1.5', wanted a whole number"),
        ("run --cases 1e999", "--cases: got '1e999', wanted a whole number"),
        ("run --seconds nan", "--seconds: got 'nan', wanted a positive number of seconds"),
        ("run --seconds -1", "--seconds: got '-1', wanted a positive number of seconds"),
        ("run --seed -1", "--seed: got '-1', wanted a whole number, at least 0"),
        ("run --seed x", "--seed: got 'x', wanted a whole number, at least 0"),
        ("run --color blue", "--color: got 'blue', wanted one of auto, always, never"),
        ("run --dtypes float32", "there is no option '--dtypes'; did you mean --dtype?"),
        ("run --sed=3", "there is no option '--sed'; did you mean --seed?"),
        ("run --zzz", "there is no option '--zzz'; see `verify run --help`"),
        ("run -k", "-k: expected one argument"),
        ("run --json .", "'.' is a folder; wanted the name of a file"),
        ("show a b c", "verify show: one argument too many: 'c'"),
        ("replay", "the following arguments are required: CASE_ID"),
        ("rnu", "there is no command 'rnu'; did you mean run?"),
        ("zzz", "there is no command 'zzz'; the commands are run, list, show, replay, diff, scan, sweep, watch, "
         "devices, bench, new"),
        ("--zzz", "there is no option '--zzz'"),
        ("path.py::f", "there is no command 'path.py::f'; to judge this target: verify run path.py::f"),
    ],
)  # fmt: skip
def test_bad_usage_is_one_message(harness, capsys, line, message):
    assert typed(line) == 4
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("verify: ")
    assert message in err


@pytest.mark.parametrize(
    ("claims", "options", "code"),
    [
        ([claim()], "", 0),
        ([claim("convention")], "", 0),
        ([claim("convention")], "--strict", 1),
        ([claim("wrong", expected="wrong")], "", 0),
        ([], "", 5),
    ],
)
def test_exit_codes(harness, capsys, claims, options, code):
    harness.claims = tuple(claims)
    assert typed(f"run {options}") == code
    lines = capsys.readouterr().out.splitlines()
    assert ("FAILED" in "".join(lines)) == (code == 1)


@pytest.mark.parametrize(
    ("ending", "code", "message"),
    [
        (KeyboardInterrupt(), 2, "verify: interrupted\n"),
        (UsageError("no claim is named x"), 4, "verify: no claim is named x\n"),
        (NothingToRun("no GPU is here"), 5, "verify: no GPU is here\n"),
        (
            RuntimeError("odd\nthing"),
            3,
            "verify: internal error: RuntimeError: odd thing (VERIFY_TRACEBACK=1 ",
        ),
        (SystemExit(0), 3, "verify: internal error: SystemExit: 0 ("),
    ],
)
def test_a_run_that_does_not_end_shows_what_it_has(harness, capsys, ending, code, message):
    harness.ends_with = ending
    assert typed("run --seed 3 --json r.json") == code
    out, err = capsys.readouterr()
    assert err.startswith(message) and err.count("\n") == 1
    assert (
        "FAILED path.py::ridge_gradient - wrong" in out and "2 claims: 1 agrees, 1 wrong, 1 problem in" in out
    )
    kept = read_record("r.json")
    assert kept.claims == (AGREES, WRONG) and kept.exit_code == code and kept.seed == 3
    assert len(kept.problems) == 1


def test_a_traceback_on_request(harness, capsys, monkeypatch):
    monkeypatch.setenv("VERIFY_TRACEBACK", "1")
    harness.ends_with = RuntimeError("odd")
    assert typed("run") == 3
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_problems_go_to_standard_error(harness, capsys):
    harness.problems = ("no.py: there is no such file",)
    assert typed("run no.py") == 4
    out, err = capsys.readouterr()
    assert err == "verify: no.py: there is no such file\n" and "1 problem in" in out


def test_reports_that_are_asked_for(harness, capsys):
    assert typed("run --json deep/er/r.json --junit r.xml") == 1
    assert read_record("deep/er/r.json").claims == (AGREES, WRONG)
    assert "<failure" in Path("r.xml").read_text()


def test_a_report_that_cannot_be_written(harness, capsys, monkeypatch):
    Path("file").touch()
    assert typed("run --json file/r.json") == 4
    assert "file/r.json: cannot be written" in capsys.readouterr().err
    harness.claims = (AGREES,)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert typed("run --json r.json") == 3
    out, err = capsys.readouterr()
    assert "r.json: cannot be written: No space left on device" in err and "1 claim: 1 agrees" in out


# Colour and terminals


def test_color(harness, capsys, monkeypatch):
    typed("run --color always")
    colored = capsys.readouterr().out
    assert "\x1b[1;31m" in colored
    typed("run --color never")
    assert "\x1b" not in capsys.readouterr().out
    monkeypatch.setenv("FORCE_COLOR", "1")
    typed("run")
    assert "\x1b[1;31m" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    typed("run")
    plain = capsys.readouterr().out
    assert "\x1b" not in plain
    assert re.sub(r"seed.*|\x1b\[[\d;]*m", "", colored) == re.sub(
        "seed.*", "", plain
    )  # the same without colour


def test_a_narrow_terminal(harness, capsys, monkeypatch):
    """Rules are as wide as it is; lines to paste are never broken by us."""
    monkeypatch.setenv("COLUMNS", "30")
    harness.claims = (WRONG,)
    assert typed("run --color always") == 1
    lines = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).splitlines()
    assert {len(line) for line in lines if line.startswith("=")} == {30}
    assert any(line.startswith("FAILED path.py::ridge_gradient - wrong: is exactly") for line in lines)


def test_names_cannot_drive_the_terminal(harness, capsys):
    harness.claims = (claim("wrong", "[bold]f\x1b[2J:smile:", reason="\x1b]0;title\x07 [red]x[/red]"),)
    typed("run --color never")
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\x07" not in out
    assert "[bold]f\\x1b[2J:smile:" in out and "[red]x[/red]" in out


def test_a_terminal_without_unicode(harness, monkeypatch):
    written = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", written)
    harness.claims = (claim("wrong", "δ_gradient"),)
    assert typed("run") == 1
    written.flush()
    assert b"W wrong           \\u03b4_gradient" in written.buffer.getvalue()  # pyright: ignore


# The other commands


def test_list(harness, capsys):
    assert typed("list a.py -k f") == 0
    assert harness.options.targets == ("a.py",) and harness.options.keyword == "f"
    assert (
        capsys.readouterr().out
        == """\
a.py::f  gradient, expected wrong
    W    Float[m n], real
    lam  positive
1 claim
"""
    )
    harness.problems = ("b.py: SyntaxError: line 3",)
    assert typed("list a.py b.py") == 4
    assert capsys.readouterr().err == "verify: b.py: SyntaxError: line 3\n"
    harness.claims, harness.problems = (), ()
    assert typed("list") == 5


def test_devices(harness, capsys, monkeypatch):
    cpu = {"backend": "cpu", "device": "2 cores", "dtypes": ("float64", "float32"), "status": "here"}
    tpu = {"backend": "tpu", "device": None, "dtypes": (), "precisions": (), "status": "absent"}
    monkeypatch.setattr("verify.sessions.environment.devices", lambda: [cpu, tpu])
    assert typed("devices") == 0
    assert (
        capsys.readouterr().out
        == """\
backend  device   dtypes            precisions  status
cpu      2 cores  float64, float32  -           here
tpu      -                                      absent
"""
    )


@pytest.fixture
def folder(tmp_path, harness):
    made = RunFolder.create("reports", 7)
    made.finish(record(AGREES, WRONG, exit_code=1))
    return made


def test_replay(folder, capsys, monkeypatch):
    def replay(recorded):
        assert recorded.claim == WRONG and recorded.seed == 7 and recorded.inputs["W"].tolist() == [[1, 1], [1, 1]]
        hand, truth = {"": np.array([1.0, 2.0])}, {"": np.array([1.0, 4.0])}
        inputs = {**recorded.inputs, "act": "relu"}
        case_id = recorded.claim.counterexample.id
        return Replay("f", case_id, {"n": 2}, inputs, hand, truth, truth, True, "the same bits as recorded")

    monkeypatch.setitem(sys.modules, "verify.sessions.replaying", types.SimpleNamespace(replay=replay))
    folder.save_case(EXAMPLE.id, {"W": np.ones((2, 2), np.float32)})
    assert typed("replay ridge-0-17") == 0
    assert (
        capsys.readouterr().out
        == """\
f, case ridge-0-17, at n = 2
    W    float32  [[1, 1], [1, 1]]
    act  str      relu

output, shape (2,)
    entry  hand  reference  oracle  relative difference
    [0]    1     1          1       0
    [1]    2     4          4       0.5
the same bits as recorded
"""
    )
    assert typed("replay x") == 4
    assert capsys.readouterr().err.startswith("verify: no run under reports recorded the case 'x'; ")
    folder.save_case("stray-0-1", {})
    assert typed("replay stray-0-1") == 4
    said = f"verify: {folder.path}: the case stray-0-1 is stored, but its claim is not in the record\n"
    assert capsys.readouterr().err == said


def test_show_a_run(folder, capsys):
    for line in ("show", f"show {folder.id}", f"show {folder.id[-4:]}", f"show {folder.path}"):
        assert typed(line) == 0
        out = capsys.readouterr().out
        assert "✓ agrees          softmax_gradient" in out and str(WRONG) in out
        assert out.splitlines()[-2:] == [
            f"report: {folder.path}/report.html",
            "2 claims: 1 agrees, 1 wrong in 3.1 s (80,000 cases)",
        ]
    assert typed(f"show {folder.path}/run.json") == 0


def test_show_a_killed_run(harness, capsys):
    RunFolder.create("reports", 7).append_claim(WRONG)
    assert typed("show") == 0
    out = capsys.readouterr().out
    assert "problem: this run did not end" in out and str(WRONG) in out


def test_show_a_claim(folder, capsys):
    for line in ("show ridge_gradient", "show latest ridge_gradient", "show latest path.py::ridge_gradient",
                 "show path.py::ridge_gradient", f"show {folder.id} path.ridge_gradient"):  # fmt: skip
        assert typed(line) == 0
        out = capsys.readouterr().out
        assert out.startswith(str(WRONG)) and "evidence: R² = 1" in out
        assert (
            "numpy float64 eager  wrong: worst error 0.5, explained up to 1e-15; 40,000 cases; sees 1e-9"
            in out
        )


def test_a_cell_says_what_evaluated_it():
    """Which engine, and why no other: the last is among the notes of the claim."""
    cell = Cell("numpy", "float64", None, "eager", "agrees", 400, engine="concrete")
    assert cell_note(cell) == "agrees: 400 cases; traced shape by shape"
    both = replace(cell, engine="concrete+symbolic")
    assert cell_note(both) == "agrees: 400 cases; traced shape by shape and with symbolic sizes"
    compiled = Cell("cpu", "float32", None, "jit", "agrees", 8, engine="compiled")
    assert cell_note(compiled) == "agrees: 8 cases"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("show ridge_gradiant", "this run has no claim 'ridge_gradiant'; did you mean ridge_gradient?"),
        ("show latest nothing", "this run has no claim 'nothing'"),
        ("show 2019", "no run under reports is named '2019'; the newest is "),
        ("show no.json", "no run under reports is named 'no.json'"),
        ("show ../../etc x", "no run under reports is named '../../etc'"),
        ("show -o nowhere", "nowhere: there is no run here yet; `verify run` makes one"),
        ("show damaged.json", "damaged.json: is cut off at line 1"),
        ("diff latest 2019", "no run under reports is named '2019'"),
    ],
)
def test_what_cannot_be_shown(folder, capsys, line, message):
    Path("damaged.json").write_text('{"schema": 1, "claims": [')
    assert typed(line) == 4
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.count("\n") == 1


def test_diff(harness, capsys):
    old, new = RunFolder.create("old", 0), RunFolder.create("new", 0)
    old.finish(
        record(claim("wrong", "a"), claim("agrees", "b"), claim("agrees", "c"), claim("agrees", "same"))
    )
    changed = [claim("agrees", "a"), claim("wrong", "b"), claim("convention", "c"), claim("agrees", "d")]
    new.finish(record(*changed, claim("agrees", "same")))
    assert typed(f"diff {old.path} {new.path}") == 1
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines() if not line.startswith(" ")] == [
        "broken", "fixed", "new", "changed", "old:", "new:", "times",
    ]  # fmt: skip
    assert "broken   m.py::b\n    old: agrees\n    new: wrong: the formula is wrong\n" in out
    assert typed(f"diff {new.path} {new.path}") == 0
    assert "no verdict or diagnosis changed" in capsys.readouterr().out


# Help


def test_help_names_every_command_and_option(capsys):
    assert typed("--help") == 0
    top = capsys.readouterr().out
    assert all(re.search(rf"^  {name} ", top, re.M) for name in COMMANDS)
    for name in COMMANDS:
        assert typed(f"{name} --help") == 0
        assert f"usage: verify {name}" in capsys.readouterr().out
    typed("run --help")
    text = capsys.readouterr().out
    options = """-k --backend --dtype --precision --cases --seconds --seed -x --lf --resume --changed --full --strict
        --distributed --data -o --json --junit --color -q -v"""
    for option in options.split():
        assert re.search(rf"^  {option}\b", text, re.M), option
    assert "exit codes: 0 every claim passes" in text


def test_no_command_prints_help(capsys):
    assert main([]) == 4
    assert "usage: verify COMMAND" in capsys.readouterr().out


def test_the_version(capsys):
    assert typed("--version") == 0
    assert capsys.readouterr().out.startswith("verify ")


@pytest.mark.parametrize("line", ["--help", "run --help", "run --dtype x"])
def test_help_imports_nothing_heavy(line):
    code = (
        "import sys; from verify.__main__ import main; main(sys.argv[1:]); "
        "heavy = {'jax', 'numpy', 'rich', 'jinja2', 'hypothesis'} & set(sys.modules); "
        "sys.exit(' '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *line.split()], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_as_a_module_and_in_a_pipe():
    done = subprocess.run([sys.executable, "-m", "verify", "rnu"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 4 and done.stderr.startswith("verify: there is no command 'rnu'")


def test_a_reader_that_leaves(tmp_path):
    folder = RunFolder.create(tmp_path, 0)
    folder.finish(record(*(claim("wrong", f"claim_{i}") for i in range(3000)), exit_code=1))
    show = f"{sys.executable} -m verify show -o {tmp_path} | head -1"
    done = subprocess.run(["bash", "-c", show], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "jax: 0.10.2\n" and done.stderr == ""


def test_a_claim_that_is_done_is_no_longer_under_way():
    """Else the bar would run ahead, and the time left would be too short."""
    reporter = TerminalReporter("never", -1)
    reporter.progress(AGREES.target, 1, 2)
    assert reporter._underway == {AGREES.target: 0.5}
    reporter.finished(AGREES)
    assert reporter._underway == {}
