"""The unconditional hypotheses about one output leaf, simplest first, each with how well it fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from verify.hypotheses import structure, terms
from verify.hypotheses.cases import Case, Fit, fit, fit_pair, is_direction
from verify.hypotheses.scale import (
    LeftRight,
    Scale,
    explain,
    proportions,
    scale_kind,
    scale_text,
)
from verify.record import Diagnosis


@dataclass(frozen=True)
class View:
    """One output leaf: its name for a reader, the dimension names of its axes, re-evaluations to compare with."""

    noun: str
    dims: tuple[str, ...] = ()
    candidates: Mapping[str, Callable] | None = None


@dataclass(frozen=True)
class Found:
    """A hypothesis that explains failing cases; several mistakes together give several diagnoses."""

    diagnoses: tuple[Diagnosis, ...]
    fit: Fit

    @classmethod
    def one(cls, kind: str, text: str, value: str | None, fit: Fit) -> Found:
        return cls((Diagnosis(kind, text, value, fit.evidence()),), fit)


Stage = Callable[[Sequence[Case], View], Iterator[Found]]


def scaled(cases: Sequence[Case], view: View, left_right: LeftRight) -> Iterator[tuple[Scale, Fit]]:
    """The expressions ``c`` with left = c * right, each fitted to all cases."""
    pairs = proportions(cases, left_right)
    if not pairs:
        return

    for scale in explain(cases, pairs):

        def compared(case: Case, scale=scale) -> tuple:
            left, right = left_right(case)
            return left, None if right is None else scale(case) * right

        yield scale, fit_pair(cases, compared)


def proportional(cases: Sequence[Case], view: View) -> Iterator[Found]:
    """Sign, factor, expression in the sizes, scalar argument."""
    for scale, how in scaled(
        cases, view, lambda case: (case.hand, case.truth) if case.same_shape else (None, None)
    ):
        kind = scale_kind(scale, cases, view.dims)
        yield Found.one(kind, scale_text(scale, kind, view.noun), scale.name, how)


def rearranged(cases: Sequence[Case], view: View) -> Iterator[Found]:
    """Transposed, conjugated, flipped, summed or averaged over an axis, alone or with a factor besides."""
    known = list(structure.structures(cases, view.dims, view.noun))
    if any(case.failed and not case.same_shape for case in cases):
        known += structure.reshapings(view.noun)
    for change in known:
        how = fit_pair(cases, change.pair)
        if how.everything:
            yield Found.one(change.kind, change.text, change.value, how)
    for change in known:
        for scale, how in scaled(cases, view, change.pair):
            if how.everything and abs(scale.constant) > 0:
                first = Diagnosis(change.kind, f"up to a factor, {change.text}", change.value, how.evidence())
                kind = scale_kind(scale, cases, view.dims)
                second = Diagnosis(
                    kind, "besides, " + scale_text(scale, kind, view.noun), scale.name, how.evidence()
                )
                yield Found((first, second), how)


def candidates(cases: Sequence[Case], view: View) -> Iterator[Found]:
    """The truth re-evaluated with other arguments."""
    for label, evaluate in (view.candidates or {}).items():
        used = [case for case in cases if case.failed and case.tame][:40] + [
            case for case in cases if not case.failed
        ][:20]
        values: dict[int, np.ndarray] = {}
        for case in used:
            try:
                values[id(case)] = np.asarray(evaluate(case.sample)[case.leaf])
            except Exception:  # a re-evaluation that cannot be made is no match, whatever it raised
                values.clear()
                break
            if (
                case.failed
                and fit([case], lambda case: values[id(case)]).explained == 0
                and not _may_scale(case, values)
            ):
                values.clear()
                break
        if not values:
            continue
        how = fit(used, lambda case, values=values: values[id(case)])
        kind = (
            "cotangent"
            if "cotangent" in label and "swap" not in label and " at " not in label
            else "wrong_argument"
        )
        if how.everything:
            yield Found.one(kind, f"equals the {view.noun} {label}, not the {view.noun} itself", label, how)
        else:
            for scale, how in scaled(used, view, lambda case, values=values: (case.hand, values[id(case)])):
                if how.everything and abs(scale.constant) > 0:
                    first = Diagnosis(
                        kind, f"is a multiple of the {view.noun} {label}", label, how.evidence()
                    )
                    second = Diagnosis(
                        "factor", f"besides, is {scale.name} times that", scale.name, how.evidence()
                    )
                    yield Found((first, second), how)


def _may_scale(case: Case, values: Mapping[int, np.ndarray]) -> bool:
    other = values[id(case)]
    return other.shape == case.hand.shape and proportions([case], lambda case: (case.hand, other)) is not None


_MULTIPLIERS: tuple[tuple[str, Callable[[np.ndarray], np.ndarray]], ...] = (
    ("{}", lambda u: u),
    ("{}**2", lambda u: u * u),
    ("(1 - {})", lambda u: 1 - u),
    ("(1 + {})", lambda u: 1 + u),
    ("(1 - {}**2)", lambda u: 1 - u * u),
    ("(1 + {}**2)", lambda u: 1 + u * u),
    ("|{}|", np.abs),
    ("sign({})", np.sign),
    ("sqrt(|{}|)", lambda u: np.sqrt(np.abs(u))),
    ("exp({})", np.exp),
    ("conj({})", np.conj),
)
_AVERAGED: tuple[tuple[str, Callable[[np.ndarray], np.ndarray]], ...] = (
    ("sum({})", np.sum),
    ("{}'s first entry", lambda u: u.ravel()[0]),
    ("max({})", np.max),
)


def entrywise(cases: Sequence[Case], view: View) -> Iterator[Found]:
    """A factor an entry: an array argument or intermediate that multiplies once too often or too seldom."""
    if not all(case.same_shape for case in cases):
        return
    names = sorted(
        terms.common_names([case for case in cases if case.failed]),
        key=lambda name: not is_direction(name, cases[0].sample),
    )
    for name in names:
        direction = is_direction(name, cases[0].sample)
        if cases[0].bases[name].ndim == 0:
            continue
        for pattern, of in _MULTIPLIERS:
            if pattern.startswith("conj") and not np.iscomplexobj(cases[0].bases[name]):
                continue

            def multiplier(case: Case, name=name, of=of) -> np.ndarray | None:
                array = case.bases.get(name)
                return None if array is None or not _fits(array, case) else of(array)

            spelled = pattern.format(name)
            for value, text, pair in _too_seldom_or_often(multiplier, spelled, view.noun):
                for scale, how in scaled(cases, view, pair):
                    if how.everything and scale.constant != 0:
                        yield _entry_factor(direction, value, text, scale, how, name)
        if direction:
            for pattern, of in _AVERAGED:

                def swapped(case: Case, name=name, of=of) -> tuple:
                    array = case.bases[name]
                    return (case.hand * array, case.truth * of(array)) if _fits(array, case) else (None, None)

                for scale, how in scaled(cases, view, swapped):
                    if how.everything and scale.constant != 0:
                        yield Found.one(
                            "cotangent",
                            f"uses {pattern.format(name)} in place of the entries of {name}",
                            pattern.format(name),
                            how,
                        )


def _fits(array: np.ndarray, case: Case) -> bool:
    try:
        return np.broadcast_shapes(array.shape, case.truth.shape) == case.truth.shape
    except ValueError:
        return False


def _too_seldom_or_often(multiplier, spelled: str, noun: str):
    def often(case: Case) -> tuple:
        u = multiplier(case)
        return (None, None) if u is None else (case.hand, case.truth * u)

    def seldom(case: Case) -> tuple:
        u = multiplier(case)
        return (None, None) if u is None else (case.hand * u, case.truth)

    yield f"1/{spelled}", f"equals the {noun} without its factor {spelled}: multiply by {spelled}", seldom
    yield spelled, f"is {spelled} times the {noun}: remove that factor", often


def _entry_factor(direction: bool, value: str, text: str, scale: Scale, how: Fit, name: str) -> Found:
    kind = "cotangent" if direction else "factor"
    if direction and value == f"1/{name}":
        text = f"ignores {name}: multiply by {name}"
    first = Diagnosis(kind, text, value, how.evidence())
    if abs(scale.constant - 1) < 1e-7 and not scale.powers:
        return Found((first,), how)
    second = Diagnosis(
        "factor", f"besides, a factor {scale.inverse().name} is missing", scale.name, how.evidence()
    )
    return Found((first, second), how)


def one_term(cases: Sequence[Case], view: View) -> Iterator[Found]:
    """truth - hand = c * term."""
    yield from _with_terms(cases, view, with_truth=False)


def factor_and_term(cases: Sequence[Case], view: View) -> Iterator[Found]:
    """hand = f * truth - c * term: two mistakes."""
    yield from _with_terms(cases, view, with_truth=True)


def expressed(cases: Sequence[Case], view: View) -> Iterator[Found]:
    """Both values are recognised: the hand computes one expression where another one is wanted."""
    failing = [case for case in cases if case.failed and case.tame]
    probe = terms.pick_probe(failing)
    if probe is None or not all(case.same_shape for case in failing):
        return
    table = terms.tabulate(probe, terms.expressions(probe, terms.common_names(failing)))
    wanted = _recognised(cases, view, table, probe.truth, lambda case: case.truth)
    if wanted is None:
        return
    got = _recognised(cases, view, table, probe.hand, lambda case: case.hand)
    if got is None or got[0] == wanted[0]:
        return
    (expr, scale, how), (true_expr, true_scale, _) = got, wanted
    mine, true = _spell_multiple(scale, expr), _spell_multiple(true_scale, true_expr)
    text = f"is {mine}, but the {view.noun} is {true}"
    yield Found.one(_replaced_kind(cases[0], expr, true_expr), text, mine, how)


def _recognised(cases, view: View, table: terms.Table, value: np.ndarray, of: Callable[[Case], np.ndarray]):
    for index in terms.parallel(table.rows, value.ravel()):
        expr = table.terms[index]
        if {"hand", "truth"} & terms.atoms(expr).keys():
            continue
        for scale, how in scaled(cases, view, lambda case, expr=expr: (of(case), terms.in_shape(expr, case))):
            if how.everything and scale.constant != 0:
                return expr, scale, how
    return None


def _replaced_kind(case: Case, mine: terms.Expr, true: terms.Expr) -> str:
    """What it is to compute ``mine`` in place of ``true``, by the arguments that occur in each."""
    got, wanted = terms.atoms(mine), terms.atoms(true)
    directions = {name for name in wanted.keys() | got.keys() if is_direction(name, case.sample)}
    if any(got[name] != wanted[name] for name in directions):
        return "cotangent"
    if got == wanted:
        return "transpose" if "T" in terms.spell(mine) + terms.spell(true) else "reduction"
    return "factor" if not wanted - got or not got - wanted else "wrong_argument"


def exchanged(cases: Sequence[Case], view: View) -> Iterator[Found]:
    """truth - hand = c * (right term - wrong term): one term stands in another's place."""
    failing = [case for case in cases if case.failed and case.tame]
    probe = terms.pick_probe(failing)
    if probe is None or not all(case.same_shape for case in failing):
        return
    table = terms.tabulate(probe, terms.expressions(probe, terms.common_names(failing)), 400)
    residual = (probe.truth - probe.hand).ravel()
    for right, wrong in terms.differences(table, residual)[:20]:

        def left_right(case: Case, right=right, wrong=wrong) -> tuple:
            one, two = terms.in_shape(right, case), terms.in_shape(wrong, case)
            return case.truth - case.hand, None if one is None or two is None else one - two

        for scale, how in scaled(cases, view, left_right):
            if how.everything and scale.constant != 0:
                if np.real(scale.constant) < 0:
                    scale, right, wrong = scale.negated(), wrong, right
                mine, true = _spell_multiple(scale, wrong), _spell_multiple(scale, right)
                text = f"has the term {mine} where the {view.noun} has {true}"
                yield Found.one(_replaced_kind(cases[0], wrong, right), text, f"{mine} for {true}", how)


