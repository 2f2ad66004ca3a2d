"""The sweep of one claim: part by part, its state on the disk after each, so that a sweep that was stopped goes on."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from verify.records.serial import dump
from verify.sweep import measure
from verify.sweep import points as inputs
from verify.sweep.measure import FORMATS, Format, half_ulps
from verify.sweep.points import Part
from verify.sweep.sides import ElementWise
from verify.sweep.state import Swept, load_state
from verify.sweep.tally import Tally, tally
from verify.sweep.truth import Truth
from verify.tracing.survey import precision_of

DEAR = 64
"""Points of a binade where only ball arithmetic knows the truth; of 16-bit formats all."""
COMPILED = 2**16
"""Points from which measuring them is compiled."""
SAVE = 2.0
"""Seconds between two states on the disk."""


@dataclass(frozen=True)
class Plan:
    """What is swept. ``points`` is the size of the sample in float32, ``double`` that in float64."""

    dtypes: tuple[str, ...] = ("float64", "float32", "bfloat16", "float16")
    exhaustive: bool = False
    points: int = 2_000_000
    double: int = 8_000
    seed: int = 0

    def parts(self, dtype: str, special: tuple[float, ...]) -> list[Part]:
        points = self.double if dtype == "float64" else self.points
        return inputs.parts(FORMATS[dtype], self.exhaustive, points, special)


def fingerprint(claim: ElementWise, plan: Plan) -> str:
    """Of the programs, the plan and JAX: a state belongs to one only."""
    words = [jax.__version__, jax.default_backend(), *(str(v) for v in asdict(plan).values())]
    for dtype in claim.dtypes:
        with precision_of(dtype):
            shape = jax.ShapeDtypeStruct((2,), dtype)
            words += [str(jax.make_jaxpr(f)(shape)) for f in (claim.hand, claim.reference, claim.primal)]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]


def stem(claim: ElementWise) -> str:
    """The name of a claim among those of all modules: of its file and in the report."""
    own = claim.claim.module.startswith("handgrad")
    return claim.claim.name if own else f"{claim.claim.module}.{claim.claim.name}"


def sweep(
    claim: ElementWise, plan: Plan, path: Path, resume: bool = False, alive: Callable[[str], None] = lambda text: None
) -> Swept:
    """Sweeps a claim; goes on from the state at ``path`` if that is of this claim and plan and ``resume`` is set."""
    start, mark = time.monotonic(), fingerprint(claim, plan)
    whole = tuple(d for d in plan.dtypes if FORMATS[d].bits == 16 or _whole(d, plan))
    state = Swept(stem(claim), mark, whole, derivative=claim.differentiates)
    if resume and path.exists():
        found = load_state(path)
        state = found if found.fingerprint == mark else state
    if state.complete:
        return state
    truth = Truth(claim, plan.seed)
    before, saved = state.seconds, time.monotonic()
    tallies = {d: dict(b) for d, b in state.tallies.items()}
    done = {d: list(names) for d, names in state.done.items()}

    def now(complete: bool = False) -> Swept:
        kept = {d: tuple(names) for d, names in done.items()}
        seconds = before + time.monotonic() - start
        return replace(state, done=kept, tallies=tallies, complete=complete, seconds=seconds)

    for dtype in (d for d in plan.dtypes if d in claim.dtypes):
        parts = plan.parts(dtype, truth.special)
        known = done.setdefault(dtype, [])
        for number, part in enumerate(parts):
            if part.name in known:
                continue
            alive(f"{claim.claim.name}, {dtype}: part {number + 1} of {len(parts)}")
            _sweep_part(claim, truth, part, plan.seed, tallies.setdefault(dtype, {}))
            known.append(part.name)
            if time.monotonic() - saved > SAVE:
                dump(_plain(now()), path)
                saved = time.monotonic()
    final = now(complete=True)
    dump(_plain(final), path)
    return final


def _whole(dtype: str, plan: Plan) -> bool:
    return dtype == "float32" and plan.exhaustive


def _plain(state: Swept) -> dict[str, Any]:
    return asdict(state)


def _sweep_part(claim: ElementWise, truth: Truth, part: Part, seed: int, tallies: dict[str, tuple[Tally, ...]]) -> None:
    form = part.format
    z = part.inputs(seed)
    edges = _binades(part, z)
    if form.bits == 32:
        z, edges = _affordable(truth, z, edges)
    results = [claim.evaluate(side, z) for side in range(2)]
    found: list[Tally | None] = [None, None]
    if len(edges) == 1 and form.bits == 32 and len(z) >= COMPILED and truth.is_plain(float(z[0]), float(z[-1])):
        found = truth.summary(z, results)
    if None in found:
        with np.errstate(invalid="ignore"):  # NaN
            results = [g.astype(np.float64) for g in results]
            wide = z.astype(np.float64)
        due = _due(truth, wide, form)
    for field_, a, b in edges:
        after = []
        for side, before in enumerate(tallies.get(str(field_), (Tally(), Tally()))):
            new = found[side]
            if new is None:
                z_, g, d = wide[a:b], results[side][a:b], due.part(a, b)
                errors, counts = _measured(z_, g, d, form)
                after.append(tally(z_, g, d.low, errors, counts, form, d.near, before))
            else:
                after.append(before.plus(new))
        tallies[str(field_)] = tuple(after)


@dataclass(frozen=True)
class Due:
    """What is due at some inputs: see ``exact.Exact``; ``near`` gives the truth half an ulp to either side of some."""

    low: np.ndarray
    high: np.ndarray
    rest: np.ndarray
    near: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

    def part(self, a: int, b: int) -> Due:
        return Due(self.low[a:b], self.high[a:b], self.rest[a:b], lambda i: self.near(i + a))


@cache
def _compiled(form: Format) -> Callable[..., Any]:
    return jax.jit(partial(measure.errors, form=form, xp=jnp))


def _measured(z: np.ndarray, got: np.ndarray, due: Due, form: Format) -> tuple[np.ndarray, np.ndarray]:
    if len(got) < COMPILED:
        with np.errstate(all="ignore"):
            return measure.errors(z, got, due.low, due.high, form, rest=due.rest)
    with precision_of("float64"):
        errors, counts = _compiled(form)(z, got, due.low, due.high, rest=due.rest)
        return np.asarray(errors), np.asarray(counts)


Edges = list[tuple[int, int, int]]
"""Of every binade in an array that is ordered by bit pattern: which, and from where to where."""


def _binades(part: Part, z: np.ndarray) -> Edges:
    form = part.format
    if part.count is None and part.stop - part.start == len(z) and form.bits == 32:
        ends = inputs.binade(np.asarray([part.start, part.stop - 1], np.uint64), form)
        if ends[0] == ends[1]:
            return [(int(ends[0]), 0, len(z))]
    return _edges(inputs.binade(inputs.patterns_of(z, form), form))


def _edges(fields: np.ndarray) -> Edges:
    at = np.flatnonzero(np.diff(fields, prepend=fields[0] - 1, append=fields[-1] + 1))
    return [(int(fields[a]), int(a), int(b)) for a, b in pairwise(at)]


def _affordable(truth: Truth, z: np.ndarray, edges: Edges) -> tuple[np.ndarray, Edges]:
    """Fewer points in binades where the truth is dear."""
    kept, found, count = [], [], 0
    for field_, a, b in edges:
        here = z[a:b]
        value = float(here[0])
        if np.isfinite(value) and len(here) > DEAR and truth.is_dear(value):
            here = here[np.unique(np.linspace(0, len(here) - 1, DEAR).astype(int))]
        kept.append(here)
        found.append((field_, count, count + len(here)))
        count += len(here)
    return (z, edges) if count == len(z) else (np.concatenate(kept), found)


def _due(truth: Truth, z: np.ndarray, form: Format) -> Due:
    """The truth at ``z``, and its limits at ±infinity."""
    finite = np.isfinite(z)
    inner = z if finite.all() else z[finite]
    rest = np.zeros(1)
    if form.bits == 64:
        exact = truth.oracle.at(inner)
        low, high, rest = exact.low, exact.high, exact.rest
    else:
        low, high = truth.at_kinks(inner, truth.at(inner))
    if inner.size and np.abs(inner).min() < form.smallest:  # subnormal numbers may be taken for zero
        subnormal = (np.abs(inner) < form.smallest) & (inner != 0)
        zero = truth.oracle.at(np.zeros(1))
        low = np.where(subnormal, np.fmin(low, zero.low), low)
        high = np.where(subnormal, np.fmax(high, zero.high), high)
    if inner is not z:
        limits = np.where(np.isnan(z), np.nan, np.where(z > 0, truth.limits[1], truth.limits[-1]))
        low, high = _placed(limits, finite, low), _placed(limits, finite, high)
        rest = _placed(np.zeros(z.shape), finite, rest)

    def near(i: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        before, after = np.full(i.shape, np.nan), np.full(i.shape, np.nan)
        inside = np.isfinite(z[i])
        points = z[i][inside]
        if form.bits == 64:
            before[inside], after[inside] = (truth.oracle.at(points, side).low for side in (-1, 1))
        else:
            left, right = half_ulps(points, form)
            before[inside], after[inside] = truth.at(left), truth.at(right)
        return before, after

    return Due(low, high, np.broadcast_to(rest, z.shape), near)


def _placed(everywhere: np.ndarray, mask: np.ndarray, inner: np.ndarray) -> np.ndarray:
    out = np.array(everywhere, float)
    out[mask] = inner
    return out
