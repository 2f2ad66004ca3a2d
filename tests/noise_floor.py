"""``python -m tests.noise_floor -o DIR``: three noise floors compared on the catalogue, which is correct.

How far may hand and reference differ in float64 before one of them is wrong? Three answers are measured:

- *perturbed roundings*: both run three times more with every operation's result moved by up to a unit roundoff; the
  floor of an entry is the largest movement of either side;
- *running error bound*: both run in ball arithmetic of 53 bits; the floor is the sum of the radii;
- *exact arithmetic*, what `verify` does: 512 bits, 2048 where those do not settle it.

Counted are the entries of a right claim that lie beyond the floor (false alarms), and the smallest relative error that
the floor leaves visible.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from flint import ctx

from handgrad.claims import Claim
from verify.cells.comparison import EQUAL
from verify.drawing.cases import Case
from verify.drawing.draws import Draws
from verify.programs.arithmetic import NumPy
from verify.programs.ball import ball
from verify.sessions.collect import collect
from verify.sessions.environment import environment
from verify.tracing.engine import Engine
from verify.truth.formula import examine
from verify.truth.oracle import radius, to_floats
from verify.truth.sides import NO_FORM

FACTOR = 4
"""Perturbed roundings are a sample: the floor is taken this many times."""
SAMPLES = 3
EXACT = frozenset({
    "input", "output", "convert", "where", "max", "min", "neg", "abs", "sign", "at", "stop", "iota", "integer", "sort",
    "eq", "ne", "lt", "le", "gt", "ge", "is_nan", "is_finite", "argmax", "argmin", "reduce_max", "reduce_min",
    "foreign", "callback", "bitcast", "sign_bit", "floor", "ceil", "round_even", "round_away", "cummax", "cummin",
    "real", "imag", "conj", "complex", "and", "or", "not", "xor", "clamp",
})  # fmt: skip
LARGEST = 400
FLOORS = ("perturbed roundings", "running error bound", "exact arithmetic")


class Perturbed(NumPy):
    """float64 with every rounding moved at random, up to a unit roundoff."""

    def __init__(self, rng: np.random.Generator):
        super().__init__("perturbed", np.float64, None)
        self.rng = rng

    def operation(self, name: str, *statics: str) -> Callable[..., Any]:
        function = super().operation(name, *statics)
        if name in EXACT:
            return function

        def moved(*args: Any) -> Any:
            out = function(*args)
            if getattr(out, "dtype", None) != np.float64:
                return out
            return out * (1 + 2.0**-53 * self.rng.uniform(-1, 1, out.shape))

        return moved


def floors(
    engine: Engine, case: Case, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Difference and size of every entry at one case, and its floors (infinite where one has no answer)."""
    traced = engine.formula(case)
    hand, reference = (np.concatenate([np.ravel(x) for x in side]) for side in engine.wide(case))
    inputs = [*case.values, *case.extra]

    def run(arithmetic: Any) -> list[np.ndarray]:
        sides = [side.link(arithmetic)(case.dims, inputs) for side in (traced.hand, traced.reference)]
        return [np.concatenate([np.ravel(x) for x in side]) for side in sides]

    moved = [run(Perturbed(rng)) for _ in range(SAMPLES)]
    movement = np.max([np.maximum(abs(h - hand), abs(r - reference)) for h, r in moved], axis=0)
    found = {"perturbed roundings": FACTOR * movement}
    for name, bits in (("running error bound", 53), ("exact arithmetic", 512)):
        before, ctx.prec = ctx.prec, bits
        try:
            h, r = run(ball(bits))
            if bits == 53:
                found[name] = radius(h) + radius(r) + 2.0**-52 * abs(reference)
            else:
                gap = abs(to_floats(h - r)) - radius(h) - radius(r) - EQUAL * abs(to_floats(r))
                found[name] = np.where(gap > 0, 0.0, np.inf)  # beyond the floor only if proven to differ
        except NO_FORM:
            found[name] = np.full(hand.shape, np.inf)
        finally:
            ctx.prec = before
    return abs(hand - reference), abs(reference), found


