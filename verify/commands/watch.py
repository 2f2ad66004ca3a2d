"""``verify watch``: judge once, then again whatever changed, on every save."""

from __future__ import annotations

import time
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from verify.options import Parser

POLL = 0.2
SETTLE = 0.05
"""Seconds that a file must stay as it is: editors write in several steps."""

STOP = "Ctrl-C stops; exit code 2."


def parser() -> Parser:
    from verify.commands import run

    parser = run.parser()
    parser.prog, parser.epilog = "verify watch", STOP
    parser.description = "Judge claims, then again on every save those that depend on what changed."
    return parser


def execute(parsed: Namespace, argv: list[str]) -> int:
    from verify.commands.run import judged, options_of
    from verify.report.terminal import TerminalReporter
    from verify.sessions.session import standby

    options = replace(options_of(parsed, argv), changed=True)
    named = [Path(t.partition("::")[0]) for t in options.targets if t.partition("::")[0].endswith(".py")]
    files, pool = {str(p.resolve()) for p in named}, None
    while True:
        reporter = TerminalReporter(parsed.color, parsed.verbose - parsed.quiet, parsed.strict)
        before = _stamps(files)  # what is saved while we judge is judged next
        record = judged(options, reporter, pool)
        reporter.summary(record)
        new = set(reporter.files) - files
        files |= new
        before |= _stamps(new)
        reporter.line(f"watching {len(files)} file{'s' if len(files) != 1 else ''} ({STOP})")
        pool = standby()
        try:
            changed = _wait(files, before)
        except BaseException:
            pool.stop()
            raise
        reporter.line(f"saved: {', '.join(Path(f).name for f in changed)}")


def _stamps(files: set[str]) -> dict[str, tuple[int, int]]:
    found = {}
    for file in files:
        try:
            stat = Path(file).stat()
            found[file] = stat.st_mtime_ns, stat.st_size
        except OSError:  # between deleting and renaming, as editors save
            found[file] = 0, 0
    return found


def _wait(files: set[str], before: dict[str, tuple[int, int]]) -> list[str]:
    """The files that are not as before, once there are some and they have settled."""
    while True:
        now = _stamps(files)
        changed = sorted(f for f in files if now[f] != before[f] and now[f] != (0, 0))
        if changed:
            time.sleep(SETTLE)
            if _stamps(files) == now:
                return changed
        time.sleep(POLL)
