"""A cell of the numpy engine: many cases of one dtype, and the verdict on the formula."""

from __future__ import annotations

from collections.abc import Callable

from verify.cells.breadth import breadth
from verify.cells.comparison import RESOLUTION, precision
from verify.cells.seen import Breadth
from verify.programs.program import Untranslatable
from verify.records.record import Cell, Verdict
from verify.tracing.engine import Engine
from verify.tracing.relations import RULES
from verify.tracing.second_order import slopes_agree
from verify.tracing.survey import ReferenceRaised
from verify.truth.approximation import primal_depends_on_dtype
from verify.verdict.explanation import reference_note, tell_formula, tell_loss, tell_shape
from verify.verdict.findings import Findings

CALLING_BACK, FEWEST_CALLING_BACK = 16, 12
"""Where each evaluation calls back into Python, and may take difference quotients, cases are so many times fewer."""
REPEATING, FEWEST_REPEATING = 4, 24
"""The same where each repeats something until it is good enough."""


def numpy_cell(
    findings: Findings,
    engine: Engine,
    dtype: str,
    cases: int,
    only_if_it_fails: bool,
    stop: Callable[[], bool],
    report: Callable[[int], None],
) -> None:
    """Judges ``cases`` cases of a dtype and adds the cell; if nobody asked for it, only one that does not agree.

    Raises ReferenceRaised or Untranslatable in the formula's own dtype, in which every claim must run.
    """
    try:
        traced = engine.formula(engine.case(0, dtype))
        if traced.calls_back:
            cases = min(cases, max(FEWEST_CALLING_BACK, cases // CALLING_BACK))
        elif traced.is_dear:
            cases = min(cases, max(FEWEST_REPEATING, cases // REPEATING))
        done = findings.cases
        seen = breadth(engine, dtype, cases, stop, lambda count: report(done + count))
    except (ReferenceRaised, Untranslatable) as error:
        if dtype == engine.formula_dtype:
            raise
        reason = (
            f"the reference cannot be evaluated in {dtype}: {error}"
            if isinstance(error, ReferenceRaised)
            else f"{error} in {dtype}: JAX computes it in float32 and float64 only"
        )
        findings.cells.append(Cell("numpy", dtype, None, "eager", "skipped", reason=reason))
        return
    verdict, reason = _verdict(findings, engine, seen)
    if verdict == "agrees" and only_if_it_fails:
        return
    findings.breadths.append(seen)
    p = precision(dtype)
    formula = dtype == engine.formula_dtype
    visible = RESOLUTION if formula or not seen.engines <= {"jax"} else p.loss
    findings.cells.append(
        Cell(
            "numpy", dtype, None, "eager", verdict, seen.cases, seen.fresh, seen.worst_error,
            RESOLUTION if formula else p.loss,
            visible, "+".join(sorted(seen.engines)) or None, reason, seen.seconds,
        )
    )  # fmt: skip


def _verdict(findings: Findings, engine: Engine, seen: Breadth) -> tuple[Verdict, str | None]:
    if seen.shape_mistake:
        case, text = seen.shape_mistake
        tell_shape(findings, engine, case, text)
        return "wrong", text
    wrong = seen.found("wrong")
    if wrong and engine.claim.relation == "second_order":
        wrong = [(s, e) for s, e in wrong if slopes_agree(engine, s.case)]
    if wrong and not any(e.exact or s.case.plain for s, e in wrong):
        return "unresolved", "differs at extreme values only, where no exact arithmetic could settle who is right"
    if wrong:
        tell_formula(findings, engine, seen, wrong)
        if any(e.both for _, e in wrong) or seen.found("reference_wrong"):
            findings.notes.append(f"in {seen.dtype} the reference is wrong at some of these cases too")
        return "wrong", None
    if seen.dependent and engine.claim.relation in RULES and primal_depends_on_dtype(engine, seen.dependent[0][0]):
        tell_loss(findings, engine, seen.dtype, seen.dependent, "inaccurate")
        return "inaccurate", f"loses digits: off by {seen.dependent[0][1].relative:.1e} relative in {seen.dtype}"
    if seen.dependent:
        case, loss = seen.dependent[0]
        tell_loss(findings, engine, seen.dtype, seen.dependent, "wrong")
        return "wrong", f"the formula used in {seen.dtype} differs from the derivative by {loss.relative:.1e}"
    hand = [(c, loss) for c, loss in seen.losses if loss.side == "hand"]
    theirs = [(c, loss) for c, loss in seen.losses if loss.side == "reference"]
    if hand:
        tell_loss(findings, engine, seen.dtype, hand, "inaccurate")
        return "inaccurate", f"loses digits: off by {hand[0][1].relative:.1e} relative in {seen.dtype}"
    undecided = seen.found("undecided")
    if undecided and len(undecided) > len(seen.examined) // 2 and seen.undecided > 2:
        why = undecided[0][1].note or "they have too many entries for exact arithmetic, or need more digits"
        return "unresolved", f"{len(undecided)} cases differ and could not be decided: {why}"
    if seen.found("reference_wrong") or theirs:
        note = reference_note(engine, seen, theirs)
        findings.notes.append(note)
        return "reference_wrong", note
    if seen.found("convention"):
        return "convention", f"{len(seen.found('convention'))} cases differ at a kink; both values are valid"
    if not seen.passing and all(e.finding == "uncounted" for _, e in seen.examined):
        return "unresolved", "no case counted: the primal is not finite at any of them"
    return "agrees", None
