"""One benchmark: the parts that were asked for, on the functions that were asked for, one after the other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import jax
import numpy as np
from threadpoolctl import threadpool_limits

from verify.bench import peers
from verify.bench.claims import claims
from verify.bench.functions import FUNCTIONS
from verify.bench.plan import PARTS, QUICK, Plan, Tell
from verify.bench.record import Bench
from verify.bench.sensitivity import sensitivity
from verify.bench.sizes import sizes
from verify.bench.speed import speed
from verify.sessions.environment import environment


def measured(
    names: Sequence[str], parts: Sequence[str], seed: int, quick: bool, argv: Sequence[str], tell: Tell
) -> Bench:
    """Measures. One thread: matrices are small, and so are the machines that this is compared on."""
    plan, start = QUICK if quick else Plan(), perf_counter()
    functions = [FUNCTIONS[n] for n in names]
    found = Bench(
        argv=tuple(argv), seed=seed, quick=quick, environment=_environment(),
        started=datetime.now(UTC).isoformat(timespec="seconds"), seconds=0.0,
        titles={f.name: f.title for f in functions}, terms={f.name: f.term for f in functions},
        absent={t: home for t, home in peers.HOMES.items() if peers.version_of(home) is None}, batch=plan.batch,
    )  # fmt: skip
    cpu = jax.devices("cpu")[0]
    with threadpool_limits(1, "blas"), np.errstate(all="ignore"), jax.default_device(cpu), peers.one_thread():
        for part in PARTS:
            if part in parts:
                found = _with(found, part, functions, seed, plan, tell)
    return replace(found, seconds=perf_counter() - start)


def _with(found: Bench, part: str, functions: Sequence[Any], seed: int, plan: Plan, tell: Tell) -> Bench:
    """A new part is a branch here, a field of the record, and a section of the report."""
    if part == "speed":
        speeds, stages = speed(functions, seed, plan, tell)
        return replace(found, speed=tuple(speeds), stages=tuple(stages))
    if part == "sensitivity":
        seen, accused = sensitivity(functions, seed, plan, tell)
        return replace(found, sensitivity=tuple(seen), accusations=tuple(accused))
    if part == "sizes":
        return replace(found, sizes=tuple(sizes(functions, seed, plan, tell)))
    return replace(found, claims=tuple(claims(seed, plan, tell)))


def _environment() -> dict[str, Any]:
    kept = ("python", "jax", "jaxlib", "numpy", "platform", "cpus", "git")
    here = {k: v for k, v in environment().items() if k in kept}
    load = [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else None
    return {**here, "torch": peers.version_of("torch"), "autograd": peers.version_of("autograd"), "load before": load}
