"""Runs as a user starts them: in a process of their own, with workers that may die, be interrupted, go on."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from verify.records.record import read_record

ROOT = Path(__file__).parents[2]
CLAIMS = '''
import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad import gradient_of


def loss(x: Float[Array, "n"]) -> Float[Array, ""]:
    return jnp.sum(x**3)


@gradient_of(loss, wrt="x")
def right(x):
    return 3 * x**2


@gradient_of(loss, wrt="x")
def half(x):
    return 1.5 * x**2


@gradient_of(loss, wrt="x", expect="wrong")
def known(x):
    return x**2
'''
SLOW = '''
import time


@gradient_of(loss, wrt="x")
def slow(x):
    time.sleep(0.7)
    return 3 * x**2


@gradient_of(loss, wrt="x")
def last(x):
    return 3 * x**2
'''


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "claims.py").write_text(CLAIMS)
    (tmp_path / "slow.py").write_text(CLAIMS + SLOW)
    return tmp_path


def started(folder, *argv, **environment):
    """A run on few cases that has just been started."""
    everything = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "GITHUB_ACTIONS": "", **environment}
    command = [sys.executable, "-m", "verify", *map(str, argv)]
    return subprocess.Popen(command, cwd=folder, env=everything, stdout=-1, stderr=-1, text=True)


def verify(folder, *argv, **environment):
    process = started(folder, *argv, **environment)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


FEW = ("--backend", "numpy", "--dtype", "float64,float32", "--cases", "40", "--color", "never")


def runs(folder):
    return sorted(path for path in (folder / "reports").iterdir() if path.is_dir())


def timeless(record):
    """A record without what may differ between two runs of the same command and seed."""
    content = record.to_json()
    for key in ("started", "environment", "seconds"):
        content.pop(key, None)
    content["summary"].pop("seconds")
    for claim in content["claims"]:
        claim.pop("seconds")
        for cell in claim["cells"]:
            cell.pop("seconds")
    return content


def children_of(pid):
    """The processes that a run has started and not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def recorded(folder):
    lines = list(folder.glob("reports/*/claims.jsonl"))
    return sum(path.read_text().count("\n") for path in lines)


def test_a_run_its_record_and_its_repetition(folder):
    """Exit code 1, the same command and seed give the same record, the replay the same bits."""
    argv = ("run", "claims.py", *FEW, "--seed", "5", "--json", "a.json")
    code, out, err = verify(folder, *argv)
    assert code == 1 and err == "" and "3 claims: 1 agrees, 1 wrong, 1 wrong as expected in" in out
    record = read_record(folder / "a.json")
    assert [(c.target, c.verdict, c.ok) for c in record.claims] == [
        ("claims.py::right", "agrees", True),
        ("claims.py::half", "wrong", False),
        ("claims.py::known", "wrong", True),
    ]
    half = record.claims[1]
    assert half.diagnosis.kind == "factor" and half.diagnosis.value == "1/2"
    assert timeless(read_record(runs(folder)[0])) == timeless(record)

    assert verify(folder, *argv)[0] == 1
    assert timeless(read_record(folder / "a.json")) == timeless(record)

    code, out, err = verify(folder, *half.replay.split()[1:])
    assert code == 0 and out.endswith("identical, bit for bit, to what was recorded\n"), (out, err)
    for name in ("hand", "reference", "oracle", "x"):
        assert name in out

    half_again = (folder / "claims.py").read_text().replace("1.5 *", "1.25 *")
    (folder / "claims.py").write_text(half_again)
    code, out, err = verify(folder, *half.replay.split()[1:])
    assert "differs from what was recorded: hand x (has the code, or a library, changed?)" in out


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["claims.py", "-k", "nothing"], 5, "-k 'nothing' matches no claim"),
        (["claims.py", "-k", "right and"], 4, "-k 'right and' is no expression; wanted e.g. 'ridge and not solution'"),
        (["claims.py", "--backend", "tpu"], 5, "--backend tpu: there is no TPU here"),
        (["nothing.py"], 4, "nothing.py: there is no such file"),
    ],
)
def test_what_cannot_run(folder, argv, code, message):
    found, _, err = verify(folder, "run", *argv)
    assert found == code and err.startswith(f"verify: {message}") and err.count("\n") == 1


@pytest.mark.slow
def test_killed_and_resumed(folder):
    """kill -9 loses nothing that was recorded; --resume ends with the record of an uninterrupted run."""
    argv = ("run", "slow.py", *FEW, "--seed", "2", "--json", "a.json")
    process = started(folder, *argv)
    wait_for(lambda: recorded(folder) >= 1)
    workers = children_of(process.pid)
    process.kill()
    process.communicate()
    before = recorded(folder)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))  # they end on their own
    code, out, err = verify(folder, *argv, "--resume")
    assert code == 1 and err == "", (out, err)
    assert len(runs(folder)) == 1 and 1 <= before < 5
    resumed = read_record(folder / "a.json")
    assert verify(folder, *argv)[0] == 1
    straight = timeless(read_record(folder / "a.json"))
    resumed = timeless(resumed)
    assert resumed.pop("argv") == [*straight.pop("argv"), "--resume"]
    assert resumed == straight


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(folder, how):
    """Ctrl-C, or a scheduler: exit code 2, what was judged is shown, and no worker is left."""
    endless = (CLAIMS + SLOW).replace("sleep(0.7)", "sleep(60)")  # so that it is still at work, however late we look
    (folder / "slow.py").write_text(endless)
    process = started(folder, "run", "slow.py", *FEW)
    wait_for(lambda: recorded(folder) >= 1)
    workers = children_of(process.pid)
    process.send_signal(how)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2 and "verify: interrupted\n" in err and "Traceback" not in out + err
    assert re.search(r"^\d claims?: ", out, re.MULTILINE)
    assert workers and not any(Path(f"/proc/{pid}").exists() for pid in workers)


def test_seconds(folder):
    code, out, err = verify(folder, "run", "slow.py", "--backend", "numpy", "--seconds", "1", "--color", "never")
    assert code in (0, 1, 5) and "verify: --seconds 1 ran out before" in err, (out, err)
