"""Run folders under ``reports/``: what a run leaves behind: nothing recorded is lost, a case replays.

reports/20250107T101530.123Z-3f2a/
    started.json    seed, command line, environment: written first
    claims.jsonl    one judged claim a line, on the disk before the next claim starts
    cases/ID.npz    the inputs of recorded cases, bit for bit
    report.md, report.html, run.json    written when the run ends

and beside the runs ``index.html``, a page of all of them.
"""

from __future__ import annotations

import difflib
import io
import os
import re
import secrets
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verify.records.case_file import pack, unpack
from verify.records.record import (
    INTERRUPTED,
    SCHEMA,
    ClaimRecord,
    Record,
    RecordError,
    read_record,
    write_record,
)
from verify.records.serial import build, dump, dumps, load, parse, write_atomically

if TYPE_CHECKING:
    import numpy as np

PROCESSES = "processes"
"""In the folder of a distributed run, what its processes keep beside ``claims.jsonl``: see ``verify.sessions.team``."""
_RUN = re.compile(r"\d{8}T\d{6}\.\d{3}Z-[0-9a-f]{4,}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=@-]{0,199}")


class ReportsError(Exception):
    """The reports folder cannot be written, or what was asked for is not in it: one message."""


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run."""

    path: Path
    process: int = 0
    """Of a distributed run: which process writes. Only process 0 writes ``claims.jsonl``."""

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def ended(self) -> bool:
        return (self.path / "run.json").exists()

    @classmethod
    def create(
        cls,
        root: str | Path,
        seed: int,
        argv: Sequence[str] = (),
        environment: Mapping[str, Any] | None = None,
    ) -> RunFolder:
        """A new folder ``root/<UTC stamp>-<short id>``."""
        now = datetime.now(UTC)
        stamp = f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z"
        folder = cls(Path(root) / f"{stamp}-{secrets.token_hex(2)}")
        begun = folder.path.with_name(f".{folder.id}.tmp")
        with _writing(folder.path):
            (begun / "cases").mkdir(parents=True)
            started = {"schema": SCHEMA, "seed": seed, "argv": list(argv), "started": now.isoformat()}
            dump({**started, "environment": environment or {}}, begun / "started.json")
            os.rename(begun, folder.path)  # a run that is killed has a folder that can be read, or none
        return folder

    def append_claim(self, claim: ClaimRecord) -> None:
        """Adds a line to ``claims.jsonl`` and waits until it is on the disk."""
        path = self.path / PROCESSES / f"{self.process}.jsonl" if self.process else self.path / "claims.jsonl"
        with _writing(path), open(path, "ab+") as file:
            _drop_torn_line(file)
            file.write(dumps(claim).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def claims(self) -> tuple[ClaimRecord, ...]:
        """The claims recorded so far; a last line that the machine did not finish writing is left out."""
        found = {claim.target or id(claim): claim for claim in self.own_claims()}
        for path in sorted(self.path.glob(f"{PROCESSES}/*.jsonl")):
            for claim in parsed_claims(path.read_bytes(), path):
                found.setdefault(claim.target or id(claim), claim)
        return tuple(found.values())

    def own_claims(self) -> tuple[ClaimRecord, ...]:
        """Those in ``claims.jsonl``."""
        path = self.path / "claims.jsonl"
        return parsed_claims(path.read_bytes(), path) if path.exists() else ()

    def save_case(self, case_id: str, arrays: Mapping[str, Any]) -> Path:
        """Writes the arrays of a case, bit for bit, in every dtype; without pickle."""
        path = self._case_path(case_id)
        content = pack(arrays)
        with _writing(path):
            path.parent.mkdir(exist_ok=True)
            write_atomically(path, content)
        return path

    def load_case(self, case_id: str) -> dict[str, np.ndarray]:
        """The arrays of a case as they were saved."""
        path = self._case_path(case_id)
        try:
            return unpack(path.read_bytes())
        except FileNotFoundError:
            raise ReportsError(f"{path}: there is no such case") from None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ReportsError(f"{path}: this case is damaged: {error}") from None

    def case_ids(self) -> list[str]:
        return sorted(path.stem for path in self.path.glob("cases/*.npz"))

    def _case_path(self, case_id: str) -> Path:
        if not _ID.fullmatch(case_id):
            raise ReportsError(f"{case_id!r} is not a case id; ids have letters, digits and . _ + = @ -")
        return self.path / "cases" / f"{case_id}.npz"

    def finish(self, record: Record) -> None:
        """Writes the reports and, when they are there, ``run.json``, which ends the run; each whole or not at all."""
        from verify.report.html import html_report
        from verify.report.markdown import markdown_report

        with _writing(self.path):
            write_atomically(self.path / "report.md", markdown_report(record).encode())
            write_atomically(self.path / "report.html", html_report(record).encode())
            write_record(record, self.path / "run.json")
            for left in self.path.glob(".*.tmp"):  # of a process that was killed while it wrote
                left.unlink(missing_ok=True)

    def read(self) -> Record:
        """The record of this run; of one that was killed, what it had recorded."""
        if self.ended:
            return read_record(self.path / "run.json")
        claims = self.claims()
        record = Record(
            claims=claims,
            exit_code=INTERRUPTED,
            argv=(),
            seed=0,
            environment={},
            seconds=sum(claim.seconds for claim in claims),
            problems=("this run did not end; shown is what it had recorded when it stopped",),
        )
        if not (self.path / "started.json").exists():
            if not claims:
                raise RecordError(
                    f"{self.path}: there is no run.json and no claims.jsonl: not a run's folder"
                )
            return record
        started = load(self.path / "started.json")
        try:
            seed, argv, when = int(started["seed"]), tuple(map(str, started["argv"])), str(started["started"])
            return replace(
                record, seed=seed, argv=argv, started=when, environment=dict(started["environment"])
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(f"{self.path / 'started.json'}: damaged ({error!r})") from None


def runs(root: str | Path) -> list[RunFolder]:
    """The runs under ``root``, newest first."""
    try:
        names = [entry.name for entry in os.scandir(root) if entry.is_dir() and _RUN.fullmatch(entry.name)]
    except OSError:
        return []
    return [RunFolder(Path(root) / name) for name in sorted(names, reverse=True)]


def prune(root: str | Path, keep: int) -> list[str]:
    """Removes all runs under ``root`` but the newest ``keep``; nothing else, and nothing that a link leads to."""
    gone = [folder for folder in runs(root)[keep:] if not folder.path.is_symlink()]
    for folder in gone:
        try:
            shutil.rmtree(folder.path)
        except OSError as error:
            raise ReportsError(f"{folder.path}: cannot be removed: {error.strerror or error}") from None
    return [folder.id for folder in gone]


def latest(root: str | Path) -> RunFolder:
    """The newest run under ``root``."""
    found = runs(root)
    if not found:
        raise ReportsError(f"{root}: there is no run here yet; `verify run` makes one")
    return found[0]


def find(root: str | Path, run: str) -> RunFolder:
    """The run named by its id, the beginning of its id, or the short id at its end; or ``latest``."""
    if run == "latest":
        return latest(root)
    found = runs(root)
    matching = [folder for folder in found if folder.id.startswith(run) or folder.id.endswith(f"-{run}")]
    if len(matching) == 1:
        return matching[0]
    if matching and run:
        names = ", ".join(folder.id for folder in matching[:5])
        raise ReportsError(f"{run!r} names {len(matching)} runs: {names}{', ...' * (len(matching) > 5)}")
    newest = f"; the newest is {found[0].id}" if found else "; there is no run here yet"
    raise ReportsError(f"no run under {root} is named {run!r}{newest}")


def find_case(root: str | Path, case_id: str) -> RunFolder:
    """The newest run under ``root`` that recorded the case."""
    folders = runs(root)
    for folder in folders:
        if folder._case_path(case_id).is_file():
            return folder
    if not _ID.fullmatch(case_id):
        raise ReportsError(f"{case_id!r} is not a case id; ids have letters, digits and . _ + = @ -")
    known = [name for folder in folders[:20] for name in folder.case_ids()]
    near = difflib.get_close_matches(case_id, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else f"; {len(folders)} runs are there"
    raise ReportsError(f"no run under {root} recorded the case {case_id!r}{hint}")


@dataclass(frozen=True)
class RecordedCase:
    """A case as a run recorded it: the claim, the inputs bit for bit, the seed of the run."""

    claim: ClaimRecord
    inputs: Mapping[str, np.ndarray]
    seed: int


def recorded_case(root: str | Path, case_id: str) -> RecordedCase:
    """What the newest run under ``root`` that recorded the case has of it."""
    folder = find_case(root, case_id)
    record = folder.read()
    for claim in record.claims:
        if claim.counterexample is not None and claim.counterexample.id == case_id:
            return RecordedCase(claim, folder.load_case(case_id), record.seed)
    raise ReportsError(f"{folder.path}: the case {case_id} is stored, but its claim is not in the record")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise ReportsError(f"{path}: cannot be written: {why}; choose another folder with -o DIR") from error


def _drop_torn_line(file: io.BufferedRandom) -> None:
    """Removes a last line without its end, left by a machine that stopped while writing."""
    size = file.seek(0, os.SEEK_END)
    if not size:
        return
    file.seek(size - 1)
    if file.read(1) != b"\n":
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


def parsed_claims(content: bytes, path: Path) -> tuple[ClaimRecord, ...]:
    """The claims of whole lines; a last line without its end is left out."""
    lines = content.split(b"\n")[:-1]
    return tuple(_claim_from(line, f"{path}, line {i}") for i, line in enumerate(lines, start=1))


def _claim_from(line: bytes, where: str) -> ClaimRecord:
    content = parse(line.decode(errors="replace"), where)
    try:
        return build(ClaimRecord, content, "")
    except RecordError as error:
        raise RecordError(f"{where}: {error}") from None
