"""The page of all runs in a reports folder: a table, and how it went with each command that was run repeatedly."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from verify.records.history import Head, Past, history, same_machine
from verify.records.serial import write_atomically
from verify.report.explain import SYMBOLS
from verify.report.html import environment_of_templates, part
from verify.report.numerals import clean, clip
from verify.report.plots import curve
from verify.report.view import duration
from verify.sessions.kept import command

FEWEST = 2
"""Runs of one command that make a history."""
MOST_HISTORIES = 12
DOUBTFUL = ("wrong", "error", "inaccurate", "unresolved", "reference_wrong", "convention")


@dataclass(frozen=True)
class History:
    """One command, run again and again."""

    command: str
    plots: tuple[Markup, ...]


def write_index(root: str | Path) -> Path:
    """Writes ``index.html`` anew, whole or not at all."""
    path = Path(root) / "index.html"
    write_atomically(path, index_page(history(root)).encode())
    return path


def index_page(past: Sequence[Past]) -> str:
    """Newest first; a run that cannot be read is named, with the reason."""
    template = environment_of_templates().from_string(part("index.html"))
    return template.render(
        past=past, style=part("report.css"), histories=_histories(past), symbols={w: s[0] for w, s in SYMBOLS.items()},
        doubtful=DOUBTFUL, duration=duration, clip=clip,
    )  # fmt: skip


def _histories(past: Sequence[Past]) -> list[History]:
    """The commands that were run more than once, the latest first."""
    by_command: dict[tuple[str, ...], list[Head]] = defaultdict(list)
    for one in past:
        if one.head is not None and one.folder.ended:
            by_command[command(one.head.argv)].append(one.head)
    repeated = [(c, heads[::-1]) for c, heads in by_command.items() if len(heads) >= FEWEST]
    return [History(clean(" ".join(c)), _plots(heads)) for c, heads in repeated[:MOST_HISTORIES]]


def _plots(heads: Sequence[Head]) -> tuple[Markup, ...]:
    claims = [h.summary.get("claims", 0) for h in heads]
    good = [h.summary.get("agrees", 0) for h in heads]
    bad = [sum(h.summary.get(word, 0) for word in DOUBTFUL[:3]) for h in heads]
    counts = curve(
        "Claims, run after run", [("claims", claims), ("agree", good), ("wrong, inaccurate or error", bad)],
        [h.started for h in heads],
    )  # fmt: skip
    here = [h for h in heads if same_machine(h, heads[-1])]
    if len(here) < FEWEST:
        return (counts,)
    times = [h.summary.get("seconds", 0) for h in here]
    return counts, curve("Seconds, on the latest run's machine", [("seconds", times)], [h.started for h in here])
