"""Say what is wrong with a derivative: fit hypotheses to failing and passing cases, simplest first.

Pure NumPy. A hypothesis is kept only if it explains all failing cases; one that also predicts the passing
ones goes before a condition that merely separates the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from verify.hypotheses.additive import additive, rearranged_and_more
from verify.hypotheses.bounds import bound_of_another_power, reversed_bound
from verify.hypotheses.candidates import candidates
from verify.hypotheses.cases import (
    Case,
    blame_small_errors,
    fit_pair,
    is_low,
    largest,
    leaf_cases,
)
from verify.hypotheses.edits import edited
from verify.hypotheses.entrywise import entrywise
from verify.hypotheses.evidence import Context, Sample
from verify.hypotheses.facts import nonfinite, precision, unknown, wrong_shape
from verify.hypotheses.ladder import Found, Stage, View, proportional, rearranged
from verify.hypotheses.linearity import not_zero_at_zero, of_another_degree
from verify.hypotheses.partial import (
    condition_on_cases,
    condition_on_entries,
    imaginary_only,
    special_entries,
    wrong_place,
)
from verify.hypotheses.peel import peel_factor
from verify.hypotheses.recognised import recognised_hand
from verify.hypotheses.small import at_size_one
from verify.records.record import Diagnosis

Told = tuple[Diagnosis, ...]

_WHOLE = 5
_BY_PRODUCTS = ("region", "singular", "overflow", "precision")
_NOUNS = {
    "gradient": "gradient",
    "value_and_gradient": "gradient",
    "vjp": "gradient",
    "jvp": "tangent",
    "hvp": "Hessian-vector product",
    "equal_to": "reference",
    "at_most": "reference",
}


def diagnose(samples: Sequence[Sample], context: Context) -> tuple[Diagnosis, ...]:
    """What is wrong, the main mistake first; kind ``unknown`` where no hypothesis explains the evidence."""
    with np.errstate(all="ignore"):
        return _diagnose(samples, context)


def _diagnose(samples: Sequence[Sample], context: Context) -> Told:
    failing = [sample for sample in samples if sample.failed]
    if not failing:
        return (Diagnosis("unknown", "No failing case to explain."),)
    exact_fails = any(not is_low(sample.dtype) for sample in failing)
    judged = [sample for sample in samples if is_low(sample.dtype) != exact_fails]
    low_only = not exact_fails and any(not is_low(sample.dtype) for sample in samples)
    leaves = range(min(len(sample.hand) for sample in judged))
    if len({len(sample.hand) for sample in judged} | {len(sample.truth) for sample in judged}) != 1:
        return (_structure_differs(judged),)
    cases = [leaf_cases(judged, leaf, context.relation == "at_most") for leaf in leaves]
    blame_small_errors(cases)
    wrong = [leaf for leaf in leaves if any(case.failed for case in cases[leaf])]
    if not wrong:
        return (unknown([case for leaf in cases for case in leaf], View("result")),)
    if len(cases) > 1 and (swapped := _swapped(cases, wrong, context)):
        return (swapped,)
    told = {}
    for leaf in _worth_telling(cases, wrong):
        told[leaf] = _diagnose_leaf(cases[leaf], _view(context, leaf), context.relation, low_only)
    return _together(told, context, len(cases))


def _view(context: Context, leaf: int) -> View:
    dims = context.output_dims[leaf] if leaf < len(context.output_dims) else ()
    noun = _NOUNS.get(context.relation, "derivative")
    name = context.outputs[leaf] if leaf < len(context.outputs) else ""
    return View("value" if name == "value" else noun, dims, context.candidates)


def _structure_differs(samples: Sequence[Sample]) -> Diagnosis:
    got, wanted = (
        {len(part) for part in parts} for parts in zip(*((s.hand, s.truth) for s in samples), strict=True)
    )
    return Diagnosis(
        "shape",
        f"The hand-written function returns {min(got)} arrays where {max(wanted)} are wanted.",
        f"{min(got)} arrays, not {max(wanted)}",
    )


def _size(cases: Sequence[Case]) -> float:
    """How much of this leaf is wrong: the share of failing cases, then the typical relative error."""
    errors = []
    for case in cases:
        if case.failed:
            gap = largest(case.hand - case.truth) if case.same_shape else np.inf
            error = gap / max(largest(case.truth), 1e-300)
            errors.append(min(error, 1e3) if np.isfinite(error) else 1.0)  # a NaN may be the least of it
    return len(errors) / len(cases) + 1e-3 * float(np.median(errors)) if errors else 0.0


def _worth_telling(cases: Sequence[Sequence[Case]], wrong: Sequence[int]) -> list[int]:
    """The wrong leaves, the worst first; none that differs by rounding where another is plainly wrong."""
    ordered = sorted(wrong, key=lambda leaf: -_size(cases[leaf]))
    plain = [leaf for leaf in ordered if any(_gap(case) > 1e-6 for case in cases[leaf])]
    return [leaf for leaf in ordered if not plain or any(_gap(case) > 1e-8 for case in cases[leaf])]


def _gap(case: Case) -> float:
    """The largest error of a failing case, relative to its largest entry."""
    if not case.failed:
        return 0.0
    if not case.same_shape or not np.isfinite(case.hand[case.bad]).all():
        return np.inf
    return largest(case.hand - case.truth) / max(largest(case.truth), largest(case.hand), 1e-300)


def _swapped(cases: list[list[Case]], wrong: list[int], context: Context) -> Diagnosis | None:
    """Two outputs in each other's place."""
    for one in wrong:
        for two in wrong:
            if one < two:
                other = {id(a): b for a, b in zip(cases[one], cases[two], strict=True)}
                back = {id(b): a for a, b in zip(cases[one], cases[two], strict=True)}
                first = fit_pair(cases[one], lambda case, other=other: (case.hand, other[id(case)].truth))
                second = fit_pair(cases[two], lambda case, back=back: (case.hand, back[id(case)].truth))
                if first.everything and second.everything:
                    names = " and ".join(f"`{context.outputs[leaf]}`" for leaf in (one, two))
                    return Diagnosis(
                        "wrong_argument",
                        f"The outputs {names} are swapped: exchange them.",
                        "swapped outputs",
                        first.evidence(),
                    )
    return None


