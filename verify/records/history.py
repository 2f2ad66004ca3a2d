"""The history of a reports folder: the head of every run's record, which is read without its claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verify.records.record import INTERRUPTED, Record, RecordError, refuse_newer
from verify.records.runs import RunFolder, runs
from verify.records.serial import build, parse

MOST_RUNS = 500
CLAIMS = ' "claims": '
"""How the line begins on which the claims of a record do: they are its last field, and most of it."""
SAME_MACHINE = ("platform", "processor", "cpus", "devices")


@dataclass(frozen=True)
class Head:
    """What a record says of its run as a whole."""

    exit_code: int
    argv: tuple[str, ...]
    seed: int
    environment: Mapping[str, Any]
    summary: Mapping[str, float]
    started: str = ""
    problems: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Past:
    """A run, and its head; ``problem`` says why there is none."""

    folder: RunFolder
    head: Head | None
    problem: str | None = None


def history(root: str | Path) -> list[Past]:
    """The runs under ``root``, newest first."""
    return [_past(folder) for folder in runs(root)[:MOST_RUNS]]


def _past(folder: RunFolder) -> Past:
    try:
        if folder.ended:
            return Past(folder, read_head(folder.path / "run.json"))
        record = folder.read()
        head = Head(INTERRUPTED, record.argv, record.seed, record.environment, record.summary, record.started)
        return Past(folder, head, "did not end")
    except RecordError as error:
        return Past(folder, None, str(error))


def read_head(path: Path) -> Head:
    """The beginning of a record that ``write_record`` wrote: a field a line, the claims last. Raises RecordError."""
    lines = []
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                if line.startswith(CLAIMS):
                    lines.append(f"{CLAIMS}[]}}")
                    break
                lines.append(line)
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path}: cannot be read: {error}") from None
    content = parse("".join(lines), str(path))
    if not isinstance(content, dict):
        raise RecordError(f"{path}: not a record")
    try:
        refuse_newer(content)
        return build(Head, content, "")
    except RecordError as error:
        raise RecordError(f"{path}: not a record of this version: {error}") from None


def machine(environment: Mapping[str, Any]) -> tuple[str, ...]:
    """What must be equal for times to be compared."""
    return tuple(str(environment.get(name)) for name in SAME_MACHINE)


def same_machine(old: Record | Head, new: Record | Head) -> bool:
    return machine(old.environment) == machine(new.environment) and bool(old.environment.get("processor"))
