"""The journal of a run: each claim is written to the run's folder and told to the listener as it is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from verify.records.record import ClaimRecord
from verify.records.runs import ReportsError, RunFolder
from verify.sessions.opening import NOT_KEPT
from verify.sessions.request import Listener


@dataclass
class Journal:
    """What has been judged so far, and what went wrong."""

    listener: Listener
    folder: RunFolder | None
    """None where results are not kept."""
    strict: bool = False
    done: dict[str, ClaimRecord] = field(default_factory=dict)
    """By target."""
    problems: list[str] = field(default_factory=list)
    failed: bool = False
    """Whether a claim has failed in this run; what was recorded before does not count."""

    def enter(self, record: ClaimRecord, inputs: Mapping[str, Any]) -> None:
        """Enters a claim that was judged, with the inputs of its counterexample."""
        if self.folder is not None:
            try:
                if record.counterexample is not None and inputs:
                    self.folder.save_case(record.counterexample.id, inputs)
                self.folder.append_claim(record)
            except ReportsError as error:
                self.problem(f"{error}; {NOT_KEPT}")
                self.folder = None
        self.done[record.target] = record
        self.failed = self.failed or not (record.ok_when_strict if self.strict else record.ok)
        self.listener.finished(record)

    def problem(self, message: str) -> None:
        self.problems.append(message)
        self.listener.problem(message)