def _diagnose_leaf(cases: list[Case], view: View, relation: str, low_only: bool) -> Told:
    if relation == "at_most":
        return _diagnose_bound(cases, view)
    if any(case.failed and not case.same_shape for case in cases):
        return _diagnose_shape(cases, view)
    cases = _without_faint(cases)
    broken = [case for case in cases if case.failed and not np.isfinite(case.hand[case.bad]).all()]
    besides: tuple[Diagnosis, ...] = ()
    if broken:
        besides = (nonfinite(cases, view),)
        if all(not np.isfinite(case.hand[case.bad]).any() for case in cases if case.failed):
            return besides
        cases = _finite_part(cases)
    if low_only:
        return (precision(cases, view), *besides)
    told = _explain(cases, view)
    mostly_broken = 2 * len(broken) > sum(case.failed for case in cases) + len(broken)
    whole = sum(case.failed and np.isfinite(case.hand).all() for case in cases)
    vague = told[0].kind in _BY_PRODUCTS or whole < _WHOLE  # what is finite may be wrong for the same reason
    if besides and ((mostly_broken and vague) or told[0].kind == "unknown"):
        return (*besides, *(d for d in told if d.kind != "unknown"))
    return (*told, *besides)


def _without_faint(cases: list[Case]) -> list[Case]:
    """Where the mistake is plain, without the failing cases that differ by little more than rounding."""
    gaps = [_gap(case) for case in cases if case.failed]
    faint = sum(gap < 1e-8 for gap in gaps)
    if not faint or faint > 0.25 * len(gaps) or np.median(gaps) < 1e-6:
        return cases
    return [case for case in cases if not case.failed or _gap(case) >= 1e-8]


def _finite_part(cases: Sequence[Case]) -> list[Case]:
    """The cases with entries masked where the hand-written value is not finite."""
    kept = []
    for case in cases:
        finite = np.isfinite(case.hand)
        bad = case.bad & finite
        if case.failed and not bad.any():
            continue
        kept.append(replace(case, truth=np.where(finite, case.truth, np.nan), bad=bad))
    return kept


def _first(stages: Sequence[Stage], cases: Sequence[Case], view: View) -> tuple[Found | None, Found | None]:
    """The first hypothesis that explains every case, else the first that explains every failing case."""
    partial = None
    for stage in stages:
        for found in stage(cases, view):
            if found.fit.unconditional:
                return found, partial
            if found.fit.everything and partial is None:
                partial = found
    return None, partial