def _with_terms(cases: Sequence[Case], view: View, with_truth: bool) -> Iterator[Found]:
    failing = [case for case in cases if case.failed and case.tame]
    probe = terms.pick_probe(failing)
    if probe is None or not all(case.same_shape for case in failing):
        return
    table = terms.tabulate(probe, terms.expressions(probe, terms.common_names(failing)))
    residual, truth = (probe.truth - probe.hand).ravel(), probe.truth.ravel()
    rows = table.rows
    if with_truth:
        rows = table.without(truth)
        residual = residual - truth * (np.vdot(truth, residual) / np.vdot(truth, truth))
    for index in terms.parallel(rows, residual)[:40]:
        expr = table.terms[index]
        found = _term_and_factor(cases, view, expr) if with_truth else _term(cases, view, expr)
        if found is not None and found.fit.everything:
            yield found


def _term(cases: Sequence[Case], view: View, expr: terms.Expr) -> Found | None:
    def left_right(case: Case) -> tuple:
        return case.truth - case.hand, terms.in_shape(expr, case)

    for scale, how in scaled(cases, view, left_right):
        if how.everything and scale.constant != 0:
            return Found((_term_diagnosis(cases, view, expr, scale, how),), how)
    return None


def _term_diagnosis(cases, view: View, expr: terms.Expr, scale: Scale, how: Fit) -> Diagnosis:
    term = _spell_multiple(scale, expr)
    if terms.is_missing(cases):
        return Diagnosis(
            "missing_term",
            f"lacks the term {term}: hand + {term} equals the {view.noun}",
            term,
            how.evidence(),
        )
    extra = _spell_multiple(scale.negated(), expr)
    return Diagnosis(
        "extra_term",
        f"has the term {extra} too much: hand - {extra} equals the {view.noun}",
        extra,
        how.evidence(),
    )


