"""``verify new``: a starting file for a function's hand-written derivative."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from verify.options import BadUsage, Parser, one_of

if TYPE_CHECKING:
    from verify.drafting.draft import Draft

RELATIONS = ("gradient", "vjp", "jvp", "value_and_gradient", "hvp", "equal_to", "at_most")
FUNCTION = "path.py::function or pkg.mod.function"


def parser() -> Parser:
    parser = Parser(
        "verify new",
        "Write a starting file for a function's hand-written derivative: its import, a claim, and a stub with the "
        "function's annotations. Fill in the stub, then `verify run` the file.",
    )
    parser.add_argument("function", metavar="FUNCTION", help=FUNCTION)
    parser.add_argument(
        "--relation",
        type=one_of(*RELATIONS),
        metavar="R",
        help=f"of {', '.join(RELATIONS)} (default: gradient of a scalar-valued function, vjp of another)",
    )
    parser.add_argument(
        "--wrt",
        metavar="NAMES",
        help="arguments to differentiate, with commas between (default: the first, as in jax.grad; all for vjp, jvp)",
    )
    parser.add_argument(
        "-o",
        dest="output",
        metavar="FILE",
        help="where to write it, - for standard output (default: beside the function, FUNCTION_gradient.py or alike)",
    )
    parser.add_argument("--force", action="store_true", help="overwrite a file that is there already")
    return parser


def execute(parsed: Namespace, argv: list[str]) -> int:
    from verify.records.serial import write_atomically

    output = parsed.output
    wrt = tuple(name for name in map(str.strip, (parsed.wrt or "").split(",")) if name)
    folder = None if output in (None, "-") else str(Path(output).absolute().parent)
    draft = drafted(parsed.function, parsed.relation, wrt, folder)
    if output == "-":
        sys.stdout.write(draft.text)
        return 0
    path = Path(output) if output else Path(os.path.relpath(Path(draft.folder) / f"{draft.name}.py"))
    if path.suffix != ".py":
        raise BadUsage(f"{path}: is no name of a Python file; wanted -o FILE.py")
    if str(path.resolve()) == draft.source:
        raise BadUsage(f"{path}: holds the function itself; wanted -o FILE, another file")
    if path.exists() and not parsed.force:
        raise BadUsage(f"{path}: is there already; --force overwrites it, -o FILE writes elsewhere")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, draft.text.encode())
    except OSError as error:
        raise BadUsage(f"{path}: cannot be written: {error.strerror or error}") from None
    shapes = f" and the shape of {', '.join(draft.unshaped)}" if draft.unshaped else ""
    print(f"wrote {path}: fill in {draft.name}{shapes}, then: verify run {path}")
    return 0


def drafted(target: str, relation: str | None, wrt: tuple[str, ...], folder: str | None) -> Draft:
    """The starting file, drafted in a worker, where the user's code may hang or die."""
    from verify.sessions.pool import Pool, WorkerLost

    pool = Pool([])
    try:
        pool.grow(1)
        answer = pool.workers[0].call("draft", target, relation, wrt, folder)
    except WorkerLost as lost:
        raise BadUsage(f"{target}: loading it {lost}") from None
    finally:
        pool.stop()
    if isinstance(answer, str):
        raise BadUsage(answer)
    return answer
