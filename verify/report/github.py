"""What GitHub Actions shows: annotations at the lines of hand-written functions, and the summary of a step.

A workflow command is a line that begins with ``::``. Between ``stop`` and ``resume`` the runner takes none, so that
what a user's file prints, or calls itself, is text and no command.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from verify.records.record import Record
from verify.report.explain import explain, headline
from verify.report.markdown import markdown_report
from verify.report.numerals import clean, clip
from verify.report.view import failing, target

MOST_ANNOTATIONS = 50
MOST_BYTES = 1_000_000
"""GitHub refuses a step summary beyond 1 MiB."""


@dataclass(frozen=True)
class Silence:
    """A stretch of output in which the runner takes no commands; nobody can guess how it ends."""

    token: str

    @property
    def stop(self) -> str:
        return f"::stop-commands::{self.token}"

    @property
    def resume(self) -> str:
        return f"::{self.token}::"


def silence() -> Silence:
    return Silence(f"verify-{secrets.token_hex(16)}")


def on_github(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this runs as a step of GitHub Actions."""
    return environment.get("GITHUB_ACTIONS") == "true"


def annotated(record: Record, workspace: str | Path) -> Iterator[str]:
    """One ``::error`` for every claim that fails, the worst first, and for every problem."""
    failed = failing(record)
    for claim in failed[:MOST_ANNOTATIONS]:
        place = {"file": _from(workspace, claim.file), "line": str(claim.line), "title": clip(target(claim), 200)}
        yield _command("error", place, f"{clip(headline(claim), 400)}\n{explain(claim)}")
    for message in record.problems[:MOST_ANNOTATIONS]:
        yield _command("error", {"title": "verify"}, clean(message))
    if len(failed) > MOST_ANNOTATIONS:
        yield _command("notice", {"title": "verify"}, f"{len(failed) - MOST_ANNOTATIONS} more claims fail")


def _from(workspace: str | Path, file: str) -> str:
    """The path as the repository has it."""
    path, root = Path(file).resolve(), Path(workspace).resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else file


def _command(name: str, properties: Mapping[str, str], message: str) -> str:
    told = ",".join(f"{key}={_escaped(clean(value), ':,')}" for key, value in properties.items() if value)
    return f"::{name} {told}::{_escaped(message)}"


def _escaped(text: str, also: str = "") -> str:
    """As the runner wants it: a message may have lines, a property may not end early."""
    for character in "%\r\n" + also:
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def write_summary(record: Record, path: str | Path) -> None:
    """Adds the Markdown report to the file that ``GITHUB_STEP_SUMMARY`` names."""
    text = markdown_report(record).encode()
    if len(text) > MOST_BYTES:
        text = text[:MOST_BYTES].rpartition(b"\n")[0] + b"\n\n(cut off: the whole report is among the run's files)\n"
    with open(path, "ab") as file:
        file.write(text)
