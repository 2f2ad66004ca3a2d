"""One run judged by several processes: the same record as one makes, and what the loss of a process costs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from verify.records.record import read_record
from verify.records.runs import runs
from verify.sessions.team import NoTeam, Place, place

ROOT = Path(__file__).parents[2]
CLAIMS = '''
import time

import jax.numpy as jnp
from jaxtyping import Array, Float

from handgrad import gradient_of


def loss(x: Float[Array, "n"]) -> Float[Array, ""]:
    return jnp.sum(x**3)
'''
CLAIM = '''

@gradient_of(loss, wrt="x")
def claim{number}(x):
    time.sleep({seconds})
    return {factor} * x**2
'''


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}, Place(1, 2, 2)),
        (
            {"SLURM_PROCID": "3", "SLURM_NTASKS": "8", "SLURM_NTASKS_PER_NODE": "4(x2)", "SLURM_JOB_ID": "77"},
            Place(3, 8, 4, "77"),
        ),
        ({"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "1"}, Place(0, 1)),
        ({"PMI_RANK": "1", "PMI_SIZE": "4", "MPI_LOCALNRANKS": "2"}, Place(1, 4, 2)),
    ],
)
def test_launchers_are_understood(variables, found):
    assert place(variables) == found


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "this process was not started as one of several; start it with srun, mpirun or torchrun"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "got RANK=2, WORLD_SIZE=2, wanted 0 <= RANK < WORLD_SIZE"),
        ({"RANK": "one", "WORLD_SIZE": "2"}, "got RANK=one, WORLD_SIZE=2"),
    ],
)
def test_what_is_no_team_is_said(variables, message):
    with pytest.raises(NoTeam, match="--distributed: ") as caught:
        place(variables)
    assert message in str(caught.value)


def written(folder, seconds, count=6, wrong=3):
    text = "".join(
        CLAIM.format(number=i, seconds=seconds, factor=1.5 if i == wrong else 3) for i in range(count)
    )
    (folder / "claims.py").write_text(CLAIMS + text)


def start(folder, rank=None, size=2, *options, lost="4"):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "VERIFY_LOST_SECONDS": lost}
    if rank is not None:
        environment |= {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size)}
    command = [sys.executable, "-m", "verify", "run", "claims.py", "--backend", "numpy", "--dtype", "float64",
               "--cases", "40", "--seed", "3", *options]  # fmt: skip
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process):
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


def outcomes(record):
    return [
        (c.target, c.verdict, c.cases, c.diagnosis and c.diagnosis.text, c.counterexample and c.counterexample.id)
        for c in record.claims
    ]


def test_without_a_launcher_one_message(tmp_path):
    written(tmp_path, 0, 1)
    code, _, err = ended(start(tmp_path, None, 2, "--distributed"))
    assert code == 4 and err.startswith("verify: --distributed: this process was not started") and "\n" not in err[:-1]


@pytest.mark.slow
def test_two_processes_make_the_record_that_one_makes(tmp_path):
    written(tmp_path, 0.1)
    code, _, _ = ended(start(tmp_path, None, 2, "-o", "alone"))
    (alone,) = [folder.read() for folder in runs(tmp_path / "alone")]
    (first, out, err), (second, told, _) = [
        ended(p) for p in [start(tmp_path, rank, 2, "--distributed") for rank in (0, 1)]
    ]
    assert first == second == code == 1, err
    (folder,) = runs(tmp_path / "reports")
    together = read_record(folder.path)
    assert outcomes(together) == outcomes(alone) and together.exit_code == 1
    assert "6 claims: 5 agree, 1 wrong" in out and "6 claims: 5 agree, 1 wrong" in told
    takers = {path.read_text() for path in folder.path.glob("processes/taken/*")}
    assert takers == {"0", "1"}  # each has judged some


def at_work(tmp_path, rank):
    """Whether a process has recorded something, and has taken another claim."""
    for folder in runs(tmp_path / "reports"):
        own = folder.path / ("processes/1.jsonl" if rank else "claims.jsonl")
        taken = [path.read_text() for path in folder.path.glob("processes/taken/*")]
        return own.exists() and taken.count(str(rank)) > 1 and len(taken) - len(folder.claims()) == 2
    return False


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_process_that_is_killed_loses_nothing_that_was_recorded(tmp_path, killed):
    written(tmp_path, 0.8)
    processes = [start(tmp_path, rank, 2, "--distributed", lost="3") for rank in (0, 1)]
    until = time.monotonic() + 120
    while not at_work(tmp_path, killed):
        assert time.monotonic() < until
        time.sleep(0.1)
    processes[killed].send_signal(signal.SIGKILL)
    (folder,) = runs(tmp_path / "reports")
    recorded = {c.target for c in folder.claims()}
    code, _, err = ended(processes[1 - killed])
    ended(processes[killed])
    assert code == 2, err
    if killed == 1:
        assert "process 1 of 2 (pid " in err and "was lost: 1 claim not judged (claims.py::claim" in err
    else:
        assert "process 0 of 2 ended without a record of the run" in err
    assert "the same command with --resume judges the rest" in err
    kept = {c.target for c in folder.claims()}
    assert recorded and recorded <= kept and len(kept) == 5 and not folder.ended
    code, out, err = ended(start(tmp_path, None, 2, "--resume"))
    assert code == 1, err
    assert len(folder.read().claims) == 6 and folder.ended and len(runs(tmp_path / "reports")) == 1
    assert "6 claims: 5 agree, 1 wrong" in out
