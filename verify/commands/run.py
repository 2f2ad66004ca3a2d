"""``verify run``: judge claims, report as they end, and write what was asked for."""

from __future__ import annotations

import os
import secrets
import shlex
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from verify.options import (
    BACKENDS,
    DTYPES,
    PRECISIONS,
    TARGETS,
    BadUsage,
    Parser,
    add_color,
    add_output,
    one_of,
    seconds,
    some_of,
    whole,
)

if TYPE_CHECKING:
    from verify.records.record import Record
    from verify.report.terminal import TerminalReporter
    from verify.sessions.request import Options

EXIT_CODES = """\
exit codes: 0 every claim passes, 1 some claim is wrong, inaccurate or error (or not what expect= says),
2 interrupted, 3 internal error or a self-test failed, 4 bad usage or a target that cannot be loaded,
5 nothing ran or a device asked for is absent"""

POST = "handgrad.post"
"""The target whose run is published as a page."""


def parser() -> Parser:
    parser = Parser("verify run", "Judge claims against jax.grad and a derivative-free oracle.", EXIT_CODES)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=TARGETS)

    which = parser.add_argument_group("which claims").add_argument
    which("-k", dest="keyword", metavar="EXPR", help="only claims whose name matches, as in pytest")
    which("--lf", dest="last_failed", action="store_true", help="only claims that failed last time")
    which("--changed", action="store_true", help="only claims that depend on what changed since they were judged")
    resume = "go on with the last run where it was stopped; alone: whatever that was asked"
    which("--resume", action="store_true", help=resume)

    where = parser.add_argument_group("where and how much").add_argument
    backends, dtypes = some_of(*BACKENDS), some_of(*DTYPES)
    everywhere = "default: numpy and every device that JAX sees"
    where(
        "--backend",
        dest="backends",
        type=backends,
        metavar="LIST",
        help=f"of numpy,cpu,gpu,tpu ({everywhere})",
    )
    everything = "default: all that the backend has"
    where("--dtype", dest="dtypes", type=dtypes, metavar="LIST", help=f"of {','.join(DTYPES)} ({everything})")
    precisions = ", ".join(PRECISIONS)
    where("--precision", type=one_of(*PRECISIONS), metavar="P", help=f"of matrix products: {precisions}")
    where("--cases", type=whole(1), metavar="N", help="cases a claim")
    where("--seconds", type=seconds, metavar="S", help="time for the whole run (it is then not repeatable)")
    where("--seed", type=whole(0), metavar="S", help="of all random choices (default: a fresh one, printed)")
    where("--distributed", action="store_true", help="as one of several processes, which a launcher has started")
    where("--full", action="store_true", help="every mode in every cell, nothing sampled")
    where("--data", action="append", default=[], metavar="NAME", help="judge on these data, alone or with TARGETs")
    where("-x", dest="exit_first", action="store_true", help="stop at the first claim that fails")
    where("--strict", action="store_true", help="convention, reference_wrong and unresolved fail, too")

    reports = parser.add_argument_group("reports")
    add_output(reports)
    reports.add_argument("--json", metavar="FILE", help="write the record there, too")
    reports.add_argument("--junit", metavar="FILE", help="write a JUnit XML report")
    reports.add_argument("--keep", type=whole(1), metavar="N", help="keep the last N runs only (default: all)")
    add_color(reports)
    reports.add_argument("-q", dest="quiet", action="count", default=0, help="only failures and the summary")
    reports.add_argument("-v", dest="verbose", action="count", default=0, help="a line for every claim")
    return parser


def execute(parsed: Namespace, argv: list[str]) -> int:
    from verify.records.record import INTERNAL_ERROR
    from verify.report.terminal import TerminalReporter
    from verify.sessions.team import leads

    parsed, argv = _resuming(parsed, argv)
    for path in (parsed.json, parsed.junit):
        check_writable(path)
    quiet = parsed.quiet + (1 if parsed.distributed and not leads(os.environ) else 0)
    reporter = TerminalReporter(parsed.color, parsed.verbose - quiet, parsed.strict)
    with github_step() as on_github:
        record = judged(options_of(parsed, argv), reporter)
        reporter.summary(record)
    written = [_written(write, path) for write, path in _reports(record, parsed, reporter)]
    if on_github:
        written.append(_told_github(record))
    return record.exit_code or (0 if all(written) else INTERNAL_ERROR)


