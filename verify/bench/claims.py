"""The cost of ``verify run`` against the number of claims: whole processes, from start to end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from verify.bench.plan import Plan, Tell
from verify.bench.record import ClaimsPoint
from verify.records.record import read_record
from verify.sessions.request import Options
from verify.sessions.session import list_claims

LIMIT = 1800
"""Seconds after which a run is given up."""


class RunFailed(Exception):
    """``verify run`` did not judge what it was asked to: one message."""


def claims(seed: int, plan: Plan, tell: Tell) -> list[ClaimsPoint]:
    """One run each on the first claims of the catalogue. Raises ``RunFailed``."""
    listed, _ = list_claims(Options())
    targets = [c.target for c in listed]
    found = []
    for wanted in plan.claims:
        tell(f"claims: verify run on {wanted or 'all'}")
        chosen = ["handgrad"] if wanted is None else targets[:wanted]
        found.append(_timed(chosen, seed, plan.run_cases))
    return found


def _timed(targets: list[str], seed: int, cases: int) -> ClaimsPoint:
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    with TemporaryDirectory() as folder:
        record = Path(folder) / "record.json"
        options = ["--backend", "numpy", "--cases", str(cases), "--seed", str(seed), "--json", str(record), "-q"]
        command = [sys.executable, "-m", "verify", "run", *targets, *options, "-o", folder]
        start = perf_counter()
        done = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=LIMIT
        )
        seconds = perf_counter() - start
        if done.returncode not in (0, 1):
            raise RunFailed(f"verify run ended with exit code {done.returncode}: {done.stderr.strip()[-300:]}")
        return ClaimsPoint(len(read_record(record).claims), cases, seconds)
