"""A run may be killed at any moment, and the disk may be full: nothing recorded is lost, the result is still given."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.verify.stubbed_run import CLAIMS
from tests.verify.test_session import CLAIMS as REAL_CLAIMS
from tests.verify.test_session import FEW, started, timeless
from verify.records.runs import runs

ROOT = Path(__file__).parents[2]


def stubbed_command(*argv):
    return [sys.executable, "-m", "tests.verify.stubbed_run", *argv]


def started_stub(folder, command, env=None):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "VERIFY_CACHE": "", "NO_COLOR": "1"}
    environment |= env or {"GITHUB_ACTIONS": ""}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=-1, stderr=-1, text=True)


def stubbed(folder, *argv, env=None):
    return started_stub(folder, stubbed_command(*argv), env)


def killed(process, after, from_first_claim):
    """What the run had printed when it was killed, and whether it had ended before."""
    shown = ""
    if from_first_claim:
        while line := process.stdout.readline():
            shown += line
            if "claim_" in line:
                break
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    out, _ = process.communicate()
    return shown + out, process.returncode != -signal.SIGKILL


def killed_and_resumed(folder, start, times, longest, rng):
    """Kills until ``times`` is reached, resuming each time; returns the records of the runs that ended."""
    ended, moments, told = [], 0, set()
    while moments < times:
        resumable = bool(runs(folder / "reports")) and not runs(folder / "reports")[0].ended
        process = start(*(["--resume"] if resumable else []))
        shown, over = killed(process, rng.uniform(0, longest), rng.random() < 0.8)
        told |= set(re.findall(r"\bclaim_\d+\b", shown.partition("= failures =")[0]))
        found = runs(folder / "reports")
        if not found:
            moments += 1
            continue
        recorded = {claim.name for claim in found[0].read().claims}
        assert told <= recorded, told - recorded  # what was shown as judged is on the disk
        if over:
            assert found[0].ended
        if found[0].ended:
            ended.append(found[0].read())
            told = set()
        moments += not over
    found = runs(folder / "reports")
    if found and not found[0].ended:
        start("--resume").communicate(timeout=300)
        assert runs(folder / "reports")[0].ended
        ended.append(runs(folder / "reports")[0].read())
    return ended


@pytest.mark.parametrize("times", [12, pytest.param(100, marks=pytest.mark.slow)])
def test_killed_at_random_moments(tmp_path, times):
    argv = ("run", "x.py", "--seed", "7", "-v")
    out, err = stubbed(tmp_path, *argv, "-o", "undisturbed").communicate(timeout=60)
    (straight,) = runs(tmp_path / "undisturbed")
    straight = straight.read()
    assert len(straight.claims) == CLAIMS and err == "", (out, err)
    rng = random.Random(times)
    ended = killed_and_resumed(tmp_path, lambda *more: stubbed(tmp_path, *argv, *more), times, 0.3, rng)
    assert ended
    for record in ended:
        mine, theirs = timeless(record), timeless(straight)
        assert [w for w in mine.pop("argv") if w != "--resume"] == theirs.pop("argv")[:-2]
        assert mine == theirs
    for folder in runs(tmp_path / "reports"):
        assert not list(folder.path.glob(".*.tmp")) or not folder.ended


def test_resume_alone_goes_on_with_what_was_killed(tmp_path):
    for _ in range(20):
        process = stubbed(tmp_path, "run", "x.py", "--seed", "7", "-v")
        if not killed(process, 0.01, True)[1]:
            break
    (last, *_), before = runs(tmp_path / "reports"), len(runs(tmp_path / "reports"))
    assert not last.ended
    out, err = stubbed(tmp_path, "run", "--resume", "-q").communicate(timeout=60)
    assert err == "verify: --resume: verify run x.py --seed 7\n", (out, err)
    assert len(runs(tmp_path / "reports")) == before and last.ended and len(last.read().claims) == CLAIMS


@pytest.mark.slow
def test_killed_at_100_moments_of_a_real_run(tmp_path):
    (tmp_path / "claims.py").write_text(REAL_CLAIMS)
    argv = ("run", "claims.py", *FEW, "--seed", "5", "-v")
    started(tmp_path, *argv, "-o", "undisturbed").communicate(timeout=300)
    straight = runs(tmp_path / "undisturbed")[0].read()
    rng = random.Random(0)
    ended = killed_and_resumed(tmp_path, lambda *more: started(tmp_path, *argv, *more), 100, 4.0, rng)
    assert ended
    for record in ended:
        mine, theirs = timeless(record), timeless(straight)
        assert [w for w in mine.pop("argv") if w != "--resume"] == theirs.pop("argv")[:-2]
        assert mine == theirs


def test_selection(tmp_path):
    """-x stops at the first failure, --lf takes what failed in the last run, -k what it names."""

    def ran(*argv):
        process = stubbed(tmp_path, "run", "x.py", "--seed", "7", *argv)
        out, err = process.communicate(timeout=60)
        claims = [(claim.name, claim.verdict) for claim in runs(tmp_path / "reports")[0].read().claims]
        return process.returncode, claims, out, err

    code, everything, out, _ = ran()
    failed = [name for name, verdict in everything if verdict == "wrong"]
    assert code == 1 and len(everything) == CLAIMS and 1 < len(failed) < CLAIMS
    assert f"{CLAIMS} claims: {CLAIMS - len(failed)} agree, {len(failed)} wrong" in out
    first = everything.index((failed[0], "wrong"))
    assert ran("-x")[:2] == (1, everything[: first + 1])
    assert ran("--lf")[:2] == (1, [(failed[0], "wrong")])
    code, claims, _, err = ran("-k", "claim_1 and not claim_13", "--strict", "--resume")
    assert claims == [c for c in everything if c[0].startswith("claim_1") and c[0] != "claim_13"] and code == 1
    assert "--resume: the last run here ended, or was asked something else; starting anew" in err


def test_a_full_disk_leaves_the_result_on_the_terminal(tmp_path):
    """No file may grow beyond 10 kB: the run begins, then the first claim cannot be written down."""
    command = stubbed_command("run", "x.py", "--seed", "7")
    limited = ["bash", "-c", 'ulimit -f 10; exec "$@"', "bash", *command]
    out, err = started_stub(tmp_path, limited).communicate(timeout=60)
    assert re.search(r"claims\.jsonl: cannot be written: File too large; choose another folder with -o DIR", err)
    assert "the results are shown here and not kept" in err and "Traceback" not in err
    assert f"{CLAIMS} claims: " in out and "FAILED x.py::claim_" in out
    assert err.count("cannot be written") <= 2


@pytest.mark.parametrize("where", ["/dev/null/reports", "/proc/reports"])
def test_a_folder_that_cannot_be_made_leaves_the_result_on_the_terminal(tmp_path, where):
    out, err = stubbed(tmp_path, "run", "x.py", "--seed", "7", "-o", where).communicate(timeout=60)
    assert "cannot be written" in err and "the results are shown here and not kept" in err and "Traceback" not in err
    assert f"{CLAIMS} claims: " in out and "report: " not in out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_record_that_cannot_be_written_is_one_message(tmp_path):
    process = stubbed(tmp_path, "run", "x.py", "--seed", "7", "--json", "/dev/full")
    out, err = process.communicate(timeout=60)
    assert err == "verify: /dev/full: cannot be written: No space left on device\n"
    assert process.returncode == 1 and f"{CLAIMS} claims: " in out


def test_on_github_and_only_the_last_run_is_kept(tmp_path):
    """The annotations come after the run, when commands are taken again; the summary is the report."""
    summary = tmp_path / "summary.md"
    github = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary), "GITHUB_WORKSPACE": str(tmp_path)}
    stubbed(tmp_path, "run", "x.py", "-q").communicate(timeout=60)
    out, err = stubbed(tmp_path, "run", "x.py", "--seed", "7", "--keep", "1", env=github).communicate(timeout=60)
    lines = out.splitlines()
    token = lines[0].removeprefix("::stop-commands::")
    told = lines[lines.index(f"::{token}::") + 1 :]
    failed = [line for line in lines if line.startswith("FAILED")]
    assert err == "" and failed and len(told) == len(failed)
    assert all(re.match(r"::error file=x\.py,line=\d+,title=x\.py%3A%3Aclaim_\d+::wrong: ", line) for line in told)
    assert summary.read_text().startswith(f"# {CLAIMS} claims: ")
    (only,) = runs(tmp_path / "reports")
    assert only.id in (tmp_path / "reports" / "index.html").read_text()
