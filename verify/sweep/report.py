"""The report of sweeps: Markdown and a picture for each claim. Written from the states alone, without JAX.

What a folder's report had of claims that were not swept anew, it keeps: ``summary.json`` has all but the pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from verify.records.serial import build, dump, load, write_atomically
from verify.sweep.judge import BINADE, LIMIT, failures
from verify.sweep.measure import BEYOND, FORMATS
from verify.sweep.plot import svg
from verify.sweep.state import Swept, sides_of
from verify.sweep.tally import Tally

MEASURES = f"""\
An error in *ulp* is held against the distance of neighbouring numbers at the true value; one in *fair ulp* against what
half an ulp of the input changes, too, where that is more (where no error of a binade of float32 is beyond 1 ulp, the
worst in ulp stands for it). Truth: ball arithmetic, directly or by way of a float64 program that was checked against it
in every binade. At a kink every value between the one-sided derivatives is right; at ±inf the limit is due. NaN is due
for NaN; *NaN lost* counts the others, which are no errors here. Results below the smallest normal number may be zero
(*flushed*), and inputs there may be taken for zero.

Wanted: at most {LIMIT["float16"]:g} fair ulp in bfloat16 and float16, {LIMIT["float32"]:g} in float32 and in float64;
in every binade no more than jax.grad's worst there or {BINADE:g}; no result that is not finite where the truth is.
"""

VALUES = """\
Values, by hand / reference:
"""
SIDES = ("hand", "reference")
MANY = 10**8
"""Float32 inputs; fewer are marked."""
NOISE = 1.05
"""So far two ratios of times are taken for equal."""


@dataclass(frozen=True)
class Line:
    """What the report says of one claim: ``dtypes[dtype]["hand"]`` and ``["reference"]`` are all binades together."""

    claim: str
    exhaustive: tuple[str, ...]
    ratio: float | None
    failures: tuple[str, ...]
    dtypes: dict[str, dict[str, Tally]]
    derivative: bool = True
    bare: float | None = None

    @property
    def sides(self) -> tuple[str, str]:
        return sides_of(self.derivative)


@dataclass(frozen=True)
class Lines:
    claims: tuple[Line, ...]


def write(
    states: Sequence[Swept], folder: Path, environment: str, notes: str = "", order: Callable[[str], int] = len
) -> None:
    """``report.md``, ``summary.json`` and a picture for each claim; ``order`` is that of the claims, by name."""
    for state in states:
        write_atomically(folder / f"{state.claim}.svg", svg(state).encode())
    found = {line.claim: line for line in (*_kept(folder / "summary.json"), *map(_line, states))}
    lines = sorted(found.values(), key=lambda line: (not line.derivative, order(name(line)), line.claim))
    slopes, values = (summary([line for line in lines if line.derivative == kind]) for kind in (True, False))
    text = "\n".join([
        "# Sweep", "", environment, "", MEASURES, *([slopes, ""] if slopes else []),
        *([VALUES, values, ""] if values else []), *([notes, ""] if notes else []),
        *(row for line in lines for row in _section(line)),
    ])  # fmt: skip
    write_atomically(folder / "report.md", text.encode())
    dump({"claims": lines}, folder / "summary.json")


def _kept(path: Path) -> tuple[Line, ...]:
    return build(Lines, load(path), str(path)).claims if path.exists() else ()


def _line(state: Swept) -> Line:
    dtypes = {d: {who: state.total(d, side) for side, who in enumerate(SIDES)} for d in state.tallies}
    wrong = tuple(failures(state))
    return Line(state.claim, state.exhaustive, state.ratio, wrong, dtypes, state.derivative, state.bare)


def summary(states: Sequence[Line]) -> str:
    """Worst fair errors, hand-written / reference, of every claim in every dtype, and the time ratio."""
    if not states:
        return ""
    dtypes = [d for d in FORMATS if any(d in s.dtypes for s in states)]
    rows = [["", *dtypes, "time"], ["---"] * (len(dtypes) + 2)]
    for s in states:
        cells = [_pair(s, d) if d in s.dtypes else "" for d in dtypes]
        rows.append([f"`{name(s)}`", *cells, _time(s)])
    ratios = [s.ratio for s in states if s.ratio is not None]
    if len(ratios) > 1:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        rows.append(["geometric mean", *[""] * len(dtypes), f"{mean:.2f}"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def name(state: Swept | Line) -> str:
    return state.claim.removesuffix("_differential")


def _time(state: Line) -> str:
    if state.ratio is None:
        return ""
    least = state.bare is not None and 1 < state.ratio <= NOISE * state.bare
    return f"{state.ratio:.2f}" + ("‡" if least else "")


def _pair(state: Line, dtype: str) -> str:
    hand, reference = (state.dtypes[dtype][who].fair for who in SIDES)
    few = state.dtypes[dtype]["hand"].count < MANY
    mark = "" if dtype != "float32" else "*" if dtype in state.exhaustive else "†" if few else ""
    return f"{number(hand)} / {number(reference)}{mark}"


def number(x: float) -> str:
    """Three digits at most."""
    if not math.isfinite(x):
        return "∞"
    return f"{x:.2f}" if x < 10 else f"{x:.0f}" if x < 1e4 else f"{x:.0e}".replace("e+0", "e").replace("e+", "e")


def _section(line: Line) -> list[str]:
    wrong = line.failures
    head = ["", "inputs", "worst fair", "at", "worst ulp", *(f"> {b:g} ulp" for b in BEYOND), "flushed", "not finite",
            "wrong sign", "NaN lost"]  # fmt: skip
    rows = [head, ["---"] * len(head)]
    for dtype in (d for d in FORMATS if d in line.dtypes):
        for who, called in zip(SIDES, line.sides, strict=True):
            rows.append([f"{dtype}, {called}", *_cells(line.dtypes[dtype][who])])
    times = [] if line.ratio is None or line.bare is None else [
        f"Time: {line.ratio:.2f} of that of {line.sides[1]}; `-z`, which reads and writes only, {line.bare:.2f}.", "",
    ]  # fmt: skip
    return [
        f"## {name(line)}", "", *(f"- **{w}**" for w in wrong), *([""] if wrong else []),
        *(f"| {' | '.join(row)} |" for row in rows), "", *times, f"![{line.claim}]({line.claim}.svg)", "",
    ]  # fmt: skip


def _cells(t: Tally) -> list[str]:
    shares = [f"{100 * n / t.count:.2g}%" if n else "0" for n in t.beyond]
    counts = [f"{n:,}" for n in (t.flushed, t.not_finite, t.wrong_sign, t.nan_lost)]
    return [f"{t.count:,}", number(t.fair), f"{t.at:.6g}", number(t.ulp), *shares, *counts]
