"""``verify show``: a past run, or one claim of it in full."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from verify.options import RUN, BadUsage, Parser, add_color, add_output, did_you_mean

if TYPE_CHECKING:
    from verify.records.record import ClaimRecord, Record


def parser() -> Parser:
    parser = Parser("verify show", "Show a past run (default: the latest), or one claim of it in full.")
    parser.add_argument("run", nargs="?", metavar="RUN", help=RUN)
    parser.add_argument("claim", nargs="?", metavar="CLAIM", help="the name of a claim")
    add_output(parser)
    add_color(parser)
    return parser


def execute(parsed: Namespace, argv: list[str]) -> int:
    from verify.report.terminal import TerminalReporter

    record, folder, claim = _record_and_claim(parsed)
    reporter = TerminalReporter(parsed.color, strict=record.strict)
    reporter.header = {"folder": folder} if folder else {}
    if claim is None:
        reporter.show(record)
    else:
        for found in claims_named(record, claim):
            reporter.show_claim(found)
    return 0


def _record_and_claim(parsed: Namespace) -> tuple[Record, str, str | None]:
    """A lone argument that names no run names a claim of the latest one."""
    from verify.records.runs import ReportsError

    try:
        return *read_run(parsed.run or "latest", parsed.output), parsed.claim
    except ReportsError:
        if parsed.run is None or parsed.claim is not None or _looks_like_run(parsed.run):
            raise
    return *read_run("latest", parsed.output), parsed.run


def _looks_like_run(text: str) -> bool:
    return (
        text[0].isdigit() or text.endswith(".json") or os.sep in text.partition("::")[0].removesuffix(".py")
    )


def read_run(name: str, root: str) -> tuple[Record, str]:
    """The record that a run's id, folder or file names, and its folder ("" if it is a file elsewhere)."""
    from verify.records import runs
    from verify.records.record import read_record

    path = Path(name)
    if path.is_file():
        return read_record(path), ""
    if os.sep in name and path.is_dir():
        return runs.RunFolder(path).read(), str(path)
    folder = runs.find(root, name)
    return folder.read(), str(folder.path)


def claims_named(record: Record, name: str) -> list[ClaimRecord]:
    """The claims that a name, ``module.name`` or a target names."""
    from verify.report.view import target

    found = [c for c in record.claims if name in (c.name, f"{c.module}.{c.name}", target(c))]
    if not found:
        hint = did_you_mean(name, [claim.name for claim in record.claims])
        raise BadUsage(f"this run has no claim {name!r}{hint}")
    return found