def accused(engine: Engine, case: Case) -> bool:
    """Whether `verify` calls the hand-written side wrong; it allows for the rounding of the programs' constants."""
    found = examine(engine.formula(case), engine.claim.relation, case, *engine.wide(case))
    return found.finding == "wrong"


def measure(claim: Claim, cases: int, seed: int) -> dict[str, Any] | None:
    """Entries, false alarms and visible errors of one claim; None where nothing can be compared so."""
    engine = Engine(claim, Draws(claim, seed))
    rng = np.random.default_rng(seed)
    entries, alarms, visible = 0, dict.fromkeys(FLOORS, 0), {name: [] for name in FLOORS}
    for index in range(cases):
        case = engine.case(index, engine.formula_dtype)
        if case.size > LARGEST or engine.formula(case).engine == "jax":
            continue
        with np.errstate(all="ignore"):
            gap, size, found = floors(engine, case, rng)
        counted = np.isfinite(gap) & np.isfinite(size) & (size > 1e-290)
        entries += int(counted.sum())
        for name, floor in found.items():
            if name == "exact arithmetic":
                beyond = counted & (floor == 0)
                alarms[name] += int(beyond.sum()) if beyond.any() and accused(engine, case) else 0
                visible[name] += [EQUAL] * int(counted.sum())
            else:
                alarms[name] += int((counted & (gap > floor)).sum())
                visible[name] += list(np.maximum(floor, 2.0**-53 * size)[counted] / size[counted])
    return (
        {"claim": claim.name, "entries": entries, "alarms": alarms, "visible": visible} if entries else None
    )


def report(rows: list[dict[str, Any]], about: dict[str, Any]) -> str:
    entries = sum(r["entries"] for r in rows)
    lines = [
        "# Three noise floors",
        "",
        f"{len(rows)} claims of the catalogue, all correct, {entries:,} entries in float64, seed {about['seed']}, "
        f"{about['cases']} cases each of at most {LARGEST} inputs. By `python -m tests.noise_floor`.",
        "",
        "| floor | false alarms | claims accused | smallest visible relative error: median | 99 % | no answer |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name in FLOORS:
        seen = np.concatenate([r["visible"][name] for r in rows])
        answered = seen[np.isfinite(seen)]
        alarms = sum(r["alarms"][name] for r in rows)
        guilty = sum(r["alarms"][name] > 0 for r in rows)
        lines.append(
            f"| {name} | {alarms} ({alarms / entries:.1e}) | {guilty} | {np.median(answered):.1e} | "
            f"{np.quantile(answered, 0.99):.1e} | {1 - len(answered) / len(seen):.1e} |"
        )
    return "\n".join(lines) + f"\n\n{CHOICE}\n"


CHOICE = f"""\
Perturbed roundings are taken {FACTOR} times, the largest of {SAMPLES} samples: a sample can miss a cancellation
altogether, and then accuses. The running bound is proven for its own operations only: FLINT rounds a matrix product
once an entry, NumPy every sum, so long sums exceed it by a little. Exact arithmetic needs no floor but for the rounding
of the programs' constants: what differs there by more differs in truth. It is also the slowest, so `verify` first
compares in float64 at a relative 2⁻³⁰ and takes exact arithmetic to what differs, and to a few entries that do not."""


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.noise_floor", description=__doc__)
    parser.add_argument("-o", dest="output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--cases", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("target", nargs="?", default="handgrad")
    options = parser.parse_args()
    rows = []
    for claim in collect(options.target)[0]:
        if claim.relation == "at_most":
            continue
        row = measure(claim, options.cases, options.seed)
        if row is not None:
            rows.append(row)
            print(row["claim"], row["entries"], row["alarms"], flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    about = {"seed": options.seed, "cases": options.cases, "environment": dict(environment())}
    (options.output / "report.md").write_text(report(rows, about), "utf-8")
    brief = [{k: v for k, v in r.items() if k != "visible"} for r in rows]
    (options.output / "noise_floor.json").write_text(
        json.dumps({**about, "claims": brief}, indent=1, default=str) + "\n"
    )


if __name__ == "__main__":
    main()
