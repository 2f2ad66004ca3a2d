"""``verify diff``: what changed between two runs."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from verify.options import RUN, Parser, add_color, add_output

if TYPE_CHECKING:
    from verify.records.differences import Change

SLOWEST = 5


def parser() -> Parser:
    parser = Parser(
        "verify diff",
        "Show what changed between two runs.",
        "exit codes: 0 nothing fails that did not fail before, 1 something does, 4 a run cannot be read",
    )
    parser.add_argument("old", metavar="OLD", help=RUN)
    parser.add_argument("new", metavar="NEW", help="likewise")
    add_output(parser)
    add_color(parser)
    return parser


def execute(parsed: Namespace, argv: list[str]) -> int:
    from verify.commands.show import read_run
    from verify.records.differences import compared, times
    from verify.report.numerals import count
    from verify.report.terminal import Lines
    from verify.report.view import summary_line

    old, new = (read_run(name, parsed.output)[0] for name in (parsed.old, parsed.new))
    lines = Lines(parsed.color)
    found = compared(old, new)
    for change in found.changes:
        lines.line((f"{change.kind:<8}", _STYLES[change.kind]), f" {change.target}")
        for text in _told(change):
            lines.line(f"    {text}")
    lines.line("old: " + summary_line(old))
    lines.line("new: " + summary_line(new))
    if not found.changes:
        lines.line("no verdict or diagnosis changed")
    if found.noise:
        lines.line(f"{count(found.noise, 'claim')} within noise, {found.same:,} to the last digit the same")
    for text in times(old, new, SLOWEST):
        lines.line(text)
    return 1 if any(change.kind == "broken" for change in found.changes) else 0


_STYLES = {
    "broken": "bold red", "worse": "yellow", "fixed": "green", "new": "cyan", "gone": "yellow", "changed": "cyan",
}  # fmt: skip


def _told(change: Change) -> list[str]:
    from verify.report.explain import headline
    from verify.report.numerals import clip

    if change.cells:
        return list(change.cells)
    texts = [clip(headline(c), 200) if c is not None else "absent" for c in (change.before, change.after)]
    return [f"old: {texts[0]}", f"new: {texts[1]}"]