def _spell_multiple(scale: Scale, expr: terms.Expr) -> str:
    number, term = scale.name, terms.spell(expr)
    if number == "1":
        return term
    return f"-{term}" if number == "-1" else f"{number} * {term}"


def _term_and_factor(cases: Sequence[Case], view: View, expr: terms.Expr) -> Found | None:
    factors, coefficients = [], []
    for case in cases:
        if not (case.failed and case.tame) or case.truth.size < 3:
            continue
        term = terms.in_shape(expr, case)
        if term is None:
            return None
        design = np.column_stack([case.truth.ravel(), term.ravel()])
        norms = np.linalg.norm(design, axis=0)
        if not np.isfinite(design).all() or np.any(norms == 0):
            continue
        solution, _, rank, singular = np.linalg.lstsq(design / norms, case.hand.ravel(), rcond=None)
        if rank == 2 and singular[-1] > 1e-4:
            solution = solution / norms
            factors.append((case, solution[0]))
            coefficients.append((case, -solution[1] / solution[0] if solution[0] else -solution[1]))
    if len(factors) < 3:
        return None
    factor = next(iter(explain(cases, factors, rich=False)), None)
    coefficient = next(iter(explain(cases, coefficients, rich=False)), None)
    if factor is None or coefficient is None or factor.constant == 0:
        return None

    def predict(case: Case) -> np.ndarray | None:
        term = terms.in_shape(expr, case)
        return None if term is None else factor(case) * (case.truth - coefficient(case) * term)

    how = fit(cases, predict)
    kind = scale_kind(factor, cases, view.dims)
    first = Diagnosis(
        kind, f"up to a term, {scale_text(factor, kind, view.noun)}", factor.name, how.evidence()
    )
    term = _spell_multiple(coefficient, expr)
    second = Diagnosis("missing_term", f"after that correction, lacks the term {term}", term, how.evidence())
    if not terms.is_missing(_rescaled(cases, factor)):
        term = _spell_multiple(coefficient.negated(), expr)
        second = Diagnosis(
            "extra_term", f"after that correction, has the term {term} too much", term, how.evidence()
        )
    return Found((first, second), how)


def _rescaled(cases: Sequence[Case], factor: Scale) -> list[Case]:
    return [
        Case(
            case.sample,
            case.leaf,
            case.hand / factor(case),
            case.truth,
            case.noise,
            case.tame,
            case.bad,
            case.failed,
        )
        for case in cases
        if case.failed
    ]


FORMULAS: tuple[Stage, ...] = (proportional, rearranged, candidates, entrywise)
TERMS: tuple[Stage, ...] = (expressed, one_term, exchanged, factor_and_term)
