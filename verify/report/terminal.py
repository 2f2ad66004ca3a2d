"""The report in the terminal: a header, a line for what fails as it is found, a summary to paste from."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

from verify.records.record import Cell, ClaimRecord, Record
from verify.report.explain import SYMBOLS, cell_name, explain, headline, sentence
from verify.report.numerals import brief, clean, clip, count, small
from verify.report.view import (
    aligned,
    cell_note,
    environment_rows,
    failing,
    first_breaks,
    summary_line,
    target,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

STYLES = {
    "agrees": "green",
    "wrong": "bold red",
    "inaccurate": "red",
    "error": "bold magenta",
    "reference_wrong": "cyan",
    "convention": "cyan",
    "unresolved": "yellow",
}
MOST_EXPLAINED = 20
"""Further failing claims are listed in the summary only."""


def console_for(stream: IO[str], color: str) -> Console:
    """A console that honours ``--color``, then NO_COLOR, then FORCE_COLOR, then what the stream is."""
    from rich.console import Console

    class PipedConsole(Console):
        def on_broken_pipe(self) -> None:  # rich would exit with code 1
            raise BrokenPipeError

    plain = color == "never" or (color == "auto" and bool(os.environ.get("NO_COLOR")))
    if plain:
        return PipedConsole(file=stream, color_system=None, highlight=False, emoji=False, markup=False)
    forced = color == "always" or bool(os.environ.get("FORCE_COLOR"))
    return PipedConsole(
        file=stream,
        force_terminal=True if forced else None,
        color_system="standard" if forced else "auto",
        highlight=False,
        emoji=False,
        markup=False,
    )


class Lines:
    """Lines on standard output: styled, never wrapped, control characters made visible."""

    def __init__(self, color: str = "auto") -> None:
        self.out = console_for(sys.stdout, color)

    def line(self, *parts: str | tuple[str, str]) -> None:
        """Text, or text and its style, on one line."""
        from rich.text import Text

        cleaned = [(clean(p), "") if isinstance(p, str) else (clean(p[0]), p[1]) for p in parts]
        self.out.print(Text.assemble(*cleaned), soft_wrap=True)


class TerminalReporter(Lines):
    """Listens to a run and reports it. ``verbosity`` is -1 for ``-q``, 1 for ``-v``."""

    def __init__(self, color: str = "auto", verbosity: int = 0, strict: bool = False) -> None:
        super().__init__(color)
        self.err = console_for(sys.stderr, color)
        self.verbosity = verbosity
        self.strict = strict
        self.claims: list[ClaimRecord] = []
        self.problems: list[str] = []
        self.header: Mapping[str, Any] = {}
        self.files: tuple[str, ...] = ()
        self._unicode = self.out.encoding.lower().startswith("utf")
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._underway: dict[str, float] = {}

    # What a run reports, as it goes

    def loaded(self, files: tuple[str, ...]) -> None:
        self.files = files

    def started(self, total: int, header: Mapping[str, Any]) -> None:
        self.header = header
        if self.verbosity >= 0:
            self._header(header)
            self.line(count(total, "claim") if total else "")
            if total:
                self.line()
        self._start_progress(total)

    def progress(self, claim: str, done: int, total: int) -> None:
        self._underway[claim] = min(1.0, done / total) if total else 0.0
        self._update(claim)

    def finished(self, claim: ClaimRecord) -> None:
        self.claims.append(claim)
        self._underway.pop(target(claim), None)
        if self.verbosity >= 1 or (self.verbosity == 0 and not self._passes(claim)):
            self._claim_line(claim)
        self._update(claim.name)

    def problem(self, message: str) -> None:
        self.problems.append(message)
        self.error(message)

    def error(self, message: str) -> None:
        """One message on standard error."""
        from rich.text import Text

        console = self._progress.console if self._progress else self.err
        console.print(Text(f"verify: {clean(message)}"), soft_wrap=True)

    def close(self) -> None:
        """Takes the progress bar away."""
        if self._progress:
            self._progress.stop()
            self._progress = None

    # A record, when the run ends or later

    def summary(self, record: Record) -> None:
        """The failing claims explained, lines to paste back as targets, and the final line."""
        self.close()
        failed = failing(record)
        if failed and self.verbosity >= 0:
            self.line()
            self._rule("failures")
            for claim in failed[:MOST_EXPLAINED]:
                self.line((explain(claim), ""))
                self.line()
            if len(failed) > MOST_EXPLAINED:
                self.line(
                    f"... and {len(failed) - MOST_EXPLAINED} more: verify show {record_id(self.header)}"
                )
        noted = [c for c in record.claims if record.passes(c) and c.verdict != "agrees"]
        told = [c for c in noted if self.verbosity >= 1 or c.verdict == "unresolved"]
        shown = [(c, "FAILED") for c in failed] + [(c, "NOTED") for c in told]
        if shown:
            self._rule("short summary")
        for claim, word in shown:
            style = "bold red" if word == "FAILED" else "cyan"
            self.line((word, style), f" {target(claim)} - {clip(headline(claim), 300)}")
        for derivation, claim in first_breaks(record):
            step = claim.name.rpartition(".step")[2]
            text = f" {derivation} at step {step}, line {claim.line}: {clip(headline(claim), 300)}"
            self.line(("BREAKS", "bold red"), text)
        for name, facts in record.data.items():
            self._rule(f"real data: {name}")
            for row in aligned(environment_rows(facts)):
                self.line(row)
        if self.verbosity >= 0 and self.header.get("folder"):
            self.line(f"report: {self.header['folder']}/report.html")
        good = record.exit_code == 0
        self.line((summary_line(record), "bold green" if good else "bold red"))

    def show(self, record: Record) -> None:
        """A past run."""
        self._header({**record.environment, "started": record.started, "seed": record.seed})
        self.line()
        for claim in record.claims:
            self._claim_line(claim)
        for message in record.problems:
            self.line(f"problem: {message}")
        self.line()
        self.summary(record)

    def show_claim(self, claim: ClaimRecord) -> None:
        """One claim of a past run in full."""
        self.line((explain(claim), STYLES[claim.verdict] if claim.ok else "default"))
        for diagnosis in claim.diagnoses or ((claim.diagnosis,) if claim.diagnosis else ()):
            value = f" {diagnosis.value}" if diagnosis.value else ""
            self.line(f"  diagnosis {diagnosis.kind}{value}: {diagnosis.text}")
            if diagnosis.evidence:
                self.line(f"    evidence: {diagnosis.evidence}")
        for note in claim.notes[2:]:
            self.line(f"  note: {note}")
        if claim.counterexample:
            for name, value in list(claim.counterexample.inputs.items())[4:]:
                self.line(f"    {name}  {brief(value, claim.counterexample.dtype)}")
        rows = [self._cell_row(cell) for cell in claim.cells]
        for line in aligned(rows, "  ") if rows else ():
            self.line(line)

    # Lines

    def _header(self, header: Mapping[str, Any]) -> None:
        for name, text in environment_rows({k: v for k, v in header.items() if k != "folder"}):
            hint = f" (--seed {text} repeats this run)" if name == "seed" else ""
            self.line(f"{name}: {text}{hint}")

    def _claim_line(self, claim: ClaimRecord) -> None:
        mark = f"{self._symbol(claim.verdict)} {claim.verdict:<15}"
        text = sentence(claim) or f"{count(claim.cases, 'case')}, sees {small(claim.smallest_visible_error)}"
        style = STYLES[claim.verdict] if claim.expected is None else "green" if claim.ok else "bold red"
        self.line((mark, style), f" {claim.name:<28}", f"  {clip(text, 200)}")

    def _cell_row(self, cell: Cell) -> tuple[str, ...]:
        return self._symbol(cell.verdict), cell_name(cell), clean(cell_note(cell))

    def _symbol(self, verdict: str) -> str:
        return SYMBOLS[verdict][0 if self._unicode else 1]

    def _passes(self, claim: ClaimRecord) -> bool:
        return claim.ok_when_strict if self.strict else claim.ok

    def _rule(self, title: str) -> None:
        width = min(self.out.width, 100)
        self.line(f" {title} ".center(width, "="))

    # Progress: on standard error, and only where that is a terminal

    def _start_progress(self, total: int) -> None:
        if self.verbosity < 0 or not sys.stderr.isatty():
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        together = sys.stdout.isatty()  # one console, so that lines and bar do not overwrite each other
        self._progress = Progress(
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
            console=self.out if together else self.err,
            transient=True,
            redirect_stdout=together,
        )
        self._task = self._progress.add_task("", total=total)
        self._progress.start()

    def _update(self, name: str) -> None:
        if self._progress and self._task is not None:
            done = len(self.claims) + sum(self._underway.values())
            self._progress.update(self._task, completed=done, description=clip(name, 40))


def record_id(header: Mapping[str, Any]) -> str:
    """The run's id, where its folder is known."""
    return os.path.basename(str(header.get("folder", ""))) or "RUN"
