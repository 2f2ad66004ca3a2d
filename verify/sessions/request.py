"""What is asked of a session, who is told as it goes on, and how it says that it cannot be done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from verify.records.record import ClaimRecord
from verify.scan.found import Package


class UsageError(Exception):
    """What was asked for cannot be done: one message, exit code 4."""


class NothingToRun(Exception):
    """No claim, or no device, to judge on: one message, exit code 5."""


@dataclass(frozen=True)
class Options:
    """What the user asked for; see ``verify run --help``."""

    targets: tuple[str, ...] = ("handgrad",)
    keyword: str | None = None
    backends: tuple[str, ...] | None = None
    dtypes: tuple[str, ...] | None = None
    precision: str | None = None
    cases: int | None = None
    seconds: float | None = None
    seed: int | None = None
    exit_first: bool = False
    last_failed: bool = False
    resume: bool = False
    changed: bool = False
    full: bool = False
    distributed: bool = False
    strict: bool = False
    data: tuple[str, ...] = ()
    output: str = "reports"
    argv: tuple[str, ...] = ()
    scan: Package | None = None
    """The package whose rules are judged, in place of targets."""


class Listener(Protocol):
    """Who is told as a run goes on."""

    def loaded(self, files: tuple[str, ...]) -> None: ...
    def started(self, total: int, header: Mapping[str, Any]) -> None: ...
    def progress(self, claim: str, done: int, total: int) -> None: ...
    def finished(self, claim: ClaimRecord) -> None: ...
    def problem(self, message: str) -> None: ...
