"""The report of a sweep: Markdown and a picture for each claim. Written from the states alone, without JAX."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from verify.serial import dump, write_atomically
from verify.sweep.judge import BINADE, LIMIT, failures
from verify.sweep.measure import BEYOND, FORMATS
from verify.sweep.plot import svg
from verify.sweep.state import Swept
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


def write(states: Sequence[Swept], folder: Path, environment: str, notes: str = "") -> None:
    """``report.md``, ``summary.json`` and a picture for each claim."""
    for state in states:
        write_atomically(folder / f"{state.claim}.svg", svg(state).encode())
    text = "\n".join([
        "# Sweep", "", environment, "", MEASURES, summary(states), "", *([notes, ""] if notes else []),
        *(line for state in states for line in _section(state)),
    ])  # fmt: skip
    write_atomically(folder / "report.md", text.encode())
    dump({"claims": [_compact(state) for state in states]}, folder / "summary.json")


def summary(states: Sequence[Swept]) -> str:
    """Worst fair errors, hand-written / jax.grad, of every claim in every dtype, and the time ratio."""
    dtypes = [d for d in FORMATS if any(d in s.tallies for s in states)]
    rows = [["", *dtypes, "time"], ["---"] * (len(dtypes) + 2)]
    for s in states:
        cells = [_pair(s, d) if d in s.tallies else "" for d in dtypes]
        rows.append([f"`{name(s)}`", *cells, "" if s.ratio is None else f"{s.ratio:.2f}"])
    ratios = [s.ratio for s in states if s.ratio is not None]
    if len(ratios) > 1:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        rows.append(["geometric mean", *[""] * len(dtypes), f"{mean:.2f}"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def name(state: Swept) -> str:
    return state.claim.removesuffix("_differential")


def _pair(state: Swept, dtype: str) -> str:
    hand, reference = (state.total(dtype, side).fair for side in (0, 1))
    every = "*" if dtype == "float32" and dtype in state.exhaustive else ""
    return f"{number(hand)} / {number(reference)}{every}"


def number(x: float) -> str:
    """Three digits at most."""
    if not math.isfinite(x):
        return "∞"
    return f"{x:.2f}" if x < 10 else f"{x:.0f}" if x < 1e4 else f"{x:.0e}".replace("e+0", "e").replace("e+", "e")


def _section(state: Swept) -> list[str]:
    wrong = failures(state)
    head = ["", "inputs", "worst fair", "at", "worst ulp", *(f"> {b:g} ulp" for b in BEYOND), "flushed", "not finite",
            "wrong sign", "NaN lost"]  # fmt: skip
    rows = [head, ["---"] * len(head)]
    for dtype in (d for d in FORMATS if d in state.tallies):
        for side, who in enumerate(("by hand", "jax.grad")):
            rows.append([f"{dtype}, {who}", *_cells(state.total(dtype, side))])
    return [
        f"## {name(state)}", "", *(f"- **{w}**" for w in wrong), *([""] if wrong else []),
        *(f"| {' | '.join(row)} |" for row in rows), "", f"![{state.claim}]({state.claim}.svg)", "",
    ]  # fmt: skip


def _cells(t: Tally) -> list[str]:
    shares = [f"{100 * n / t.count:.2g}%" if n else "0" for n in t.beyond]
    counts = [f"{n:,}" for n in (t.flushed, t.not_finite, t.wrong_sign, t.nan_lost)]
    return [f"{t.count:,}", number(t.fair), f"{t.at:.6g}", number(t.ulp), *shares, *counts]


def _compact(state: Swept) -> dict[str, object]:
    return {
        "claim": state.claim,
        "exhaustive": list(state.exhaustive),
        "ratio": state.ratio,
        "failures": failures(state),
        "dtypes": {
            d: {who: state.total(d, side) for side, who in enumerate(("hand", "reference"))} for d in state.tallies
        },
    }
