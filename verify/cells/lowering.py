"""Lowered cells, the cheapest of all: can JAX hand a claim to a platform's compiler? The platform need not be here."""

from __future__ import annotations

import jax

from verify.cells.compiled import HAND_ALONE, as_function, one_line
from verify.cells.matmul import in_precision
from verify.records.record import Cell
from verify.tracing.engine import Engine
from verify.tracing.survey import ReferenceRaised, precision_of

PLATFORMS = {"cpu": "cpu", "gpu": "cuda", "tpu": "tpu"}
"""What JAX calls the platform of a backend."""
SIZES_OF = 1


def lowered(engine: Engine, dtype: str, matmul: str | None = None) -> list[Cell]:
    """One cell for every platform: ``compiled_only``, or ``skipped`` where the hand-written side has no lowering."""
    try:
        hand = _refusals(engine, dtype, matmul, "hand")
    except ReferenceRaised as error:
        reason = f"the reference cannot be evaluated in {dtype}: {error}"
        return [Cell(backend, dtype, matmul, "lowered", "skipped", reason=reason) for backend in PLATFORMS]
    reference = _refusals(engine, dtype, matmul, "reference") if any(hand.values()) else {}
    return [_cell(backend, dtype, matmul, hand[backend], reference.get(backend)) for backend in PLATFORMS]


def _cell(backend: str, dtype: str, matmul: str | None, hand: str | None, reference: str | None) -> Cell:
    platform = PLATFORMS[backend]
    if hand is None:
        reason = f"lowered for {platform}, neither compiled nor run"
        return Cell(backend, dtype, matmul, "lowered", "compiled_only", reason=reason)
    who = HAND_ALONE if reference is None else "neither the hand-written function nor its reference"
    reason = f"for {platform} in {dtype} {who} {'cannot' if reference is None else 'can'} be lowered: {hand}"
    return Cell(backend, dtype, matmul, "lowered", "skipped", reason=reason)


def _refusals(engine: Engine, dtype: str, matmul: str | None, side: str) -> dict[str, str | None]:
    """Why a side cannot be lowered for each backend; None where it can."""
    case = engine.case(SIZES_OF, dtype)
    function = jax.jit(as_function(engine, case, dtype, (side,)))
    with precision_of(dtype), in_precision(matmul):
        avals = [jax.ShapeDtypeStruct(v.shape, v.dtype) for v in (*case.values, *case.extra)]
        try:
            traced = function.trace(*avals)
        except Exception as error:
            return dict.fromkeys(PLATFORMS, one_line(error))
        found: dict[str, str | None] = {}
        for backend, platform in PLATFORMS.items():
            try:
                traced.lower(lowering_platforms=(platform,))
                found[backend] = None
            except Exception as error:
                found[backend] = one_line(error)
    return found
