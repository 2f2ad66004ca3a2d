"""The command line with everything real but the judging: ``python -m tests.verify.stubbed_run run x.py ...``.

Claims are judged in a few milliseconds, their outcome drawn from the seed, so that a test can start, kill and resume a
run many times.
"""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace

import numpy as np

import verify.sessions.session
from verify.cli import main
from verify.records.record import Cell, ClaimRecord, Counterexample, Diagnosis
from verify.sessions.worker import Listed, Loaded

CLAIMS = 16
PAUSE = 0.01


def listed(i):
    name = f"claim_{i}"
    return Listed(name, f"x.py::{name}", "gradient", "x", "x.py", i + 1, None, {}, (0, i))


class Worker:
    def call(self, method, *arguments, silence=None):
        if method == "load":
            return Loaded(tuple(map(listed, range(CLAIMS))), ())
        if method == "header":
            environment = {"jax": "none", "devices": [], "git": None}
            return {"environment": environment, "backends": ("numpy",), "topologies": ()}
        assert method == "self_test"
        return []


class StubbedPool:
    def __init__(self, targets):
        self.targets, self.workers = targets, [Worker()]

    def grow(self, count):
        pass

    def stop(self):
        pass

    def judge(self, tasks, progress, enough):
        for claim, arguments in tasks:
            if enough():
                return
            place, target, budget = arguments()
            rng = np.random.default_rng([budget.seed, place[1]])
            time.sleep(PAUSE * rng.random())
            progress(claim, 1)
            yield claim, judged(claim, target, rng), None


def judged(claim, target, rng):
    """A wrong claim with a counterexample, or a right one; with a line long enough to be torn."""
    verdict = "wrong" if rng.random() < 0.5 else "agrees"
    cells = (Cell("numpy", "float64", None, "eager", verdict, 10, 10, rng.random()),)
    arrays = {"W": rng.standard_normal((1, 200)), "X": rng.standard_normal((200, 200))} if verdict == "wrong" else {}
    return SimpleNamespace(record=ClaimRecord(
        claim.name, claim.module, claim.file, claim.line, claim.relation, verdict, target=target, cells=cells,
        seconds=time.perf_counter(), notes=("n" * 50_000,), cases=10,
        diagnosis=Diagnosis("factor", "a factor 2 is missing") if arrays else None,
        counterexample=Counterexample(f"{claim.name}-0-1", {}, "float64", arrays, 1.0, 2.0, 2.0) if arrays else None,
    ), inputs=arrays)  # fmt: skip


if __name__ == "__main__":
    verify.sessions.session.Pool = StubbedPool  # type: ignore[misc]
    sys.exit(main())
