"""Wrong by a sum: a term missing, a term too much, a term in another's place, a term besides a factor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from verify.hypotheses.cases import Case, Fit, fit
from verify.hypotheses.chains import chains
from verify.hypotheses.expressions import Expr, atoms, common_names, in_shape
from verify.hypotheses.ladder import Found, View, scaled
from verify.hypotheses.numbers import exact_name, number_name
from verify.hypotheses.recognised import chained, expressed, multiple, replaced_kind
from verify.hypotheses.scale import Scale, explain, remainder_name, scale_kind, scale_text
from verify.hypotheses.structure import structures
from verify.hypotheses.terms import (
    Table,
    differences,
    pairs,
    parallel,
    share_in_truth,
    tabulate,
)
from verify.records.record import Diagnosis

_TRIED, _LONG = 40, 50


def additive(cases: Sequence[Case], view: View, deep: bool = True) -> Iterator[Found]:
    """All hypotheses about sums, simplest first."""
    table = tabulate(cases)
    if table is None:
        return
    yield from _one_term(cases, view, table)
    yield from expressed(cases, view, table, deep)
    yield from _exchanged(cases, view, table)
    if deep:
        yield from _product_of_three(cases, view, table)
    yield from _factor_and_term(cases, view, table)
    yield from _two_terms(cases, view, table)


def rearranged_and_more(cases: Sequence[Case], view: View) -> Iterator[Found]:
    """A transposition (a flip, a conjugation, a missing sum), and besides it a mistake in a sum."""
    for change in structures(cases, view.dims, view.noun):
        if not change.repairs or change.kind not in ("transpose", "conjugate", "reduction"):
            continue
        if change.value.startswith("flip"):
            continue
        repaired = [_with_hand(case, change.hand(case.hand)) for case in cases]
        kept = [case for case in repaired if case is not None]
        if len(kept) < len(repaired) or not all(case.same_shape for case in kept):
            continue
        for found in additive(kept, view, deep=False):
            if found.fit.unconditional:
                how = found.diagnoses[0].evidence
                first = Diagnosis(change.kind, f"up to a term, {change.text}", change.value, how)
                others = tuple(replace(d, text=f"after that correction, {d.text}") for d in found.diagnoses)
                yield Found((first, *others), found.fit)


def _with_hand(case: Case, hand: np.ndarray | None) -> Case | None:
    return None if hand is None else replace(case, hand=hand)


def _one_term(cases: Sequence[Case], view: View, table: Table) -> Iterator[Found]:
    """truth - hand = c * term."""
    for index in parallel(table.rows, table.residual)[:_TRIED]:
        expr = table.terms[index]

        def left_right(case: Case, expr=expr) -> tuple:
            return case.truth - case.hand, in_shape(expr, case)

        for scale, how in scaled(cases, left_right):
            if how.everything and scale.constant != 0:
                yield Found((_term_diagnosis(cases, view, expr, scale, how, table),), how)
                break


def _term_diagnosis(cases, view: View, expr: Expr, scale: Scale, how: Fit, table: Table | None) -> Diagnosis:
    """Missing, too much, with the wrong sign or with a wrong coefficient: by how much of it the truth has."""
    term = multiple(scale, expr)
    own = bool({"hand", "truth"} & atoms(expr).keys())
    share = None if own or table is None else _share(expr, table)
    if share is None and not own and table is not None and any(case.sample.intermediates for case in cases):
        looked_into = tabulate([replace(case, _bases=None) for case in cases])
        share = _share(expr, looked_into) if looked_into is not None else None
    if share is not None and abs(share - 0.5) < 1e-4:
        return Diagnosis(
            "sign",
            f"has the wrong sign on one term{_then('+', term, view.noun)}",
            term,
            how.evidence(),
        )
    if share is not None and min(abs(share), abs(share - 1)) > 1e-4:
        ratio = number_name(1 - 1 / share)
        if "dims shifted" in scale.families and table is not None and len(table.probes) == 1:
            ratio = remainder_name(Scale(scale.constant / (share * scale(table.probes[0])), scale.powers))
        return Diagnosis(
            "factor",
            f"has {ratio} times one of its terms{_then('+', term, view.noun)}",
            ratio,
            how.evidence(),
        )
    if "hand" in atoms(expr) or (share_in_truth(cases) if share is None else share) > 0.5:
        return Diagnosis(
            "missing_term",
            _lacking(term, view.noun),
            term,
            how.evidence(),
        )
    extra = multiple(scale.negated(), expr)
    return Diagnosis(
        "extra_term",
        f"has the term {extra} too much" + _then("-", extra, view.noun),
        extra,
        how.evidence(),
    )


def _lacking(term: str, noun: str) -> str:
    return f"lacks the term {term}{_then('+', term, noun)}"


def _then(sign: str, term: str, noun: str) -> str:
    """The correction as an equation, where it is short."""
    if len(term) > _LONG:
        return ""
    if term.startswith("-"):
        sign, term = "-" if sign == "+" else "+", term[1:]
    return f": hand {sign} {term} equals the {noun}"


def _share(expr: Expr, table: Table) -> float | None:
    """The term's coefficient in the truth over that in the residual, where the truth is the term and one more."""
    if len(table.probes) != 1 or table.truth.size < 4:
        return None
    term, truth, residual = in_shape(expr, table.probes[0]), table.truth, table.residual
    if term is None:
        return None
    unit = term.ravel() / np.linalg.norm(term)
    rest = truth - unit * np.vdot(unit, truth)
    if np.linalg.norm(rest) < 1e-9 * np.linalg.norm(truth):
        return float((np.vdot(unit, truth) / np.vdot(unit, residual)).real)
    for index in parallel(table.without(term.ravel()), rest, 1e-7):
        other = table.terms[index]
        if "hand" in atoms(other) or "truth" in atoms(other):
            continue
        design = np.column_stack([unit, table.rows[index]])
        solution, _, rank, _ = np.linalg.lstsq(design, truth, rcond=None)
        if rank == 2:
            return float((solution[0] / np.vdot(unit, residual)).real)
    return None


