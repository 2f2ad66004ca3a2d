"""Judging mutants as `verify run` judges: its workers, its budget, its limits, claim by claim, nearest first."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mutation.draw import Mutant
from tests.mutation.reach import Reach
from verify.cells.budget import Budget
from verify.records.record import PASSING
from verify.sessions.pool import Remote, WorkerLost

ROOT = Path(__file__).resolve().parents[2]
BACKENDS = ("numpy", "cpu")
FIRST = 1
"""After so many claims saw nothing it is asked, in a few seconds, whether there is anything to see."""
MOST_MUTANTS = 30
"""Mutants judged by one process: each leaves some memory behind."""
PATIENCE = 400.0
"""Seconds for deciding whether a survivor is equivalent."""


@dataclass
class Judge:
    """One worker process of `verify run`, in which one mutant after another is installed."""

    folder: Path
    reach: Reach
    remote: Remote | None = None
    served: int = 0

    def baseline(self, seed: int, told: Callable[[str], None]) -> dict[str, dict[str, Any]]:
        """Every claim of the catalogue as it is."""
        found = {}
        claims = self._load("baseline", "from tests.mutation.overlay import forget\n\nforget()\n")
        for target in self.reach.hand:
            found[target] = self._judged(claims[target], seed)
            told(f"{target} {found[target]['verdict']}")
        self.stop()
        return found

    def mutant(self, mutant: Mutant, source: str, seed: int) -> dict[str, Any]:
        """The outcome of one mutant: `found` by which claim, or what its survival means."""
        start, edit = time.monotonic(), mutant.edit
        alone, shared = self.reach.affected(mutant.module, edit.line, edit.end_line)
        order = sorted(alone, key=lambda t: self._distance(t, mutant.module)) + sorted(
            shared, key=lambda t: self._distance(t, mutant.module)
        )
        outcome = self._outcome(mutant, source, seed, alone, order)
        described = mutant.described(source)
        seconds = round(time.monotonic() - start, 1)
        return {**described, "seed": seed, "affected": len(order), **outcome, "seconds": seconds}

    def _outcome(
        self, mutant: Mutant, source: str, seed: int, alone: Sequence[str], order: Sequence[str]
    ) -> dict[str, Any]:
        text = self.folder / f"mutant_{mutant.number:04}.txt"
        text.write_text(mutant.text(source), "utf-8")
        try:
            claims = self._load(f"mutant_{mutant.number:04}", _installer(mutant.module, text))
        except WorkerLost as lost:
            self.stop()
            return {"status": "found", "verdict": "error", "reason": f"loading it {lost}"}
        except LookupError as error:
            return {"status": "found", "verdict": "error", "reason": str(error)}
        survived: dict[str, str] = {}
        same: dict[str, Any] | None = None
        for count, target in enumerate(order, start=1):
            outcome = self._judged(claims[target], seed) if target in claims else None
            if outcome is None:
                return {"status": "found", "verdict": "error", "reason": f"{target} is gone"}
            if outcome["verdict"] not in PASSING:
                return {"status": "found", **outcome, "claim": target}
            survived[target] = outcome["verdict"]
            if count == min(FIRST, len(order)):
                same = self._compared(mutant.module, text, alone)
                if same["status"] == "equivalent":
                    break
        return {**(same or {"status": "missed"}), "survived": survived}

    def _judged(self, claim: Any, seed: int) -> dict[str, Any]:
        """One claim through `verify run`'s worker; one that hangs or dies is an `error`, as there."""
        assert self.remote is not None
        try:
            record = self.remote.call("judge", claim.place, claim.target, Budget(seed, backends=BACKENDS)).record
        except WorkerLost as lost:
            self.stop()
            return {"verdict": "error", "reason": f"judging it {lost}"}
        except RuntimeError as error:
            return {"verdict": "error", "reason": str(error)}
        found: dict[str, Any] = {"verdict": record.verdict, "seconds": round(record.seconds, 2)}
        if record.diagnosis is not None:
            found |= {"diagnosis": record.diagnosis.kind, "says": record.diagnosis.text}
        if record.reason:
            found["reason"] = record.reason
        return found

    def _compared(self, module: str, text: Path, targets: Sequence[str]) -> dict[str, Any]:
        """Whether the functions differ at all, decided apart from the judge, in a process of its own."""
        command = [sys.executable, "-m", "tests.mutation.equivalence", module, str(text), *targets]
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            return {"status": "missed", "evidence": f"not decided in {PATIENCE:.0f} s"}
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            return {"status": "missed", "evidence": f"could not be evaluated: {last}"}
        return json.loads(done.stdout.splitlines()[-1])

    def _load(self, name: str, code: str) -> dict[str, Any]:
        """Runs some code in the worker, as a target, then loads the catalogue there."""
        if self.served >= MOST_MUTANTS:
            self.stop()
        if self.remote is None:
            self.remote, self.served = Remote(()), 0
        self.served += 1
        file = self.folder / f"{name}.py"
        file.write_text(code, "utf-8")
        prepared = self.remote.call("load", str(file))
        loaded = self.remote.call("load", "handgrad")
        if prepared.problems or loaded.problems:
            raise LookupError("; ".join((*prepared.problems, *loaded.problems)))
        return {claim.target: claim for claim in loaded.claims}

    def _distance(self, target: str, module: str) -> tuple[bool, bool, bool]:
        """Claims of the module itself first, and those of networks last, which take long."""
        wide = target.partition("::")[0] == "handgrad.backpropagation"
        return target.partition("::")[0] != module, wide, self.reach.relation[target] == "at_most"

    def stop(self) -> None:
        if self.remote is not None:
            self.remote.stop()
        self.remote = None


def _installer(module: str, text: Path) -> str:
    return (
        "from pathlib import Path\n\nfrom tests.mutation.overlay import install\n\n"
        f"install({module!r}, Path({str(text)!r}).read_text('utf-8'))\n"
    )