def _resuming(parsed: Namespace, argv: list[str]) -> tuple[Namespace, list[str]]:
    """A bare ``--resume`` stands for the command line of the run that did not end; it is told which."""
    from verify.sessions.kept import asked, meant

    words = meant(parsed.output, ("verify", *argv)) if parsed.resume else ("verify", *argv)
    if words == ("verify", *argv):
        return parsed, argv
    print(f"verify: --resume: {shlex.join(asked(words))}", file=sys.stderr)
    return parser().parse_args(words[2:]), list(words[1:])


def _reports(
    record: Record, parsed: Namespace, reporter: TerminalReporter
) -> Iterator[tuple[Callable[[], object], str]]:
    """What is written when a run has ended, and where."""
    from verify.records.record import write_record
    from verify.records.runs import prune
    from verify.report.index import write_index
    from verify.report.junit import write_junit

    if POST in parsed.targets:
        yield lambda: _publish(record, Path(parsed.output) / "post", reporter), parsed.output
    if parsed.json:
        yield lambda: write_record(record, parsed.json), parsed.json
    if parsed.junit:
        yield lambda: write_junit(record, parsed.junit), parsed.junit
    if reporter.header.get("folder") and os.path.isdir(parsed.output):
        if parsed.keep:
            yield lambda: prune(parsed.output, parsed.keep), parsed.output
        yield lambda: write_index(parsed.output), parsed.output


@contextmanager
def github_step() -> Iterator[bool]:
    """In a step of GitHub Actions: nothing that a user's file prints is taken for a command of the workflow."""
    from verify.report.github import on_github, silence

    if not on_github():
        yield False
        return
    quiet = silence()
    print(quiet.stop, flush=True)
    try:
        yield True
    finally:
        sys.stderr.flush()
        print(quiet.resume, flush=True)


def _told_github(record: Record) -> bool:
    from verify.report.github import annotated, write_summary

    for line in annotated(record, os.environ.get("GITHUB_WORKSPACE", os.getcwd())):
        print(line)
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    return not path or _written(lambda: write_summary(record, path), path)


def options_of(parsed: Namespace, argv: list[str]) -> Options:
    from verify.sessions.request import Options

    seed = parsed.seed
    if seed is None and not parsed.resume:  # a resumed run keeps its own
        seed = secrets.randbelow(2**32)
    return Options(
        targets=tuple(parsed.targets) or (() if parsed.data else ("handgrad",)),
        keyword=parsed.keyword,
        backends=parsed.backends,
        dtypes=parsed.dtypes,
        precision=parsed.precision,
        cases=parsed.cases,
        seconds=parsed.seconds,
        seed=seed,
        exit_first=parsed.exit_first,
        last_failed=parsed.last_failed,
        resume=parsed.resume,
        changed=parsed.changed,
        full=parsed.full,
        distributed=parsed.distributed,
        strict=parsed.strict,
        data=tuple(parsed.data),
        output=parsed.output,
        argv=("verify", *argv),
    )


def judged(options, reporter, pool=None):
    """The record of the run; of one that did not reach its end, of what was judged before."""
    from verify.cli import explained
    from verify.records.record import Record
    from verify.sessions.session import run

    start = time.monotonic()
    try:
        return replace(run(options, reporter, pool), strict=options.strict)
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        reporter.close()
        message, code = explained(error)
    reporter.problem(message)
    return Record(
        claims=tuple(reporter.claims),
        exit_code=code,
        argv=options.argv,
        seed=options.seed or 0,
        environment={k: v for k, v in reporter.header.items() if k not in ("seed", "folder")},
        seconds=time.monotonic() - start,
        problems=tuple(reporter.problems),
        strict=options.strict,
    )


def _publish(record, folder: Path, reporter) -> None:
    from verify.report.post import write_page

    if write_page(record, folder) and reporter.verbosity >= 0:
        reporter.line(f"page: {folder / 'index.html'}")


def check_writable(path: str | None) -> None:
    """Says before a long run, not after it, that a file cannot be written."""
    if path is None:
        return
    if not path or os.path.isdir(path):
        raise BadUsage(f"{path!r} is a folder; wanted the name of a file")
    folder = Path(path).absolute().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadUsage(f"{path}: cannot be written: {error.strerror}") from None
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise BadUsage(f"{path}: cannot be written: permission denied")


def _written(write: Callable[[], object], path: str) -> bool:
    from verify.records.runs import ReportsError

    try:
        write()
    except OSError as error:
        print(f"verify: {path}: cannot be written: {error.strerror or error}", file=sys.stderr)
        return False
    except ReportsError as error:
        print(f"verify: {error}", file=sys.stderr)
        return False
    return True
