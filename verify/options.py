"""Reading a command line: the parser that every command uses, and the types of its options."""

from __future__ import annotations

import argparse
import difflib
import math
import os
from collections.abc import Callable, Sequence
from typing import NoReturn

TARGETS = "a module (pkg.mod), a file (path.py), or one claim (path.py::name); default: handgrad"
RUN = "a run's id or its beginning, a folder, or a record's file"
BACKENDS = ("numpy", "cpu", "gpu", "tpu")
DTYPES = ("float64", "float32", "bfloat16", "float16")
PRECISIONS = ("default", "high", "highest", "bfloat16", "tensorfloat32", "float32")
COLORS = ("auto", "always", "never")


class BadUsage(Exception):
    """What was typed cannot be meant: one message, exit code 4."""


class Parser(argparse.ArgumentParser):
    """argparse that raises ``BadUsage``, takes options anywhere and suggests near matches."""

    def __init__(self, prog: str, description: str, epilog: str | None = None) -> None:
        super().__init__(
            prog,
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            add_help=False,
            formatter_class=_Formatter,
        )
        self.add_argument("-h", "--help", action="help", help="show this text and exit")

    def error(self, message: str) -> NoReturn:
        raise BadUsage(f"{self.prog}: {message.removeprefix('argument ')}; see `{self.prog} --help`")

    def read(self, argv: Sequence[str]) -> argparse.Namespace:
        """``argv`` as options; raises ``BadUsage``."""
        options, unknown = self.parse_known_intermixed_args(argv)
        if not unknown:
            return options
        odd = next((word for word in unknown if word.startswith("-")), unknown[0])
        if not odd.startswith("-"):
            self.error(f"one argument too many: {odd!r}")
        known = [name for action in self._actions for name in action.option_strings]
        self.error(
            f"there is no option {odd.partition('=')[0]!r}{did_you_mean(odd.partition('=')[0], known)}"
        )


class _Formatter(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=100)


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """``; did you mean --seed?`` where something known is near, else nothing."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


# Types of options ------------------------------------------------------------------------------------------


def some_of(*known: str) -> Callable[[str], tuple[str, ...]]:
    """Names from a list, separated by commas."""

    def names(text: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_one_of(word.strip(), known) for word in text.split(",")))

    return names


def one_of(*known: str) -> Callable[[str], str]:
    """One name from a list."""
    return lambda text: _one_of(text, known)


def _one_of(word: str, known: Sequence[str]) -> str:
    if word not in known:
        wanted = ", ".join(known)
        raise argparse.ArgumentTypeError(f"got {word!r}, wanted one of {wanted}{did_you_mean(word, known)}")
    return word


def whole(low: int, high: int = 2**63) -> Callable[[str], int]:
    """A whole number from ``low`` to below ``high``; ``1e6`` and ``1_000_000`` are understood."""

    def number(text: str) -> int:
        try:
            value = int(text) if "e" not in text.lower() else float(text)
            if value != int(value) or not low <= value < high:
                raise ValueError
        except (ValueError, OverflowError):
            wanted = f"a whole number, at least {low} and below {high:.3g}"
            raise argparse.ArgumentTypeError(f"got {text!r}, wanted {wanted}") from None
        return int(value)

    return number


def seconds(text: str) -> float:
    """A positive time."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted a positive number of seconds")
    return value


def limit(variable: str, default: float) -> float:
    """A positive number from the environment."""
    text = os.environ.get(variable, "")
    try:
        value = float(text) if text else default
    except ValueError:
        value = math.nan
    if not value > 0:
        raise BadUsage(f"{variable}: got {text!r}, wanted a positive number (default: {default:g})")
    return value


def add_output(parser: argparse._ActionsContainer) -> None:
    """``-o DIR``."""
    parser.add_argument(
        "-o", dest="output", default="reports", metavar="DIR", help="the folder of runs (default: reports)"
    )


def add_color(parser: argparse._ActionsContainer) -> None:
    """``--color WHEN``."""
    parser.add_argument(
        "--color", type=one_of(*COLORS), default="auto", metavar="WHEN", help="auto, always or never"
    )
