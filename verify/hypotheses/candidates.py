"""The truth re-evaluated with other arguments, by the harness: the right formula at the wrong variable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from verify.hypotheses.cases import Case, Fit
from verify.hypotheses.evidence import Edit
from verify.hypotheses.ladder import Found, View, scaled
from verify.hypotheses.numbers import exact_name
from verify.hypotheses.scale import Scale, proportions
from verify.records.record import Diagnosis

_FAILING, _PASSING = 40, 20


def candidates(cases: Sequence[Case], view: View) -> Iterator[Found]:
    """Those re-evaluations that the hand-written value equals, or is a multiple of."""
    used = [case for case in cases if case.failed and case.tame][:_FAILING]
    used += [case for case in cases if not case.failed][:_PASSING]
    for label, evaluate in (view.candidates or {}).items():
        if isinstance(evaluate, Edit):
            continue
        known = _evaluate(used, evaluate)
        if sum(case.failed for case, _ in known) < 3:
            continue
        values = {id(case): value for case, value in known}

        def pair(case: Case, values=values) -> tuple:
            return case.hand, values[id(case)]

        for scale, how in scaled([case for case, _ in known], pair, False):
            natural = exact_name(scale.constant) is not None and abs(scale.constant) > 1e-6
            if how.everything and natural:
                yield _found(view, label, scale, how)
                break


def _evaluate(cases: Sequence[Case], evaluate: Callable) -> list[tuple[Case, np.ndarray]]:
    """The candidate's values where it can be evaluated; nothing once it is no multiple of the hand's."""
    known, misses, tried = [], 0, 0
    for case in cases:
        try:
            value = np.asarray(evaluate(case.sample)[case.leaf])
        except Exception:  # whatever the re-evaluation raised: it tells nothing at this case
            tried += 1
            if tried > 5 and not known:
                return []
            continue
        known.append((case, value))
        if case.failed and proportions([case], lambda case, value=value: (case.hand, value)) is None:
            misses += 1
            if misses > 1:
                return []
    return known


def _found(view: View, label: str, scale: Scale, how: Fit) -> Found:
    kind = "wrong_argument"
    if "conjugated" in label:
        kind = "conjugate"
    elif "cotangent" in label and "ones" in label:
        kind = "cotangent"
    if abs(scale.constant - 1) < 1e-7 and not scale.powers:
        return Found.one(kind, f"equals the {view.noun} {label}, not the {view.noun} itself", label, how)
    first = Diagnosis(kind, f"is a multiple of the {view.noun} {label}", label, how.evidence())
    second = Diagnosis("factor", f"besides, is {scale.name} times that", scale.name, how.evidence())
    return Found((first, second), how)
