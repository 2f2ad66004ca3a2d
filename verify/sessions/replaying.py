"""Replaying: a recorded case from its stored bits, in whatever process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from handgrad.claims import Claim
from verify.cells.compiled import UNSTACKED, CompiledCell
from verify.drawing.cases import Case, index_of
from verify.drawing.draws import Draws
from verify.records.record import ClaimRecord
from verify.records.runs import RecordedCase
from verify.sessions.collect import TargetError, collect
from verify.sessions.request import UsageError
from verify.tracing.engine import Arrays, Engine
from verify.tracing.second_order import differentiated, may_be_differentiated
from verify.tracing.trials import repeated
from verify.truth.formula import examine


@dataclass(frozen=True)
class Replay:
    """One recorded case, run again."""

    claim: str
    case_id: str
    dims: Mapping[str, int]
    inputs: Mapping[str, Any]
    hand: Mapping[str, Any]
    reference: Mapping[str, Any]
    oracle: Mapping[str, Any]
    identical: bool
    message: str


def replay(recorded: RecordedCase) -> Replay:
    """Evaluates hand, reference and oracle at the stored inputs and compares with what was recorded."""
    record, seed = recorded.claim, recorded.seed
    stored = record.counterexample
    assert stored is not None
    try:
        claims, _ = collect(record.target.partition("#")[0])
    except TargetError as error:
        raise UsageError(f"cannot replay {stored.id}: {error}") from None
    claim = next((c for c in claims if c.name == record.name and c.relation == record.relation), claims[0])
    index = index_of(stored.id)
    if may_be_differentiated(claim) and not stored.id.startswith(Draws(claim, seed).case_id(index, stored.dtype)):
        claim = differentiated(claim)  # the case is one of the rule's own derivative
    with np.errstate(all="ignore"):
        return _replayed(record, claim, recorded.inputs, seed)


def _replayed(record: ClaimRecord, claim: Claim, arrays: Mapping[str, np.ndarray], seed: int) -> Replay:
    stored = record.counterexample
    assert stored is not None
    engine = Engine(claim, Draws(claim, seed))
    case = _restored(engine, stored, arrays)
    hand, reference = evaluate(engine, case, stored.backend, stored.mode, stored.precision)
    wide = engine.wide(case)
    labels = engine.formula(case).labels
    truth = wide[1]
    if all(h.shape == r.shape for h, r in zip(*wide, strict=True)):  # else there is nothing to compare by entry
        truth = examine(engine.formula(case), claim.relation, case, *wide).truth
    oracle = {k: np.where(np.isnan(t), r, t) for k, t, r in zip(labels, truth, wide[1], strict=True)}
    now = {"hand": dict(zip(labels, hand, strict=True)), "reference": dict(zip(labels, reference, strict=True))}
    before = {"hand": stored.hand, "reference": stored.reference}
    changed = [
        f"{side} {k}" for side in now for k, v in now[side].items() if not _same(v, before[side].get(k))
    ]
    message = (
        "identical, bit for bit, to what was recorded"
        if not changed
        else f"differs from what was recorded: {', '.join(changed)} (has the code, or a library, changed?)"
    )
    inputs = dict(stored.inputs) | dict(arrays)
    return Replay(
        record.name, stored.id, dict(stored.dims), inputs, now["hand"], now["reference"], oracle,
        not changed, message,
    )  # fmt: skip


def _restored(engine: Engine, stored: Any, arrays: Mapping[str, np.ndarray]) -> Case:
    """The case with the stored arrays in place of drawn ones, and the structure that they fit."""
    index, dtype = index_of(stored.id), stored.dtype
    case = engine.case(index, dtype)
    labels = [leaf.label for leaf in case.structure.leaves]
    if not set(labels) <= set(arrays):
        raise UsageError(
            f"cannot replay {stored.id}: the claim's arguments are now {', '.join(labels)}, "
            f"recorded were {', '.join(arrays)}"
        )
    case = replace(case, dims=dict(stored.dims), values=tuple(arrays[k] for k in labels))
    traced = engine.traced(case.structure, dtype, case.dims)
    return replace(case, extra=tuple(arrays[k] for k in traced.extra_labels))


def evaluate(
    engine: Engine, case: Case, backend: str, mode: str, precision: str | None = None
) -> tuple[Arrays, Arrays]:
    """Both sides where the case was recorded: the numpy engine in the case's dtype, or a compiled cell."""
    if backend != "numpy":
        cell = CompiledCell(engine, backend, case.dtype, mode, precision)
        cell.prepare(repeated(case, UNSTACKED if mode == "vmap" else 1))
        return cell.both([case])[0]
    as_judged = case.dtype == engine.formula_dtype != "float64"  # a claim of low precision: its formula, widened
    return engine.wide(case) if as_judged else engine.native(case)


def _same(now: np.ndarray, before: Any) -> bool:
    if before is None or (isinstance(before, Mapping) and "shape" in before):  # a summary of a large array
        return before is not None and list(before["shape"]) == list(now.shape)
    return bool(np.array_equal(now, _numbers(before, now.dtype), equal_nan=True))


def _numbers(x: Any, dtype: Any) -> np.ndarray:
    if isinstance(x, list):
        return np.array([_numbers(v, dtype) for v in x], dtype)
    if isinstance(x, Mapping):
        return np.array(complex(float(x["re"]), float(x["im"])), dtype)
    return np.array(float(x), dtype)
