"""The conclusion: one verdict from the findings of all cells, and the record of the claim."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from verify.cells.comparison import errors, precision, scale_of
from verify.drawing.cases import Case
from verify.figure_data.figures import Figures
from verify.figure_data.gather import figures_of
from verify.hypotheses.witness import named_inputs
from verify.records.record import PASSING, WORST_FIRST, ClaimRecord, Counterexample, Verdict
from verify.records.serial import MOST_ENTRIES
from verify.tracing.engine import Engine
from verify.verdict.findings import Failure, Findings
from verify.verdict.judged import Judged

_ENGINES = {"concrete": "shape by shape", "jax": "by JAX itself"}


def conclude(findings: Findings, engine: Engine) -> Judged:
    """The worst cell decides."""
    verdicts = [c.verdict for c in findings.cells if c.verdict not in ("skipped", "compiled_only")]
    verdict: Any = next((v for v in WORST_FIRST if v in verdicts), "unresolved")
    limited = max((precision(d).roundoff for d in engine.dtypes[:1]), default=0.0)
    needed = 1e-6 if engine.formula_dtype == "float64" else 16 * limited
    seen = [c.smallest_visible_error for c in findings.cells if c.smallest_visible_error is not None]
    if verdict in PASSING and (not seen or min(seen) > max(needed, 1e-6)):
        verdict = "unresolved"
    reason = next((c.reason for c in findings.cells if c.verdict == verdict and c.reason), None)
    for engine_name, why in engine.reasons.items():
        findings.notes.append(f"evaluated {_ENGINES[engine_name]}: {why}")
    if engine.apart:
        findings.notes.append(f"evaluated shape by shape where {' or '.join(engine.apart)}: the code asks for it")
    record = record_of(findings, verdict, reason=reason)
    if verdict == "reference_wrong":
        record = replace(record, figures=_figures(findings, engine, verdict, engine.case(0, engine.formula_dtype)))
    if not findings.failures or verdict not in ("wrong", "inaccurate"):
        return Judged(record)
    failure = findings.failures[0]
    inputs = named_inputs(engine, failure.case)
    labels = engine.formula(failure.case).labels
    arrays = {k: v for k, v in inputs.items() if isinstance(v, np.ndarray)}
    findings.notes += _worst_of_large(labels, failure)
    record = replace(record, notes=tuple(dict.fromkeys(findings.notes)))
    counterexample = Counterexample(
        failure.case.id, dict(failure.case.dims), failure.case.dtype, inputs,
        dict(zip(labels, failure.hand, strict=True)),
        dict(zip(labels, failure.reference, strict=True)),
        dict(zip(labels, failure.truth, strict=True)),
        failure.backend, failure.mode, failure.precision,
    )  # fmt: skip
    figures = _figures(findings, engine, verdict, failure.case)
    replay = f"verify replay {failure.case.id}"
    return Judged(replace(record, counterexample=counterexample, replay=replay, figures=figures), arrays)


def _figures(findings: Findings, engine: Engine, verdict: Verdict, shown: Case) -> Figures | None:
    """What plots are drawn from, of the first cell on the numpy engine that ends in this verdict."""
    cell = next((c for c in findings.cells if c.backend == "numpy" and c.verdict == verdict), None)
    if cell is None or not findings.explain:
        return None
    if any(d.kind in ("shape", "nondeterministic") for d in findings.diagnoses):
        return None
    if verdict == "reference_wrong":
        return figures_of(engine, cell.dtype, shown, "hand")
    doubtful = any(b.found("reference_wrong") or b.found("convention") for b in findings.breadths)
    but = ", which is itself wrong, or a convention, at some of these inputs" if doubtful else ""
    return figures_of(engine, cell.dtype, shown, but=but)


def record_of(findings: Findings, verdict: Verdict, reason: str | None = None) -> ClaimRecord:
    claim = findings.claim
    entries = [e for b in findings.breadths for e in b.entries]
    visible = [c.smallest_visible_error for c in findings.cells if c.smallest_visible_error is not None]
    return ClaimRecord(
        name=claim.name,
        module=claim.module,
        file=claim.file,
        line=claim.line,
        relation=claim.relation,
        verdict=verdict,
        diagnosis=findings.diagnoses[0] if findings.diagnoses and verdict in ("wrong", "inaccurate") else None,
        diagnoses=findings.diagnoses if verdict in ("wrong", "inaccurate") else (),
        notes=tuple(dict.fromkeys(findings.notes)),
        reason=reason,
        expected=claim.expect,
        equation=claim.equation,
        form=claim.form,
        cases=sum(c.cases for c in findings.cells),
        fresh_shapes=sum(c.fresh_shapes for c in findings.cells),
        entries={
            "median": float(np.median(entries)) if entries else 0,
            "max": max(entries, default=0),
        },
        smallest_visible_error=min(visible, default=None),
        cells=tuple(findings.cells),
    )


def _worst_of_large(labels: tuple[str, ...], failure: Failure) -> list[str]:
    """Of outputs that a record abbreviates, the entry that is furthest off."""
    notes = []
    for label, hand, truth, reference in zip(labels, failure.hand, failure.truth, failure.reference, strict=True):
        if hand.size > MOST_ENTRIES and hand.shape == reference.shape:
            known = np.where(np.isnan(truth), reference, truth)
            gap = errors(hand, known) / scale_of(known)
            at = np.unravel_index(int(np.argmax(np.where(np.isnan(gap), -1.0, gap))), hand.shape)
            place = f"{label}{[int(i) for i in at]}"
            notes.append(f"furthest off is {place}: {hand[at]:.6g} by hand, where it should be {known[at]:.6g}")
    return notes
