"""``verify sweep``: element-wise derivatives over the whole floating-point axis."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from verify.options import DTYPES, BadUsage, Parser, add_color, some_of, whole

CLAIMS = "an activation (gelu), a module (pkg.mod), a file (path.py), or one claim (path.py::name); default: all 22"
EXIT_CODES = """\
exit codes: 0 every claim is accurate, 1 some claim is not, 2 interrupted (--resume goes on), 4 bad usage or a target
that cannot be loaded"""


def parser() -> Parser:
    parser = Parser("verify sweep", "Measure element-wise derivatives over the whole floating-point axis.", EXIT_CODES)
    parser.add_argument("claims", nargs="*", metavar="CLAIM", help=CLAIMS)
    dtypes = f"of {','.join(DTYPES)} (default: all)"
    parser.add_argument("--dtype", dest="dtypes", type=some_of(*DTYPES), default=DTYPES, metavar="LIST", help=dtypes)
    parser.add_argument("--exhaustive", action="store_true", help="all 2^32 numbers of float32: minutes a claim")
    parser.add_argument(
        "--points", type=whole(1000), default=2_000_000, metavar="N",
        help="numbers of float32, spread over its binades (default: 2e6); bfloat16 and float16 are always taken whole",
    )  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="go on with sweeps that were stopped; keep finished ones")
    parser.add_argument("--time", action="store_true", help="measure speed, too: a million float32 numbers")
    parser.add_argument("--seed", type=whole(0), default=0, metavar="S", help="of the sample (default: 0)")
    parser.add_argument(
        "-o", dest="output", default="reports/sweep", metavar="DIR", help="the report (default: reports/sweep)"
    )
    add_color(parser)
    return parser


def execute(parsed: Namespace, argv: list[str]) -> int:
    from verify.report.terminal import Lines
    from verify.sweep.engine import Plan, stem, sweep
    from verify.sweep.judge import failures
    from verify.sweep.sides import element_wise

    claims = [element_wise(c) for c in _claims(parsed.claims)]
    plan = Plan(parsed.dtypes, parsed.exhaustive, parsed.points, seed=parsed.seed)
    folder = _folder(parsed.output)
    lines, alive, states = Lines(parsed.color), _Progress(), []
    for claim in claims:
        state = sweep(claim, plan, folder / "state" / f"{stem(claim)}.json", parsed.resume, alive)
        if parsed.time and (state.ratio is None or not parsed.resume):
            state = _timed(claim, state, folder)
        alive.clear()
        states.append(state)
        wrong = failures(state)
        lines.line(("✗ " if wrong else "✓ ", "red" if wrong else "green"), (state.claim, "bold"), f"  {_line(state)}")
        for sentence in wrong:
            lines.line(f"    {sentence}")
    _report(folder)
    lines.line(f"report: {folder / 'report.md'}")
    return 1 if any(failures(s) for s in states) else 0


def _claims(words: list[str]) -> list[Any]:
    from verify.sessions.collect import TargetError, collect
    from verify.sweep.sides import RELATIONS

    found: list[Any] = []
    for word in words or ["handgrad.activations"]:
        target = word
        if word.isidentifier() and word != "handgrad":
            from handgrad.activations import activation_named

            try:
                target = f"handgrad.activations::{activation_named(word).name}_differential"
            except ValueError as error:
                raise BadUsage(f"{error}, or a target such as path.py::name") from None
        try:
            claims, problems = collect(target)
        except TargetError as error:
            raise BadUsage(str(error)) from None
        if problems:
            raise BadUsage(problems[0])
        one = "::" in target
        chosen = claims if one else [c for c in claims if c.relation in RELATIONS and _concerns(c, target)]
        if not chosen:
            raise BadUsage(f"{word}: has no claim about a function of one number; `verify list {word}` shows them")
        found += [c for c in chosen if all(c.name != f.name or c.module != f.module for f in found)]
    return found


def _concerns(claim: Any, target: str) -> bool:
    """Of the catalogue's activations the differentials and values; of other targets every claim that can be swept."""
    from verify.sweep.sides import element_wise

    if target == "handgrad.activations":
        return claim.relation == "jvp" or claim.name.endswith("_value")
    try:
        element_wise(claim)
    except BadUsage:
        return False
    return True


def _folder(output: str) -> Path:
    folder = Path(output)
    try:
        (folder / "state").mkdir(parents=True, exist_ok=True)
        (folder / "state" / ".gitignore").write_text("*\n", "utf-8")
    except OSError as error:
        raise BadUsage(f"{output}: cannot be written: {error.strerror or error}") from None
    return folder


def _timed(claim: Any, state: Any, folder: Path) -> Any:
    from dataclasses import asdict, replace

    from verify.records.serial import dump
    from verify.sweep.timing import bare, ratio

    state = replace(state, ratio=ratio(claim), bare=bare(claim))
    dump(asdict(state), folder / "state" / f"{state.claim}.json")
    return state


def _report(folder: Path) -> None:
    """Of all finished sweeps in the folder, and of those in its last report: some may have been exhaustive."""
    import jax
    import numpy as np

    from handgrad.activations import ACTIVATIONS
    from verify.records.serial import RecordError
    from verify.sweep.report import write
    from verify.sweep.state import load_state

    states = []
    for path in sorted((folder / "state").glob("*.json")):
        try:
            states.append(load_state(path))
        except RecordError as error:
            print(f"verify: {error}; left out of the report", file=sys.stderr)
    order = {activation: i for i, activation in enumerate(ACTIVATIONS)}
    states = [s for s in states if s.complete]
    device = jax.devices()[0]
    environment = (
        f"`verify sweep`; JAX {jax.__version__}, NumPy {np.__version__}, {device.platform} ({device.device_kind}). "
        "By hand / `jax.grad`; float32: * all 2³² numbers, † fewer than 10⁸; time: ‡ no more than `-z` takes."
    )
    training = folder / "training.md"
    notes = training.read_text("utf-8") if training.exists() else ""
    write(states, folder, environment, notes, lambda name: order.get(name.removesuffix("_value"), len(order)))


def _line(state: Any) -> str:
    from verify.sweep.report import number

    parts = []
    for dtype in state.tallies:
        hand, reference = (state.total(dtype, side).fair for side in (0, 1))
        parts.append(f"{dtype} {number(hand)} ({number(reference)})")
    time_ = "" if state.ratio is None else f"  time {state.ratio:.2f}"
    return "  ".join(parts) + time_


class _Progress:
    """One line on a terminal, rewritten a few times a second; nothing elsewhere."""

    def __init__(self) -> None:
        self.last, self.shown = 0.0, sys.stderr.isatty()

    def __call__(self, text: str) -> None:
        if self.shown and time.monotonic() - self.last > 0.2:
            self.last = time.monotonic()
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self.shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
