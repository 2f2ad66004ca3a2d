"""Whether a mutant that survived changes its function at all: both evaluated to 50 digits on fresh inputs.

``python -m tests.mutation.equivalence MODULE TEXT CLAIM ...`` prints a line of JSON. A survivor is `equivalent` only
if every hand-written function agrees everywhere; `still_true` if only sides of an inequality changed and it holds all
the same; `convention` if the functions differ at single points only, kinks, where the mutant's value lies within those
that the original has near by; `missed` otherwise.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from mpmath import mpf

from handgrad.claims import Claim
from tests.mutation import overlay
from tests.mutation.exact import DIGITS, evaluate, mp
from verify.drawing.cases import Case
from verify.drawing.draws import Draws
from verify.sessions.collect import collect
from verify.tracing.engine import Engine
from verify.tracing.relations import Sides
from verify.tracing.survey import survey

SEED = 20_000_003
"""Of the fresh inputs: no seed that the judge is given."""
CASES, FEWER, MANY = 60, 12, 6
"""Cases of a claim; of each beyond the first so many."""
MOST_ENTRIES = 80
NUDGES, NUDGE = 8, 1e-9
"""How often, and how far, one looks around a point."""
STATUSES = ("missed", "convention", "still_true", "equivalent")
LARGEST, SMALLEST = 1e4, 1e-30
"""Beyond these sizes the functions are flat in every precision, and slow to evaluate."""


def main() -> None:
    module, text, *targets = sys.argv[1:]
    print(json.dumps(compare(module, Path(text).read_text("utf-8"), targets)))


def compare(module: str, text: str, targets: Sequence[str]) -> dict[str, Any]:
    """What the mutated module's claims do differently."""
    overlay.forget()
    before = _claims()
    overlay.install(module, text)
    after = _claims()
    overlay.forget()
    differing: dict[str, dict[str, Any]] = {}
    count = 0
    for i, target in enumerate(targets):
        cases, found = compare_claim(before[target], after[target], CASES if i < MANY else FEWER)
        count += cases
        if found is not None:
            differing[target] = found
    if not differing:
        return {"status": "equivalent", "evidence": f"the same to 50 digits at {count} fresh inputs"}
    worst = min(differing.values(), key=lambda d: STATUSES.index(d["status"]))
    return {"status": worst.pop("status"), "evidence": worst, "differing": list(differing)}


def _claims() -> Mapping[str, Claim]:
    return {f"{c.module}::{c.name}": c for c in collect("handgrad")[0]}


def compare_claim(before: Claim, after: Claim, count: int) -> tuple[int, dict[str, Any] | None]:
    """How many inputs were tried, and the first at which the two hand functions differ."""
    engine = Engine(before, Draws(before, SEED))
    done, first = 0, None
    for case in _fresh(engine, count):
        with jax.enable_x64(True):
            old, new = (_values(Sides(claim), "hand", engine, case) for claim in (before, after))
            bound = _values(Sides(before), "reference", engine, case) if before.relation == "at_most" else None
        done += 1
        worst = _difference(old, new)
        if worst is None:
            continue
        if bound is not None and _at_most(new, bound):
            status = "still_true"
        else:
            status = "convention" if _at_a_kink(before, after, engine, case, new) else "missed"
        if first is None or STATUSES.index(status) < STATUSES.index(first["status"]):
            shown = {"dims": dict(case.dims), "options": str(case.structure), "inputs": _shown(engine, case)}
            first = {**worst, "status": status, **shown}
        if status == "missed":
            break
    return done, first


def _at_a_kink(before: Claim, after: Claim, engine: Engine, case: Case, new: list[np.ndarray]) -> bool:
    """Whether the functions agree all around this point, and the mutant's value there lies in the range of those."""
    rng = np.random.default_rng(SEED)
    around: list[list[np.ndarray]] = []
    for _ in range(NUDGES):
        values = tuple(v if v.dtype.kind in "iub" else v + NUDGE * rng.uniform(-1, 1, v.shape) for v in case.values)
        moved = replace(case, values=values)
        with jax.enable_x64(True):
            old, mutant = (_values(Sides(claim), "hand", engine, moved) for claim in (before, after))
        if _difference(old, mutant) is not None:
            return False
        around.append(old)
    for leaf, value in enumerate(new):
        low, high = (np.frompyfunc(f, 2, 1).reduce(np.array([a[leaf] for a in around]), 0) for f in (min, max))
        slack = np.asarray((1 + np.abs(low) + np.abs(high)) * (NUDGE * 1e3))
        if not np.all(np.asarray((low - slack <= value) & (value <= high + slack), bool)):
            return False
    return True