def _product_of_three(cases: Sequence[Case], view: View, table: Table) -> Iterator[Found]:
    """The residual is one, or hand and truth are two different ones."""
    if len(table.probes) != 1:
        return
    names = common_names([case for case in cases if case.failed and case.tame])
    targets = {"residual": table.residual, "hand": table.hand, "truth": table.truth}
    found = chains(table.probes[0], names, targets)
    for expr in found["residual"]:

        def left_right(case: Case, expr=expr) -> tuple:
            return case.truth - case.hand, in_shape(expr, case)

        for scale, how in scaled(cases, left_right, False):
            if how.everything and scale.constant != 0:
                yield Found((_term_diagnosis(cases, view, expr, scale, how, None),), how)
                return
    yield from chained(cases, view, table, found)


def _exchanged(cases: Sequence[Case], view: View, table: Table) -> Iterator[Found]:
    """truth - hand = c * (right term - wrong term): one term stands in another's place."""
    for right, wrong in differences(table):

        def left_right(case: Case, right=right, wrong=wrong) -> tuple:
            one, two = in_shape(right, case), in_shape(wrong, case)
            return case.truth - case.hand, None if one is None or two is None else one - two

        for scale, how in scaled(cases, left_right):
            if not how.everything or scale.constant == 0:
                continue
            mine, true = wrong, right
            if np.real(scale.constant) < 0:
                scale, mine, true = scale.negated(), right, wrong
            got, wanted = multiple(scale, mine), multiple(scale, true)
            kind = replaced_kind(table.probes[0], mine, true)
            kind = "wrong_argument" if kind == "factor" and atoms(mine) != atoms(true) else kind
            yield Found.one(
                kind, f"has the term {got} where the {view.noun} has {wanted}", f"{got} for {wanted}", how
            )
            break


def _factor_and_term(cases: Sequence[Case], view: View, table: Table) -> Iterator[Found]:
    """hand = f * (truth - c * term): two mistakes."""
    truth, residual = table.truth, table.residual
    if not np.linalg.norm(truth):
        return
    unit = truth / np.linalg.norm(truth)
    for index in parallel(table.without(truth), residual - unit * np.vdot(unit, residual))[:_TRIED]:
        expr = table.terms[index]
        if expr == ("truth",):
            continue
        solved = _coefficients(cases, table, lambda case: case.truth, lambda case, e=expr: in_shape(e, case))
        if solved is None or not all(_natural(scale) for scale in solved):
            continue
        factor, second = solved
        if factor.powers and not atoms(expr).keys() <= table.probes[0].sample.inputs.keys() | {
            "hand",
            "truth",
        }:
            continue  # too contrived: an inner value of the reference beside a factor that varies
        coefficient = Scale(-second.constant / factor.constant, second.powers)
        if factor.powers:
            powers = tuple((quantity, -power) for quantity, power in factor.powers)
            coefficient = Scale(coefficient.constant, second.powers + powers)

        def predict(case: Case, expr=expr, factor=factor, second=second) -> np.ndarray | None:
            term = in_shape(expr, case)
            return None if term is None else factor(case) * case.truth + second(case) * term

        how = fit(cases, predict)
        if not how.everything:
            continue
        kind = scale_kind(factor, cases, view.dims)
        first = Diagnosis(
            kind, f"up to a term, {scale_text(factor, kind, view.noun)}", factor.name, how.evidence()
        )
        yield Found((first, _second_term(cases, factor, coefficient, expr, how)), how)


