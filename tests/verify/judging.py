"""Judging small claims in this process, quickly: helpers of the tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from handgrad.claims import Claim
from verify.api import claim_of
from verify.cells.budget import Budget
from verify.drawing.cases import Case
from verify.drawing.draws import Draws
from verify.records.record import ClaimRecord
from verify.tracing.engine import Engine
from verify.truth.formula import Examined, examine
from verify.verdict.judge import judge


def judged(
    hand: Callable[..., Any],
    reference: Callable[..., Any],
    wrt: Any = "x",
    relation: Any = "gradient",
    cases: int = 60,
    dtypes: tuple[str, ...] | None = ("float64",),
    backends: tuple[str, ...] = ("numpy",),
    seed: int = 0,
    given: Mapping[Any, Any] | None = None,
    **more: Any,
) -> ClaimRecord:
    """The outcome of a claim made on the spot."""
    claim = claim_of(hand, reference, wrt, relation, given)
    return judge(claim, Budget(seed, cases, backends, dtypes, **more)).record


def engine_of(claim: Claim, seed: int = 0) -> Engine:
    return Engine(claim, Draws(claim, seed))


def at(engine: Engine, dims: Mapping[str, int], *values: Any, extra: tuple[Any, ...] = ()) -> Case:
    """A case of the engine's first structure with these values, in float64."""
    case = engine.draws.case(0, engine.formula_dtype)
    arrays = tuple(
        np.asarray(v, old.dtype if old.dtype.kind != "f" else np.float64)
        for v, old in zip(values, case.values, strict=True)
    )
    case = replace(case, dims={**case.dims, **dims}, values=arrays)
    return replace(case, extra=tuple(np.asarray(e, np.float64) for e in extra))


def examined(
    hand: Callable[..., Any],
    reference: Callable[..., Any],
    dims: Mapping[str, int],
    *values: Any,
    wrt: Any = "x",
    relation: Any = "gradient",
    extra: tuple[Any, ...] = (),
) -> Examined:
    """What exact arithmetic finds at one point."""
    engine = engine_of(claim_of(hand, reference, wrt, relation))
    case = at(engine, dims, *values, extra=extra)
    with np.errstate(all="ignore"):
        return examine(engine.formula(case), relation, case, *engine.wide(case))
