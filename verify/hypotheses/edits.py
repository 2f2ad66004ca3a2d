"""The reference's derivative with one step of it changed: which step the hand-written function has wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from verify.hypotheses.cases import Case, Fit, fit_pair, largest, tolerance
from verify.hypotheses.evidence import Edit
from verify.hypotheses.ladder import Found, View, scaled
from verify.hypotheses.numbers import exact_name
from verify.hypotheses.scale import Scale, remainder_name
from verify.records.record import Diagnosis

_FAILING, _PASSING, _TRIED = 30, 15, 4


def edited(cases: Sequence[Case], view: View) -> Iterator[Found]:
    """Those edits that the hand-written value equals; of the terms, any multiple in place of the right one."""
    edits = {label: edit for label, edit in (view.candidates or {}).items() if isinstance(edit, Edit)}
    if not edits or not all(case.same_shape for case in cases):
        return
    known = _known(cases, [*edits.values()][-1])
    failing = sorted((case for case in cases if case.failed and case.tame and id(case) in known), key=_merit)
    first = failing[:_TRIED]
    if len(first) < 3:
        return
    passing = [case for case in cases if not case.failed and case.tame and id(case) in known]
    used = [*failing[:_FAILING], *passing[:_PASSING]]
    for edit in edits.values():
        if _possible(first[0], edit) and sum(_possible(case, edit) for case in first[1:]) >= len(first) - 2:
            values = _values(used, edit)
            if values is not None:
                yield from _fitted([case for case in used if id(case) in values], view, edit, values)


def _known(cases: Sequence[Case], edit: Edit) -> set[int]:
    """The cases that can be evaluated anew."""
    found = set()
    for case in cases:
        try:
            edit(case.sample)
        except KeyError:
            continue
        except Exception:  # it can be evaluated, not with this edit
            pass
        found.add(id(case))
    return found


def _merit(case: Case) -> tuple:
    """Cases that tell most come first: neither tiny nor huge, all sizes above one, then small."""
    sizes = list(case.sample.dims.values()) or list(case.truth.shape)
    ordinary = 1e-8 < largest(case.hand - case.truth) < 1e8
    return not ordinary, min(sizes, default=1) < 2, abs(case.truth.size - 12)


def _value(case: Case, edit: Edit) -> np.ndarray | None:
    try:
        value = np.asarray(edit(case.sample)[case.leaf])
    except Exception:  # whatever the edited program raised: that is not what the hand does
        return None
    return value if value.shape == case.truth.shape else None


def _possible(case: Case, edit: Edit) -> bool:
    """Whether the edit explains this case, some multiple of the term or of the whole allowed."""
    value = _value(case, edit)
    if value is None:
        return False
    left, right = (case.truth - case.hand, case.truth - value) if edit.additive else (case.hand, value)
    usable = np.isfinite(left) & np.isfinite(right)
    left, right = left[usable], right[usable]
    size = largest(right)
    if size <= 10 * case.noise:
        return False
    unit = right / size
    factor = np.vdot(unit, left) / np.vdot(unit, unit).real
    return bool(np.abs(left - factor * unit).max() <= tolerance(case, left))


def _values(cases: Sequence[Case], edit: Edit) -> Mapping[int, np.ndarray] | None:
    """The edited values by case; None where too few are defined."""
    ids = _known(cases, edit)
    known = [case for case in cases if id(case) in ids]
    found = {id(case): value for case in known if (value := _value(case, edit)) is not None}
    lost = sum(case.failed and id(case) not in found for case in known)
    return found if lost * 10 <= len(known) else None


def _fitted(cases: Sequence[Case], view: View, edit: Edit, values: Mapping[int, np.ndarray]) -> Iterator[Found]:
    def pair(case: Case) -> tuple:
        value = values[id(case)]
        return (case.truth - case.hand, case.truth - value) if edit.additive else (case.hand, value)

    exact = (Scale(1.0), fit_pair(cases, pair))
    for scale, how in (exact, *scaled(cases, pair, False)):
        natural = exact_name(scale.constant) is not None and abs(scale.constant) > 1e-6
        if not natural or not (how.everything or _nearly(how)):
            continue
        how = replace(how, everything=True)
        text = edit.text.format(noun=view.noun)
        if edit.additive:
            yield _term(text, scale, how)
        elif abs(scale.constant - 1) < 1e-7 and not scale.powers:
            yield Found.one(edit.kind, text, text, how)
        else:
            second = Diagnosis("factor", f"besides, has a factor {scale.name} too much", scale.name, how.evidence())
            yield Found((Diagnosis(edit.kind, text, text, how.evidence()), second), how)
        return


def _nearly(how: Fit) -> bool:
    """One case in five may differ for another reason, rounding say: no step of a program fits the rest by chance."""
    return how.passing_agree and how.explained >= max(8, 0.8 * how.failing)


def _term(name: str, scale: Scale, how: Fit) -> Found:
    """The residual is so many times a term: the hand has 1 - scale of it."""
    plain = not scale.powers
    if plain and abs(scale.constant - 1) < 1e-6:
        return Found.one("missing_term", f"lacks a term: it leaves out {name}", name, how)
    if plain and abs(scale.constant - 2) < 1e-6:
        return Found.one("sign", f"has the wrong sign on one term: {name}", name, how)
    if plain and abs(scale.constant + 1) < 1e-6:
        return Found.one("extra_term", f"has a term twice: {name}", name, how)
    value = remainder_name(scale)
    return Found.one("factor", f"has {value} times one of its terms: {name}", value, how)