def _natural(scale: Scale) -> bool:
    """Whether a person could have written the coefficient: two fitted numbers explain too much otherwise."""
    return 1e-6 < abs(scale.constant) < 1e6 and exact_name(scale.constant) is not None


def _second_term(cases, factor: Scale, coefficient: Scale, expr: Expr, how: Fit) -> Diagnosis:
    corrected = []
    for case in cases:
        if case.failed and factor(case) != 0:
            hand = case.hand / factor(case)
            corrected.append(
                Case(case.sample, case.leaf, hand, case.truth, case.noise, case.tame, case.bad, True)
            )
    if "hand" in atoms(expr) or share_in_truth(corrected) > 0.5:
        term = multiple(coefficient, expr)
        return Diagnosis(
            "missing_term", f"after that correction, lacks the term {term}", term, how.evidence()
        )
    term = multiple(coefficient.negated(), expr)
    return Diagnosis(
        "extra_term", f"after that correction, has the term {term} too much", term, how.evidence()
    )


def _coefficients(cases, table: Table, one, two, of=None) -> tuple[Scale, Scale] | None:
    """hand = a * one + b * two with a and b numbers, or expressions where outputs are large enough."""
    of = of or (lambda case: case.hand)
    if len(table.probes) > 1:
        columns, wanted = [table.stack(one), table.stack(two)], table.stack(of)
        if any(column is None for column in columns) or wanted is None:
            return None
        solution, _, rank, _ = np.linalg.lstsq(np.column_stack(columns), wanted, rcond=None)  # type: ignore[arg-type]
        return (Scale(solution[0]), Scale(solution[1])) if rank == 2 else None
    found = []
    for case in cases:
        if not (case.failed and case.tame) or case.truth.size < 3:
            continue
        first, second = one(case), two(case)
        if first is None or second is None:
            return None
        design = np.column_stack([first.ravel(), second.ravel()])
        norms, wanted = np.linalg.norm(design, axis=0), of(case).ravel()
        if not (np.isfinite(design).all() and np.isfinite(wanted).all()) or np.any(norms == 0):
            continue
        solution, _, rank, singular = np.linalg.lstsq(design / norms, wanted, rcond=None)
        if rank < 2 or not np.all(np.abs(solution)):
            continue
        doubt = (case.noise + 1e-15) / (singular[-1] * np.abs(solution).min())
        found.append((doubt, case, solution / norms))
    found.sort(key=lambda item: item[0])
    sure = [item for item in found if item[0] < 1e-9] or []
    kept = sure if len(sure) >= 6 else found[: max(3, len(found) // 2)]
    if len(kept) < 3:
        return None
    scales = [next(iter(explain(cases, [(case, s[k]) for _, case, s in kept], False)), None) for k in (0, 1)]
    if scales[0] is None or scales[1] is None:
        return None
    return scales[0], scales[1]


def _two_terms(cases: Sequence[Case], view: View, table: Table) -> Iterator[Found]:
    """truth - hand = a * one term + b * another."""
    for one, two in pairs(table, table.residual):
        solved = _coefficients(
            cases,
            table,
            lambda case, e=one: in_shape(e, case),
            lambda case, e=two: in_shape(e, case),
            lambda case: case.truth - case.hand,
        )
        if solved is None or not all(_natural(scale) for scale in solved):
            continue

        def predict(case: Case, one=one, two=two, solved=solved) -> np.ndarray | None:
            first, second = in_shape(one, case), in_shape(two, case)
            if first is None or second is None:
                return None
            return case.truth - solved[0](case) * first - solved[1](case) * second

        how = fit(cases, predict)
        if how.everything:
            kinds = "missing_term" if share_in_truth(cases) > 0.5 else "extra_term"
            said = []
            for scale, expr in zip(solved, (one, two), strict=True):
                term = multiple(scale if kinds == "missing_term" else scale.negated(), expr)
                verb = "lacks the term" if kinds == "missing_term" else "has too much the term"
                said.append(Diagnosis(kinds, f"{verb} {term}", term, how.evidence()))
            yield Found(
                (said[0], Diagnosis(kinds, f"besides, {said[1].text}", said[1].value, how.evidence())), how
            )
