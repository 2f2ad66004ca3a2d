"""Explanations: of what a cell found, a counterexample and a diagnosis; the first failure of a claim is explained."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from verify.cells.comparison import as_wide
from verify.cells.compiled import ALL_DIGITS
from verify.cells.seen import Breadth, Seen
from verify.drawing.cases import Case
from verify.hypotheses.evidence import Context, Sample
from verify.hypotheses.intermediates import intermediates_of
from verify.hypotheses.witness import candidates_of, named_inputs
from verify.records.record import Cell, Diagnosis, Verdict
from verify.tracing.clash import sizes_that_clash
from verify.tracing.engine import Arrays, Engine
from verify.tracing.trace import HandRaised
from verify.truth.formula import Examined
from verify.verdict.findings import Failure, Findings
from verify.verdict.further_cases import around_thresholds, more_like
from verify.verdict.shrink import shrink

TOLD = 60
"""Cases that a condition on such results must hold for."""
SEARCHED, FEW_LOST = 600, 6
"""Cases among which further ones without a right digit are looked for, until there are so many."""
_TANGENT_DTYPE = re.compile(
    r"Expected (?P<wanted>\w+)(?P<wanted_shape>\[[^]]*\]) \(tangent type of [^)]*\) "
    r"but got (?P<got>\w+)(?P<shape>\[[^]]*\])"
)
"""What JAX says of a rule whose tangent has another dtype than the result."""
_SIZES_CLASH = re.compile(r"shape|dimension|broadcast|size|ndim|rank|axis|axes", re.IGNORECASE)


def tell_formula(
    findings: Findings, engine: Engine, seen: Breadth, wrong: Sequence[tuple[Seen, Examined]]
) -> None:
    """The formula is another one than the derivative: what is wrong with it, and the smallest case that shows it."""
    if findings.diagnoses or not findings.explain:
        return
    trusted = not any(_reference_fails_too(e) for _, e in wrong)
    samples = [_sample(engine, s, e, True, trusted) for s, e in wrong]
    if trusted and not seen.found("convention") and not seen.found("reference_wrong"):
        known = {id(s) for s, _ in seen.examined}
        more = [s for s in seen.differing if id(s) not in known and s.case.size <= 4096]
        samples += [_sample(engine, s, None, True, True) for s in more[:60]]
        bad, good = [s.case for s in seen.differing], [s.case for s in seen.passing]
        further = itertools.chain(around_thresholds(engine, bad, good), more_like(engine, bad))
        samples += [_sample(engine, s, None, failed, True) for s, failed in further]
    samples += [_sample(engine, s, None, False, True) for s in seen.passing]
    here, examined = min(wrong, key=lambda pair: pair[0].case.size)
    small = shrink(engine, here, examined)
    hand, reference = _as_replayed(engine, small[0].case)
    findings.failures.append(Failure(small[0].case, hand, reference, small[1].truth))
    context = Context(
        relation=findings.claim.relation,
        outputs=engine.formula(here.case).labels,
        output_dims=engine.formula(here.case).reference_shapes,
        candidates=candidates_of(engine, [s.case for s, _ in wrong] + [s.case for s in seen.passing]),
    )
    findings.diagnoses = _diagnosed(samples, context)


def tell_loss(
    findings: Findings,
    engine: Engine,
    dtype: str,
    losses: Sequence[Any],
    verdict: str,
    backend: str = "numpy",
    mode: str = "eager",
    matmul: str | None = None,
) -> None:
    """Digits are lost, or an intermediate value overflows, where the other side is right."""
    if findings.diagnoses or not findings.explain:
        return
    losses = sorted(losses, key=lambda found: _largest_input(found[0]))  # the tamest case says most
    case, loss = losses[0]
    hand, reference = _as_replayed(engine, case, backend, mode, matmul)
    truth = engine.wide(case)[1]
    findings.failures.append(Failure(case, hand, reference, truth, backend, mode, matmul))
    where = f"{labels_of(engine, case)[loss.leaf]}{list(loss.entry) if loss.entry else ''}"
    how = "is not finite" if loss.overflow else f"is off by {loss.relative:.1e} relative"
    place = dtype if backend == "numpy" else f"{dtype} on {backend} ({mode})"
    theirs = "the reference is right" if loss.other < loss.error / 8 else "the reference is off as well"
    kind = "overflow" if loss.overflow else "precision"
    text = f"{where} {how} in {place}, where {theirs} (derivative {loss.truth:.6g}); "
    text += (
        "an intermediate value overflows: scale it, or rearrange the formula"
        if loss.overflow
        else "the formula is right in exact arithmetic and loses its digits: avoid the cancellation or rounding"
        if verdict == "inaccurate"
        else f"the formula used in {dtype} is another one: compare the branches on dtype"
        if backend == "numpy"
        else f"NumPy gets it right from the same program in {dtype}: another formula runs on {backend} ({mode})"
    )
    evidence = f"{len(losses)} confirmed, each at neighbouring inputs too"
    if verdict == "inaccurate" and kind == "precision" and backend == "numpy":
        where = _no_digit_left(findings, engine, dtype, [c for c, _ in losses])
        if where is not None:
            kind, text = where.kind, f"{where.text} There no digit is left: {text}"
    findings.diagnoses = (Diagnosis(kind, text, dtype, evidence),)


def tell_shape(findings: Findings, engine: Engine, case: Case, text: str) -> None:
    """The result has another shape than the derivative."""
    if findings.diagnoses:
        return
    traced = engine.formula(case)
    samples = []
    if not traced.mismatch:
        clashing: list[Case] = []
        for index in range(12):
            other = engine.case(index, engine.formula_dtype)
            hand, reference = engine.wide(other)
            if any(h.shape != r.shape for h, r in zip(hand, reference, strict=True)):
                clashing.append(other)
            named = named_inputs(engine, other)
            samples.append(
                Sample(other.id, dict(other.dims), named, hand, reference, reference, True)
            )
        context = Context(findings.claim.relation, traced.labels, traced.reference_shapes)
        findings.diagnoses = _diagnosed(samples, context)
        case = min(clashing, key=lambda c: sum(v.size for v in c.values), default=case)
        hand, reference = engine.wide(case)
        findings.failures.append(Failure(case, hand, reference, reference))
    if not findings.diagnoses or findings.diagnoses[0].kind not in ("shape", "transpose", "reduction"):
        findings.diagnoses = (Diagnosis("shape", text), *findings.diagnoses)


def tell_raised(findings: Findings, error: HandRaised) -> tuple[Verdict, str]:
    """A formula whose sizes clash is wrong; any other exception means that it could not be judged."""
    text = str(error)
    message = f"the hand-written function raised {text}"
    if (dtypes := _TANGENT_DTYPE.search(text)) and dtypes["wanted_shape"] == dtypes["shape"]:
        text = f"WrongDtype: gives a tangent of {dtypes['got']} for a result of {dtypes['wanted']}"
    if text.startswith("WrongDtype: "):
        message = f"the hand-written function {text.removeprefix('WrongDtype: ')}"
    kind = text.split(":", 1)[0]
    if kind in ("TypeError", "ValueError", "ScopedBroadcastError", "IndexError") and (
        _SIZES_CLASH.search(text) and "argument" not in text and "Tracer" not in text
    ):
        clash = sizes_that_clash(findings.engine) if findings.engine is not None else None
        told = f"its sizes do not fit together: {clash or text}"
        findings.diagnoses = (Diagnosis("shape", told, evidence=text if clash else None),)
        findings.cells.append(Cell("numpy", "float64", None, "eager", "wrong", 1, 1, reason=message))
        return "wrong", message
    return "error", message


def tell_nondeterministic(findings: Findings, engine: Engine, case: Case, hand: Arrays) -> None:
    text = "gives different values for the same input in two runs: remove the source of randomness or the race"
    findings.diagnoses = (Diagnosis("nondeterministic", text, evidence="one case, evaluated twice"),)
    truth = engine.wide(case)[1]
    findings.failures.append(Failure(case, hand, truth, truth))
    findings.cells.append(Cell("numpy", case.dtype, None, "eager", "wrong", 1, 1, reason="nondeterministic"))


def reference_note(engine: Engine, seen: Breadth, losses: Sequence[Any]) -> str:
    """Where the reference is wrong, or lost its digits, and the hand-written function is right."""
    wrong = seen.found("reference_wrong")
    if wrong:
        here, examined = wrong[0]
        entry = f"{labels_of(engine, here.case)[examined.leaf]}{list(examined.entry) if examined.entry else ''}"
        got, true = examined.reference[examined.leaf][examined.entry], examined.truth[examined.leaf][examined.entry]
        note = f"in {seen.dtype} jax.grad gives {entry} = {got:.6g} where the derivative is {true:.6g}"
        if examined.singular:
            note += " or another generalised derivative (a kink)"
    else:
        _, loss = losses[0]
        note = (
            f"in {seen.dtype} jax.grad is off by {loss.relative:.1e} relative where the hand-written "
            f"function is right (derivative {loss.truth:.6g})"
        )
    return note


def _diagnosed(samples: Sequence[Sample], context: Context) -> tuple[Diagnosis, ...]:
    from verify.hypotheses.diagnosis import diagnose

    try:
        return diagnose(samples, context)
    except Exception as error:  # a diagnosis that fails must not take the verdict with it
        return (Diagnosis("unknown", f"differs from the derivative; the diagnosis failed: {error}"),)


def _sample(engine: Engine, seen: Seen, examined: Examined | None, failed: bool, trusted: bool) -> Sample:
    truth = seen.reference if trusted or examined is None else examined.truth
    hand = examined.hand if examined is not None else seen.hand
    return Sample(
        seen.case.id, dict(seen.case.dims), named_inputs(engine, seen.case), hand,
        seen.reference, truth, failed, engine.formula_dtype if failed else "float64",
        intermediates_of(engine, seen.case),
    )  # fmt: skip


def _no_digit_left(
    findings: Findings, engine: Engine, dtype: str, lost: Sequence[Case]
) -> Diagnosis | None:
    """The condition under which a result has no right digit at all, if there is one: not its precision is wrong
    there, but the value."""
    samples: list[Sample] = []
    known = {case.id for case in lost}
    others = (c for i in range(SEARCHED) if (c := engine.case(i, dtype)).id not in known)
    for number, case in enumerate(itertools.chain(lost, others)):
        if number > len(lost) + TOLD and sum(s.failed for s in samples) >= FEW_LOST:
            break
        hand, _ = engine.native(case)
        truth = engine.wide(case)[1]
        gaps = [(np.abs(h - t) > ALL_DIGITS * np.abs(t)) & np.isfinite(h) for h, t in zip(hand, truth, strict=True)]
        kept = tuple(np.where(g, h, t) for g, h, t in zip(gaps, hand, truth, strict=True))
        failed = any(g.any() for g in gaps)
        if failed or number < len(lost) + TOLD:
            named = named_inputs(engine, case)
            samples.append(Sample(case.id, dict(case.dims), named, kept, truth, truth, failed))
    if not any(s.failed for s in samples):
        return None
    traced = engine.formula(lost[0])
    told = _diagnosed(samples, Context(findings.claim.relation, traced.labels, traced.reference_shapes))
    return told[0] if told[0].kind in ("region", "singular") else None


def labels_of(engine: Engine, case: Case) -> tuple[str, ...]:
    return engine.formula(case).labels


def _as_replayed(
    engine: Engine, case: Case, backend: str = "numpy", mode: str = "eager", matmul: str | None = None
) -> tuple[Arrays, Arrays]:
    """Both sides as a replay of this case evaluates them, bit for bit."""
    from verify.sessions.replaying import evaluate

    return evaluate(engine, case, backend, mode, matmul)


def _reference_fails_too(examined: Examined) -> bool:
    if examined.singular:  # at a kink there is no one true value
        return False
    truth = examined.truth[examined.leaf][examined.entry]
    reference = examined.reference[examined.leaf][examined.entry]
    return not np.isfinite(reference) or bool(abs(reference - truth) > 2.0**-20 * abs(truth))


def _largest_input(case: Case) -> float:
    sizes = [np.abs(as_wide(v)).max(initial=0.0) for v in (*case.values, *case.extra) if v.dtype.kind not in "iub"]
    return float(max(sizes, default=0.0))
