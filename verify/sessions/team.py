"""`verify run --distributed`: one run judged by several processes, on one host or on many.

The processes are independent: started by a launcher (srun, mpirun, torchrun, or RANK and WORLD_SIZE), they share
nothing but the run's folder, so that there is no scheduler whose loss would lose the run. Each takes the next claim
that nobody has taken and records it in a file of its own; process 0 gathers the record.

reports/20250107T101530.123Z-3f2a/processes/
    plan.json     what is judged, by how many; written by process 0 when the others may join
    1.json        who process 1 is
    1.alive       counts up while it lives, then says "ended"
    1.jsonl       the claims that it has judged (process 0 writes ../claims.jsonl)
    taken/        a file for every claim that was taken, with the process that took it
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from verify.records.record import ClaimRecord
from verify.records.runs import PROCESSES, RunFolder, parsed_claims, runs
from verify.records.serial import RecordError, dump, load

LOST = float(os.environ.get("VERIFY_LOST_SECONDS", 30))
"""Seconds without a sign of life after which a process is given up."""
JOIN = 120.0
"""Seconds that process 0 may take to open the run."""
BEAT = 0.5
ENDED = "ended"
LAUNCHERS = (
    ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RUN_ID"),
    ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_NTASKS_PER_NODE", "SLURM_JOB_ID"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "PMIX_NAMESPACE"),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS", "PMI_JOBID"),
)
"""By launcher: the variables that say which process this is, of how many, how many are on this host, and the job."""


class NoTeam(Exception):
    """This process was not started as one of several: one message, exit code 4."""


class ProcessLost(Exception):
    """Some claims were taken by a process that is gone: one message, exit code 2."""


@dataclass(frozen=True)
class Place:
    """Which of the processes this is."""

    rank: int
    size: int
    here: int = 1
    """Processes on this host."""
    job: str = ""


def place(environment: Mapping[str, str]) -> Place:
    """Where a launcher has put this process; raises NoTeam."""
    for rank, size, here, job in LAUNCHERS:
        if rank in environment and size in environment:
            with suppress(ValueError):
                found = Place(int(environment[rank]), int(environment[size]), _number(environment.get(here)),
                              environment.get(job, ""))  # fmt: skip
                if 0 <= found.rank < found.size:
                    return found
            got = f"{rank}={environment[rank]}, {size}={environment[size]}"
            raise NoTeam(f"--distributed: got {got}, wanted 0 <= {rank} < {size}")
    raise NoTeam(
        "--distributed: this process was not started as one of several; start it with srun, mpirun or torchrun, or set "
        "RANK (from 0) and WORLD_SIZE in each"
    )


def leads(environment: Mapping[str, str]) -> bool:
    """Whether this process reports for all; also where it will be told that there are no others."""
    try:
        return place(environment).rank == 0
    except NoTeam:
        return True


def _number(text: str | None) -> int:
    digits = (text or "1").partition("(")[0]  # slurm writes 4(x2)
    return max(1, int(digits)) if digits.isdigit() else 1


@dataclass
class Team:
    """This process among the others of a run."""

    place: Place
    folder: RunFolder
    _seen: dict[int, tuple[str, float]] = field(default_factory=dict)
    _read: dict[Path, int] = field(default_factory=dict)
    _done: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def open(cls, place: Place, folder: RunFolder, asked: Sequence[str]) -> Team:
        """Process 0: lets the others join this run."""
        root = folder.path / PROCESSES
        if root.exists():  # what is resumed: its processes are gone, their records are not
            _keep_records(folder)
            shutil.rmtree(root)
        (root / "taken").mkdir(parents=True)
        team = cls(place, folder)
        team._arrive()
        dump({"size": place.size, "job": place.job, "asked": list(asked)}, root / "plan.json")
        return team

    @classmethod
    def join(cls, place: Place, reports: str, asked: Sequence[str]) -> Team:
        """The others: wait until process 0 has opened the run. Raises ProcessLost if it does not."""
        until = time.monotonic() + JOIN
        plan = {"size": place.size, "job": place.job, "asked": list(asked)}
        while time.monotonic() < until:
            for folder in runs(reports)[:5]:
                if (folder.path / "run.json").exists() or not (folder.path / PROCESSES / "plan.json").exists():
                    continue
                with suppress(RecordError, FileExistsError, OSError):
                    if load(folder.path / PROCESSES / "plan.json") == plan:
                        team = cls(place, RunFolder(folder.path, place.rank))
                        team._arrive()
                        return team
            time.sleep(BEAT / 2)
        raise ProcessLost(
            f"--distributed: process 0 of {place.size} opened no run under {reports} within {JOIN:.0f} s; all "
            "processes must be asked the same, and share that folder (-o DIR)"
        )

    def _arrive(self) -> None:
        path = self._path(self.place.rank, "json")
        with open(path, "x", encoding="utf-8"):  # once: of a run that has failed before, this place is taken
            pass
        dump({"host": socket.gethostname(), "pid": os.getpid()}, path)
        threading.Thread(target=self._live, daemon=True).start()

    def _live(self) -> None:
        count = 0
        while not self._done.wait(BEAT if count else 0):
            count += 1
            with suppress(OSError):
                self._path(self.place.rank, "alive").write_text(str(count))

    def end(self) -> None:
        """Says that this process has done its part."""
        self._done.set()
        with suppress(OSError):
            self._path(self.place.rank, "alive").write_text(ENDED)

    def take(self, target: str) -> bool:
        """Whether this claim is now this process's to judge."""
        try:
            with open(self._taken(target), "x", encoding="utf-8") as file:
                file.write(str(self.place.rank))
        except FileExistsError:
            return False
        return True

    def stop_all(self) -> None:
        """Asks the others to take no more claims."""
        (self.folder.path / PROCESSES / "stop").touch()

    @property
    def stopped(self) -> bool:
        return (self.folder.path / PROCESSES / "stop").exists()

    def news(self) -> list[ClaimRecord]:
        """What the others have recorded since they were last asked."""
        found: list[ClaimRecord] = []
        for path in sorted((self.folder.path / PROCESSES).glob("*.jsonl")):
            with open(path, "rb") as file:
                file.seek(self._read.get(path, 0))
                lines = file.read()
            whole = lines[: lines.rfind(b"\n") + 1]
            self._read[path] = self._read.get(path, 0) + len(whole)
            found += parsed_claims(whole, path)
        return found

    def gone(self, rank: int) -> bool:
        """Whether a process has ended or shown no sign of life for some time, by this process's clock."""
        try:
            beat = self._path(rank, "alive").read_text()
        except OSError:
            beat = ""
        before, since = self._seen.get(rank, ("", time.monotonic()))
        if beat != before or rank not in self._seen:
            self._seen[rank], since = (beat, time.monotonic()), time.monotonic()
        return beat == ENDED or time.monotonic() - since > LOST

    def taker(self, target: str) -> int | None:
        """Who has taken a claim."""
        try:
            return int(self._taken(target).read_text() or -1)
        except (OSError, ValueError):
            return None

    def lost(self, missing: Sequence[str]) -> str | None:
        """Who is gone with the claims that are missing; None as long as somebody may yet record one of them."""
        takers = {target: self.taker(target) for target in missing}
        others = {rank for rank in takers.values() if rank is not None}
        if not all([self.gone(rank) for rank in others]):
            return None
        who = "; ".join(f"{self._name(rank)} was lost" for rank in sorted(others))
        listed = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        count = f"{len(missing)} claim{'' if len(missing) == 1 else 's'}"
        return f"{who or 'processes were lost'}: {count} not judged ({listed}); {RESUME}"

    def _name(self, rank: int) -> str:
        try:
            who = load(self._path(rank, "json"))
            return f"process {rank} of {self.place.size} (pid {who['pid']} on {who['host']})"
        except (RecordError, KeyError, TypeError, OSError):
            return f"process {rank} of {self.place.size}"

    def _path(self, rank: int, kind: str) -> Path:
        return self.folder.path / PROCESSES / f"{rank}.{kind}"

    def _taken(self, target: str) -> Path:
        name = hashlib.sha256(target.encode()).hexdigest()[:24]
        return self.folder.path / PROCESSES / "taken" / name


RESUME = "what was recorded is kept, and the same command with --resume judges the rest"


def _keep_records(folder: RunFolder) -> None:
    """Moves the claims of earlier processes into the run's own file."""
    known = {claim.target for claim in folder.own_claims()}
    for claim in folder.claims():
        if claim.target not in known:
            folder.append_claim(claim)