def _fresh(engine: Engine, count: int) -> Iterator[Case]:
    """Cases of small size: as drawn (zeros, ties, kinks), at plain random numbers, and at small whole numbers, where
    the boundaries of formulas lie, in turn."""
    rng = np.random.default_rng(SEED)
    found, index = 0, 0
    while found < count and index < 40 * count:
        case = engine.case(index, engine.formula_dtype)
        index += 1
        if case.size > MOST_ENTRIES:
            continue
        numbers = (None, _plain, _whole)[index % 3]
        if numbers is not None:
            leaves = zip(case.values, case.structure.leaves, strict=True)
            values = tuple(numbers(rng, v) if _is_free(v, leaf.domain.kind) else v for v, leaf in leaves)
            case = replace(case, values=values, extra=tuple(_plain(rng, v) for v in case.extra))
        sizes = [np.abs(np.asarray(v, np.float64)) for v in (*case.values, *case.extra) if v.dtype.kind not in "iub"]
        if all(np.all((s == 0) | ((s > SMALLEST) & (s < LARGEST))) for s in sizes):
            found += 1
            yield case


def _is_free(value: np.ndarray, domain: str) -> bool:
    """Whether any number will do."""
    return value.dtype.kind not in "iub" and domain == "real"


def _whole(rng: np.random.Generator, like: np.ndarray) -> np.ndarray:
    """Small whole numbers."""
    return np.asarray(rng.integers(-7, 8, like.shape)).astype(like.dtype)


def _plain(rng: np.random.Generator, like: np.ndarray) -> np.ndarray:
    """Numbers of both signs over four decades."""
    size = 10.0 ** rng.uniform(-2, 2, like.shape)
    return np.asarray(size * rng.choice([-1.0, 1.0], like.shape)).astype(like.dtype)


def _values(sides: Sides, side: str, engine: Engine, case: Case) -> list[np.ndarray]:
    """One side of a claim at a case, to many digits."""
    known = survey(sides, case.structure, engine.formula_dtype, case.dims)
    count = len(case.values)

    def flat(*inputs: Any) -> tuple[Any, ...]:
        arguments = case.structure.build(inputs[:count])
        leaves = getattr(sides, side)(arguments, known.build_extra(arguments, inputs[count:])).leaves
        return tuple(x for x in leaves if x.dtype != jax.dtypes.float0)

    inputs = (*case.values, *case.extra)
    return evaluate(jax.make_jaxpr(flat)(*inputs), inputs)


def _difference(old: list[np.ndarray], new: list[np.ndarray]) -> dict[str, Any] | None:
    """The entry that differs most, if one differs in its first 50 digits; rounding at ``DIGITS`` is no difference."""
    with mp.workdps(DIGITS):
        finite = [abs(x) for leaf in (*old, *new) for x in leaf.reshape(-1) if mp.isfinite(x)]
        floor = max([mpf(1), *finite]) * mpf(10) ** (20 - DIGITS)
        worst: tuple[Any, dict[str, Any]] | None = None
        for number, (a, b) in enumerate(zip(old, new, strict=True)):
            if a.shape != b.shape:
                return {"leaf": number, "was": list(a.shape), "is": list(b.shape)}
            for at in np.ndindex(a.shape):
                x, y = a[at], b[at]
                if x == y or (mp.isnan(x) and mp.isnan(y)):
                    continue
                gap = abs(x - y)
                if gap <= floor or gap <= max(abs(x), abs(y)) * mpf(10) ** -50:
                    continue
                relative = gap / max(abs(x), abs(y)) if mp.isfinite(gap) else mp.inf
                if worst is None or relative > worst[0]:
                    worst = relative, {"leaf": number, "entry": list(at), "was": mp.nstr(x, 17), "is": mp.nstr(y, 17),
                                       "relative": mp.nstr(relative, 3)}  # fmt: skip
        return worst[1] if worst else None


def _at_most(hand: list[np.ndarray], bound: list[np.ndarray]) -> bool:
    with mp.workdps(DIGITS):
        return all(
            bool(np.all(np.asarray(h <= b + (1 + abs(b)) * mpf(10) ** -50, bool)))
            for h, b in zip(hand, bound, strict=True)
        )


def _shown(engine: Engine, case: Case) -> dict[str, Any]:
    labels = [leaf.label for leaf in case.structure.leaves]
    shown = dict(zip(labels, (np.asarray(v).tolist() for v in case.values), strict=True))
    extra = engine.formula(case).extra_labels
    return shown | dict(zip(extra, (np.asarray(v).tolist() for v in case.extra), strict=True))


if __name__ == "__main__":
    main()
