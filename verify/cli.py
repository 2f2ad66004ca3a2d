"""The command line. What is heavy (JAX, NumPy, rich) is imported by the command that needs it."""

from __future__ import annotations

import errno
import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from verify.options import BadUsage, did_you_mean

# A line here and a file in verify/commands make a command.
COMMANDS = {
    "run": "judge claims (default target: handgrad)",
    "list": "claims found, with their domains",
    "show": "a past run (default: the latest), or one claim of it in full",
    "replay": "run one recorded case again, bit for bit",
    "diff": "what changed between two runs",
    "scan": "every custom_vjp and custom_jvp rule that a package defines",
    "sweep": "element-wise derivatives over the whole floating-point axis",
    "watch": "judge again what changed, on every save",
    "devices": "what is here: backends, devices, precisions",
    "bench": "what verification costs on this machine and what it sees, beside other tools",
    "new": "write a starting file for your own derivative",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line ``argv`` (default: this process's) and returns the exit code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by `verify run >&-`
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with _termination_interrupts():
            code = _dispatch(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # `verify list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        message, code = explained(error)
        print(f"verify: {message}", file=sys.stderr)
        return code


@contextmanager
def _termination_interrupts() -> Iterator[None]:
    """SIGTERM, as a scheduler sends it, ends a command as Ctrl-C does: with what was recorded, and without workers."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _dispatch(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if argv else 4
    name, *rest = argv
    if name in ("-V", "--version"):
        print(f"verify {_version()}")
        return 0
    if name not in COMMANDS:
        raise BadUsage(_unknown(name))
    try:
        os.getcwd()
    except FileNotFoundError:
        raise BadUsage("the current folder is gone; change to one that exists") from None
    command = importlib.import_module(f"verify.commands.{name}")
    try:
        parsed = command.parser().read(rest)
    except SystemExit:  # --help, printed
        return 0
    return command.execute(parsed, argv)


def explained(error: BaseException) -> tuple[str, int]:
    """One message for what ended a command, and its exit code."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", 2
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{error.filename or 'the output'}: cannot be written: {error.strerror}", 3
    for module, name, code in _EXPECTED:
        kind = getattr(sys.modules.get(module), name, None)
        if kind is not None and isinstance(error, kind):
            return str(error), code
    if os.environ.get("VERIFY_TRACEBACK"):
        import traceback

        traceback.print_exception(error)
    text = " ".join(str(error).split())[:300]
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return f"internal error: {what} (VERIFY_TRACEBACK=1 prints where it happened; please report it)", 3


# Errors that are the user's to mend; a module that was not imported cannot have raised.
_EXPECTED = (
    ("verify.options", "BadUsage", 4),
    ("verify.sessions.request", "UsageError", 4),
    ("verify.sessions.request", "NothingToRun", 5),
    ("verify.sessions.team", "NoTeam", 4),
    ("verify.sessions.team", "ProcessLost", 2),
    ("verify.records.runs", "ReportsError", 4),
    ("verify.records.serial", "RecordError", 4),
    ("verify.scan.probe", "NoSuchPackage", 4),
    ("verify.bench.claims", "RunFailed", 3),
)


def _unknown(word: str) -> str:
    if word.endswith(".py") or "::" in word:
        return f"there is no command {word!r}; to judge this target: verify run {word}"
    what = "option" if word.startswith("-") else "command"
    return f"there is no {what} {word!r}{did_you_mean(word, list(COMMANDS)) or _commands_hint()}"


def _commands_hint() -> str:
    return f"; the commands are {', '.join(COMMANDS)}"


def _help() -> str:
    width = max(map(len, COMMANDS)) + 2
    return "\n".join(
        [
            "usage: verify COMMAND [...]",
            "",
            "Tells whether hand-written derivatives are right, and what is wrong with those that are not.",
            "",
            "commands:",
            *(f"  {name:<{width}}{text}" for name, text in COMMANDS.items()),
            "",
            "`verify COMMAND --help` explains its options; `verify --version` prints the version.",
        ]
    )


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("handgrad")
    except PackageNotFoundError:
        return "(a checkout that is not installed)"