def _explain(cases: list[Case], view: View, peeled: bool = False) -> Told:
    """Formulas in the arguments, then places and conditions, then formulas with the reference's inner values."""
    plain = [case.plain() for case in cases]
    found, partial = _first((proportional, rearranged, candidates, entrywise), plain, view)
    if found is not None:
        return found.diagnoses
    narrow = condition_on_entries(plain, view, partial, narrow=True)
    narrow = narrow or imaginary_only(plain, view) or wrong_place(plain, view, plain=True)
    if narrow is not None:
        return narrow
    steps = () if peeled else (edited,)
    found, other = _first((additive, rearranged_and_more, *steps), plain, view)
    if found is not None:
        return found.diagnoses
    partial = partial or other
    told = (
        (None if peeled else _two_layers(cases, view))
        or special_entries(plain, view)
        or not_zero_at_zero(plain, view)
        or condition_on_cases(plain, view, partial, trivial=False, loose=False)
        or wrong_place(plain, view, plain=False)
    )
    if told is not None:
        return told
    found, other = _first((entrywise, additive), cases, view)
    if found is not None:
        return found.diagnoses
    partial = partial or other
    told = (
        at_size_one(plain, view)
        or of_another_degree(plain, view)
        or condition_on_cases(plain, view, partial)
        or condition_on_entries(cases, view, partial, narrow=False)
    )
    if told is not None:
        return told
    if partial is not None:
        return partial.diagnoses
    if all(largest(case.hand - case.truth) < 1e-5 * largest(case.truth) for case in cases if case.failed):
        return (precision(plain, view),)
    return (recognised_hand(cases, view) or unknown(plain, view),)


def _two_layers(cases: Sequence[Case], view: View) -> Told | None:
    """A factor on most entries, and what is wrong besides."""
    layer = peel_factor(cases, view)
    if layer is None:
        return None
    first, rest = layer
    others = _explain(rest, view, peeled=True)
    if others[0].kind == "unknown":
        return None
    return (first, *(replace(d, text=f"besides, {d.text.removeprefix('besides, ')}") for d in others))


def _diagnose_shape(cases: list[Case], view: View) -> Told:
    found, partial = _first((rearranged, rearranged_and_more), cases, view)
    found = found or partial
    if found is not None:
        return found.diagnoses
    return (wrong_shape(cases, view),)


def _diagnose_bound(cases: list[Case], view: View) -> Told:
    """An inequality: only a hand-written value above the reference fails."""
    if any(case.failed and not case.same_shape for case in cases):
        return (wrong_shape(cases, view),)
    told = reversed_bound(cases) or bound_of_another_power(cases)
    if told is not None:
        return (told,)
    for attempt in (
        condition_on_cases(cases, view, None),
        condition_on_entries(cases, view, None, narrow=False),
        wrong_place(cases, view, plain=True),
    ):
        if attempt is not None:
            return attempt
    return (unknown(cases, view),)


def _together(told: Mapping[int, tuple[Diagnosis, ...]], context: Context, leaves: int) -> Told:
    """One list: leaves with the same mistake are told once, others with their name."""
    subject = (
        "The hand-written function"
        if context.relation in ("equal_to", "at_most")
        else "The hand-written derivative"
    )
    if len(told) == leaves and len({tuple((d.kind, d.value) for d in found) for found in told.values()}) == 1:
        return tuple(replace(d, text=_sentence(subject, d.text)) for d in next(iter(told.values())))
    said = []
    for leaf, found in told.items():
        name = (
            context.outputs[leaf]
            if leaf < len(context.outputs) and context.outputs[leaf]
            else f"output {leaf}"
        )
        whose = "The hand-written value" if name == "value" else f"The hand-written derivative for `{name}`"
        said.append([replace(d, text=_sentence(whose, d.text)) for d in found])
    said.sort(key=lambda found: found[0].kind == "overflow")  # a wrong formula says more than what it led to
    return tuple(d for found in said for d in found)


_LEADS = ("besides, there, ", "besides, ", "up to a factor, ", "up to a term, ", "after that correction, ")


def _sentence(subject: str, text: str) -> str:
    for lead in _LEADS:
        if text.startswith(lead):
            spoken = "There " if "there" in lead else lead[0].upper() + lead[1:]
            rest = text.removeprefix(lead).removeprefix("besides, ")
            return f"{spoken}it {rest}."
    return f"{subject} {text}."
